//! What the tests of sealed files share: the real `age`, our own program, a terminal, a folder.

#![allow(dead_code)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder with an identity of `age-keygen` in it.
pub struct Bench {
    folder: tempfile::TempDir,
    /// The public half of `key`.
    pub recipient: String,
}

impl Bench {
    pub fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let recipient = keygen(&folder.path().join("key"));
        Bench { folder, recipient }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// Our program in this folder, with `stdin` as standard input.
    pub fn portcullis(&self, args: &[&str], stdin: &[u8]) -> Output {
        feed(Command::new(env!("CARGO_BIN_EXE_portcullis")).args(args).current_dir(self.dir()), stdin)
    }

    /// It succeeds; what it printed.
    #[track_caller]
    pub fn ok(&self, args: &[&str], stdin: &[u8]) -> String {
        let output = self.portcullis(args, stdin);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// It is refused with this code; the two lines without their marks.
    #[track_caller]
    pub fn refused(&self, exit: i32, args: &[&str], stdin: &[u8]) -> (String, String) {
        let output = self.portcullis(args, stdin);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(exit), "{args:?}: {text}");
        assert!(output.stdout.is_empty());
        let lines: Vec<_> = text.lines().collect();
        let [what, hint] = lines[..] else { panic!("not two lines: {text}") };
        let after = |line: &str, mark: &str| line.strip_prefix(mark).unwrap_or_else(|| panic!("{line}")).to_owned();
        (after(what, "portcullis: refused: "), after(hint, "portcullis: hint: "))
    }

    /// `age` in this folder.
    pub fn age(&self, args: &[&str], stdin: &[u8]) -> Output {
        feed(Command::new("age").args(args).current_dir(self.dir()), stdin)
    }

    /// What `age -d` finds in a file; panics with its message if it finds nothing.
    #[track_caller]
    pub fn decrypted(&self, key: &str, file: &str) -> String {
        let output = self.age(&["-d", "-i", key, file], b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The names of what is in the folder.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Makes an identity file; its public key.
pub fn keygen(path: &Path) -> String {
    let output = Command::new("age-keygen").arg("-o").arg(path).output().expect("age-keygen of Debian's age");
    assert!(output.status.success());
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned()
}

pub fn feed(command: &mut Command, stdin: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut pipe = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // Beside the reading: both pipes may be full. A program that refuses early closes its end first.
        scope.spawn(move || pipe.write_all(stdin).ok());
        child.wait_with_output().unwrap()
    })
}

/// Runs a program on a terminal of its own. `steps` are pairs: wait for this text, then send that one; `\u{3}` is
/// Ctrl-C. What the terminal showed, how the program ended (as a shell counts), and whether echo was on after it.
pub fn on_a_terminal(dir: &Path, args: &[&str], steps: &[(&str, &str)]) -> (String, i32, bool) {
    let steps: Vec<String> = steps.iter().flat_map(|(wait, send)| [(*wait).to_owned(), (*send).to_owned()]).collect();
    let output = Command::new("python3")
        .args(["-c", TERMINAL, &steps.len().to_string()])
        .args(&steps)
        .args(args)
        .current_dir(dir)
        .output()
        .expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (shown, tail) = text.rsplit_once('\n').unwrap();
    let (code, echo) = tail.split_once(' ').unwrap();
    (shown.to_owned(), code.parse().unwrap(), echo == "True")
}

/// The child leads a session on a new pseudo-terminal; a second process holds the terminal open so that its state can
/// be read when the child is gone.
const TERMINAL: &str = r#"
import os, pty, select, sys, termios, time
n = int(sys.argv[1]); steps = sys.argv[2:2 + n]; command = sys.argv[2 + n:]
master, slave = pty.openpty()
pid = os.fork()
if pid == 0:
    os.setsid()
    import fcntl
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2): os.dup2(slave, fd)
    os.close(master); os.close(slave)
    os.execvp(command[0], command)
shown = b""
def more(seconds):
    global shown
    if select.select([master], [], [], seconds)[0]: shown += os.read(master, 65536)
start = time.time(); at = 0
for wait, send in zip(steps[::2], steps[1::2]):
    while wait.encode() not in shown[at:]:
        more(0.1)
        if time.time() - start > 60: sys.exit("waited in vain for %r in %r" % (wait, shown))
    at = shown.index(wait.encode(), at) + len(wait.encode())
    time.sleep(0.1)
    if send.startswith("signal "): os.kill(pid, int(send[7:]))
    else: os.write(master, send.encode())
status = None
while status is None:
    more(0.05)
    done, code = os.waitpid(pid, os.WNOHANG)
    if done: status = code
    if time.time() - start > 90: sys.exit("it never ended: %r" % shown)
more(0.1)
code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
echo = bool(termios.tcgetattr(slave)[3] & termios.ECHO)
sys.stdout.write(shown.decode().replace("\r\n", "\n") + "\n%d %s" % (code, echo))
"#;
