//! Memory without a name that only its mappers can read: not by `/proc/PID/mem`, not by ptrace, not by root, and never
//! swapped (memfd_secret(2), Linux 5.14; off by default before 6.5). It counts against RLIMIT_MEMLOCK.
//!
//! It travels as a descriptor: whoever holds that can map it, and nothing else can be done with it.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use zeroize::Zeroizing;

use super::{NOT_DONE, check};

/// The size of every region, in bytes: a token, and some hundred lease ids.
pub const SIZE: usize = 32 * 1024;
/// Before the content stands its length.
const HEAD: usize = size_of::<u32>();

/// An empty region of [`SIZE`] bytes, close-on-exec.
pub fn region() -> Result<OwnedFd, Errno> {
    // SAFETY: the call takes one integer and touches no memory of ours.
    let fd = check(unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) })?;
    if fd <= 2 {
        // The standard streams are open: a success of that number is an outer filter's, and nothing was made.
        return Err(NOT_DONE);
    }
    // SAFETY: the kernel has just made this descriptor and nobody else owns it.
    sized(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Gives a descriptor of memory the size of a region.
pub fn sized(fd: OwnedFd) -> Result<OwnedFd, Errno> {
    nix::unistd::ftruncate(&fd, SIZE as i64)?;
    Ok(fd)
}

/// Writes the content of a region. EFBIG: it does not fit; EAGAIN: the limit on locked memory is reached.
pub fn fill(region: &OwnedFd, content: &[u8]) -> Result<(), Errno> {
    let length =
        u32::try_from(content.len()).ok().filter(|length| *length as usize <= SIZE - HEAD).ok_or(Errno::EFBIG)?;
    let mapping = Mapping::of(region, libc::PROT_READ | libc::PROT_WRITE)?;
    // SAFETY: the mapping is SIZE bytes, writable, and nobody else's in this process; HEAD and the content fit into it, as
    // compared above, and neither overlaps it.
    unsafe {
        ptr::copy_nonoverlapping(length.to_ne_bytes().as_ptr(), mapping.0, HEAD);
        ptr::copy_nonoverlapping(content.as_ptr(), mapping.0.add(HEAD), content.len());
    }
    Ok(())
}

/// A copy of the content, wiped when dropped: for a process that ends soon. EBADMSG: what stands there is no content.
pub fn read(region: &OwnedFd) -> Result<Zeroizing<Vec<u8>>, Errno> {
    let mapping = Mapping::of(region, libc::PROT_READ)?;
    let mut head = [0u8; HEAD];
    // SAFETY: the mapping is SIZE bytes and readable, HEAD is less, and the local does not overlap it.
    unsafe { ptr::copy_nonoverlapping(mapping.0, head.as_mut_ptr(), HEAD) };
    let length = u32::from_ne_bytes(head) as usize;
    if length > SIZE - HEAD {
        return Err(Errno::EBADMSG);
    }
    let mut content = Zeroizing::new(vec![0u8; length]);
    // SAFETY: HEAD + length is at most SIZE, as compared above; the vector has `length` bytes and does not overlap.
    unsafe { ptr::copy_nonoverlapping(mapping.0.add(HEAD), content.as_mut_ptr(), length) };
    Ok(content)
}

/// A whole region, unmapped when dropped.
struct Mapping(*mut u8);

impl Mapping {
    fn of(region: &OwnedFd, protection: libc::c_int) -> Result<Mapping, Errno> {
        let size = nix::sys::stat::fstat(region)?.st_size;
        if size != SIZE as i64 {
            // A shorter file would end this process by SIGBUS at the first access beyond it.
            return Err(Errno::EBADMSG);
        }
        // SAFETY: a new mapping at an address of the kernel's choice replaces none of ours; its file is SIZE bytes long.
        let at = unsafe { libc::mmap(ptr::null_mut(), SIZE, protection, libc::MAP_SHARED, region.as_raw_fd(), 0) };
        if at == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(Mapping(at.cast())) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is the mapping made in `of`, and no reference into it outlives the functions above.
        unsafe { libc::munmap(self.0.cast(), SIZE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_read_and_nothing_else_can_read_it() {
        let region = match region() {
            Ok(region) => region,
            Err(errno) => return println!("SKIP hidden memory: {errno}"),
        };
        assert_eq!(read(&region).unwrap().as_slice(), b"", "a new region is empty");
        fill(&region, b"a-token-of-a-store").unwrap();
        assert_eq!(read(&region).unwrap().as_slice(), b"a-token-of-a-store");
        assert_eq!(fill(&region, &vec![1; SIZE]), Err(Errno::EFBIG));
        let mut bytes = [0u8; 16];
        assert!(nix::unistd::read(&region, &mut bytes).is_err(), "it has no read(2)");
        let own = Mapping::of(&region, libc::PROT_READ).unwrap();
        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        assert!(
            std::os::unix::fs::FileExt::read_at(&memory, &mut bytes, own.0 as u64).is_err(),
            "nor by /proc/self/mem"
        );
    }

    #[test]
    fn a_file_of_another_size_is_no_region() {
        let file = OwnedFd::from(tempfile::tempfile().unwrap());
        assert_eq!(fill(&file, b"x"), Err(Errno::EBADMSG));
        assert!(read(&file).is_err());
    }
}
