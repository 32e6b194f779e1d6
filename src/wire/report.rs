//! A role's text: written to its log pipe, read by init line by line, capped and escaped.
//!
//! A refusal is two lines with fixed prefixes, written before the frame that says so. Every other line is passed on.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::{Channel, Frame, Tag, WireError};
use crate::refusal::{Exit, Refusal, escape};
use crate::sys::descriptors;

const WHAT: &str = "refused: ";
const HINT: &str = "hint: ";
/// The most that init reads from one role, in bytes; the rest is dropped unread.
const MOST: usize = 64 * 1024;
/// The longest line that is passed on, in bytes.
const LONGEST: usize = 2048;

/// The role's side: reports to init.
pub struct Reporter {
    pub channel: Channel,
    log: OwnedFd,
}

impl Reporter {
    pub fn new(channel: Channel, log: OwnedFd) -> Self {
        Reporter { channel, log }
    }

    /// The same with both descriptors at numbers of at least `floor`.
    pub fn raised(self, floor: RawFd) -> Result<Reporter, Errno> {
        let channel = descriptors::move_above(self.channel.as_fd(), floor)?;
        let log = descriptors::move_above(self.log.as_fd(), floor)?;
        Ok(Reporter { channel: Channel::from_contract(channel), log })
    }

    /// Sends the refusal: text first, then the frame, so that init finds the text waiting.
    pub fn refuse(&self, refusal: &Refusal) -> Result<(), WireError> {
        // A log pipe that init no longer reads loses the words, not the refusal: the frame still carries the code.
        let written = write_refusal(self.log.as_fd(), refusal);
        self.channel.send(Frame::new(Tag::Refused, refusal.exit.code().into(), 0, 0), &[])?;
        written
    }
}

/// The words of a refusal, for [`LogLines::refusal`] to find.
pub fn write_refusal(log: BorrowedFd<'_>, refusal: &Refusal) -> Result<(), WireError> {
    let text = format!("{WHAT}{}\n{HINT}{}\n", escape(&refusal.what), escape(&refusal.hint));
    write_all(log, text.as_bytes())
}

fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), WireError> {
    while !bytes.is_empty() {
        match nix::unistd::write(fd, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Init's side: the lines of one role.
pub struct LogLines {
    pipe: Option<std::fs::File>,
    name: &'static str,
    partial: Vec<u8>,
    read: usize,
    what: Option<String>,
    hint: Option<String>,
}

impl LogLines {
    /// `pipe` is the read end, non-blocking.
    pub fn new(name: &'static str, pipe: OwnedFd) -> Self {
        LogLines { pipe: Some(pipe.into()), name, partial: Vec::new(), read: 0, what: None, hint: None }
    }

    /// The descriptor to poll, while there is more to come.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads what waits and returns the lines to print.
    pub fn drain(&mut self) -> Vec<String> {
        let mut printable = Vec::new();
        let mut buffer = [0u8; 4096];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut buffer) {
                Ok(n) if n > 0 && self.read + n <= MOST => {
                    self.read += n;
                    self.partial.extend_from_slice(&buffer[..n]);
                    self.take_lines(&mut printable);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // End of file, a read error, or more than a role may say: the pipe is closed.
                _ => self.pipe = None,
            }
        }
        printable
    }

    fn take_lines(&mut self, printable: &mut Vec<String>) {
        while let Some(end) = self.partial.iter().position(|b| *b == b'\n') {
            let mut line: Vec<u8> = self.partial.drain(..=end).take(LONGEST + 1).collect();
            line.retain(|b| *b != b'\n');
            let text = escape(&String::from_utf8_lossy(&line));
            if let Some(what) = text.strip_prefix(WHAT) {
                self.what = Some(what.to_owned());
            } else if let Some(hint) = text.strip_prefix(HINT) {
                self.hint = Some(hint.to_owned());
            } else {
                printable.push(format!("portcullis: {}: {text}", self.name));
            }
        }
    }

    /// Whether the words of a refusal have come.
    pub fn has_refusal(&self) -> bool {
        self.what.is_some() && self.hint.is_some()
    }

    /// The refusal that a frame with this code announced.
    pub fn refusal(&mut self, code: u64) -> Refusal {
        let exit = u8::try_from(code).ok().and_then(Exit::from_code);
        match (exit, self.what.take(), self.hint.take()) {
            (Some(exit), Some(what), Some(hint)) => Refusal::new(exit, what, hint),
            _ => Refusal::new(
                Exit::RoleBroke,
                format!("the {} refused the start without saying why", self.name),
                "run again with PORTCULLIS_LOG=debug; this is a bug in portcullis",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn lines_of(bytes: &[u8]) -> (LogLines, Vec<String>) {
        let (read, write) = nix::unistd::pipe().unwrap();
        std::fs::File::from(write).write_all(bytes).unwrap();
        let mut lines = LogLines::new("fetcher", read);
        let printed = lines.drain();
        (lines, printed)
    }

    #[test]
    fn a_refusal_is_its_two_lines_and_its_code() {
        let (mut lines, printed) = lines_of(b"note\nrefused: no such user\nhint: add it\n");
        assert_eq!(printed, ["portcullis: fetcher: note"]);
        assert_eq!(lines.refusal(78), Refusal::config("no such user", "add it"));
    }

    #[test]
    fn a_code_without_words_or_an_unknown_code_is_a_broken_role() {
        let (mut lines, _) = lines_of(b"refused: x\n");
        assert_eq!(lines.refusal(78).exit, Exit::RoleBroke);
        let (mut lines, _) = lines_of(b"refused: x\nhint: y\n");
        assert_eq!(lines.refusal(0).exit, Exit::RoleBroke);
    }

    #[test]
    fn a_line_is_escaped_and_cut() {
        let (_, printed) = lines_of(&[b"\x1b[2J".as_slice(), &[b'a'; 3000], b"\n"].concat());
        assert!(printed[0].starts_with("portcullis: fetcher: \\u{1b}[2Ja"));
        assert!(printed[0].len() < LONGEST + 64);
    }
}
