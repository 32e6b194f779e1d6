//! The Landlock version question, which the `landlock` crate answers only by best effort.

use nix::errno::Errno;

use super::check;

/// The kernel's Landlock ABI (landlock_create_ruleset(2) with LANDLOCK_CREATE_RULESET_VERSION).
///
/// Errors: ENOSYS where the kernel is built without it, EOPNOTSUPP where it is off at boot, EPERM or ENOSYS where an outer
/// sandbox withholds it.
pub fn abi() -> Result<u32, Errno> {
    const VERSION: libc::c_ulong = 1;
    // SAFETY: with a null attribute of size 0 the kernel reads no memory and answers a number.
    let abi = check(unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0usize, VERSION)
    })?;
    Ok(abi as u32)
}
