//! Every refusal as a file: what is set up, what is run, the exit code, and both lines verbatim.
//!
//! A case is a text in `tests/refusals/`: sections that begin with `--- NAME`, in any order.
//!
//! ```text
//! # what holds
//! --- as root            (or `plain`: uid 65532; or `both`: once as each, with the same words)
//! --- outer CALL=ERRNO   (another sandbox around it that answers so; `listener` holds the only listener)
//! --- setup              (sh -eu, in the case's own directory, before the owner is changed)
//! --- config             (becomes portcullis.toml)
//! --- run ARGS           (words of a shell; the binary is `portcullis`)
//! --- exit CODE
//! --- says               (standard error, with the case's directory as [DIR])
//! ```
//!
//! After each case: nothing on standard output, nothing left running, no new file, the program did not run, and it was over
//! well before the deadline. What was said has two lines, no full stop and no name of an errno. With `PORTCULLIS_BLESS=1` exit and says are rewritten: read the difference before you commit it.

#[path = "refusals/case.rs"]
mod case;
#[path = "refusals/outer.rs"]
mod outer;
#[path = "refusals/stores.rs"]
mod stores;
mod support;

use std::path::{Path, PathBuf};

use case::Case;

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/refusals");
    let entries = std::fs::read_dir(folder).expect("the cases").map(|entry| entry.expect("an entry").path());
    let mut cases: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "case")).collect();
    cases.sort();
    cases
}

#[test]
fn every_case_is_refused_as_written_and_leaves_nothing() {
    if !support::start::is_root() {
        return support::skip("the cases change users: they need root");
    }
    let (all, failures) = (cases(), std::sync::Mutex::new(Vec::new()));
    assert!(all.len() > 50, "the cases are missing");
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(path) = all.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                    if let Err(why) = Case::read(path).and_then(|case| case.hold()) {
                        failures.lock().expect("failures").push(format!("== {name}\n{why}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("failures");
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), all.len(), failures.join("\n"));
}

#[test]
fn a_case_that_is_not_refused_is_seen() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("runs.case");
    std::fs::write(
        &path,
        "# runs\n--- as root\n--- run portcullis run --user 65532:65532 -- sh -c 'echo RAN'\n--- exit 78\n--- says\nx\n",
    )
    .expect("a case");
    if support::start::is_root() {
        if std::env::var_os("PORTCULLIS_BLESS").is_some() {
            return;
        }
        let why = Case::read(&path).and_then(|case| case.hold()).expect_err("it runs");
        assert!(why.contains("exit 0") && why.contains("RAN"), "{why}");
    }
}

#[test]
fn what_is_optional_and_missing_stands_in_the_line_of_the_start() {
    if !support::start::is_root() {
        return support::skip("the cases change users: they need root");
    }
    let outer = outer::compile("listener").expect("a filter");
    let place = support::start::Place::new();
    let flags = ["run", "--user", "65532:65532", "--optional", "explained-denials", "--", "sh", "-c", "echo RAN"];
    let mut command = place.command(&flags);
    // SAFETY: the closure makes async-signal-safe system calls on memory that was made before the fork.
    unsafe { std::os::unix::process::CommandExt::pre_exec(&mut command, move || outer.install()) };
    let (out, err, code) = support::start::texts(&command.output().expect("portcullis"));
    assert_eq!((out.as_str(), code), ("RAN\n", Some(0)), "{err}");
    assert!(err.contains("MISSING, as confine.optional allows: denials are not explained"), "{err}");
}

#[test]
fn a_script_as_the_command_can_be_read_in_its_cage() {
    if !support::start::is_root() {
        return support::skip("the case changes users: it needs root");
    }
    let place = support::start::Place::new();
    place.write("script", "#!/bin/sh\necho RAN\n", 0o755);
    let (out, err, code) = support::start::texts(&place.run(&["run", "--user", "65532:65532", "--", "./script"]));
    assert_eq!((out.as_str(), code), ("RAN\n", Some(0)), "{err}");
}
