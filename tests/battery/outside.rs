//! What stands outside the cage during a round: the victim, and the server at the port that is granted.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::stage::{Stage, attacker};
use crate::support::start::{UID, is_root};

/// The command of a plain user, whoever runs the tests.
pub fn as_user(program: &str) -> Command {
    let mut command = Command::new(program);
    if is_root() {
        command.uid(UID).gid(UID);
    }
    command
}

/// The victim: it tells what reached it, and what was changed in it.
pub struct Victim {
    child: Child,
    commands: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
    pub facts: String,
    state: String,
}

impl Victim {
    pub fn start(stage: &Stage, secret: &str) -> Victim {
        let program = stage.path("outside/program").display().to_string();
        let mut child = as_user(&program)
            .args(["victim", stage.place.path("").to_str().expect("a path").trim_end_matches('/'), secret])
            .env_clear()
            .env("KEPT", secret)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the victim");
        let commands = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().expect("its output"));
        let mut facts = String::new();
        while !facts.ends_with("ready\n") {
            assert!(lines.read_line(&mut facts).expect("a line") > 0, "the victim ended: {facts}");
        }
        let facts = facts.trim_end_matches("ready\n").to_owned();
        let mut victim = Victim { child, commands, lines, facts, state: String::new() };
        victim.state = victim.ask("set", "state ").1;
        victim
    }

    /// Sends a command; returns what reached it until the answer, and the answer.
    fn ask(&mut self, command: &str, answer: &str) -> (Vec<String>, String) {
        let mut commands = self.commands.as_ref().expect("its input");
        writeln!(commands, "{command}").expect("the victim hears");
        let mut reached = Vec::new();
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).expect("a line") > 0, "the victim is gone");
            if line.starts_with(answer) {
                return (reached, line.trim_end().to_owned());
            }
            reached.push(line.trim_end().to_owned());
        }
    }

    /// What reached it since the last time. `expected`: it is waited for, within bounds.
    pub fn reached(&mut self, expected: bool) -> Vec<String> {
        let until = Instant::now() + Duration::from_secs(3);
        loop {
            let (reached, _) = self.ask("sync", "synced");
            if !reached.is_empty() || !expected || Instant::now() > until {
                return reached;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether something in it was changed, by whoever.
    pub fn changed(&mut self) -> Option<String> {
        let now = self.ask("state", "state ").1;
        let before = std::mem::replace(&mut self.state, now.clone());
        (now != before).then(|| format!("{before} -> {now}"))
    }

    /// After the stage's files were set anew.
    pub fn set(&mut self) {
        self.state = self.ask("set", "state ").1;
    }
}

impl Drop for Victim {
    /// It takes away what would outlive it when its input ends.
    fn drop(&mut self) {
        // The end of its input is the word to end.
        drop(self.commands.take());
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            if self.child.try_wait().expect("the victim").is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.child.kill().expect("a kill");
        self.child.wait().expect("its end");
    }
}

/// A server that gives everything back, on a port of its own.
pub fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut writer = stream.try_clone().expect("a socket");
                // An attempt may end at any time.
                std::io::copy(&mut stream, &mut writer).ok();
            });
        }
    });
    port
}

/// The program that stands between the harness and the attacker: it gives it a terminal.
pub fn terminal(stage: &Stage, user: bool) -> Command {
    let program = attacker().display().to_string();
    let mut command =
        if user { as_user(&stage.path("app/attacker").display().to_string()) } else { Command::new(program) };
    command.arg("tty");
    command
}
