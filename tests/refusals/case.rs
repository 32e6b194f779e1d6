//! One case: reading it, running it, and looking at what it left.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::support::start::{UID, binary};
use super::{outer, stores};

#[derive(Default)]
pub struct Case {
    path: PathBuf,
    plain: bool,
    outer: Option<String>,
    setup: String,
    config: Option<String>,
    run: String,
    exit: i32,
    says: String,
}

/// Longer than any case's deadline, shorter than a person's patience.
const HANGS: Duration = Duration::from_secs(60);

impl Case {
    pub fn read(path: &Path) -> Result<Case, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let text = stores::fill(&text)?;
        let mut case = Case { path: path.to_owned(), ..Case::default() };
        for section in text.split("\n--- ").skip(1) {
            let (head, body) = section.split_once('\n').unwrap_or((section, ""));
            let (name, argument) = head.split_once(' ').unwrap_or((head, ""));
            match name {
                "as" => case.plain = argument == "plain",
                "outer" => case.outer = Some(argument.to_owned()),
                "setup" => case.setup = body.to_owned(),
                "config" => case.config = Some(body.to_owned()),
                "run" => case.run = argument.to_owned(),
                "exit" => case.exit = argument.parse().map_err(|_| format!("exit `{argument}`"))?,
                "says" => case.says = stores::redact(body.trim_end()),
                other => return Err(format!("unknown section `{other}`")),
            }
        }
        Ok(case)
    }

    /// Runs it and compares everything; the error says what differs.
    pub fn hold(&self) -> Result<(), String> {
        let dir = tempfile::Builder::new().prefix("portcullis-case-").tempdir_in("/tmp").map_err(|e| e.to_string())?;
        self.prepare(dir.path())?;
        let before = files(dir.path());
        let (output, session) = self.start(dir.path())?;
        let mut wrong = Vec::new();
        let said = redact(&output.stderr, dir.path());
        let code = output.status.code().unwrap_or(-1);
        if std::env::var_os("PORTCULLIS_BLESS").is_some() {
            self.bless(code, &said)?;
        } else if code != self.exit || said != self.says {
            wrong.push(format!("exit {code}, expected {}\nsaid:\n{said}\nexpected:\n{}", self.exit, self.says));
        }
        if !output.stdout.is_empty() {
            wrong.push(format!("standard output: {}", String::from_utf8_lossy(&output.stdout)));
        }
        let left = left_of(session);
        if !left.is_empty() {
            wrong.push(format!("left running: {left:?}"));
        }
        let new: Vec<PathBuf> = files(dir.path()).difference(&before).cloned().collect();
        if !new.is_empty() {
            wrong.push(format!("new files: {new:?}"));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    fn prepare(&self, dir: &Path) -> Result<(), String> {
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
        if self.plain { shell(&format!("chown -hR {UID}:{UID} .")) } else { Ok(()) }
    }

    /// In a session of its own, by which everything that descends from it is found again.
    fn start(&self, dir: &Path) -> Result<(Output, i32), String> {
        let words = self.run.replace("[DIR]", &dir.display().to_string());
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec {words}")]).current_dir(dir).env_clear();
        command.env("PATH", format!("{}:/usr/bin:/bin:/usr/sbin", binary().parent().expect("a folder").display()));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if self.plain {
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
                for pid in of_session(session) {
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

/// Files below the case's directory and in shared memory.
fn files(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![dir.to_owned(), PathBuf::from("/dev/shm")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
            found.insert(entry.path());
        }
    }
    found
}

/// What a session left behind; what is dying gets the time to.
fn left_of(session: i32) -> Vec<i32> {
    let begun = Instant::now();
    loop {
        let left = of_session(session);
        if left.is_empty() || begun.elapsed() > Duration::from_secs(3) {
            return left;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Processes of a session that have not ended.
fn of_session(session: i32) -> Vec<i32> {
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let belongs = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        (fields.first() != Some(&"Z") && fields.get(3)?.parse::<i32>() == Ok(session)).then_some(())
    };
    pids.filter(|pid| belongs(pid).is_some()).collect()
}
