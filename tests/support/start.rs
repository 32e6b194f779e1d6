//! A place where portcullis can be started as any user: the checkout may lie where a plain user cannot go.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The uid and gid that workloads get in tests.
pub const UID: u32 = 65532;

/// A directory below /tmp that everybody may enter, removed at the end; with the binary in it.
pub struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Place {
        let dir = tempfile::Builder::new().prefix("portcullis-test-").tempdir_in("/tmp").expect("a directory");
        mode(dir.path(), 0o755);
        std::fs::create_dir(dir.path().join("app")).expect("a directory");
        mode(&dir.path().join("app"), 0o755);
        Place { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn app(&self) -> String {
        self.path("app").display().to_string()
    }

    /// Writes a file of this mode; secrets are 0600.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>, bits: u32) -> PathBuf {
        let path = self.path(name);
        if bits & 0o111 == 0 {
            std::fs::write(&path, text).expect("a file");
            mode(&path, bits);
            return path;
        }
        let source = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(source.path(), text).expect("a file");
        executable(source.path(), &path, bits);
        path
    }

    /// `portcullis ARGS` as whoever runs the tests, with an empty environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(args).env_clear().current_dir(self.dir.path());
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("portcullis")
    }
}

/// Copies a file to where it is executed from. Another process writes it: what a test has open for writing is open in every
/// child that another test forks meanwhile, until that executes its own program, and cannot be executed so long (ETXTBSY).
pub fn executable(from: &Path, to: &Path, bits: u32) {
    let made = Command::new("install").args(["-m", &format!("{bits:o}")]).args([from, to]).status();
    assert!(made.expect("install").success(), "{} is copied", from.display());
}

fn mode(path: &Path, bits: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(bits)).expect("a mode");
}

/// The binary under test, copied once to where everybody can execute it; copies of processes that are gone are removed.
pub fn binary() -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| {
        const PREFIX: &str = "portcullis-bin-";
        for old in std::fs::read_dir("/tmp").into_iter().flatten().flatten() {
            let name = old.file_name().to_string_lossy().into_owned();
            let gone = name.strip_prefix(PREFIX).is_some_and(|pid| !Path::new("/proc").join(pid).exists());
            if gone {
                std::fs::remove_dir_all(old.path()).ok();
            }
        }
        let dir = PathBuf::from("/tmp").join(format!("{PREFIX}{}", std::process::id()));
        std::fs::create_dir(&dir).expect("a directory");
        mode(&dir, 0o755);
        let path = dir.join("portcullis");
        executable(Path::new(env!("CARGO_BIN_EXE_portcullis")), &path, 0o755);
        path
    })
}

/// The `user` line that a config needs: only root can change users.
pub fn user_line() -> String {
    if is_root() { format!("user = \"{UID}:{UID}\"") } else { String::new() }
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Standard output and standard error as text, with the code.
pub fn texts(output: &Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}
