//! The machine that `with-machine` booted: commands in it, and a bot as a value that is removed when it is dropped.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn leader() -> String {
    std::env::var("MACHINE_LEADER").expect("run by tests/systemd/with-machine, which boots the machine")
}

/// A path of the machine, its mounts included, as seen from here.
pub fn at(path: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/root{path}", leader()))
}

/// Runs a program of the machine, with a bound on its time, an environment of its own and this input.
pub fn feed(args: &[&str], input: &[u8]) -> Output {
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let enter = ["-t", &leader(), "--all", "--wdns=/root", "env", "-i", path, "LC_ALL=C.UTF-8", "SYSTEMD_COLORS=0"];
    let mut child = Command::new("nsenter")
        .args(enter)
        .args(["timeout", "120"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nsenter(1) runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // A program that does not read its input to the end is no failure of its own.
    let feeder = std::thread::spawn(move || stdin.write_all(&input).ok());
    let output = child.wait_with_output().expect("output");
    feeder.join().expect("the feeder ends");
    output
}

pub fn run(args: &[&str]) -> Output {
    feed(args, b"")
}

/// Both streams, as a person would have seen them.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// It must succeed; its standard output without the last newline.
#[track_caller]
pub fn said(args: &[&str]) -> String {
    said_to(args, b"")
}

#[track_caller]
pub fn said_to(args: &[&str], input: &[u8]) -> String {
    let output = feed(args, input);
    assert!(output.status.success(), "{args:?}: {}", text(&output));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Asks again until the answer is `Some`, or fails with what was waited for.
#[track_caller]
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn write(path: &str, text: impl AsRef<[u8]>) {
    let path = at(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// The binary under test: the release build where the runner names it, else the one that cargo built for this test.
pub fn binary() -> PathBuf {
    std::env::var_os("PORTCULLIS_BIN").map_or_else(|| env!("CARGO_BIN_EXE_portcullis").into(), PathBuf::from)
}

/// The binary and the units, once a machine, in the way that the suite proves.
pub fn installed() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(crate::install);
}

fn random_hex(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut buffer)).expect("random bytes");
    buffer.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A line of the journal.
#[derive(Debug, Clone)]
pub struct Line {
    pub text: String,
    pub priority: u8,
}

/// An instance of the template with a config, a sealed file, and its identity as a credential.
pub struct Bot {
    pub name: &'static str,
    /// What it is to get: the value of `api_key`.
    pub value: String,
    /// The age identity, as text.
    pub identity: String,
}

impl Bot {
    /// `name` is the test's own: the journal keeps what an earlier one of that name said.
    pub fn new(name: &'static str, words: &[&str]) -> Bot {
        Bot::with(name, words, "", "")
    }

    /// `workload` are more lines of that table, `more` whole tables.
    pub fn with(name: &'static str, words: &[&str], workload: &str, more: &str) -> Bot {
        installed();
        let keygen = Command::new("age-keygen").output().expect("age-keygen");
        let identity = String::from_utf8(keygen.stdout).expect("text");
        let bot = Bot { name, value: random_hex(16), identity };
        write(&format!("/opt/{name}/bot.py"), fs::read(checkout().join("tests/systemd/bot.py")).expect("the bot"));
        bot.seal();
        bot.encrypt("identity", &bot.identity);
        let command: Vec<String> =
            [&["/usr/bin/python3", "bot.py"], words].concat().iter().map(|w| format!("{w:?}")).collect();
        bot.configure(&format!(
            "[workload]\ncommand = [{}]\nworkdir = \"/opt/{name}\"\nstop_timeout = \"3s\"\n{workload}\n[secrets]\napi_key = \"age:{name}.env.age#API_KEY\"\n[age]\nidentity = \"$CREDENTIALS_DIRECTORY/identity\"\n[confine]\nread = [\"/opt/{name}\"]\n{more}",
            command.join(", "),
        ));
        bot
    }

    fn seal(&self) {
        let recipient = self.identity.lines().find_map(|l| l.strip_prefix("# public key: ")).expect("a recipient");
        let script = format!(
            "age --encrypt --recipient {recipient} --output {}",
            at(&format!("/etc/portcullis/{}.env.age", self.name)).display()
        );
        let mut child = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().expect("age");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(format!("API_KEY={}\n", self.value).as_bytes()).expect("written");
        drop(stdin);
        assert!(child.wait().expect("age").success());
    }

    /// A credential of this name and content, sealed by the machine's own key.
    pub fn encrypt(&self, name: &str, content: &str) {
        let (name, file) = (format!("--name={name}"), format!("/etc/portcullis/{}.cred", self.name));
        said_to(&["systemd-creds", "encrypt", "--with-key=host", &name, "-", &file], content.as_bytes());
    }

    pub fn configure(&self, config: &str) {
        write(&format!("/etc/portcullis/{}.toml", self.name), config);
    }

    pub fn unit(&self) -> String {
        format!("portcullis@{}.service", self.name)
    }

    /// What `systemctl edit` would make, for this boot.
    pub fn drop_in(&self, text: &str) {
        write(&format!("/run/systemd/system/{}.d/test.conf", self.unit()), text);
        said(&["systemctl", "daemon-reload"]);
    }

    pub fn systemctl(&self, verb: &[&str]) -> Output {
        run(&[&["systemctl"], verb, &[&self.unit()]].concat())
    }

    /// Starts it, which must succeed.
    #[track_caller]
    pub fn start(&self) {
        let output = self.systemctl(&["start"]);
        assert!(output.status.success(), "{}{}", text(&output), self.log());
    }

    /// Starts it, which must fail.
    #[track_caller]
    pub fn fails_to_start(&self) {
        assert!(!self.systemctl(&["start"]).status.success(), "it started: {}", self.log());
    }

    /// Stops it; how long that took.
    #[track_caller]
    pub fn stop(&self) -> Duration {
        let begun = Instant::now();
        let output = self.systemctl(&["stop"]);
        assert!(output.status.success(), "{}", text(&output));
        begun.elapsed()
    }

    /// A property as systemd has it.
    #[track_caller]
    pub fn show(&self, property: &str) -> String {
        said(&["systemctl", "show", "--value", "--property", property, &self.unit()])
    }

    pub fn journal(&self) -> Vec<Line> {
        let lines = said(&["journalctl", "--no-pager", "--output=json", "--unit", &self.unit()]);
        let parsed = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let of = |value: Value| {
            let text = value["MESSAGE"].as_str().expect("a text").to_owned();
            Line { text, priority: value["PRIORITY"].as_str().and_then(|p| p.parse().ok()).expect("a priority") }
        };
        parsed.map(of).collect()
    }

    /// The journal as a person reads it.
    pub fn log(&self) -> String {
        self.journal().into_iter().map(|line| format!("<{}>{}\n", line.priority, line.text)).collect()
    }

    /// Waits for a line that starts so.
    #[track_caller]
    pub fn line(&self, start: &str) -> Line {
        wait_for(&format!("`{start}` of {}", self.name), || {
            self.journal().into_iter().find(|line| line.text.starts_with(start))
        })
    }

    /// Waits until systemd has found that it ended well. (Its properties may be gone by then, with the unit.)
    #[track_caller]
    pub fn ended_well(&self) {
        self.line(&format!("{}: Deactivated successfully", self.unit()));
        assert!(self.journal().iter().all(|line| !line.text.contains("Failed with result")), "{}", self.log());
    }

    pub fn count(&self, text: &str) -> usize {
        self.journal().iter().filter(|line| line.text == text).count()
    }

    /// The pids of its control group, as the machine counts them.
    pub fn pids(&self) -> Vec<String> {
        let group = self.show("ControlGroup");
        let trees = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup"];
        let found = trees.iter().find_map(|tree| {
            let output = run(&["cat", &format!("{tree}{group}/cgroup.procs")]);
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        });
        found.unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        self.systemctl(&["kill", "--signal=KILL"]);
        self.systemctl(&["stop"]);
        self.systemctl(&["reset-failed"]);
        run(&["rm", "-rf", &format!("/run/systemd/system/{}.d", self.unit()), &format!("/opt/{}", self.name)]);
        for end in ["toml", "cred", "env.age", "key"] {
            fs::remove_file(at(&format!("/etc/portcullis/{}.{end}", self.name))).ok();
        }
    }
}
