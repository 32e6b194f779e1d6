//! Volumes whose files are swapped together: all secrets of one start come from one generation of them.
//!
//! The kubelet keeps each generation in a folder of its own and leads to it by the link `..data`; every name is a link to
//! `..data/NAME`, and an update swaps `..data` (pkg/volume/util/atomic_writer.go in Kubernetes). Names that are opened one
//! by one could straddle the swap: a key of yesterday with a secret of today. Nothing is opened here.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

const DATA: &str = "..data";

/// The generation of each volume, as it was when the first of its names was asked for.
pub struct Volumes {
    generations: BTreeMap<PathBuf, PathBuf>,
    as_root: bool,
}

impl Volumes {
    /// `as_root`: with rights that others do not have. A plain user's `..data` is then left to whoever judges links.
    pub fn new(as_root: bool) -> Volumes {
        Volumes { generations: BTreeMap::new(), as_root }
    }

    /// Where to open a file: in its volume's generation, or by the path itself where there is no such volume.
    pub fn path(&mut self, file: &Path) -> PathBuf {
        let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else { return file.to_owned() };
        if std::fs::read_link(file).ok().as_deref() != Some(&Path::new(DATA).join(name)) {
            return file.to_owned();
        }
        match self.generation(folder) {
            Some(generation) => generation.join(name),
            None => file.to_owned(),
        }
    }

    fn generation(&mut self, folder: &Path) -> Option<PathBuf> {
        if let Some(known) = self.generations.get(folder) {
            return Some(known.clone());
        }
        let link = folder.join(DATA);
        let owner = std::fs::symlink_metadata(&link).ok()?.uid();
        let target = std::fs::read_link(&link).ok()?;
        if (self.as_root && owner != 0) || !is_a_name(&target) {
            return None;
        }
        let generation = folder.join(target);
        self.generations.insert(folder.to_owned(), generation.clone());
        Some(generation)
    }
}

/// A folder beside the link, and no way to anywhere else.
fn is_a_name(target: &Path) -> bool {
    let mut parts = target.components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(name)), None) if name != OsStr::new(DATA))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_swap_between_two_names_changes_nothing_for_this_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        symlink("..1", path(DATA)).unwrap();
        for name in ["a", "b"] {
            symlink(Path::new(DATA).join(name), path(name)).unwrap();
        }
        let mut volumes = Volumes::new(false);
        assert_eq!(volumes.path(&path("a")), path("..1/a"));
        std::fs::remove_file(path(DATA)).unwrap();
        symlink("..2", path(DATA)).unwrap();
        assert_eq!(volumes.path(&path("b")), path("..1/b"));
        assert_eq!(Volumes::new(false).path(&path("b")), path("..2/b"), "the next start takes the new one");
    }

    #[test]
    fn what_is_no_such_volume_is_opened_by_its_own_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("plain"), "x").unwrap();
        symlink("plain", path("link")).unwrap();
        symlink("../elsewhere", path(DATA)).unwrap();
        symlink("..data/led-away", path("led-away")).unwrap();
        for name in ["plain", "link", "led-away", "none"] {
            assert_eq!(Volumes::new(false).path(&path(name)), path(name), "{name}");
        }
    }
}
