//! A folder with a key, a sealed file and a config in it, and one start of portcullis from it, as root or as a plain user.
//!
//! The sealed file is made by Debian's `age` and the workloads run in the real runtimes: nothing here uses the crate.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

pub use crate::support::start::{UID, executable, is_root};
use crate::{sealing, support};

/// Who starts portcullis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Starter {
    Root,
    Plain,
}

pub const STARTERS: [Starter; 2] = [Starter::Root, Starter::Plain];

/// One folder for what is built once: our own binary and the compiled workloads, where any user may execute them.
pub fn shared() -> &'static Path {
    static SHARED: OnceLock<PathBuf> = OnceLock::new();
    SHARED.get_or_init(|| {
        remove_old();
        let dir = std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()));
        make_dir(&dir);
        let binary = dir.join("portcullis");
        executable(Path::new(env!("CARGO_BIN_EXE_portcullis")), &binary, 0o755);
        dir
    })
}

const PREFIX: &str = "portcullis-delivery-";

/// Statics are not dropped: each run removes what runs that are over have left.
fn remove_old() {
    for entry in fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.strip_prefix(PREFIX).is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

fn make_dir(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
}

pub struct Stage {
    folder: tempfile::TempDir,
    pub starter: Starter,
    recipient: String,
}

impl Stage {
    /// `None`, and a SKIP, where this test run is not root and the stage needs it.
    pub fn new(starter: Starter) -> Option<Stage> {
        if starter == Starter::Root && !is_root() {
            support::skip("a start as root needs root");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        make_dir(&folder.path().join("app"));
        let recipient = sealing::keygen(&folder.path().join("age.key"));
        let stage = Stage { folder, starter, recipient };
        stage.give("age.key", 0o400);
        Some(stage)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file that whoever starts portcullis owns.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        fs::write(self.path(name), content).unwrap();
        self.give(name, mode);
        self.path(name)
    }

    fn give(&self, name: &str, mode: u32) {
        let path = self.path(name);
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        if self.starter == Starter::Plain && is_root() {
            chown(&path, Some(UID), Some(UID)).unwrap();
        }
    }

    /// A sealed file of this plaintext, by `age`.
    pub fn seal(&self, name: &str, plaintext: &str, flags: &[&str]) {
        let mut age = Command::new("age");
        age.args(flags).args(["-r", &self.recipient]);
        let output = sealing::feed(&mut age, plaintext.as_bytes());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.write(name, output.stdout, 0o400);
    }

    /// The usual sealed file: these values in JSON.
    pub fn seal_values(&self, values: &[(&str, &str)]) {
        let object: serde_json::Map<_, _> = values.iter().map(|(n, v)| ((*n).to_owned(), (*v).into())).collect();
        self.seal("secrets.json.age", &serde_json::Value::Object(object).to_string(), &[]);
    }

    /// Writes the config: the command, the names in `secrets.json.age`, and what else it says.
    pub fn config(&self, command: &[&str], names: &[&str], more: &str) {
        let secrets: String = names.iter().map(|n| format!("{n} = \"age:secrets.json.age#{n}\"\n")).collect();
        self.config_with(command, &format!("[secrets]\n{secrets}\n{more}"));
    }

    /// Writes the config: the command, and what else it says.
    pub fn config_with(&self, command: &[&str], more: &str) {
        let user = if self.starter == Starter::Root { format!("user = \"{UID}:{UID}\"\n") } else { String::new() };
        let (app, shared) = (self.path("app"), shared());
        let text = format!(
            "[workload]\ncommand = {command:?}\nworkdir = {app:?}\n{user}[age]\nidentity = \"age.key\"\n\
             [confine]\nread = [{app:?}]\nexecute = [{shared:?}]\n{more}"
        );
        self.write("portcullis.toml", text, 0o444);
    }

    /// `portcullis ARGS -c portcullis.toml` by the starter, with nothing of this process's environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bare();
        command.arg(shared().join("portcullis")).args(args).arg("-c").arg(self.path("portcullis.toml"));
        command
    }

    /// The starter's ids, a limit of time, and then what the caller adds.
    pub fn bare(&self) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "60"]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        if self.starter == Starter::Plain && is_root() {
            let id = UID.to_string();
            command.args(["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups", "--"]);
        }
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    pub fn run(&self) -> Output {
        self.command(&["run"]).output().expect("timeout of coreutils")
    }

    /// The start succeeds and so does the workload; what it printed.
    #[track_caller]
    pub fn ok(&self) -> String {
        printed(&self.run())
    }

    /// The start is refused with this code; what was said. Nothing came from a workload.
    #[track_caller]
    pub fn refused(&self, exit: i32) -> String {
        let output = self.run();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(exit), &b""[..]), "{said}");
        said
    }
}

#[track_caller]
pub fn printed(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {said}\n{}", output.status, String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout.clone()).unwrap()
}
