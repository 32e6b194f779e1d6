//! Memory: sealed files without a name, and giving back pages that an idle init does not need.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::{NOT_DONE, check};

const MFD_NOEXEC_SEAL: libc::c_uint = 0x8;
const MFD_EXEC: libc::c_uint = 0x10;
/// Linux 6.3; see memfd_create(2).
pub const F_SEAL_EXEC: libc::c_int = 0x20;

/// Whether a memfd may be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A copy of a program.
    Program,
    /// Data that can never be executed.
    Data,
}

/// A close-on-exec memfd that can be sealed. Kernels before 6.3 do not know the exec flags: there they are left out.
pub fn sealable(name: &CStr, purpose: Purpose) -> Result<OwnedFd, Errno> {
    let base = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    let flag = if purpose == Purpose::Program { MFD_EXEC } else { MFD_NOEXEC_SEAL };
    match create(name, base | flag) {
        Err(Errno::EINVAL) => create(name, base),
        other => other,
    }
}

fn create(name: &CStr, flags: libc::c_uint) -> Result<OwnedFd, Errno> {
    // SAFETY: the name is a valid C string for the length of the call.
    let fd = check(unsafe { libc::memfd_create(name.as_ptr(), flags) }.into())?;
    // Only such a file has seals. An outer filter's success that is none would be standard input.
    // SAFETY: F_GET_SEALS touches no memory; on any other file it gives EINVAL.
    check(unsafe { libc::fcntl(fd as RawFd, libc::F_GET_SEALS) }.into()).map_err(|_| NOT_DONE)?;
    // SAFETY: the kernel has just made this descriptor and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Adds seals (fcntl(2), F_ADD_SEALS) and reads them back.
pub fn seal(file: &OwnedFd, seals: libc::c_int) -> Result<(), Errno> {
    // SAFETY: fcntl with integer arguments touches no memory.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) }.into())?;
    if seals_of(file)? & seals == seals { Ok(()) } else { Err(Errno::EPERM) }
}

/// The seals that a memfd carries.
pub fn seals_of(file: &OwnedFd) -> Result<libc::c_int, Errno> {
    // SAFETY: as above.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) }.into()).map(|seals| seals as libc::c_int)
}

/// Gives free heap pages back to the kernel (malloc_trim(3)): what the start needed, the idle loop does not.
pub fn trim_heap() {
    // Other C libraries have no such call, and give memory back by themselves or not at all.
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim only releases memory that the allocator holds as free; Rust's System allocator is this malloc.
    unsafe {
        libc::malloc_trim(0)
    };
}

unsafe extern "C" {
    /// Set by the linker: the start of the text and the end of it (end(3) has `etext`).
    static __executable_start: u8;
    static etext: u8;
}

/// Gives back the resident pages of this program's own text: they are clean, and the few that the idle loop needs are
/// read again from the page cache when it runs.
pub fn drop_own_text() -> Result<(), Errno> {
    // SAFETY: sysconf reads a constant of the system; it touches no memory of ours.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).map_err(|_| Errno::EINVAL)?;
    let start = (&raw const __executable_start as usize).next_multiple_of(page);
    let end = (&raw const etext as usize) / page * page;
    if end <= start {
        return Ok(());
    }
    // SAFETY: the range is this program's headers, read-only data and text, mapped privately from its file and never
    // written (relocations of a static-pie lie after `etext`). MADV_DONTNEED on such pages makes the kernel read the same
    // bytes from the file again at the next access (madvise(2)).
    check(unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) }.into()).map(drop)
}
