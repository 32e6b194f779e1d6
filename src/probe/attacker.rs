//! The attacker's role: each attempt in a child of its own, one line of JSON for each.

use std::io::Write;
use std::process::ExitCode;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::attempts::{self, Attempt};
use super::facts::Facts;
use crate::sys::attempt::{Arg, call};
use crate::sys::process::{self, Ended};

/// What came back of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Came {
    Done,
    /// An errno, 1 to 254.
    Errno(i32),
    /// The child was ended by a signal.
    Signal(i32),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub group: String,
    pub tries: String,
    pub came: Came,
}

/// How long one attempt may take, in seconds: none waits for anything.
const PATIENCE: u64 = 5;

/// The role, in its cage: the facts are its one argument.
pub fn main(argument: Option<&std::ffi::OsString>) -> ExitCode {
    let facts = argument.and_then(|text| serde_json::from_str(text.to_str()?).ok());
    match facts.map(|facts| attack(&facts)) {
        Some(Ok(())) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Tries everything that these facts leave to try, and writes what came of it to standard output.
pub fn attack(facts: &Facts) -> Result<(), Errno> {
    let mut out = std::io::stdout();
    for attempt in attempts::all().filter(|attempt| (attempt.pointless)(facts).is_none()) {
        let line =
            Line { group: attempt.group.to_owned(), tries: attempt.tries.to_owned(), came: try_one(attempt, facts)? };
        let text = serde_json::to_string(&line).map_err(|_| Errno::EINVAL)?;
        writeln!(out, "{text}").and_then(|()| out.flush()).map_err(attempts::errno)?;
    }
    Ok(())
}

fn try_one(attempt: &Attempt, facts: &Facts) -> Result<Came, Errno> {
    let Some(child) = process::fork()? else {
        alarm().and_then(|()| (attempt.act)(facts)).map_or_else(
            |errno| process::exit_now(u8::try_from(errno as i32).unwrap_or(u8::MAX).max(1)),
            |()| process::exit_now(0),
        )
    };
    match process::wait_for(child)? {
        Ended::Exited(0) => Ok(Came::Done),
        Ended::Exited(code) => Ok(Came::Errno(code.into())),
        Ended::Signalled { signal, .. } => Ok(Came::Signal(signal)),
        Ended::Stopped(_) | Ended::Continued => Err(Errno::ECHILD),
    }
}

/// setitimer(2), which every architecture has: struct itimerval with the value in seconds.
fn alarm() -> Result<(), Errno> {
    let mut timer: Vec<u8> = [0, 0, PATIENCE, 0].iter().flat_map(|word: &u64| word.to_ne_bytes()).collect();
    call(libc::SYS_setitimer, &mut [Arg::Number(0), Arg::Bytes(&mut timer)]).map(drop)
}
