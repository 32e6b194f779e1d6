//! The Docker command line, and a container as a value that is removed when it is dropped.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// As a plain user: the container gives nothing, portcullis needs nothing.
pub const PLAIN: &[&str] =
    &["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=65532:65532", "--network=none"];

/// As root with the four capabilities that the way down to the bot's user takes.
pub const ROOT: &[&str] = &[
    "--read-only",
    "--cap-drop=ALL",
    "--cap-add=SETUID",
    "--cap-add=SETGID",
    "--cap-add=SETPCAP",
    "--cap-add=KILL",
    "--security-opt=no-new-privileges",
    "--user=0:0",
    "--network=none",
];

/// Runs a program of the host, with a bound on its time, and gives what it printed.
pub fn run(program: &str, args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new("timeout")
        .args(["120", program])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("timeout(1) runs");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let input = input.to_vec();
    // A program that does not read its input to the end is no failure of its own.
    let feeder = std::thread::spawn(move || stdin.write_all(&input).ok());
    let output = child.wait_with_output().expect("output is read");
    feeder.join().expect("the feeder ends");
    output
}

/// Runs `docker ARGS`, which must succeed, and gives its standard output without the last newline.
pub fn docker(args: &[&str]) -> String {
    assert!(std::env::var_os("DOCKER_HOST").is_some(), "run by tests/docker/with-engine, which starts the engine");
    let output = run("docker", args, b"");
    assert!(output.status.success(), "docker {args:?}: {}", text(&output));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Both streams, as a person would have seen them.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Asks again until the answer is `Some`, or fails with what was waited for.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

pub struct Container(pub String);

impl Container {
    /// Starts a container of `image` and returns at once.
    pub fn start(image: &str, flags: &[&str]) -> Container {
        Container(docker(&[&["run", "--detach"], flags, &[image]].concat()))
    }

    /// What the container has printed, both streams.
    pub fn logs(&self) -> String {
        text(&run("docker", &["logs", &self.0], b""))
    }

    /// Waits for a line of the log that starts so, and gives what follows. A container that ends before is a failure.
    pub fn line(&self, start: &str) -> String {
        wait_for(&format!("`{start}`"), || {
            let running = self.inspect("{{.State.Running}}") == "true";
            let logs = self.logs();
            let found = logs.lines().find_map(|line| line.strip_prefix(start).map(str::to_owned));
            assert!(found.is_some() || running, "ended before `{start}`: {logs}");
            found
        })
    }

    /// `docker inspect --format`.
    pub fn inspect(&self, format: &str) -> String {
        docker(&["inspect", "--format", format, &self.0])
    }

    /// `docker stop` with Docker's usual 10 seconds; how long it took.
    pub fn stop(&self) -> Duration {
        let start = Instant::now();
        docker(&["stop", "--time=10", &self.0]);
        start.elapsed()
    }

    /// Waits for the end and gives the exit code.
    pub fn code(&self) -> i32 {
        docker(&["wait", &self.0]).parse().expect("an exit code")
    }

    /// The pid of its first process, as the host counts.
    pub fn pid(&self) -> u32 {
        self.inspect("{{.State.Pid}}").parse().expect("a pid")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        run("docker", &["rm", "--force", "--volumes", &self.0], b"");
    }
}
