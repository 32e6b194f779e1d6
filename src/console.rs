//! What portcullis prints for people and for log collectors: one place decides between text and JSON lines.
//!
//! Every text is escaped here, so that one message is one line. Nothing here may see a secret. Where standard error is the
//! journal's own stream, each line begins with its level (sd-daemon(3)), which the journal takes off again.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::sync::OnceLock;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::config::model::LogFormat;
use crate::refusal::{Refusal, escape};
use crate::sys::descriptors;

/// Standard error, in the format that the config asks for.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    json: bool,
    silent: bool,
}

impl Console {
    pub fn new(format: LogFormat) -> Self {
        let json = match format {
            LogFormat::Text => false,
            LogFormat::Json => true,
            LogFormat::Auto => !std::io::stderr().is_terminal(),
        };
        Console { json, silent: false }
    }

    /// No news at all, for a probe: refusals are still printed.
    pub fn silent() -> Self {
        Console { json: false, silent: true }
    }

    /// One line of news: `portcullis: started ...`.
    pub fn say(&self, event: &str, text: &str) {
        if self.silent {
            return;
        }
        write_line(Level::of(event), &self.line(event, text), PATIENCE);
    }

    /// The same, dropped at once where standard error has no room: for what a workload can cause at will.
    pub fn say_if_room(&self, event: &str, text: &str) {
        if !self.silent {
            write_line(Level::of(event), &self.line(event, text), 0);
        }
    }

    /// Lines to copy, after one that says what they are.
    pub fn block(&self, event: &str, what: &str, lines: &str) {
        if self.json {
            return self.say(event, &format!("{what}\n{lines}"));
        }
        self.say(event, what);
        lines.lines().for_each(|line| write_line(Level::of(event), &escape(line), PATIENCE));
    }

    fn line(&self, event: &str, text: &str) -> String {
        if self.json {
            serde_json::json!({ "portcullis": event, "text": text }).to_string()
        } else {
            format!("portcullis: {}", escape(text))
        }
    }

    /// A line that a role wrote, already escaped and capped.
    pub fn pass_on(&self, line: &str) {
        if self.json {
            self.say("role", line.strip_prefix("portcullis: ").unwrap_or(line));
        } else {
            write_line(Level::Info, line, PATIENCE);
        }
    }

    /// The two lines of a refusal, or one JSON line.
    pub fn refused(&self, refusal: &Refusal) {
        if self.json {
            let exit = refusal.exit.code();
            let line = serde_json::json!({
                "portcullis": "refused", "text": refusal.what, "hint": refusal.hint, "exit": exit,
            });
            write_line(Level::Error, &line.to_string(), PATIENCE);
        } else {
            write_line(Level::Error, &refusal.to_string(), PATIENCE);
        }
    }
}

/// The two lines of a refusal, for the moments in which there is no config yet, or no more.
pub fn refuse_plainly(refusal: &Refusal) {
    write_line(Level::Error, &refusal.to_string(), PATIENCE);
}

/// A line from a role: its standard error is its log pipe.
pub fn note(text: &str) {
    write_line(Level::Info, &escape(text), PATIENCE);
}

/// A line that is formatted already, with its end: for whoever looks for a fault.
pub fn pass_through(line: &[u8]) {
    if is_journal() {
        return write_bytes(&[Level::Debug.mark().as_bytes(), line].concat(), PATIENCE);
    }
    write_bytes(line, PATIENCE);
}

/// How much a line matters, by syslog(3)'s numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Error = 3,
    Warning = 4,
    Info = 6,
    Debug = 7,
}

impl Level {
    fn of(event: &str) -> Level {
        match event {
            "denied" | "denials" | "killed" | "leases" | "left" => Level::Warning,
            _ => Level::Info,
        }
    }

    fn mark(self) -> String {
        format!("<{}>", self as u8)
    }

    /// Each line of it for the journal.
    fn before(self, text: &str) -> String {
        text.lines().map(|line| format!("{}{line}", self.mark())).collect::<Vec<_>>().join("\n")
    }
}

/// Whether standard error is the stream that the service manager connected to its journal (systemd.exec(5)): it may have been
/// redirected since.
fn is_journal() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        let Ok(stderr) = nix::sys::stat::fstat(std::io::stderr()) else { return false };
        std::env::var("JOURNAL_STREAM").is_ok_and(|named| named == format!("{}:{}", stderr.st_dev, stderr.st_ino))
    })
}

/// A description of standard error of our own, where it is a pipe or a terminal: non-blocking for us, and as it was for the
/// workload, which shares the other one. A reader that stalls may cost lines, never the start, a signal or the end.
static OWN: OnceLock<Option<OwnedFd>> = OnceLock::new();

/// Above every number that the workload gets: 3, the most sockets, and as many files as can be handed over.
const FLOOR: RawFd = 256;

/// How long a line may wait for a full pipe or a stopped terminal, in milliseconds.
const PATIENCE: u16 = 50;

/// Opens it anew (proc_pid_fd(5)). A regular file does not block, and would be overwritten from its start.
fn open_anew() -> Option<OwnedFd> {
    let kind = std::fs::metadata("/proc/self/fd/2").ok()?.file_type();
    if !(kind.is_fifo() || kind.is_char_device()) {
        return None;
    }
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    let own = File::options().write(true).custom_flags(flags).open("/proc/self/fd/2").ok()?;
    // Whoever becomes the workload puts its credentials at the low numbers.
    descriptors::move_above(own.as_fd(), FLOOR).ok()
}

/// One write(2) a line, so that lines of several processes do not mix. A line that finds no room is dropped.
fn write_line(level: Level, line: &str, patience: u16) {
    let text = if is_journal() { format!("{}\n", level.before(line)) } else { format!("{line}\n") };
    write_bytes(text.as_bytes(), patience);
}

fn write_bytes(text: &[u8], patience: u16) {
    let own = OWN.get_or_init(open_anew);
    let stderr = std::io::stderr();
    let fd = own.as_ref().map_or(stderr.as_fd(), AsFd::as_fd);
    let mut room = [PollFd::new(fd, PollFlags::POLLOUT)];
    if !poll(&mut room, PollTimeout::from(patience)).is_ok_and(|ready| ready > 0) {
        return;
    }
    // Standard error may be gone (a closed terminal, a full disk behind it). There is nobody left to tell, and a broken
    // log must not decide over the workload.
    nix::unistd::write(fd, text).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lines_of_a_refusal_have_their_level() {
        assert_eq!(Level::Error.before("what\nhint"), "<3>what\n<3>hint");
        assert_eq!(Level::of("denied").before("x"), "<4>x");
        assert_eq!(Level::of("started").before("x"), "<6>x");
    }
}
