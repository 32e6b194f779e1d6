//! Files: to read, change and execute what no grant covers.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::errno::Errno;

use super::{Attempt, Outcome, always, errno, must, unless};
use crate::probe::facts::{Facts, MARK};
use crate::sys::attempt::{Arg, call};
use crate::sys::descriptors;

const GRANTS: &str = "Landlock: no grant covers it";
const FILTER: &str = "the filter";

pub const ATTEMPTS: &[Attempt] = &[
    unless("files", "read a file outside the grants", GRANTS, no_place, |f| read(&outside(f, "secret")?)),
    unless("files", "read it by openat2", GRANTS, no_place, openat2),
    unless("files", "read it through /proc/self/root", GRANTS, no_place, |f| {
        read(&Path::new("/proc/self/root").join(outside(f, "secret")?.strip_prefix("/").map_err(|_| Errno::EINVAL)?))
    }),
    unless("files", "read it by a relative path after chdir", GRANTS, no_place, |f| {
        std::env::set_current_dir(outside(f, "")?).map_err(errno)?;
        read(Path::new("secret"))
    }),
    unless("files", "read it by an O_PATH descriptor opened anew", GRANTS, no_place, |f| {
        let fd = options().custom_flags(libc::O_PATH).open(outside(f, "secret")?).map_err(errno)?;
        read(Path::new(&format!("/proc/self/fd/{}", fd.as_raw_fd())))
    }),
    unless("files", "read it through /proc/PID/root of another process", GRANTS, no_place, |f| {
        let path = outside(f, "secret")?;
        read(
            &PathBuf::from(format!("/proc/{}/root", f.target)).join(path.strip_prefix("/").map_err(|_| Errno::EINVAL)?),
        )
    }),
    unless("files", "list the directory", GRANTS, no_place, |f| list(&outside(f, "")?)),
    always("files", "list the root directory", GRANTS, |_| list(Path::new("/"))),
    unless("files", "write to a file outside the grants", GRANTS, no_place, |f| write(&outside(f, "file")?)),
    unless("files", "truncate it", GRANTS, no_place, |f| {
        let path = text(&outside(f, "file")?)?;
        call(libc::SYS_truncate, &mut [Arg::Text(&path), Arg::Number(1)]).map(drop)
    }),
    unless("files", "make a file", GRANTS, no_place, |f| File::create(outside(f, "made")?).map(drop).map_err(errno)),
    unless("files", "make a directory", GRANTS, no_place, |f| fs::create_dir(outside(f, "made-dir")?).map_err(errno)),
    unless("files", "make a symbolic link", GRANTS, no_place, |f| symlink("file", outside(f, "link")?).map_err(errno)),
    unless("files", "make a second name", GRANTS, no_place, |f| {
        fs::hard_link(outside(f, "file")?, outside(f, "second")?).map_err(errno)
    }),
    unless("files", "make a fifo", GRANTS, no_place, |f| {
        let path = text(&outside(f, "fifo")?)?;
        let mode = u64::from(libc::S_IFIFO | 0o600);
        call(libc::SYS_mknodat, &mut [here(), Arg::Text(&path), Arg::Number(mode)]).map(drop)
    }),
    unless("files", "rename a file", GRANTS, no_place, |f| {
        fs::rename(outside(f, "rename")?, outside(f, "renamed")?).map_err(errno)
    }),
    unless("files", "remove a file", GRANTS, no_place, |f| fs::remove_file(outside(f, "remove")?).map_err(errno)),
    unless("files", "remove a directory", GRANTS, no_place, |f| fs::remove_dir(outside(f, "empty")?).map_err(errno)),
    unless("files", "read it through a link in a writable directory", GRANTS, no_write, |f| {
        let link = own(f, "link")?;
        symlink(outside(f, "secret")?, &link).map_err(errno)?;
        let done = read(&link);
        fs::remove_file(&link).map_err(errno)?;
        done
    }),
    unless("files", "read it by a second name in a writable directory", GRANTS, no_write, |f| {
        let name = own(f, "hard")?;
        fs::hard_link(outside(f, "secret")?, &name).map_err(errno)?;
        fs::remove_file(&name).map_err(errno)
    }),
    unless("files", "write to a file that may be read", GRANTS, no_read, |f| {
        write(f.read.as_deref().ok_or(Errno::ENOENT)?)
    }),
    unless("files", "read a file that fetched a secret", GRANTS, no_identity, |f| {
        f.identities.iter().find_map(|path| File::open(path).ok()).map(drop).ok_or(Errno::EACCES)
    }),
    unless("execution", "execute a program outside the grants", GRANTS, no_place, |f| execute(&outside(f, "program")?)),
    unless("execution", "execute it by its descriptor", FILTER, no_place, |f| {
        let fd = options().custom_flags(libc::O_PATH).open(outside(f, "program")?).map_err(errno)?;
        by_descriptor(fd)
    }),
    unless("execution", "execute a program that it wrote itself", GRANTS, no_write, |f| {
        let path = own(f, "program")?;
        fs::write(&path, "#!/bin/sh\nexit 0\n").map_err(errno)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(errno)?;
        let done = execute(&path);
        fs::remove_file(&path).map_err(errno)?;
        done
    }),
    always("execution", "make a file in memory that can be executed", FILTER, |_| {
        call(libc::SYS_memfd_create, &mut [Arg::Text(c"program"), Arg::Number(1)]).map(drop)
    }),
    always("execution", "execute a program in memory", FILTER, |_| {
        let fd = call(libc::SYS_memfd_create, &mut [Arg::Text(c"program"), Arg::Number(0)])?;
        let mut script = File::from(descriptors::received(fd as i32));
        std::io::Write::write_all(&mut script, b"#!/bin/sh\nexit 0\n").map_err(errno)?;
        by_descriptor(script)
    }),
    unless("metadata", "change the mode of a file outside the grants", FILTER, priced, |f| {
        let path = text(&outside(f, "file")?)?;
        call(libc::SYS_fchmodat, &mut [here(), Arg::Text(&path), Arg::Number(0o640)]).map(drop)
    }),
    unless("metadata", "change its owner", FILTER, priced, |f| {
        let path = text(&outside(f, "file")?)?;
        let same = u64::from(u32::MAX);
        call(libc::SYS_fchownat, &mut [here(), Arg::Text(&path), Arg::Number(same), Arg::Number(same), Arg::Number(0)])
            .map(drop)
    }),
    unless("metadata", "change its times", FILTER, priced, |f| {
        let path = text(&outside(f, "file")?)?;
        call(libc::SYS_utimensat, &mut [here(), Arg::Text(&path), Arg::Number(0), Arg::Number(0)]).map(drop)
    }),
    unless("metadata", "change its attributes", FILTER, no_place, |f| {
        let path = text(&outside(f, "file")?)?;
        let mut value = *b"x";
        call(
            libc::SYS_setxattr,
            &mut [Arg::Text(&path), Arg::Text(c"user.probe"), Arg::Bytes(&mut value), Arg::Number(1)],
        )
        .map(drop)
    }),
    unless("metadata", "watch the directory by inotify", "nobody", unholdable, |_| Err(Errno::EPERM)),
    unless("metadata", "watch the directory by fanotify", FILTER, no_place, |_| {
        const FAN_REPORT_FID: u64 = 0x200;
        call(libc::SYS_fanotify_init, &mut [Arg::Number(FAN_REPORT_FID), Arg::Number(0)]).map(drop)
    }),
    unless("metadata", "take a handle of a file outside", FILTER, no_place, |f| {
        let path = text(&outside(f, "file")?)?;
        let (mut handle, mut mount) = ([0u8; 136], [0u8; 4]);
        handle[0] = 128;
        call(
            libc::SYS_name_to_handle_at,
            &mut [here(), Arg::Text(&path), Arg::Bytes(&mut handle), Arg::Bytes(&mut mount)],
        )
        .map(drop)
    }),
];

fn no_place(f: &Facts) -> Option<&'static str> {
    f.outside.is_none().then_some("no directory outside the grants in which the probe may put a file")
}

fn no_write(f: &Facts) -> Option<&'static str> {
    no_place(f).or_else(|| f.write.is_none().then_some("confine.write names no directory"))
}

fn no_read(f: &Facts) -> Option<&'static str> {
    f.read.is_none().then_some("confine.read names no file")
}

fn no_identity(f: &Facts) -> Option<&'static str> {
    f.identities.is_empty().then_some("no file fetches a secret")
}

fn priced(f: &Facts) -> Option<&'static str> {
    let chosen =
        f.write.is_some().then_some("confine.write is given: the price is the metadata of the same user's files");
    no_place(f).or(chosen)
}

fn unholdable(_: &Facts) -> Option<&'static str> {
    Some("no unprivileged cage holds it: that something happens can be seen, not what")
}

fn outside(f: &Facts, name: &str) -> Result<PathBuf, Errno> {
    f.outside.as_ref().map(|dir| dir.join(name)).ok_or(Errno::ENOENT)
}

/// A name in the writable directory that nothing else has.
fn own(f: &Facts, name: &str) -> Result<PathBuf, Errno> {
    let dir = f.write.as_ref().ok_or(Errno::ENOENT)?;
    Ok(dir.join(format!(".portcullis-probe-{}-{name}", std::process::id())))
}

fn here() -> Arg<'static> {
    Arg::Number(libc::AT_FDCWD as u64)
}

fn text(path: &Path) -> Result<CString, Errno> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)
}

fn options() -> OpenOptions {
    let mut options = File::options();
    options.read(true);
    options
}

fn read(path: &Path) -> Outcome {
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(errno)?;
    must(bytes.starts_with(MARK), Errno::EIO)
}

fn openat2(f: &Facts) -> Outcome {
    let path = text(&outside(f, "secret")?)?;
    let mut how = [0u8; 24];
    call(libc::SYS_openat2, &mut [here(), Arg::Text(&path), Arg::Bytes(&mut how), Arg::Number(24)]).map(drop)
}

fn write(path: &Path) -> Outcome {
    File::options().append(true).open(path).map(drop).map_err(errno)
}

fn list(path: &Path) -> Outcome {
    fs::read_dir(path).map_err(errno)?.next().ok_or(Errno::ENOENT)?.map(drop).map_err(errno)
}

fn execute(path: &Path) -> Outcome {
    let mut command = Command::new(path);
    command.arg("--version").env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(_) => Ok(()),
        // A shell that is missing is no cage.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        Err(error) => Err(errno(error)),
    }
}

/// Replaces this throw-away process: only a failure comes back. The new program ends with 0, which reads as done, and so do
/// the errors of a script that was let through and could not be read by its shell, or has none.
fn by_descriptor(file: File) -> Outcome {
    let mut argv = [0u8; 24];
    let name = c"program";
    argv[..8].copy_from_slice(&(name.as_ptr() as u64).to_ne_bytes());
    let option = c"--version";
    argv[8..16].copy_from_slice(&(option.as_ptr() as u64).to_ne_bytes());
    let mut none = [0u8; 8];
    let fd = file.as_fd().as_raw_fd() as u64;
    let flags = libc::AT_EMPTY_PATH as u64;
    let empty = Arg::Text(c"");
    let done = call(
        libc::SYS_execveat,
        &mut [Arg::Number(fd), empty, Arg::Bytes(&mut argv), Arg::Bytes(&mut none), Arg::Number(flags)],
    );
    match done {
        Err(Errno::ENOENT | Errno::ENOEXEC) => Ok(()),
        other => other.map(drop),
    }
}
