//! The terminal that a start stands on: its foreground, handed over and taken back, and its modes, as they were found.
//!
//! The workload has a process group of its own, moved into by the process itself; init stays in the group that it was
//! started in, which a shell above controls as a job.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{Pid, getpgrp, isatty, setpgid, tcgetpgrp, tcsetpgrp};

use crate::refusal::{Refusal, cause};
use crate::sys::{descriptors, signals};

/// The terminal on a standard descriptor, if there is one.
fn standard() -> Option<BorrowedFd<'static>> {
    (0..=2).map(descriptors::standard).find(|fd| isatty(fd).unwrap_or(false))
}

/// The controlling terminal, on a descriptor of its own: init gives up the standard ones.
pub struct Terminal {
    fd: OwnedFd,
    found: Termios,
}

impl Terminal {
    /// `None` where no standard stream is the controlling terminal: then there is no foreground to care for.
    pub fn find() -> Option<Terminal> {
        let standard = standard().filter(|fd| tcgetpgrp(fd).is_ok())?;
        let found = tcgetattr(standard).ok()?;
        Some(Terminal { fd: descriptors::move_above(standard, 3).ok()?, found })
    }

    /// Whether init's own group has the foreground: as a job that a shell has just put there.
    pub fn is_ours(&self) -> bool {
        tcgetpgrp(&self.fd).is_ok_and(|foreground| foreground == getpgrp())
    }

    /// To the workload's group, if it is ours to give. A terminal or a group that is gone has no foreground.
    ///
    /// SIGTTOU is blocked in init, so that this does not stop it.
    pub fn hand_over(&self, group: Pid) {
        if self.is_ours() {
            tcsetpgrp(&self.fd, group).ok();
        }
    }

    /// From the workload's group, or from one that has ended without giving it back; never from a shell's.
    pub fn take_back(&self, group: Pid) {
        take_back(self.fd.as_fd(), group);
    }

    /// The modes as they were found, where the foreground is ours: a workload that was killed leaves the terminal raw.
    pub fn restore(&self) {
        if self.is_ours() && tcgetattr(&self.fd).is_ok_and(|now| now != self.found) {
            tcsetattr(&self.fd, SetArg::TCSADRAIN, &self.found).ok();
        }
    }
}

/// Moves this process into a group of its own; takes the foreground along if this process' group had it.
///
/// SIGTTOU is blocked here (sanitise blocked every signal), so that tcsetpgrp(3) does not stop the caller.
pub fn own_group() -> Result<(), Refusal> {
    let before = getpgrp();
    setpgid(Pid::from_raw(0), Pid::from_raw(0)).map_err(|errno| cannot("making a process group", errno))?;
    if let Some(tty) = standard()
        && tcgetpgrp(tty).is_ok_and(|foreground| foreground == before)
    {
        tcsetpgrp(tty, Pid::this()).map_err(|errno| cannot("taking the terminal's foreground", errno))?;
    }
    Ok(())
}

/// Takes the foreground back from a launcher that was ended. Without a terminal there is nothing to do.
pub fn take_back_from(group: Pid) {
    if let Some(tty) = standard() {
        take_back(tty, group);
    }
}

fn take_back(tty: BorrowedFd<'_>, group: Pid) {
    let Ok(foreground) = tcgetpgrp(tty) else { return };
    // kill(2) takes -1 for everybody: the group of a PID 1, which is there as long as we are.
    let group_of_all = foreground.as_raw() == 1;
    let gone = !group_of_all && signals::send(Pid::from_raw(-foreground.as_raw()), 0) == Err(Errno::ESRCH);
    if foreground == group || gone {
        // A terminal that is gone cannot be taken back.
        tcsetpgrp(tty, getpgrp()).ok();
    }
}

/// Stops this job as its terminal would: the signal goes to init's whole group, and stops init itself until the shell above
/// continues it. False where it did not: the kernel stops no group that nobody could continue, and no PID 1.
pub fn stop_along(signal: i32) -> Result<bool, Errno> {
    signals::send(Pid::from_raw(0), signal)?;
    let all_but_this = signals::ALL & !(1 << (signal - 1));
    signals::set_mask(all_but_this)?;
    signals::set_mask(signals::ALL)?;
    signals::is_pending(Signal::SIGCONT as i32)
}

fn cannot(what: &str, errno: Errno) -> Refusal {
    Refusal::host(
        format!("{what} failed: {errno}", errno = cause(errno)),
        "an outer sandbox may forbid it; allow it there",
    )
}
