//! Signals as the kernel numbers them, 1 to 64: libc's own functions hide 32 and 33 and refuse to block them.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::{NOT_DONE, check};

/// The kernel's signal set: bit n-1 is signal n.
pub type Set = u64;

pub const ALL: Set = u64::MAX;
const SET_SIZE: usize = size_of::<Set>();

/// Sets the calling thread's mask and returns the one before (rt_sigprocmask(2) itself).
pub fn set_mask(set: Set) -> Result<Set, Errno> {
    let mut before: Set = 0;
    // SAFETY: both pointers are to live locals of exactly the size that is passed.
    check(unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const set, &raw mut before, SET_SIZE)
    })?;
    Ok(before)
}

/// The layout that rt_sigaction(2) reads on x86_64 and aarch64; glibc's `sigaction` wraps it and refuses 32 and 33.
#[repr(C)]
struct KernelSigaction {
    handler: usize,
    flags: libc::c_ulong,
    restorer: usize,
    mask: Set,
}

/// Gives one signal its default action.
pub fn reset_to_default(signal: i32) -> Result<(), Errno> {
    let action = KernelSigaction { handler: libc::SIG_DFL, flags: 0, restorer: 0, mask: 0 };
    // SAFETY: the struct has the kernel's layout; no handler of ours is installed, so no code can run through it.
    check(unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signal, &raw const action, std::ptr::null::<libc::c_void>(), SET_SIZE)
    })
    .map(drop)
}

/// A non-blocking, close-on-exec descriptor on which every signal of the set arrives (signalfd4(2)).
pub fn descriptor(set: Set) -> Result<OwnedFd, Errno> {
    // SAFETY: the set is a live local of the size passed.
    let fd = check(unsafe {
        libc::syscall(libc::SYS_signalfd4, -1, &raw const set, SET_SIZE, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    })?;
    // An outer filter's success that is none would be standard input: on it no signal would ever be heard.
    let kind = std::fs::read_link(format!("/proc/self/fd/{fd}"));
    if !kind.is_ok_and(|kind| kind.as_os_str() == "anon_inode:[signalfd]") {
        return Err(NOT_DONE);
    }
    // SAFETY: freshly made by the kernel, owned here alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// One signal that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    pub signal: i32,
    /// `si_code`: SI_QUEUE says that a value came with it.
    pub code: i32,
    /// The value of sigqueue(3), as the kernel carries it.
    pub value: u64,
    /// Who sent it; 0 for the kernel and for processes outside our pid namespace.
    pub sender: i32,
}

impl Arrived {
    /// One that nobody sent: for a signal of our own making.
    pub fn of(signal: i32) -> Arrived {
        Arrived { signal, code: 0, value: 0, sender: 0 }
    }
}

/// As many signals as one read(2) takes.
const MOST_AT_ONCE: usize = 32;

/// Signals that were read together.
pub struct Batch {
    infos: [libc::signalfd_siginfo; MOST_AT_ONCE],
    count: usize,
}

impl Default for Batch {
    fn default() -> Self {
        // SAFETY: an all-zero signalfd_siginfo is a valid value of plain integers.
        Batch { infos: unsafe { std::mem::zeroed() }, count: 0 }
    }
}

impl Batch {
    /// Reads what waits. True when it was as much as fits: more may wait.
    pub fn read(&mut self, signalfd: BorrowedFd<'_>) -> Result<bool, Errno> {
        let size = size_of::<libc::signalfd_siginfo>();
        let room = size * MOST_AT_ONCE;
        self.count = 0;
        // SAFETY: the kernel writes at most `room` bytes into an array of that size that is ours.
        match check(unsafe { libc::read(signalfd.as_raw_fd(), self.infos.as_mut_ptr().cast(), room) } as libc::c_long) {
            Ok(length) if (length as usize).is_multiple_of(size) => {
                self.count = length as usize / size;
                Ok(self.count == MOST_AT_ONCE)
            }
            Ok(_) => Err(Errno::EIO),
            Err(Errno::EAGAIN) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// In the order in which the kernel delivered them.
    pub fn iter(&self) -> impl Iterator<Item = Arrived> {
        self.infos[..self.count].iter().map(|info| Arrived {
            signal: info.ssi_signo as i32,
            code: info.ssi_code,
            value: info.ssi_ptr,
            sender: info.ssi_pid as i32,
        })
    }
}

/// Whether a blocked signal waits for this thread or its process (rt_sigpending(2)).
pub fn is_pending(signal: i32) -> Result<bool, Errno> {
    let mut set: Set = 0;
    // SAFETY: the kernel writes eight bytes into a live local of that size.
    check(unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut set, SET_SIZE) })?;
    Ok(set >> (signal - 1) & 1 == 1)
}

/// `kill(2)` with any number from 1 to 64; `nix::sys::signal::kill` knows no real-time ones.
pub fn send(pid: Pid, signal: i32) -> Result<(), Errno> {
    // SAFETY: kill touches no memory.
    check(unsafe { libc::kill(pid.as_raw(), signal) }.into()).map(drop)
}

/// Sends a signal with a value (rt_sigqueueinfo(2) with SI_QUEUE, as sigqueue(3) does).
pub fn send_value(pid: Pid, signal: i32, value: u64) -> Result<(), Errno> {
    /// siginfo_t for SI_QUEUE: 16 bytes of header and sender, then the value; 128 bytes in all.
    #[repr(C)]
    struct Info {
        signo: i32,
        errno: i32,
        code: i32,
        _pad: i32,
        pid: i32,
        uid: u32,
        value: u64,
        _rest: [u64; 12],
    }
    const _: () = assert!(size_of::<Info>() == 128);
    let info = Info {
        signo: signal,
        errno: 0,
        code: libc::SI_QUEUE,
        _pad: 0,
        pid: Pid::this().as_raw(),
        uid: nix::unistd::getuid().as_raw(),
        value,
        _rest: [0; 12],
    };
    // SAFETY: the kernel reads 128 bytes from a live local of that size.
    check(unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, pid.as_raw(), signal, &raw const info) }).map(drop)
}
