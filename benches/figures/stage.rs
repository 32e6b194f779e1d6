//! Where the starts happen: a directory that plain users can reach, the programs in it, and the clock.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

pub const PLAIN: u32 = 65532;
/// What a workload writes to its standard output at its first instruction, before eight bytes of CLOCK_MONOTONIC in ns.
const MAGIC: &[u8] = b"STAMPED:";

/// How a command becomes a process.
pub type Spawn = fn(&mut Command) -> std::io::Result<Child>;

pub struct Stage {
    pub runs: usize,
    dir: TempDir,
}

impl Stage {
    pub fn new(runs: usize) -> Stage {
        // The root of a build tree may be closed to plain users; /tmp is not.
        let stage = Stage { runs, dir: TempDir::with_prefix("figures.").expect("a directory") };
        fs::set_permissions(stage.dir.path(), fs::Permissions::from_mode(0o755)).expect("mode set");
        // Another build can be measured instead: an older one, for a comparison.
        let binary = std::env::var_os("PORTCULLIS_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_portcullis").into());
        fs::copy(binary, stage.path("portcullis")).expect("the binary is copied");
        // Pages of a file that is not written back yet would count as dirty memory of whoever maps them.
        fs::File::open(stage.path("portcullis")).and_then(|file| file.sync_all()).expect("written back");
        // As the README installs it: users may execute and not read it. The other one has to copy itself for its fetcher.
        fs::copy(stage.path("portcullis"), stage.path("readable")).expect("the binary is copied");
        fs::set_permissions(stage.path("portcullis"), fs::Permissions::from_mode(0o111)).expect("mode set");
        fs::set_permissions(stage.path("readable"), fs::Permissions::from_mode(0o555)).expect("mode set");
        stage.compile("workload", "workload.c", &["-static", "-nostdlib", "-fno-stack-protector"]);
        stage.compile("ignores", "workload.c", &["-static", "-nostdlib", "-fno-stack-protector", "-DIGNORE"]);
        stage.compile("dynamic", "workload.c", &["-DWITH_LIBC"]);
        stage.compile("cage", "cage.c", &["-static"]);
        stage.compile("peak", "peak.c", &["-static"]);
        stage
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    fn compile(&self, name: &str, source: &str, flags: &[&str]) {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/figures").join(source);
        let made = Command::new("cc").arg("-O1").args(flags).arg("-o").arg(self.path(name)).arg(source).status();
        assert!(made.expect("a C compiler").success(), "{name} compiles");
    }

    /// A file for everybody to read.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("written");
        path
    }

    /// A file that one user alone may read.
    pub fn private(&self, name: &str, owner: u32, content: &str) -> PathBuf {
        let path = self.write(name, content);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("mode set");
        chown(&path, Some(owner), Some(owner)).expect("owner set");
        path
    }

    /// A config for `command`, with what a section adds to it.
    pub fn config(&self, name: &str, command: &[&OsStr], workload: &str, more: &str) -> PathBuf {
        let command: Vec<String> = command.iter().map(|c| format!("{:?}", c.to_string_lossy())).collect();
        let command = command.join(", ");
        self.write(name, &format!("[workload]\ncommand = [{command}]\nuser = \"65532:65532\"\n{workload}\n{more}"))
    }

    pub fn portcullis(&self, config: &Path) -> Command {
        self.run("portcullis", config)
    }

    /// The same from a file that its user may read.
    pub fn readable(&self, config: &Path) -> Command {
        self.run("readable", config)
    }

    fn run(&self, binary: &str, config: &Path) -> Command {
        let mut command = Command::new(self.path(binary));
        command.arg("run").arg("-c").arg(config);
        command
    }

    /// From just before the fork to the first instruction of the workload.
    pub fn start(&self, command: &mut Command, user: u32) -> Duration {
        self.start_by(command, user, Command::spawn)
    }

    /// The same, spawned in another way than the ordinary one.
    pub fn start_by(&self, command: &mut Command, user: u32, spawn: Spawn) -> Duration {
        let (mut child, took) = self.start_and_keep_by(command, user, spawn);
        // The workload reads its standard input to the end.
        drop(child.stdin.take());
        let status = child.wait().expect("waited for");
        assert!(status.success(), "{command:?}: {status}: {}", self.log());
        took
    }

    /// The same, and the child still runs: it ends when its standard input is closed.
    pub fn start_and_keep(&self, command: &mut Command, user: u32) -> (Child, Duration) {
        self.start_and_keep_by(command, user, Command::spawn)
    }

    pub fn start_and_keep_by(&self, command: &mut Command, user: u32, spawn: Spawn) -> (Child, Duration) {
        let log = fs::File::create(self.path("log")).expect("a log");
        // A common environment for all, without what a session has in its own.
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        // Also for root, so that every start takes the same way through fork and exec.
        command.uid(user).gid(user);
        let before = now();
        let mut child = spawn(command).unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut stdout = child.stdout.take().expect("a pipe");
        let watchdog = watchdog(child.id());
        let stamp = read_stamp(&mut stdout);
        watchdog.send(()).ok();
        let stamp = stamp.unwrap_or_else(|| panic!("{command:?} never started its workload: {}", self.log()));
        // Whatever else it prints has somewhere to go.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        (child, Duration::from_nanos(stamp - before))
    }

    /// What the last start said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// What the figures were taken on.
    pub fn machine(&self) -> String {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let load = read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned();
        let cpus = std::thread::available_parallelism().map_or(0, usize::from);
        format!("{cpus} cpus, load {load}, Linux {}", read("/proc/sys/kernel/osrelease"))
    }
}

/// Who runs this.
pub fn user() -> u32 {
    fs::metadata("/proc/self").map_or(u32::MAX, |proc| proc.uid())
}

pub fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec, which is ours and lives here.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Reads up to the stamp; whatever a peer prints before it does not matter. `None` at the end of the output.
fn read_stamp(stdout: &mut impl std::io::Read) -> Option<u64> {
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let stamp = seen.windows(MAGIC.len() + 8).find_map(|window| window.strip_prefix(MAGIC));
        if let Some(stamp) = stamp {
            return Some(u64::from_le_bytes(stamp.try_into().expect("eight bytes")));
        }
        match stdout.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(n) => seen.extend_from_slice(&buffer[..n]),
        }
    }
}

/// Kills a start that takes longer than any may; a message to it calls it off.
fn watchdog(pid: u32) -> mpsc::Sender<()> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        if receive.recv_timeout(Duration::from_secs(30)) == Err(mpsc::RecvTimeoutError::Timeout) {
            Command::new("kill").args(["-KILL", &pid.to_string()]).status().ok();
        }
    });
    send
}
