//! System calls by number, for a process that attacks its own cage: `probe`'s attacker, and nobody else.
//!
//! What such a call does to the process is not known here: it may exec, unmap or change what Rust takes for granted.

use std::ffi::CStr;

use nix::errno::Errno;

use super::check;

/// One argument as the kernel reads it.
pub enum Arg<'a> {
    Number(u64),
    Text(&'a CStr),
    /// Read or written by the kernel, never beyond its length as the call's other arguments say it.
    Bytes(&'a mut [u8]),
}

impl Arg<'_> {
    fn raw(&mut self) -> libc::c_long {
        match self {
            Arg::Number(number) => *number as libc::c_long,
            Arg::Text(text) => text.as_ptr() as libc::c_long,
            Arg::Bytes(bytes) => bytes.as_mut_ptr() as libc::c_long,
        }
    }
}

/// Makes the call (syscall(2)); missing arguments are 0. For throw-away children alone: see the argument below.
pub fn call(number: i64, args: &mut [Arg<'_>]) -> Result<i64, Errno> {
    let mut raw = [0; 6];
    for (slot, arg) in raw.iter_mut().zip(args) {
        *slot = arg.raw();
    }
    let [a, b, c, d, e, f] = raw;
    // SAFETY: pointers lead to live borrows whose length the caller passes along. What the call may do beyond that to this
    // process (new ids, another root, a filter) ends with it: every caller is a child that `probe::attacker` forked for one
    // attempt and that leaves by _exit(2) right after it, without using anything that the call could have broken.
    check(unsafe { libc::syscall(number, a, b, c, d, e, f) })
}

/// The same by the gate of i386 (`int 0x80`), without arguments: where that architecture is admitted, getpid answers.
#[cfg(target_arch = "x86_64")]
pub fn call_i386(number: i32) -> i32 {
    let result: i32;
    // SAFETY: a call without arguments touches no memory; rbx is not used by it, and what the gate clobbers is listed.
    unsafe {
        std::arch::asm!(
            "int 0x80",
            inlateout("eax") number => result,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
        );
    }
    result
}

/// Where bytes lie, for calls that read addresses inside structures.
pub fn address(bytes: &[u8]) -> u64 {
    bytes.as_ptr() as u64
}
