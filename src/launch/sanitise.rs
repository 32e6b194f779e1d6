//! Before parsing anything: signals, descriptors, dumps, umask. What was found is kept for those who need it.
//!
//! A hostile or careless parent decides all of these; nothing that follows should have to think of them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, umask};

use crate::confine::dumps;
use crate::host::Started;
use crate::refusal::{Refusal, cause};
use crate::sys::{descriptors, signals};

/// More sockets than this are no contract but an accident.
const MOST_LISTEN_FDS: u32 = 64;

/// The first instruction of `main`: a TERM from here on waits in the kernel until the loop reads it. Gives the mask as found.
///
/// What comes before is the kernel's to judge: it ends an ordinary process, and a PID 1 never hears of it.
pub fn hold_signals() -> Result<Mask, Refusal> {
    signals::set_mask(signals::ALL).map(Mask).map_err(|errno| odd("blocking signals", errno))
}

/// The signal mask that this process was started with.
pub struct Mask(signals::Set);

/// Runs first in every process that is no role.
pub fn sanitise(mask: Mask) -> Result<Started, Refusal> {
    one_user()?;
    // A parent that ignores SIGCHLD would have the kernel reap our children before we see how they ended; the others stop a
    // job by their default action alone.
    for signal in [libc::SIGCHLD, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
        signals::reset_to_default(signal).map_err(|errno| odd("resetting a signal", errno))?;
    }
    let env: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    // A number that is promised and not open would be given to the next file that we open, and then to the workload.
    let promised = listen_fds(&env, std::process::id());
    let listen_fds = if (3..3 + promised as i32).all(descriptors::is_open) { promised } else { 0 };
    descriptors::close_from(3 + listen_fds).map_err(|errno| odd("closing stray descriptors", errno))?;
    descriptors::cloexec_from(3).map_err(|errno| odd("marking descriptors close-on-exec", errno))?;
    open_standard_descriptors()?;
    dumps::forbid()?;
    let umask = umask(Mode::from_bits_truncate(0o077)).bits();
    let workdir = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    Ok(Started { env, workdir, umask, mask: mask.0, listen_fds })
}

/// Real, effective and saved ids are one: where they differ, the caller of a setuid file has chosen all that is read below, for
/// somebody with other rights (execve(2)).
fn one_user() -> Result<(), Refusal> {
    let users = nix::unistd::getresuid().map_err(|errno| odd("asking for the user ids", errno))?;
    let groups = nix::unistd::getresgid().map_err(|errno| odd("asking for the group ids", errno))?;
    let one_user = users.real == users.effective && users.effective == users.saved;
    if one_user && groups.real == groups.effective && groups.effective == groups.saved {
        return Ok(());
    }
    Err(Refusal::config(
        format!(
            "started with ids that differ: user {}, {}, {}, group {}, {}, {} (real, effective, saved)",
            users.real, users.effective, users.saved, groups.real, groups.effective, groups.saved
        ),
        "take the setuid and setgid bits off portcullis' own file (chmod ug-s), and start it as one user",
    ))
}

/// Undoes what a command that starts nothing does not want: it can be interrupted, and makes files as usual.
pub fn relax(started: &Started) -> Result<(), Refusal> {
    umask(Mode::from_bits_truncate(started.umask));
    signals::set_mask(started.mask).map(drop).map_err(|errno| odd("unblocking signals", errno))
}

/// Counts only where the manager says that it means this very process.
fn listen_fds(env: &BTreeMap<OsString, OsString>, pid: u32) -> u32 {
    let number =
        |name: &str| env.get(OsStr::new(name)).and_then(|value| value.to_str()).and_then(|v| v.parse::<u32>().ok());
    match (number("LISTEN_PID"), number("LISTEN_FDS")) {
        (Some(owner), Some(count)) if owner == pid && count <= MOST_LISTEN_FDS => count,
        _ => 0,
    }
}

/// A closed standard descriptor would be taken by the next file that is opened: a secret's, perhaps.
fn open_standard_descriptors() -> Result<(), Refusal> {
    for fd in 0..=2 {
        if descriptors::is_open(fd) {
            continue;
        }
        let null = nix::fcntl::open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).map_err(|errno| {
            Refusal::host(
                format!("descriptor {fd} is closed and /dev/null cannot be opened: {errno}", errno = cause(errno)),
                "start portcullis with standard streams, or provide /dev/null",
            )
        })?;
        let placed = descriptors::place(std::os::fd::AsFd::as_fd(&null), fd);
        placed.map_err(|errno| odd("opening a standard descriptor", errno))?;
        if std::os::fd::AsRawFd::as_raw_fd(&null) == fd {
            // The lowest free number is the very one: it stays open.
            std::mem::forget(null);
        }
    }
    Ok(())
}

fn odd(what: &str, error: impl std::fmt::Display) -> Refusal {
    Refusal::host(
        format!("{what} failed: {error}", error = cause(error)),
        "an outer sandbox may forbid it; allow it there",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_descriptors_count_for_the_named_process_alone() {
        let env = |pid: &str, fds: &str| -> BTreeMap<OsString, OsString> {
            [("LISTEN_PID".into(), pid.into()), ("LISTEN_FDS".into(), fds.into())].into()
        };
        assert_eq!(listen_fds(&env("7", "2"), 7), 2);
        assert_eq!(listen_fds(&env("8", "2"), 7), 0);
        assert_eq!(listen_fds(&env("7", "1000000"), 7), 0);
        assert_eq!(listen_fds(&env("7", "-1"), 7), 0);
        assert_eq!(listen_fds(&BTreeMap::new(), 7), 0);
    }
}
