//! Opening a file for the fetcher with root's rights, without doing a plain user's will: every link on the way is judged as it
//! is followed, on descriptors, so that nothing can be swapped in between.
//!
//! A link that a plain user owns may lead only to a file of that user. Root's own links (a Kubernetes volume's `..data`) may
//! lead anywhere.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};

use crate::refusal::Refusal;

/// As many as the kernel follows (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// A regular file, read-only. `as_root`: with rights that others do not have, whose links are then judged.
pub fn regular(path: &Path, as_root: bool) -> Result<OwnedFd, Refusal> {
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
    open(format!("/proc/self/fd/{}", found.file.as_raw_fd()).as_str(), flags, Mode::empty()).map_err(cannot)
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
    while let Some(part) = left.pop_front() {
        let next = openat(&at, part.as_os_str(), OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
        let stat = fstat(&next)?;
        if kind(&stat) != SFlag::S_IFLNK {
            at = next;
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
    Ok(Found { file: at, owners })
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
}
