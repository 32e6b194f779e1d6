//! A question on the terminal whose answer is not shown.
//!
//! The terminal is put back however the question ends: an answer, an end of input, an error, or a signal, which is held
//! until then and takes its course afterwards.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{self, LocalFlags, SetArg, Termios};
use zeroize::Zeroizing;

use crate::refusal::{Exit, Refusal};
use crate::secret::SecretText;

/// The kernel's line buffer (N_TTY): what is typed beyond it is lost without a word, so a line that fills it is refused.
const LINE: usize = 4095;

/// Every signal that a keyboard or a closing terminal sends, and the usual one to end a program.
const HELD: [Signal; 5] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP];

enum Answer {
    Line(SecretText),
    Signal(Signal),
}

/// Asks on the controlling terminal, whatever standard input is.
pub fn ask(question: &str) -> Result<SecretText, Refusal> {
    let mut tty = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .map_err(|error| no_terminal(&format!("there is no terminal to ask on: {error}")))?;
    let answer = hidden(&mut tty, question)?;
    // The answer's own line end was not shown either.
    tty.write_all(b"\n").ok();
    match answer {
        Answer::Line(text) => Ok(text),
        Answer::Signal(signal) => {
            // The terminal is as it was; the signal now does what it always does, which is the end for most.
            raise(signal)
                .map_err(|errno| no_terminal(&format!("signal {signal} could not take its course: {errno}")))?;
            Err(no_terminal("the question was interrupted"))
        }
    }
}

fn hidden(tty: &mut File, question: &str) -> Result<Answer, Refusal> {
    let failed = |errno: nix::Error| no_terminal(&format!("the terminal cannot be used: {errno}"));
    let held: SigSet = HELD.into_iter().collect();
    let outside = held.thread_swap_mask(SigmaskHow::SIG_BLOCK).map_err(failed)?;
    let _mask = Mask(outside);
    let signals = SignalFd::with_flags(&held, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(failed)?;
    let keyboard = tty.try_clone().map_err(|error| no_terminal(&format!("the terminal cannot be used: {error}")))?;
    let _quiet = Quiet::on(keyboard).map_err(failed)?;
    tty.write_all(question.as_bytes()).map_err(|error| no_terminal(&format!("the terminal is gone: {error}")))?;
    line(tty, &signals)
}

/// One line, or the first signal.
fn line(tty: &mut File, signals: &SignalFd) -> Result<Answer, Refusal> {
    let mut text = Zeroizing::new(Vec::with_capacity(2 * LINE));
    loop {
        let mut ready = [PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(tty.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => (),
            Err(errno) => return Err(no_terminal(&format!("the terminal cannot be waited for: {errno}"))),
        }
        if let Some(signal) = signals.read_signal().ok().flatten() {
            let signal = Signal::try_from(signal.ssi_signo as i32).unwrap_or(Signal::SIGTERM);
            return Ok(Answer::Signal(signal));
        }
        if !ready[1].any().unwrap_or(true) {
            continue;
        }
        let mut buffer = Zeroizing::new([0; LINE + 1]);
        let read = tty.read(&mut *buffer).map_err(|error| no_terminal(&format!("the terminal is gone: {error}")))?;
        text.extend_from_slice(&buffer[..read]);
        if read == 0 || text.ends_with(b"\n") || text.len() >= LINE {
            return answer(&text);
        }
    }
}

fn answer(line: &[u8]) -> Result<Answer, Refusal> {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    if text.len() >= LINE {
        return Err(no_terminal("the value is too long to be typed: a terminal's line has 4095 bytes"));
    }
    let text = std::str::from_utf8(text).map_err(|_| no_terminal("the value is not UTF-8 text"))?;
    Ok(Answer::Line(SecretText::new(text.to_owned())))
}

fn no_terminal(what: &str) -> Refusal {
    Refusal::new(Exit::Usage, what, "pipe the value in: `portcullis seal set NAME < FILE`; nothing was changed")
}

/// Echo is off while this lives.
struct Quiet {
    tty: File,
    before: Termios,
}

impl Quiet {
    fn on(tty: File) -> nix::Result<Quiet> {
        let before = termios::tcgetattr(&tty)?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO | LocalFlags::ECHONL);
        // What was typed ahead was shown: it is no answer.
        termios::tcsetattr(&tty, SetArg::TCSAFLUSH, &quiet)?;
        Ok(Quiet { tty, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // On failure the terminal is gone, and with it what would need to be put back.
        termios::tcsetattr(&self.tty, SetArg::TCSANOW, &self.before).ok();
    }
}

/// The signal mask from outside comes back when this goes.
struct Mask(SigSet);

impl Drop for Mask {
    fn drop(&mut self) {
        // It was accepted a moment ago.
        self.0.thread_set_mask().ok();
    }
}
