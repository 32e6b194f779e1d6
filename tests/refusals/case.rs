//! One case: reading it, running it, and looking at what it left.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::support::start::{UID, binary};
use super::{outer, stores};

/// The fetcher's uid unless a config says otherwise.
const FETCHER: u32 = 65530;

/// Who starts portcullis in a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Root,
    Plain,
}

#[derive(Default)]
pub struct Case {
    path: PathBuf,
    who: Vec<Who>,
    outer: Option<String>,
    setup: String,
    config: Option<String>,
    run: String,
    exit: i32,
    says: String,
}

/// Longer than any case's deadline, shorter than a person's patience.
const HANGS: Duration = Duration::from_secs(60);

/// A refusal is no matter of waiting: the deadline of a case without one of its own is 30 seconds.
const AT_ONCE: Duration = Duration::from_secs(15);

impl Case {
    pub fn read(path: &Path) -> Result<Case, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let text = stores::fill(&text)?;
        let mut case = Case { path: path.to_owned(), ..Case::default() };
        for section in text.split("\n--- ").skip(1) {
            let (head, body) = section.split_once('\n').unwrap_or((section, ""));
            let (name, argument) = head.split_once(' ').unwrap_or((head, ""));
            match name {
                "as" => case.who = who(argument)?,
                "outer" => case.outer = Some(argument.to_owned()),
                "setup" => case.setup = body.to_owned(),
                "config" => case.config = Some(body.to_owned()),
                "run" => case.run = argument.to_owned(),
                "exit" => case.exit = argument.parse().map_err(|_| format!("exit `{argument}`"))?,
                "says" => case.says = stores::redact(body.trim_end()),
                other => return Err(format!("unknown section `{other}`")),
            }
        }
        if case.who.is_empty() { Err("no section `as`".to_owned()) } else { Ok(case) }
    }

    /// Runs it as each of its users and compares everything; the error says what differs.
    pub fn hold(&self) -> Result<(), String> {
        self.who.iter().try_for_each(|who| self.hold_as(*who).map_err(|why| format!("as {who:?}: {why}")))
    }

    fn hold_as(&self, who: Who) -> Result<(), String> {
        let dir = tempfile::Builder::new().prefix("portcullis-case-").tempdir_in("/tmp").map_err(|e| e.to_string())?;
        self.prepare(dir.path(), who)?;
        let (before, begun) = (files(dir.path()), Instant::now());
        let (output, session) = self.start(dir.path(), who)?;
        let mut wrong = Vec::new();
        if begun.elapsed() > AT_ONCE {
            wrong.push(format!("it took {:?}", begun.elapsed()));
        }
        let said = redact(&output.stderr, dir.path());
        let code = output.status.code().unwrap_or(-1);
        wrong.extend(misshapen(&said));
        if std::env::var_os("PORTCULLIS_BLESS").is_some() && Some(&who) == self.who.first() {
            self.bless(code, &said)?;
        } else if code != self.exit || said != self.says {
            wrong.push(format!("exit {code}, expected {}\nsaid:\n{said}\nexpected:\n{}", self.exit, self.says));
        }
        if !output.stdout.is_empty() {
            wrong.push(format!("standard output: {}", String::from_utf8_lossy(&output.stdout)));
        }
        let left = left_of(session, dir.path());
        if !left.is_empty() {
            wrong.push(format!("left running: {left:?}"));
        }
        let new: Vec<PathBuf> = files(dir.path()).difference(&before).cloned().collect();
        if !new.is_empty() {
            wrong.push(format!("new files: {new:?}"));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    fn prepare(&self, dir: &Path, who: Who) -> Result<(), String> {
        let shell = |script: &str| {
            let output = Command::new("sh")
                .args(["-euc", script])
                .current_dir(dir)
                .env(
                    "PATH",
                    format!(
                        "{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
                        binary().parent().expect("a folder").display()
                    ),
                )
                .output()
                .map_err(|error| error.to_string())?;
            if output.status.success() {
                Ok(())
            } else {
                Err(format!("setup: {}", String::from_utf8_lossy(&output.stderr)))
            }
        };
        shell("chmod 755 . && mkdir app && echo 'print(\"RAN\")' > app/bot.py")?;
        if let Some(config) = &self.config {
            let config = config.replace("[DIR]", &dir.display().to_string());
            std::fs::write(dir.join("portcullis.toml"), config).map_err(|error| error.to_string())?;
        }
        shell(&self.setup)?;
        if who == Who::Plain { shell(&format!("chown -hR {UID}:{UID} .")) } else { Ok(()) }
    }

    /// In a session of its own, by which everything that descends from it is found again.
    fn start(&self, dir: &Path, who: Who) -> Result<(Output, i32), String> {
        let words = self.run.replace("[DIR]", &dir.display().to_string());
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec {words}")]).current_dir(dir).env_clear();
        command.env("PATH", format!("{}:/usr/bin:/bin:/usr/sbin", binary().parent().expect("a folder").display()));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if who == Who::Plain {
            command.uid(UID).gid(UID);
        }
        let outer = self.outer.as_deref().map(outer::compile).transpose()?;
        // SAFETY: setsid and seccomp are async-signal-safe system calls on memory that was made before the fork.
        unsafe {
            command.pre_exec(move || {
                nix::unistd::setsid()?;
                outer.as_ref().map_or(Ok(()), outer::Outer::install)
            });
        }
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let session = child.id() as i32;
        let begun = Instant::now();
        while child.try_wait().map_err(|error| error.to_string())?.is_none() {
            if begun.elapsed() > HANGS {
                for pid in descendants(session, dir) {
                    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL).ok();
                }
                return Err(format!("still running after {HANGS:?}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok((child.wait_with_output().map_err(|error| error.to_string())?, session))
    }

    fn bless(&self, code: i32, said: &str) -> Result<(), String> {
        let text = std::fs::read_to_string(&self.path).map_err(|error| error.to_string())?;
        let kept = text.split("\n--- exit").next().unwrap_or(&text);
        std::fs::write(&self.path, format!("{kept}\n--- exit {code}\n--- says\n{said}\n"))
            .map_err(|error| error.to_string())
    }
}

fn redact(stderr: &[u8], dir: &Path) -> String {
    stores::redact(&String::from_utf8_lossy(stderr).replace(&dir.display().to_string(), "[DIR]")).trim_end().to_owned()
}

/// What is wrong with the form of a refusal, whatever it says: two lines, each with its prefix, no full stop, no jargon.
fn misshapen(said: &str) -> Option<String> {
    let lines: Vec<&str> = said.lines().collect();
    let [what, hint] = lines.as_slice() else { return Some(format!("not two lines: {said}")) };
    let (Some(what), Some(hint)) =
        (what.strip_prefix("portcullis: refused: "), hint.strip_prefix("portcullis: hint: "))
    else {
        return Some(format!("not a refusal and a hint: {said}"));
    };
    let jargon = ["(os error", "caps error", "EPERM", "ENOSYS", "EACCES", "Err(", "Some("];
    [what, hint]
        .iter()
        .find(|line| line.is_empty() || line.ends_with('.') || jargon.iter().any(|word| line.contains(word)))
        .map(|line| format!("not in an operator's words: {line}"))
}

fn who(argument: &str) -> Result<Vec<Who>, String> {
    match argument {
        "root" => Ok(vec![Who::Root]),
        "plain" => Ok(vec![Who::Plain]),
        "both" => Ok(vec![Who::Root, Who::Plain]),
        other => Err(format!("as `{other}`")),
    }
}

/// Files below the case's directory and in shared memory; in /tmp those that no test made, for others work there too.
fn files(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found: BTreeSet<PathBuf> = entries(Path::new("/tmp")).filter(|path| is_a_roles(path)).collect();
    let mut folders = vec![dir.to_owned(), PathBuf::from("/dev/shm")];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            if path.symlink_metadata().is_ok_and(|about| about.is_dir()) {
                folders.push(path.clone());
            }
            if !folder.starts_with("/dev/shm") || is_of_ours(&path) {
                found.insert(path);
            }
        }
    }
    found
}

/// Shared memory is everybody's: other programs of this machine come and go there.
fn is_of_ours(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|about| [0, UID, FETCHER].contains(&about.uid()))
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Whether a file in /tmp is of the workload's or the fetcher's user, or says that it is portcullis's and no test's.
fn is_a_roles(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if ["portcullis-case-", "portcullis-bin-", "portcullis-test-"].iter().any(|ours| name.starts_with(ours)) {
        return false;
    }
    name.contains("portcullis") || path.symlink_metadata().is_ok_and(|about| [UID, FETCHER].contains(&about.uid()))
}

/// What a case left behind; what is dying gets the time to.
fn left_of(session: i32, dir: &Path) -> Vec<i32> {
    let begun = Instant::now();
    loop {
        let left = descendants(session, dir);
        if left.is_empty() || begun.elapsed() > Duration::from_secs(3) {
            return left;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Processes of a session that have not ended, and those in the case's directory: they may have made a session of their
/// own.
fn descendants(session: i32, dir: &Path) -> Vec<i32> {
    let pids = entries(Path::new("/proc")).filter_map(|path| path.file_name()?.to_str()?.parse::<i32>().ok());
    pids.filter(|pid| is_of_session(*pid, session) || is_in(*pid, dir)).collect()
}

fn is_of_session(pid: i32, session: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit_once(')').map_or(Vec::new(), |(_, rest)| rest.split_whitespace().collect());
    fields.first() != Some(&"Z") && fields.get(3).and_then(|field| field.parse().ok()) == Some(session)
}

fn is_in(pid: i32, dir: &Path) -> bool {
    std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|place| place.starts_with(dir))
}
