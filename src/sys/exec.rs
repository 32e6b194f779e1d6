//! Replacing this process by another program.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use nix::errno::Errno;

use super::{NOT_DONE, check};

/// Arguments or environment in the form that the kernel reads: an array of pointers, ended by a null one.
///
/// Made while allocation is still free of surprises; the strings stay alive as long as the array.
pub struct Strings {
    _owned: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

impl Strings {
    pub fn new(strings: Vec<CString>) -> Self {
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect();
        Strings { _owned: strings, pointers }
    }
}

/// Executes the file behind a descriptor (execveat(2) with AT_EMPTY_PATH); returns only on failure.
pub fn exec_descriptor(image: BorrowedFd<'_>, argv: &Strings, envp: &Strings) -> Result<Infallible, Errno> {
    // SAFETY: both arrays end in a null pointer and point into `CString`s that `Strings` owns and that outlive the call;
    // the empty path is a literal. On success this memory is gone with the process image.
    let result = unsafe {
        libc::syscall(
            libc::SYS_execveat,
            image.as_raw_fd(),
            c"".as_ptr(),
            argv.pointers.as_ptr(),
            envp.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    // A success would not come back here.
    Err(check(result).err().unwrap_or(NOT_DONE))
}
