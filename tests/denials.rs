//! What is said of denied calls: in words, once a kind, summed up; and that a storm of them delays and grows nothing.

#[path = "support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::start::{Place, texts, user_line};

/// The place with the program in it, and the arguments that run it in a cage.
fn program(place: &Place) -> String {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/denials/calls.c");
    let built = place.path("app/calls");
    let output =
        Command::new("cc").args(["-static", "-O1", "-pthread", "-o"]).arg(&built).arg(source).output().expect("cc");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    built.display().to_string()
}

fn config(place: &Place, what: &str, more: &str) -> String {
    let command = format!("[{:?}, {what:?}]", program(place));
    let text = format!("{more}\n[workload]\ncommand = {command}\nstop_timeout = \"1s\"\n{}\n", user_line());
    place.write("portcullis.toml", text, 0o644).display().to_string()
}

fn said(what: &str) -> (String, Option<i32>) {
    let place = Place::new();
    let config = config(&place, what, "");
    let (_, err, code) = texts(&place.run(&["run", "-c", &config]));
    (err, code)
}

#[test]
fn each_denial_names_call_argument_program_and_what_would_allow_it() {
    let (err, code) = said("each");
    assert_eq!(code, Some(0), "{err}");
    for (call, what) in [
        ("unshare(CLONE_NEWUSER | CLONE_NEWNET)", "nothing in the config allows it"),
        ("ptrace(PTRACE_TRACEME)", "nothing in the config allows it"),
        ("socket(AF_ALG)", "nothing in the config allows it"),
        ("socket(AF_INET, datagram)", "allowed by confine.dns = true"),
        ("prctl(PR_SET_DUMPABLE)", "nothing in the config allows it"),
        ("listen", "allowed by confine.bind = [PORT]"),
    ] {
        let start = format!("portcullis: denied: {call} by memfd:calls (pid ");
        let lines: Vec<&str> = err.lines().filter(|line| line.starts_with(&start)).collect();
        assert_eq!(lines.len(), 1, "{call}: {err}");
        assert!(lines[0].ends_with(what), "{}", lines[0]);
    }
    let sum = "denied: listen 1, prctl(PR_SET_DUMPABLE) 1, ptrace(PTRACE_TRACEME) 3, socket(AF_ALG) 1, \
               socket(AF_INET, datagram) 1, unshare(CLONE_NEWUSER | CLONE_NEWNET) 1";
    assert!(err.lines().any(|line| line == format!("portcullis: {sum}")), "{err}");
}

#[test]
fn a_thread_is_named_beside_its_program() {
    let (err, _) = said("thread");
    let line = err.lines().find(|line| line.contains("denied: ptrace(PTRACE_ATTACH) by ")).expect("a line");
    let (program, thread) = line.split_once(", thread ").expect("a thread");
    assert!(program.contains("calls (pid ") && thread.contains(" tracer)"), "{line}");
}

#[test]
fn a_death_by_the_filter_is_explained() {
    let (err, code) = said("foreign");
    assert_eq!(code, Some(128 + libc::SIGSYS), "{err}");
    let line = err.lines().find(|line| line.contains("was ended by SIGSYS")).expect("a line");
    assert!(line.contains("a system call of another architecture"), "{line}");
}

/// A storm, until this is dropped.
struct Storm {
    child: Child,
    lines: BufReader<ChildStdout>,
    _place: Place,
}

impl Storm {
    /// Standard error of portcullis is the given end.
    fn start(errors: Stdio) -> Storm {
        let place = Place::new();
        let config = config(&place, "storm", "");
        let mut child = place.command(&["run", "-c", &config]);
        let mut child = child.stdout(Stdio::piped()).stderr(errors).spawn().expect("portcullis");
        let mut lines = BufReader::new(child.stdout.take().expect("its output"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("a line");
        assert_eq!(line, "storm\n");
        Storm { child, lines, _place: place }
    }

    fn init(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// From a signal sent to init to the program's word that it heard it.
    fn delay(&mut self) -> Duration {
        let sent = Instant::now();
        kill(self.init(), Signal::SIGUSR1).expect("a signal");
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        assert_eq!(line, "heard\n");
        sent.elapsed()
    }

    fn median_delay(&mut self) -> Duration {
        let mut delays: Vec<Duration> = (0..31).map(|_| self.delay()).collect();
        delays.sort();
        delays[delays.len() / 2]
    }

    /// Anonymous memory of init, in kB: what it allocates.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.init())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    fn end(mut self) -> i32 {
        kill(self.init(), Signal::SIGTERM).expect("a signal");
        self.child.wait().expect("its end").code().unwrap_or(-1)
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        // A failed assertion leaves it running; the kill of init ends the rest with it.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The bound of the promise; the median, for what else runs on the machine delays single ones.
const BOUND: Duration = Duration::from_millis(50);

#[test]
fn a_storm_delays_no_signal_and_grows_nothing() {
    let (mut errors, writer) = std::io::pipe().expect("a pipe");
    let mut storm = Storm::start(writer.into());
    let read = std::thread::spawn(move || {
        let mut text = String::new();
        errors.read_to_string(&mut text).map(|_| text)
    });
    let first = storm.median_delay();
    let before = storm.memory();
    let until = Instant::now() + Duration::from_secs(2);
    let mut longest = first;
    while Instant::now() < until {
        longest = longest.max(storm.median_delay());
    }
    let after = storm.memory();
    storm.end();
    let text = read.join().expect("a thread").expect("text");
    let sum = text.lines().rfind(|line| line.starts_with("portcullis: denied: ") && !line.contains(" by "));
    let sum = sum.expect("the summary");
    let count: u64 = sum.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok()).sum();
    println!("median delay {longest:?} at worst, {count} denials, memory {before} kB to {after} kB");
    assert!(longest < BOUND, "{longest:?}");
    assert!(after <= before + 64, "memory grew from {before} kB to {after} kB");
    assert!(count >= 20_000, "{count} denials are no storm");
    assert!(text.lines().count() < 100, "{} lines", text.lines().count());
}

#[test]
fn a_storm_behind_a_reader_that_stalls_delays_no_signal() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    // Full from the start on, and nobody reads it: what the start says finds no room either.
    let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
    nix::fcntl::fcntl(writer.as_fd(), flags).expect("a flag");
    while nix::unistd::write(writer.as_fd(), &[b'.'; 4096]).is_ok() {}
    let blocking = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty());
    nix::fcntl::fcntl(writer.as_fd(), blocking).expect("a flag");
    let mut storm = Storm::start(writer.into());
    let delay = storm.median_delay();
    storm.end();
    drop(reader);
    assert!(delay < BOUND, "{delay:?}");
}
