//! The only room with `unsafe`: kernel calls that no safe wrapper offers, each behind a safe function.
//!
//! Every block says which invariant makes it sound and who upholds it. No policy here: a function does one call (or one
//! unavoidable sequence) and reports what the kernel said. Where `nix`, `caps` or `landlock` has a safe call, use theirs.

#![allow(unsafe_code)]

pub mod attempt;
pub mod descriptors;
pub mod exec;
pub mod hidden;
pub mod landlock;
pub mod memory;
pub mod process;
pub mod seccomp;
pub mod signals;

use nix::errno::Errno;

/// The answer to a call that was reported as done and was not: an outer filter can answer any call with errno 0.
pub const NOT_DONE: Errno = Errno::ECANCELED;

/// Turns a raw return value into a result: -1 is `errno`.
fn check(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result == -1 { Err(Errno::last()) } else { Ok(result) }
}
