//! The other names of a file: the links on the way to it, and the mounts under which the same file system shows it again.
//!
//! Landlock judges by where a file lies, so a grant of another name is a grant of the file.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// More links on one way than this the kernel does not follow (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// Every symbolic link that is followed on the way to a path, by where the link itself lies.
pub fn links(path: &Path) -> Vec<PathBuf> {
    let mut left: VecDeque<OsString> = parts(path);
    let (mut at, mut found) = (PathBuf::from("/"), Vec::new());
    while let Some(part) = left.pop_front() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        let Ok(target) = std::fs::read_link(&next) else {
            at = next;
            continue;
        };
        found.push(next);
        if found.len() > MOST_LINKS {
            return found;
        }
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        parts(&target).into_iter().rev().for_each(|part| left.push_front(part));
    }
    found
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let named = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    });
    named.collect()
}

/// Where else the file behind a real path can be reached, by the mounts of this process (proc_pid_mountinfo(5)).
pub fn mounted_again(real: &Path) -> Vec<PathBuf> {
    aliases(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default(), real)
}

fn aliases(mountinfo: &str, real: &Path) -> Vec<PathBuf> {
    let mounts: Vec<Mount> = mountinfo.lines().filter_map(Mount::parse).collect();
    // The last of the deepest: a later mount covers an earlier one at the same place.
    let holds =
        mounts.iter().filter(|mount| real.starts_with(&mount.at)).max_by_key(|mount| mount.at.components().count());
    let Some((own, below)) = holds.and_then(|own| Some((own, real.strip_prefix(&own.at).ok()?))) else {
        return Vec::new();
    };
    let inside = own.root.join(below);
    let same = mounts.iter().filter(|mount| mount.device == own.device);
    let again = same.filter_map(|mount| Some(mount.at.join(inside.strip_prefix(&mount.root).ok()?)));
    // Joining nothing leaves a slash behind.
    again.map(|path| path.components().collect::<PathBuf>()).filter(|path| path != real).collect()
}

struct Mount {
    device: String,
    /// What of its file system is mounted.
    root: PathBuf,
    at: PathBuf,
}

impl Mount {
    fn parse(line: &str) -> Option<Mount> {
        let mut fields = line.split(' ').skip(2);
        let device = fields.next()?.to_owned();
        Some(Mount { device, root: unescape(fields.next()?), at: unescape(fields.next()?) })
    }
}

/// Blanks and backslashes are written as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let (mut bytes, mut left) = (Vec::new(), text.as_bytes());
    while let [first, rest @ ..] = left {
        let octal =
            (*first == b'\\').then(|| rest.get(..3)).flatten().and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                left = &rest[3..];
            }
            None => {
                bytes.push(*first);
                left = rest;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bind_mount_is_another_name() {
        let info = "1 0 8:1 / / rw - ext4 a rw\n2 1 8:1 /srv/id /app/con\\040f rw - ext4 a rw\n3 1 8:2 / /data rw - ext4 b rw\n";
        assert_eq!(aliases(info, Path::new("/srv/id/key")), [PathBuf::from("/app/con f/key")]);
        assert_eq!(aliases(info, Path::new("/app/con f/key")), [PathBuf::from("/srv/id/key")]);
        assert!(aliases(info, Path::new("/data/key")).is_empty());
    }

    #[test]
    fn every_link_on_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        std::fs::write(real.join("key"), "x").unwrap();
        std::os::unix::fs::symlink(real.join("key"), real.join("middle")).unwrap();
        std::os::unix::fs::symlink("middle", real.join("first")).unwrap();
        assert_eq!(links(&real.join("first")), [real.join("first"), real.join("middle")]);
        assert!(links(&real.join("key")).is_empty());
    }

    #[test]
    fn a_circle_of_links_ends() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("b", dir.path().join("a")).unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("b")).unwrap();
        assert!(links(&dir.path().join("a")).len() > MOST_LINKS);
    }
}
