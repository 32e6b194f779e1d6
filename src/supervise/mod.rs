//! Init's one loop, from the first role to the last orphan: signals, frames, denials, children, the deadline.
//!
//! One explicit state: preparing -> executing -> running -> ending. Nothing here reads a secret or waits anywhere else.

#![forbid(unsafe_code)]

mod commands;
mod denials;
mod denied;
mod descendants;
mod end;
mod ending;
mod files;
mod forward;
mod heard;
mod job;
mod keeping;
mod leases;
mod prepare;
mod resident;
mod run;

pub use prepare::{Prepared, Stopped, prepare, rehearse};
pub use resident::RESIDENT_NAME;
pub use run::supervise;

use std::os::fd::BorrowedFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::refusal::Refusal;

/// `mode = "replace"`: signals that arrived before there was a program wait, blocked, for the one that we become.
pub fn raise_again(held: &[crate::sys::signals::Arrived]) -> Result<(), Refusal> {
    let own = nix::unistd::Pid::this();
    held.iter().try_for_each(|arrived| {
        forward::forward(own, *arrived).map_err(|errno| Refusal::internal(format!("keeping a signal: {errno}")))
    })
}

/// Waits until one of these is readable or hung up, or the time comes. Returns which; none when it was time.
fn wait(descriptors: &[BorrowedFd<'_>], until: Option<Instant>) -> Result<Vec<bool>, Refusal> {
    let mut fds: Vec<PollFd<'_>> = descriptors.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    match poll(&mut fds, timeout(until)) {
        Ok(_) => Ok(fds.iter().map(|fd| fd.any().unwrap_or(false)).collect()),
        Err(Errno::EINTR) => Ok(vec![false; fds.len()]),
        Err(errno) => Err(Refusal::internal(format!("poll: {errno}"))),
    }
}

/// Rounded up to the next millisecond: waking early would spin.
fn timeout(until: Option<Instant>) -> PollTimeout {
    let Some(until) = until else { return PollTimeout::NONE };
    let left = until.saturating_duration_since(Instant::now());
    let millis = left.as_millis() + u128::from(!left.is_zero());
    PollTimeout::try_from(millis.min(i32::MAX as u128) as i32).unwrap_or(PollTimeout::MAX)
}

/// For a result that changes nothing whichever it is; the caller says why.
fn ignore<T, E>(result: Result<T, E>) {
    drop(result.map_err(drop));
}
