//! Opening a file for the fetcher with root's rights, without doing a plain user's will: every link on the way is judged as it
//! is followed, on descriptors, so that nothing can be swapped in between.
//!
//! A link that a plain user owns may lead only to a file of that user. Root's own links (a Kubernetes volume's `..data`) may
//! lead anywhere.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{AccessFlags, UnlinkatFlags, faccessat, unlinkat};

use crate::refusal::Refusal;

/// As many as the kernel follows (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// A regular file, read-only. `as_root`: with rights that others do not have, whose links are then judged.
pub fn regular(path: &Path, as_root: bool) -> Result<OwnedFd, Refusal> {
    place(path, as_root).map(|(file, _)| file)
}

/// The same for a file that is removed once it was used; refused at once where that could not be done.
pub fn single_use(path: &Path, as_root: bool) -> Result<(OwnedFd, Removable), Refusal> {
    let (file, place) = place(path, as_root)?;
    let writable = faccessat(&place.directory, ".", AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::AT_EACCESS);
    writable.map_err(|errno| place.stays(errno))?;
    Ok((file, place))
}

/// A file by the directory that holds it: whatever is exchanged on the way to it later, no other file is removed.
pub struct Removable {
    path: PathBuf,
    directory: OwnedFd,
    name: OsString,
    /// Device and inode of the file that was opened.
    file: (u64, u64),
}

impl Removable {
    pub fn remove(&self) -> Result<(), Refusal> {
        let there = fstatat(&self.directory, self.name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
            .map_err(|errno| self.stays(errno))?;
        if (there.st_dev, there.st_ino) != self.file {
            return Err(Refusal::config(
                format!("`{}` was exchanged while it was used, and is left as it is", self.path.display()),
                "deliver a single-use identity before the start, and not while it runs",
            ));
        }
        unlinkat(&self.directory, self.name.as_os_str(), UnlinkatFlags::NoRemoveDir).map_err(|errno| self.stays(errno))
    }

    fn stays(&self, errno: Errno) -> Refusal {
        Refusal::config(
            format!("`{}` cannot be removed after its use: {}", self.path.display(), errno.desc().to_lowercase()),
            "put it in a directory that the user who starts portcullis may write to, or leave out single_use",
        )
    }
}

fn place(path: &Path, as_root: bool) -> Result<(OwnedFd, Removable), Refusal> {
    let cannot = |errno: Errno| cannot(path, errno);
    let found = walk(path).map_err(cannot)?;
    let stat = fstat(&found.file).map_err(cannot)?;
    if kind(&stat) != SFlag::S_IFREG {
        return Err(Refusal::config(format!("`{}` is not a regular file", path.display()), "name a regular file"));
    }
    if as_root {
        let foreign = found.owners.iter().find(|owner| **owner != 0 && **owner != stat.st_uid);
        if let Some(owner) = foreign {
            return Err(Refusal::config(
                format!(
                    "`{}` is reached by a link of user {owner}, and the file belongs to user {}",
                    path.display(),
                    stat.st_uid
                ),
                "name the file itself, or give the link to root (chown -h root)",
            ));
        }
        if stat.st_nlink > 1 {
            return Err(Refusal::config(
                format!("`{}` has {} hard links, so it may be another's file", path.display(), stat.st_nlink),
                "make it a file of its own: cp it to a new name, and remove the old ones",
            ));
        }
    }
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let name = format!("/proc/self/fd/{}", found.file.as_raw_fd());
    let file = open(name.as_str(), flags, Mode::empty()).map_err(cannot)?;
    let Found { directory, name, .. } = found;
    Ok((file, Removable { path: path.to_owned(), directory, name, file: (stat.st_dev, stat.st_ino) }))
}

fn cannot(path: &Path, errno: Errno) -> Refusal {
    let what = format!("`{}` cannot be read: {}", path.display(), errno.desc());
    match errno {
        Errno::EMFILE | Errno::ENFILE => Refusal::host(
            what,
            "raise the limit on open files (ulimit -n, LimitNOFILE=, docker run --ulimit nofile), or keep several secrets in one file",
        ),
        Errno::ENOMEM => Refusal::host(what, "raise the memory limit"),
        _ => Refusal::config(what, "give the user that portcullis is started as access to it"),
    }
}

struct Found {
    /// O_PATH: what the whole way led to.
    file: OwnedFd,
    /// Where that lies, and its name there, without any link.
    directory: OwnedFd,
    name: OsString,
    /// Who owns the links that were followed.
    owners: Vec<u32>,
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

fn root() -> Result<OwnedFd, Errno> {
    open("/", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

fn walk(path: &Path) -> Result<Found, Errno> {
    let mut left = parts(path);
    let (mut at, mut owners) = (root()?, Vec::new());
    let (mut directory, mut last) = (root()?, OsString::from("."));
    while let Some(part) = left.pop_front() {
        let next = openat(&at, part.as_os_str(), OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
        let stat = fstat(&next)?;
        if kind(&stat) != SFlag::S_IFLNK {
            (directory, last, at) = (at, part, next);
            continue;
        }
        owners.push(stat.st_uid);
        if owners.len() > MOST_LINKS {
            return Err(Errno::ELOOP);
        }
        let target = readlinkat(&next, OsStr::new(""))?;
        if Path::new(&target).is_absolute() {
            at = root()?;
        }
        parts(Path::new(&target)).into_iter().rev().for_each(|part| left.push_front(part));
    }
    Ok(Found { file: at, directory, name: last, owners })
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let named = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, lchown, symlink};

    use super::*;

    #[test]
    fn a_users_link_leads_to_that_users_files_alone() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("roots"), "x").unwrap();
        std::fs::write(path("users"), "x").unwrap();
        chown(path("users"), Some(65532), Some(65532)).unwrap();
        for (link, target, owner) in
            [("r-r", "roots", 0), ("r-u", "users", 0), ("u-u", "users", 65532), ("u-r", "roots", 65532)]
        {
            symlink(target, path(link)).unwrap();
            lchown(path(link), Some(owner), None).unwrap();
            assert_eq!(regular(&path(link), true).is_ok(), link != "u-r", "{link}");
        }
        symlink("u-r", path("far")).unwrap();
        assert!(regular(&path("far"), true).is_err(), "a link in the middle counts");
        std::fs::hard_link(path("roots"), path("again")).unwrap();
        assert!(regular(&path("roots"), true).is_err(), "hard links");
        assert!(regular(&path("roots"), false).is_ok(), "a plain user's own business");
        assert!(regular(dir.path(), true).is_err() && regular(&path("none"), true).is_err());
    }

    #[test]
    fn the_very_file_that_was_opened_is_removed_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir(path("real")).unwrap();
        std::fs::write(path("real/id"), "x").unwrap();
        symlink("real", path("link")).unwrap();
        let (_file, place) = single_use(&path("link/id"), false).unwrap();
        std::fs::rename(path("real"), path("moved")).unwrap();
        std::fs::create_dir(path("real")).unwrap();
        std::fs::write(path("real/id"), "another").unwrap();
        place.remove().unwrap();
        assert!(!path("moved/id").exists() && path("real/id").exists());
        assert!(place.remove().is_err(), "it is gone");

        let (_file, place) = single_use(&path("real/id"), false).unwrap();
        std::fs::write(path("real/new"), "exchanged").unwrap();
        std::fs::rename(path("real/new"), path("real/id")).unwrap();
        assert!(place.remove().unwrap_err().what.contains("exchanged while it was used"));
        assert!(path("real/id").exists());
    }
}
