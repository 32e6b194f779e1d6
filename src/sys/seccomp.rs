//! Seccomp: installing a filter, and the descriptor on which notified calls arrive (seccomp_unotify(2)).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::{NOT_DONE, check};

/// One instruction of classic BPF, as the kernel reads it.
pub type Instruction = libc::sock_filter;

/// Installs a filter for this thread and its descendants; `listener` asks for the notification descriptor.
///
/// Needs no_new_privs. EBUSY: an outer filter already has a listener (one a filter tree).
pub fn install(program: &[Instruction], listener: bool) -> Result<Option<OwnedFd>, Errno> {
    let length = libc::c_ushort::try_from(program.len()).map_err(|_| Errno::E2BIG)?;
    let fprog = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    let flags = if listener { libc::SECCOMP_FILTER_FLAG_NEW_LISTENER } else { 0 };
    // SAFETY: `fprog` points at `length` instructions that live for the whole call; the kernel copies and never writes
    // them.
    let result =
        check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const fprog) })?;
    if !listener {
        return Ok(None);
    }
    // An outer filter's success that is none has the number 0.
    if !is_listener(result as RawFd) {
        return Err(NOT_DONE);
    }
    // SAFETY: with NEW_LISTENER the result is a descriptor that the kernel has just made for us alone.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(result as RawFd) }))
}

/// Whether a number is a listener's: such a one knows no call with the id 0 (ENOENT), and everything else no such question
/// (ENOTTY, EBADF), or answers it otherwise.
fn is_listener(fd: RawFd) -> bool {
    let id = 0u64;
    // SAFETY: the ioctl reads one u64 from a live local.
    check(unsafe { libc::ioctl(fd, NOTIF_ID_VALID, &raw const id) }.into()) == Err(Errno::ENOENT)
}

/// Asks whether the kernel knows an action (SECCOMP_GET_ACTION_AVAIL).
pub fn knows_action(action: u32) -> Result<(), Errno> {
    // SAFETY: the kernel reads one u32 from a live local.
    check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0u32, &raw const action) })
        .map(drop)
}

/// A call that waits for its answer.
#[derive(Debug, Clone, Copy)]
pub struct Notified {
    pub id: u64,
    pub pid: u32,
    pub call: i32,
    pub args: [u64; 6],
}

/// Takes the next notified call. `None` when there is none (any more): its caller may have died meanwhile.
pub fn receive(listener: BorrowedFd<'_>) -> Result<Option<Notified>, Errno> {
    // SAFETY: an all-zero seccomp_notif is a valid value, and the kernel demands zeroes.
    let mut notice: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the ioctl writes a seccomp_notif into a live local of that type.
    match check(unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_RECV, &raw mut notice) }.into()) {
        Ok(_) => Ok(Some(Notified { id: notice.id, pid: notice.pid, call: notice.data.nr, args: notice.data.args })),
        // ENOENT: the caller died between poll and here; EAGAIN: nothing waits (the listener is non-blocking).
        Err(Errno::ENOENT | Errno::EAGAIN | Errno::EINTR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// What a notified call gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Errno(Errno),
    /// The kernel goes on as if there were no filter. For the launcher's one exec alone.
    Continue,
}

/// Answers one call. A caller that died meanwhile is no error.
pub fn answer(listener: BorrowedFd<'_>, id: u64, answer: Answer) -> Result<(), Errno> {
    let (error, flags) = match answer {
        Answer::Errno(errno) => (-(errno as i32), 0),
        Answer::Continue => (0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
    };
    let mut response = libc::seccomp_notif_resp { id, val: 0, error, flags };
    // SAFETY: the ioctl reads a seccomp_notif_resp from a live local of that type.
    match check(unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_SEND, &raw mut response) }.into()) {
        Ok(_) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// `_IOWR('!', 0, struct seccomp_notif)` and `_IOWR('!', 1, struct seccomp_notif_resp)` of linux/seccomp.h.
const NOTIF_RECV: libc::c_ulong = iowr(0, size_of::<libc::seccomp_notif>());
const NOTIF_SEND: libc::c_ulong = iowr(1, size_of::<libc::seccomp_notif_resp>());

/// `_IOW('!', 2, __u64)` of linux/seccomp.h, as it is since Linux 5.19 and in every backport.
const NOTIF_ID_VALID: libc::c_ulong = (1 << 30) | (8 << 16) | ((b'!' as libc::c_ulong) << 8) | 2;

const fn iowr(number: libc::c_ulong, size: usize) -> libc::c_ulong {
    (3 << 30) | ((size as libc::c_ulong) << 16) | ((b'!' as libc::c_ulong) << 8) | number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_descriptor_passes_for_a_listener() {
        let (null, pipe) = (std::fs::File::open("/dev/null").unwrap(), nix::unistd::pipe().unwrap());
        let signals = super::super::signals::descriptor(0).unwrap();
        for fd in [null.as_raw_fd(), pipe.0.as_raw_fd(), signals.as_raw_fd(), -1] {
            assert!(!is_listener(fd), "{fd}");
        }
    }
}
