//! The other names of a file: the links on the way to it, and the mounts under which the same file system shows it again.
//!
//! Landlock judges by where a file lies, so a grant of another name is a grant of the file.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use crate::refusal::{Refusal, cause};

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

/// The mounts of this process (proc_pid_mountinfo(5)), read once for a plan.
pub struct Mounts(Vec<Mount>);

impl Mounts {
    pub fn read() -> Result<Mounts, Refusal> {
        let text = std::fs::read("/proc/self/mountinfo").map_err(|error| {
            Refusal::host(
                format!(
                    "/proc/self/mountinfo cannot be read, so nothing says where else a file can be reached: {}",
                    cause(error)
                ),
                "mount /proc in full",
            )
        })?;
        Ok(Mounts::parse(&text))
    }

    fn parse(mountinfo: &[u8]) -> Mounts {
        Mounts(mountinfo.split(|byte| *byte == b'\n').filter_map(Mount::parse).collect())
    }

    /// Where else the file behind a real path can be reached: the same file system mounted again, or beneath an overlay of it.
    pub fn again(&self, real: &Path) -> Vec<PathBuf> {
        let mut found = bound(&self.0, real);
        found.extend(self.0.iter().flat_map(|mount| mount.overlaid(real)));
        // Joining nothing leaves a slash behind.
        found.into_iter().map(|path| path.components().collect::<PathBuf>()).filter(|path| path != real).collect()
    }
}

/// The same file system, or a part of it, mounted elsewhere.
fn bound(mounts: &[Mount], real: &Path) -> Vec<PathBuf> {
    // The last of the deepest: a later mount covers an earlier one at the same place.
    let holds =
        mounts.iter().filter(|mount| real.starts_with(&mount.at)).max_by_key(|mount| mount.at.components().count());
    let Some((own, below)) = holds.and_then(|own| Some((own, real.strip_prefix(&own.at).ok()?))) else {
        return Vec::new();
    };
    let inside = own.root.join(below);
    let same = mounts.iter().filter(|mount| mount.device == own.device);
    same.filter_map(|mount| Some(mount.at.join(inside.strip_prefix(&mount.root).ok()?))).collect()
}

struct Mount {
    device: Vec<u8>,
    /// What of its file system is mounted.
    root: PathBuf,
    at: PathBuf,
    /// The directories that an overlay shows as one (overlayfs.rst of the kernel).
    layers: Vec<PathBuf>,
}

impl Mount {
    /// `id parent device root at options [optional...] - type source super-options`: names may hold any byte but a blank.
    fn parse(line: &[u8]) -> Option<Mount> {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let dash = fields.iter().position(|field| *field == b"-")?;
        let kind = fields.get(dash + 1)?;
        let options = fields.get(dash + 3).copied().unwrap_or_default();
        let layers = if *kind == b"overlay" { layers(options) } else { Vec::new() };
        Some(Mount {
            device: fields.get(2)?.to_vec(),
            root: unescape(fields.get(3)?),
            at: unescape(fields.get(4)?),
            layers,
        })
    }

    /// Where this overlay shows a file of one of its layers.
    fn overlaid(&self, real: &Path) -> Vec<PathBuf> {
        let below = self.layers.iter().filter_map(|layer| real.strip_prefix(layer).ok());
        let shown =
            below.filter_map(|below| Path::new("/").join(below).strip_prefix(&self.root).ok().map(Path::to_owned));
        shown.map(|inside| self.at.join(inside)).collect()
    }
}

/// `lowerdir=a:b`, `lowerdir+=c`, `upperdir=d`, as they were given to mount(2).
fn layers(options: &[u8]) -> Vec<PathBuf> {
    let named = options.split(|byte| *byte == b',').filter_map(|option| {
        let at = option.iter().position(|byte| *byte == b'=')?;
        matches!(&option[..at], b"lowerdir" | b"lowerdir+" | b"upperdir").then_some(&option[at + 1..])
    });
    named.flat_map(|dirs| dirs.split(|byte| *byte == b':')).filter(|dir| !dir.is_empty()).map(unescape).collect()
}

/// Blanks and backslashes are written as three octal digits.
fn unescape(text: &[u8]) -> PathBuf {
    let (mut bytes, mut left) = (Vec::new(), text);
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

    fn aliases(mountinfo: &[u8], real: &Path) -> Vec<PathBuf> {
        Mounts::parse(mountinfo).again(real)
    }

    #[test]
    fn a_bind_mount_is_another_name() {
        let info = b"1 0 8:1 / / rw - ext4 a rw\n2 1 8:1 /srv/id /app/con\\040f rw - ext4 a rw\n3 1 8:2 / /data rw - ext4 b rw\n";
        assert_eq!(aliases(info, Path::new("/srv/id/key")), [PathBuf::from("/app/con f/key")]);
        assert_eq!(aliases(info, Path::new("/app/con f/key")), [PathBuf::from("/srv/id/key")]);
        assert!(aliases(info, Path::new("/data/key")).is_empty());
    }

    #[test]
    fn a_name_that_is_no_text_hides_no_other_mount() {
        let info = b"1 0 8:1 / / rw - ext4 a rw\n2 1 8:9 / /m\xff rw - tmpfs t rw\n3 1 8:1 /srv/id /app rw master:1 - ext4 a rw\n";
        assert_eq!(aliases(info, Path::new("/srv/id/key")), [PathBuf::from("/app/key")]);
    }

    #[test]
    fn an_overlay_shows_what_lies_in_its_layers() {
        let info = b"1 0 8:1 / / rw - ext4 a rw\n2 1 0:5 / /app rw - overlay o rw,lowerdir=/one:/srv/id,upperdir=/up,workdir=/w\n3 1 0:5 /deep /part rw - overlay o rw,lowerdir=/one:/srv/id,upperdir=/up,workdir=/w\n";
        assert_eq!(aliases(info, Path::new("/srv/id/key")), [PathBuf::from("/app/key")]);
        assert_eq!(
            aliases(info, Path::new("/up/deep/key")),
            [PathBuf::from("/app/deep/key"), PathBuf::from("/part/key")]
        );
        assert!(aliases(info, Path::new("/w/key")).is_empty());
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
