//! `health`, asked from inside the namespace as a container's runtime does, and `install`.

use std::process::{Command, Output};
use std::time::Duration;

use crate::spawn::kill;
use crate::stage::{Running, Stage};
use crate::support::start::{Place, binary, is_root, texts};
use crate::table::{Home, Init, Judged, holds, same};

/// As `docker exec` does it: another process of the same namespaces.
fn health(running: &Running, more: &[&str]) -> Output {
    let mut command = Command::new("nsenter");
    command.args(["--target", &running.init.to_string(), "--pid", "--mount", "--"]).arg(binary()).arg("health");
    command.args(more).output().expect("nsenter")
}

fn in_both(case: fn(&Stage) -> Judged) {
    if !is_root() {
        return crate::support::skip("a pid namespace needs root");
    }
    for home in [Home::Pid1, Home::Subreaper] {
        let stage = Stage::new(Init::Portcullis, home, Duration::from_secs(30));
        case(&stage).unwrap_or_else(|wrong| panic!("{home:?}: {wrong}"));
    }
}

fn supervised(stage: &Stage, words: &[&str]) -> Result<Running, String> {
    let running = stage.start(words)?;
    running.says("ready")?;
    running.until("init has settled", |running| running.status("Name:") == "portcullis:run")?;
    Ok(running)
}

#[test]
fn an_init_that_supervises_is_healthy_and_its_workload_hears_nothing_of_it() {
    in_both(|stage| {
        let mut running = supervised(stage, &["catch:all", "say:ready", "hear", "exit:3"])?;
        let own = if stage.home == Home::Pid1 { 1 } else { 2 };
        for _ in 0..10 {
            let (out, err, code) = texts(&health(&running, &[]));
            same!((out.as_str(), code), (format!("healthy: pid {own} supervises\n").as_str(), Some(0)));
            same!(err, "");
        }
        running.signal(libc::SIGUSR1)?;
        running.says("heard 10")?;
        running.ends_with(3).map(drop)
    });
}

#[test]
fn an_init_that_does_not_run_is_unhealthy_until_it_does() {
    in_both(|stage| {
        let running = supervised(stage, &["say:ready", "wait"])?;
        kill(running.init, libc::SIGSTOP);
        running.until("it is stopped", |running| crate::stage::state(running.init) == Some('T'))?;
        let (out, _, code) = texts(&health(&running, &[]));
        holds!(code == Some(1) && out.ends_with("is stopped\n"), "{code:?} {out}");
        kill(running.init, libc::SIGCONT);
        running.until("it goes on", |running| crate::stage::state(running.init) != Some('T'))?;
        same!(health(&running, &[]).status.code(), Some(0));
        Ok(())
    });
}

#[test]
fn a_workload_that_takes_inits_name_is_not_asked() {
    in_both(|stage| {
        let running = supervised(stage, &["name:portcullis:run", "say:ready", "wait"])?;
        let own = if stage.home == Home::Pid1 { 1 } else { 2 };
        same!(texts(&health(&running, &[])).0, format!("healthy: pid {own} supervises\n"));
        Ok(())
    });
}

#[test]
fn where_nothing_supervises_nothing_is_healthy() {
    if !is_root() {
        return crate::support::skip("a pid namespace needs root");
    }
    let stage = Stage::new(Init::Tini, Home::Pid1, Duration::from_secs(30));
    let running = stage.start(&["say:ready", "wait"]).expect("a start");
    running.says("ready").expect("a line");
    let (out, _, code) = texts(&health(&running, &[]));
    assert_eq!((out.as_str(), code), ("unhealthy: no portcullis supervises here\n", Some(1)));
    let (out, _, code) = texts(&health(&running, &["--pid", "1"]));
    assert_eq!((out.as_str(), code), ("unhealthy: pid 1 is no portcullis\n", Some(1)));
}

#[test]
fn install_makes_a_whole_copy_in_one_step() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let own = std::fs::read(binary()).expect("the binary");
    // A file, a directory, and again over what is there: a link is replaced, not followed.
    std::os::unix::fs::symlink("/dev/full", place.path("link")).expect("a link");
    for (path, made) in
        [("app/copy", "app/copy"), ("app", "app/portcullis"), ("app", "app/portcullis"), ("link", "link")]
    {
        let target = place.path(path);
        let (_, err, code) = texts(&place.run(&["install", target.to_str().expect("a path")]));
        assert_eq!((err.as_str(), code), ("", Some(0)));
        let made = place.path(made);
        assert!(std::fs::read(&made).expect("the copy") == own);
        assert_eq!(std::fs::symlink_metadata(&made).expect("the copy").permissions().mode() & 0o7777, 0o111);
        assert!(Command::new(&made).arg("--version").status().expect("the copy").success());
    }
    let mut left: Vec<String> = std::fs::read_dir(place.path("app"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    left.sort();
    assert_eq!(left, ["copy", "portcullis"]);
}

#[test]
fn install_where_nothing_can_be_written_is_refused() {
    let place = Place::new();
    for path in ["/proc/portcullis", "/nowhere/portcullis"] {
        let (out, err, code) = texts(&place.run(&["install", path]));
        assert_eq!((out.as_str(), code), ("", Some(78)), "{err}");
        assert!(err.starts_with(&format!("portcullis: refused: `{path}` cannot be written: ")), "{err}");
    }
}

/// The shell that people have takes the script that is printed for it.
#[test]
fn bash_takes_its_completions() {
    let place = Place::new();
    let (script, _, code) = texts(&place.run(&["completions", "bash"]));
    assert_eq!(code, Some(0));
    let file = place.write("completions", script, 0o644);
    let asked = format!(
        "source {}; COMP_WORDS=(portcullis he); COMP_CWORD=1; _portcullis portcullis he portcullis; echo ${{COMPREPLY[@]}}",
        file.display()
    );
    let output = Command::new("bash").args(["--norc", "-c", &asked]).output().expect("bash");
    assert!(texts(&output).0.split_whitespace().any(|word| word == "health"), "{output:?}");
}

/// An image's binary of mode 0111, and an init container of a plain user.
#[test]
fn install_of_what_cannot_be_read_is_refused_in_words_of_its_own() {
    use std::os::unix::process::CommandExt;
    if !is_root() {
        return crate::support::skip("only root can become another user");
    }
    let place = Place::new();
    let unreadable = place.write("unreadable", std::fs::read(binary()).expect("the binary"), 0o111);
    let output = Command::new(unreadable).args(["install", "/tmp"]).uid(65532).gid(65532).env_clear().output();
    let (out, err, code) = texts(&output.expect("portcullis"));
    assert_eq!((out.as_str(), code), ("", Some(78)));
    assert!(err.starts_with("portcullis: refused: this binary cannot be read, so it cannot be copied: "), "{err}");
}
