//! Who may read a file by its mode bits (path_resolution(7), inode(7)): for notes, since Landlock keeps the workload itself out.
//!
//! Access control lists are not looked at: where one exists, the group's bits are its mask, and may say more than it grants.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::model::Ids;

const READ: u32 = 4;
const SEARCH: u32 = 1;

/// Whether these ids may open a file to read it, at every step of the way.
pub fn may_read(path: &Path, ids: &Ids) -> bool {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut way = real.ancestors();
    way.next().is_some_and(|file| may(file, READ, ids)) && way.all(|folder| may(folder, SEARCH, ids))
}

fn may(path: &Path, bit: u32, ids: &Ids) -> bool {
    let Ok(found) = path.metadata() else { return false };
    let shift = if found.uid() == ids.uid {
        6
    } else if found.gid() == ids.gid || ids.groups.contains(&found.gid()) {
        3
    } else {
        0
    };
    found.mode() >> shift & bit != 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path, bits: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(bits)).unwrap();
    }

    #[test]
    fn the_class_that_fits_first_decides_and_the_way_counts() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        std::fs::write(&file, "x").unwrap();
        let owner = file.metadata().unwrap();
        let ids = |uid, gid, groups: &[u32]| Ids { uid, gid, groups: groups.to_vec(), change: true };
        mode(dir.path(), 0o755);
        for (bits, own, group, other) in
            [(0o400, true, false, false), (0o440, true, true, false), (0o604, true, false, true)]
        {
            mode(&file, bits);
            assert_eq!(may_read(&file, &ids(owner.uid(), 77, &[])), own, "{bits:o}");
            assert_eq!(may_read(&file, &ids(77777, owner.gid(), &[])), group, "{bits:o}");
            assert_eq!(may_read(&file, &ids(77777, 77, &[owner.gid()])), group, "{bits:o}");
            assert_eq!(may_read(&file, &ids(77777, 77, &[])), other, "{bits:o}");
        }
        mode(dir.path(), 0o700);
        assert!(!may_read(&file, &ids(77777, 77, &[])), "nobody else gets to it");
    }
}
