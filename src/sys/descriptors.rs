//! Descriptors: closing ranges of them, and asking the kernel about them.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::{NOT_DONE, check};

/// Closes every descriptor from `first` on (close_range(2), Linux 5.9).
///
/// Only for moments at which no `OwnedFd` of the calling process lies in that range: the first lines of `main`.
pub fn close_from(first: u32) -> Result<(), Errno> {
    let probe = probe(first)?;
    // SAFETY: closing descriptors touches no memory. Called by sanitise before any `OwnedFd` exists, so none is left
    // dangling; that order is upheld by `launch::sanitise::sanitise` being the first call of every role.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0u32) })?;
    if is_open(probe) { Err(NOT_DONE) } else { Ok(()) }
}

/// A number of at least `first` on which the next program would find something: whether a range was closed or marked shows on
/// it, whatever close_range(2) answered. It is left to the caller to see that it ends.
fn probe(first: u32) -> Result<RawFd, Errno> {
    let first = RawFd::try_from(first).map_err(|_| Errno::EINVAL)?;
    let root = nix::fcntl::open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    // SAFETY: makes a new descriptor, of which nobody knows but the caller.
    check(unsafe { libc::fcntl(root.as_raw_fd(), libc::F_DUPFD, first) }.into()).map(|fd| fd as RawFd)
}

/// Marks every descriptor from `first` on close-on-exec, whoever opened it (CLOSE_RANGE_CLOEXEC, Linux 5.11).
pub fn cloexec_from(first: u32) -> Result<(), Errno> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    let probe = probe(first)?;
    // SAFETY: made above, and owned by nobody else.
    let probe = unsafe { OwnedFd::from_raw_fd(probe) };
    // SAFETY: sets a flag on descriptors; no memory is touched and no descriptor is closed.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) })?;
    // SAFETY: F_GETFD touches no memory.
    let flags = check(unsafe { libc::fcntl(probe.as_raw_fd(), libc::F_GETFD) }.into())?;
    if flags as libc::c_int & libc::FD_CLOEXEC != 0 { Ok(()) } else { Err(NOT_DONE) }
}

/// Whether this number is an open descriptor.
pub fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD on any number is harmless; a closed one gives EBADF.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// Takes ownership of a descriptor that the process contract places at this number (a role's socket at 3, say).
///
/// `None` when it is not open. Each number may be taken once; the role's `main` does so and nobody else.
pub fn take_contract(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: the number is open (checked) and, by the descriptor contract of `wire`, nothing else in this process owns
    // it: a role takes each of its fixed numbers exactly once, before it opens anything.
    is_open(fd).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The standard descriptor 0, 1 or 2, borrowed for the life of the process: sanitise has made sure that they are open.
pub fn standard(fd: RawFd) -> BorrowedFd<'static> {
    debug_assert!((0..=2).contains(&fd));
    // SAFETY: 0, 1 and 2 are opened by sanitise and never closed by portcullis.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Puts a copy of `source` at the number `target`, which is inherited over exec (dup2(2)).
pub fn place(source: BorrowedFd<'_>, target: RawFd) -> Result<(), Errno> {
    if source.as_raw_fd() == target {
        return inherit(target);
    }
    // SAFETY: dup2 replaces whatever is at `target`. The launcher raises everything it owns above the contract's numbers
    // first (`floor` in launch/launcher.rs); the fetcher's child execs at once and owns nothing below its own floor.
    check(unsafe { libc::dup2(source.as_raw_fd(), target) }.into()).map(drop)
}

/// Clears the close-on-exec flag of a number, so that the next program has it.
pub fn inherit(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: changes a flag of a descriptor; a number that is not open gives EBADF.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }.into()).map(drop)
}

/// A close-on-exec copy of `fd` at a number of at least `floor` (F_DUPFD_CLOEXEC).
pub fn move_above(fd: BorrowedFd<'_>, floor: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: the kernel returns a new descriptor that nobody else owns.
    let new = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, floor) }.into())?;
    // SAFETY: as above: freshly made, owned here alone.
    Ok(unsafe { OwnedFd::from_raw_fd(new as RawFd) })
}

/// How many bytes wait in a pipe (FIONREAD, see pipe(7)).
pub fn bytes_waiting(pipe: BorrowedFd<'_>) -> Result<usize, Errno> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int through a pointer to a live local.
    check(unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &mut count) }.into())?;
    usize::try_from(count).map_err(|_| Errno::EOVERFLOW)
}

/// Takes ownership of a descriptor that has just arrived in an SCM_RIGHTS message (unix(7)).
pub fn received(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel installed this number for this process while receiving the message, and the channel, the only
    // caller, wraps each number of a message exactly once.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
