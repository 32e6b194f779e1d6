//! The workload's own process group, and the terminal's foreground, handed over by the process that moves into it.

use std::os::fd::BorrowedFd;

use nix::unistd::{Pid, getpgrp, isatty, setpgid, tcgetpgrp, tcsetpgrp};

use crate::refusal::{Refusal, cause};
use crate::sys::descriptors;

/// The terminal on a standard descriptor, if there is one.
pub fn terminal() -> Option<BorrowedFd<'static>> {
    (0..=2).map(descriptors::standard).find(|fd| isatty(fd).unwrap_or(false))
}

/// Moves this process into a group of its own; takes the foreground along if this process' group had it.
///
/// SIGTTOU is blocked here (sanitise blocked every signal), so that tcsetpgrp(3) does not stop the caller.
pub fn own_group() -> Result<(), Refusal> {
    let before = getpgrp();
    setpgid(Pid::from_raw(0), Pid::from_raw(0)).map_err(|errno| cannot("making a process group", errno))?;
    if let Some(tty) = terminal()
        && tcgetpgrp(tty).is_ok_and(|foreground| foreground == before)
    {
        tcsetpgrp(tty, Pid::this()).map_err(|errno| cannot("taking the terminal's foreground", errno))?;
    }
    Ok(())
}

/// Takes the foreground back from a group that is ending or has ended. Without a terminal there is nothing to do, and a
/// terminal that is gone cannot be taken back.
pub fn take_back(group: Pid) {
    if let Some(tty) = terminal()
        && tcgetpgrp(tty).is_ok_and(|foreground| foreground == group)
    {
        tcsetpgrp(tty, getpgrp()).ok();
    }
}

fn cannot(what: &str, errno: nix::errno::Errno) -> Refusal {
    Refusal::host(
        format!("{what} failed: {errno}", errno = cause(errno)),
        "an outer sandbox may forbid it; allow it there",
    )
}
