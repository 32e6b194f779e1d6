//! The file that is executed: the program itself, or a sealed copy of mode 0111 that nobody can read.
//!
//! The kernel makes a process undumpable when its executor cannot read the image (`would_dump` in fs/exec.c): a memfd copy
//! of mode 0111 is such an image for everyone but root. The copy is sealed and its writable descriptor closed before the
//! exec, which would fail with ETXTBSY otherwise.

use std::ffi::CString;
use std::fs::{File, Permissions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::AccessFlags;

use crate::plan::{Image, Launch};
use crate::refusal::{Exit, Refusal, cause};
use crate::sys::memory::{self, Purpose};

/// The descriptor to execute (O_PATH, close-on-exec). Runs while the launcher still has the rights it was started with.
pub fn prepare(launch: &Launch) -> Result<OwnedFd, Refusal> {
    match &launch.image {
        Image::Direct => by_path(&launch.program),
        Image::ProgramCopy => copy(&launch.program, &launch.program),
        Image::LoaderCopy(loader) => copy(loader, &launch.program),
    }
}

/// Our own image, for a role. An unreadable copy keeps the role undumpable from its first instruction on: a tracer or an
/// open `/proc/PID/mem` of the moment before it could say so itself would outlive its saying so.
pub fn own(unreadable: bool) -> Result<OwnedFd, Refusal> {
    let path = Path::new("/proc/self/exe");
    let already = nix::unistd::access(path, AccessFlags::R_OK).is_err();
    if unreadable && !already { copy(path, Path::new("portcullis")) } else { by_path(path) }
}

fn by_path(path: &Path) -> Result<OwnedFd, Refusal> {
    open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map_err(|errno| unusable(path, errno.desc()))
}

/// `name` is what the process will be called in lists.
fn copy(from: &Path, name: &Path) -> Result<OwnedFd, Refusal> {
    let label = name.file_name().map(OsStrExt::as_bytes).unwrap_or(b"program");
    let label = CString::new(&label[..label.len().min(200)]).map_err(|_| unusable(name, "its name has a NUL byte"))?;
    let memory = memory::sealable(&label, Purpose::Program).map_err(|errno| no_copy(from, errno.desc()))?;
    let mut source = File::open(from).map_err(|error| unusable(from, &cause(error)))?;
    let mut target = File::from(memory);
    std::io::copy(&mut source, &mut target).map_err(|error| no_copy(from, &cause(error)))?;
    target.set_permissions(Permissions::from_mode(0o111)).map_err(|error| no_copy(from, &cause(error)))?;
    seal(OwnedFd::from(target), from)
}

fn seal(memory: OwnedFd, from: &Path) -> Result<OwnedFd, Refusal> {
    let data = libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
    match memory::seal(&memory, data | memory::F_SEAL_EXEC) {
        // Before Linux 6.3 the exec bit cannot be sealed; the content can.
        Err(Errno::EINVAL) => memory::seal(&memory, data),
        other => other,
    }
    .map_err(|errno| no_copy(from, errno.desc()))?;
    let reopened = format!("/proc/self/fd/{}", memory.as_raw_fd());
    open(reopened.as_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map_err(|errno| match errno {
        Errno::ENOENT => {
            Refusal::host("/proc shows no descriptors of this process", "mount /proc: portcullis verifies itself there")
        }
        errno => no_copy(from, errno.desc()),
    })
}

fn unusable(path: &Path, why: &str) -> Refusal {
    Refusal::new(
        Exit::NotExecutable,
        format!("`{}` cannot be read: {why}", path.display()),
        "check the file's permissions",
    )
}

fn no_copy(path: &Path, why: &str) -> Refusal {
    Refusal::host(
        format!("no unreadable copy of `{}` could be made in memory: {why}", path.display()),
        match why {
            "File too large" => {
                "raise the limit on file sizes outside (ulimit -f, docker run --ulimit fsize, LimitFSIZE)"
            }
            _ => {
                "an outer sandbox may forbid memfd_create; allow it, or accept a dumpable program: workload.shield = \"off\""
            }
        },
    )
}
