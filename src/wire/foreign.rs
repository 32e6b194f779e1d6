//! The standard error of a program that is none of ours: lines to pass on, escaped and capped, of which none means anything.
//!
//! What is beyond the cap is read and dropped: a program that says too much is not ended by it.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::refusal::escape;

/// The most that is passed on, in bytes.
const MOST: usize = 16 * 1024;
/// The longest line that is passed on, in bytes.
const LONGEST: usize = 1024;
/// How many reads one look takes at most: a program that never stops must not keep init from its clock.
const READS: usize = 16;

pub struct ForeignLines {
    pipe: Option<std::fs::File>,
    name: String,
    partial: Vec<u8>,
    /// Of what was passed on, in bytes.
    read: usize,
    cut: bool,
}

impl ForeignLines {
    /// `pipe` is the read end, non-blocking.
    pub fn new(name: String, pipe: OwnedFd) -> Self {
        ForeignLines { pipe: Some(pipe.into()), name, partial: Vec::new(), read: 0, cut: false }
    }

    /// The descriptor to poll, while there is more to come.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads what waits, within bounds, and returns the lines to print.
    pub fn drain(&mut self) -> Vec<String> {
        let mut printable = Vec::new();
        let mut buffer = [0u8; 4096];
        for _ in 0..READS {
            let Some(pipe) = &mut self.pipe else { break };
            match pipe.read(&mut buffer) {
                Ok(n) if n > 0 => self.take(&buffer[..n], &mut printable),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // End of file, or a read error: nothing more can come.
                _ => {
                    self.pipe = None;
                    printable.extend(self.last());
                }
            }
        }
        printable
    }

    /// What the program left unended.
    pub fn last(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.partial);
        (!line.is_empty()).then(|| self.line(&line))
    }

    fn take(&mut self, bytes: &[u8], printable: &mut Vec<String>) {
        let taken = bytes.len().min(MOST - self.read);
        self.read += taken;
        self.partial.extend_from_slice(&bytes[..taken]);
        while let Some(end) = self.partial.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            printable.push(self.line(&line[..end]));
        }
        if taken < bytes.len() && !self.cut {
            self.cut = true;
            printable.extend(self.last());
            printable.push(format!(
                "portcullis: {}: said more than {} KiB; the rest is dropped",
                self.name,
                MOST / 1024
            ));
        }
    }

    fn line(&self, bytes: &[u8]) -> String {
        let cut = &bytes[..bytes.len().min(LONGEST)];
        format!("portcullis: {}: {}", self.name, escape(&String::from_utf8_lossy(cut)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn said(bytes: &[u8]) -> Vec<String> {
        let (read, write) = nix::unistd::pipe().unwrap();
        let bytes = bytes.to_vec();
        let writer = std::thread::spawn(move || std::fs::File::from(write).write_all(&bytes));
        let mut lines = ForeignLines::new("exec.x".to_owned(), read);
        let mut all = Vec::new();
        while lines.as_fd().is_some() {
            all.extend(lines.drain());
        }
        writer.join().unwrap().expect("everything is read, whatever is passed on");
        all
    }

    #[test]
    fn no_line_means_anything_and_the_last_needs_no_end() {
        assert_eq!(
            said(b"refused: no\nhint: \x1b[2J\nend"),
            ["portcullis: exec.x: refused: no", "portcullis: exec.x: hint: \\u{1b}[2J", "portcullis: exec.x: end"]
        );
    }

    #[test]
    fn a_flood_is_cut_and_read_to_its_end() {
        let lines = said(&b"0123456789abcde\n".repeat(64 * 1024));
        assert_eq!(lines.len(), MOST / 16 + 1);
        assert!(lines.last().unwrap().ends_with("said more than 16 KiB; the rest is dropped"));
        let one = said(&vec![b'x'; 1 << 20]);
        assert_eq!(one.len(), 2);
        assert!(one[0].len() < LONGEST + 64);
    }
}
