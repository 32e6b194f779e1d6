//! The kernel's side: Landlock, seccomp, and the sysctls that could undo a protection.

use nix::errno::Errno;
use nix::sys::statvfs::{FsFlags, statvfs};

use crate::sys;

/// What was found. A field that could not be read says why, so that the refusal can name it.
#[derive(Debug, Clone, PartialEq)]
pub struct Kernel {
    /// `uname -r`.
    pub release: String,
    pub landlock: Result<u32, Errno>,
    /// Whether filters with a notification listener are known (SECCOMP_RET_USER_NOTIF, Linux 5.0).
    pub seccomp: Result<(), Errno>,
    /// fs.suid_dumpable: 1 makes an unreadable program dumpable after all.
    pub suid_dumpable: Option<u32>,
    /// vm.memfd_noexec: 2 forbids executable memfds. The file is missing before Linux 6.3.
    pub memfd_noexec: Option<u32>,
    pub root_read_only: bool,
    /// Whether memory can be held from becoming executable (PR_SET_MDWE, Linux 6.3).
    pub deny_write_execute: Result<(), Errno>,
}

const SECCOMP_RET_USER_NOTIF: u32 = 0x7fc0_0000;

pub fn survey() -> Kernel {
    Kernel {
        release: nix::sys::utsname::uname().map(|u| u.release().to_string_lossy().into_owned()).unwrap_or_default(),
        landlock: sys::landlock::abi(),
        seccomp: sys::seccomp::knows_action(SECCOMP_RET_USER_NOTIF),
        suid_dumpable: sysctl("/proc/sys/fs/suid_dumpable"),
        memfd_noexec: sysctl("/proc/sys/vm/memfd_noexec"),
        deny_write_execute: sys::process::denies_write_execute().map(drop),
        root_read_only: statvfs("/").is_ok_and(|root| root.flags().contains(FsFlags::ST_RDONLY)),
    }
}

/// Whether there is memory that nobody but its mappers can read (memfd_secret(2)); tried by filling a region.
pub fn hidden_memory() -> Result<(), Errno> {
    sys::hidden::region().and_then(|region| sys::hidden::fill(&region, &[]))
}

fn sysctl(path: &str) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
