//! A sealed file's place: read it, then create or replace it whole or not at all, one writer at a time.
//!
//! Only ciphertext comes here. The new content is written to a file without a name (`O_TMPFILE`), brought to the disk,
//! and only then named and renamed over the old one: a reader sees the old file or the new one, and a process that is
//! killed leaves nothing (or, between two system calls, a whole ciphertext that the next writer removes). Where the
//! filesystem has no files without a name, a hidden one is used and removed on failure.
//!
//! Writers lock the folder, not the file, because a rename changes which file it is. A symbolic link is followed, and
//! the file it leads to is replaced, so that the link stays.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, renameat2};

use super::keys::io_text;
use super::open;
use crate::refusal::{Exit, Refusal};

/// A writer that waits longer meets one that hangs.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// A sealed file, or the place for one, that no other `seal` writes now.
pub struct Locked {
    /// Holds the lock.
    folder: File,
    path: PathBuf,
    /// The file that stands there.
    old: Option<Metadata>,
}

impl Locked {
    /// Locks a file that is there.
    pub fn existing(path: &Path) -> Result<Locked, Refusal> {
        // A missing file is told first by what a reader would say.
        let real = path.canonicalize().map_err(|error| {
            let hint = format!("`portcullis seal create -f {}` makes one", path.display());
            Refusal::config(format!("the sealed file {} cannot be found: {}", path.display(), io_text(&error)), hint)
        })?;
        let folder = lock(folder_of(&real), path)?;
        let old = fs::symlink_metadata(&real).map_err(|error| cannot(path, "read", &error))?;
        if !old.is_file() {
            return Err(Refusal::config(
                format!("{} is not a regular file", path.display()),
                "name a sealed file with -f",
            ));
        }
        Ok(Locked { folder, path: real, old: Some(old) })
    }

    /// Locks the place of a file that is not there yet.
    pub fn vacant(path: &Path) -> Result<Locked, Refusal> {
        let name = path.file_name().ok_or_else(|| Refusal::config("the file has no name", "name a file with -f"))?;
        let folder = folder_of(path).canonicalize().map_err(|error| cannot(path, "create", &error))?;
        let locked = Locked { folder: lock(&folder, path)?, path: folder.join(name), old: None };
        match fs::symlink_metadata(&locked.path) {
            Ok(_) => Err(occupied(path)),
            Err(_) => Ok(locked),
        }
    }

    pub fn read(&self) -> Result<Vec<u8>, Refusal> {
        open::read_file(&self.path)
    }

    /// Puts the new content in place, and gives up the lock. The mode of the old file stays, and its owner; a new file
    /// is its owner's alone.
    pub fn write(self, ciphertext: &[u8]) -> Result<(), Refusal> {
        let staged = self.stage(ciphertext).map_err(|error| cannot(&self.path, "write", &error))?;
        match &self.old {
            Some(_) => fs::rename(&staged.0, &self.path),
            None => {
                renameat2(AT_FDCWD, &staged.0, AT_FDCWD, &self.path, RenameFlags::RENAME_NOREPLACE).map_err(Into::into)
            }
        }
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => occupied(&self.path),
            _ => cannot(&self.path, "write", &error),
        })?;
        std::mem::forget(staged);
        self.folder.sync_all().map_err(|error| cannot(&self.path, "bring to the disk", &error))
    }

    /// The new content under a name of its own, complete and on the disk.
    fn stage(&self, ciphertext: &[u8]) -> io::Result<Staged> {
        let name = self.path.file_name().unwrap_or(OsStr::new("sealed")).to_string_lossy();
        let hidden = self.path.with_file_name(format!(".{name}.portcullis-new"));
        // Left by a writer that was killed: we have its lock.
        match fs::remove_file(&hidden) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
        match self.stage_unnamed(ciphertext, &hidden) {
            Err(error) if is_unsupported(&error) => self.stage_named(ciphertext, hidden),
            result => result.map(|()| Staged(hidden)),
        }
    }

    fn stage_unnamed(&self, ciphertext: &[u8], hidden: &Path) -> io::Result<()> {
        let flags = OFlag::O_TMPFILE.bits();
        let file = OpenOptions::new().write(true).mode(0o600).custom_flags(flags).open(folder_of(&self.path))?;
        self.fill(&file, ciphertext)?;
        let nameless = format!("/proc/self/fd/{}", file.as_raw_fd());
        let follow = AtFlags::AT_SYMLINK_FOLLOW;
        Ok(nix::unistd::linkat(AT_FDCWD, nameless.as_str(), AT_FDCWD, hidden, follow)?)
    }

    fn stage_named(&self, ciphertext: &[u8], hidden: PathBuf) -> io::Result<Staged> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&hidden)?;
        let staged = Staged(hidden);
        self.fill(&file, ciphertext)?;
        Ok(staged)
    }

    fn fill(&self, mut file: &File, ciphertext: &[u8]) -> io::Result<()> {
        file.write_all(ciphertext)?;
        if let Some(old) = &self.old {
            let new = file.metadata()?;
            if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
                fchown(file, Some(old.uid()), Some(old.gid()))?;
            }
            file.set_permissions(Permissions::from_mode(old.mode() & 0o777))?;
        }
        file.sync_all()
    }
}

/// A file that is removed unless it got its place.
struct Staged(PathBuf);

impl Drop for Staged {
    fn drop(&mut self) {
        // Failing leaves ciphertext alone, which the next writer removes.
        fs::remove_file(&self.0).ok();
    }
}

/// A filesystem without `O_TMPFILE` (NFS, FUSE, vfat), a kernel without it, or no /proc to name the file by.
fn is_unsupported(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let known = [Errno::EOPNOTSUPP, Errno::EISDIR, Errno::ENOENT, Errno::EINVAL, Errno::ENOSYS];
    error.raw_os_error().is_some_and(|number| known.contains(&Errno::from_raw(number)))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn lock(folder: &Path, path: &Path) -> Result<File, Refusal> {
    let file = File::open(folder).map_err(|error| cannot(path, "lock the folder of", &error))?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(cannot(path, "lock the folder of", &error)),
            Err(TryLockError::WouldBlock) if start.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(TryLockError::WouldBlock) => {
                let what = format!("another program has locked the folder of {} for 30 seconds", path.display());
                return Err(Refusal::config(what, "`fuser` on the folder names it; nothing was changed"));
            }
        }
    }
}

fn cannot(path: &Path, verb: &str, error: &io::Error) -> Refusal {
    let what = format!("cannot {verb} {}: {}", path.display(), io_text(error));
    Refusal::config(
        what,
        "its folder must be writable, and the owner of a file that is replaced must be kept; nothing was changed",
    )
}

fn occupied(path: &Path) -> Refusal {
    let hint =
        "`portcullis seal set NAME` changes it, `portcullis seal rekey` seals it for others; nothing was changed";
    Refusal::new(Exit::Usage, format!("{} is there already", path.display()), hint)
}

#[cfg(test)]
mod tests;
