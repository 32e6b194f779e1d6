//! Processes: fork, wait, ids read back, and how a process answers to its parent's death.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::resource::Resource;
use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, Pid};

use super::{NOT_DONE, check};

/// Forks. Sound only in a single-threaded process; init is one by design, and this asserts it cheaply in debug builds.
///
/// Returns `None` in the child.
pub fn fork() -> Result<Option<Pid>, Errno> {
    // SAFETY: init never starts a thread (no tokio in its module graph; tests/rooms.rs holds that), so the child's copy of
    // the heap and of every lock is consistent and it may allocate and call anything.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
}

/// Ends this process at once: no destructors, no atexit handlers, no flushing of buffers that a fork has copied.
pub fn exit_now(code: u8) -> ! {
    // SAFETY: _exit(2) does not return and touches no memory of ours.
    unsafe { libc::_exit(code.into()) }
}

/// Has the kernel kill this process when its parent dies (prctl(2), PR_SET_PDEATHSIG), and reads it back.
pub fn die_with_parent() -> Result<(), Errno> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    if nix::sys::prctl::get_pdeathsig()? == Some(Signal::SIGKILL) { Ok(()) } else { Err(NOT_DONE) }
}

/// A limit, soft and hard (prlimit(2)). nix's `getrlimit` would hand out what stood in memory before where the kernel was
/// not asked.
pub fn limit(resource: Resource) -> Result<(u64, u64), Errno> {
    // A soft limit above the hard one: no kernel says so.
    let mut found = libc::rlimit { rlim_cur: 1, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit into a live local of that type.
    check(unsafe { libc::getrlimit(resource as _, &raw mut found) }.into())?;
    if found.rlim_cur > found.rlim_max { Err(NOT_DONE) } else { Ok((found.rlim_cur, found.rlim_max)) }
}

/// A copy of another process' descriptor (pidfd_getfd(2), Linux 5.6): needs the right to trace it.
pub fn descriptor_of(pid: Pid, fd: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: integer arguments; the kernel returns a new descriptor that nobody else owns.
    let process = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    // SAFETY: as above: freshly made, owned here alone.
    let process = unsafe { OwnedFd::from_raw_fd(process as i32) };
    // SAFETY: as the first.
    let copy = check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0) })?;
    // SAFETY: freshly made, owned here alone.
    Ok(unsafe { OwnedFd::from_raw_fd(copy as i32) })
}

/// From now on memory of this process, and of the program that it becomes, does not get executable after it was writable
/// (PR_SET_MDWE of prctl(2), Linux 6.3); there is no way back. Reads it back.
pub fn deny_write_execute() -> Result<(), Errno> {
    const PR_SET_MDWE: libc::c_int = 65;
    const REFUSE_EXEC_GAIN: libc::c_ulong = 1;
    // SAFETY: prctl with integer arguments touches no memory; this program makes no code at run time.
    check(unsafe { libc::prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) }.into())?;
    if denies_write_execute()? { Ok(()) } else { Err(Errno::EPERM) }
}

/// Whether that holds already. EINVAL: this kernel does not know it.
pub fn denies_write_execute() -> Result<bool, Errno> {
    const PR_GET_MDWE: libc::c_int = 66;
    // SAFETY: as above.
    check(unsafe { libc::prctl(PR_GET_MDWE, 0, 0, 0, 0) }.into()).map(|flags| flags & 1 == 1)
}

/// What waitid(2) says of one child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Exited(u8),
    Signalled { signal: i32, core: bool },
    Stopped(i32),
    Continued,
}

/// What one look for children found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaped {
    Child(Pid, Ended),
    /// There are children, and none changed state.
    NoneYet,
    NoChildren,
}

/// Looks for one child that changed state, without waiting (waitpid(2)).
pub fn reap_one() -> Result<Reaped, Errno> {
    let mut status: libc::c_int = 0;
    let options = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
    // SAFETY: the kernel writes one int through a pointer to a live local.
    match check(unsafe { libc::waitpid(-1, &mut status, options) }.into()) {
        Ok(0) => Ok(Reaped::NoneYet),
        Ok(pid) => Ok(Reaped::Child(Pid::from_raw(pid as i32), decode(status))),
        Err(Errno::ECHILD) => Ok(Reaped::NoChildren),
        Err(errno) => Err(errno),
    }
}

/// Waits for the end of one child (waitpid(2)).
pub fn wait_for(child: Pid) -> Result<Ended, Errno> {
    let mut status: libc::c_int = 0;
    loop {
        // SAFETY: the kernel writes one int through a pointer to a live local.
        match check(unsafe { libc::waitpid(child.as_raw(), &mut status, 0) }.into()) {
            Ok(_) => return Ok(decode(status)),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn decode(status: libc::c_int) -> Ended {
    // nix's WaitStatus cannot hold real-time signals, so the macros are used directly; they are safe functions.
    if libc::WIFEXITED(status) {
        Ended::Exited(libc::WEXITSTATUS(status) as u8)
    } else if libc::WIFSIGNALED(status) {
        Ended::Signalled { signal: libc::WTERMSIG(status), core: libc::WCOREDUMP(status) }
    } else if libc::WIFSTOPPED(status) {
        Ended::Stopped(libc::WSTOPSIG(status))
    } else {
        Ended::Continued
    }
}

/// Locks the securebits so that uid 0 never means privileges again in this process and its descendants
/// (capabilities(7), PR_SET_SECUREBITS; needs CAP_SETPCAP), and reads them back.
pub fn lock_securebits() -> Result<(), Errno> {
    // NOROOT, NO_SETUID_FIXUP, KEEP_CAPS_LOCKED, NO_CAP_AMBIENT_RAISE, each with its lock; KEEP_CAPS itself stays off.
    const BITS: libc::c_ulong = 0b1110_1111;
    // SAFETY: prctl with integer arguments touches no memory.
    check(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, BITS, 0, 0, 0) }.into())?;
    // SAFETY: as above.
    let now = check(unsafe { libc::prctl(libc::PR_GET_SECUREBITS, 0, 0, 0, 0) }.into())?;
    if now as libc::c_ulong == BITS { Ok(()) } else { Err(Errno::EPERM) }
}
