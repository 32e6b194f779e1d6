//! Whole or not at all, on the real filesystem: folders that refuse, a disk that is full, owners, links, two writers.

use super::*;
use std::os::unix::fs::symlink;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn put(path: &Path, content: &[u8]) -> Result<(), Refusal> {
    Locked::existing(path)?.write(content)
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[test]
fn a_new_file_is_its_owners_alone_and_stands_alone() {
    let dir = folder();
    let path = dir.path().join("s.age");
    Locked::vacant(&path).unwrap().write(b"one").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"one");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(names(dir.path()), ["s.age"]);
}

#[test]
fn a_file_that_is_there_is_never_overwritten_by_a_new_one() {
    let dir = folder();
    let path = dir.path().join("s.age");
    let first = Locked::vacant(&path).unwrap();
    // It appears after the look and before the write, from a program that knows no lock.
    fs::write(&path, b"theirs").unwrap();
    assert!(first.write(b"ours").is_err());
    assert!(Locked::vacant(&path).is_err());
    symlink("nowhere", dir.path().join("link.age")).unwrap();
    assert!(Locked::vacant(&dir.path().join("link.age")).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"theirs");
    assert_eq!(names(dir.path()), ["link.age", "s.age"]);
}

#[test]
fn replacing_keeps_mode_and_owner() {
    let dir = folder();
    let path = dir.path().join("s.age");
    fs::write(&path, b"one").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    if is_root() {
        std::os::unix::fs::chown(&path, Some(65_531), Some(65_529)).unwrap();
    }
    let before = fs::metadata(&path).unwrap();
    put(&path, b"two").unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_ne!(before.ino(), after.ino());
    assert_eq!((after.uid(), after.gid(), after.mode()), (before.uid(), before.gid(), before.mode()));
}

#[test]
fn a_link_is_followed_and_stays() {
    let dir = folder();
    fs::create_dir(dir.path().join("real")).unwrap();
    fs::write(dir.path().join("real/s.age"), b"one").unwrap();
    symlink("real/s.age", dir.path().join("s.age")).unwrap();
    put(&dir.path().join("s.age"), b"two").unwrap();
    assert_eq!(fs::read(dir.path().join("real/s.age")).unwrap(), b"two");
    assert!(fs::symlink_metadata(dir.path().join("s.age")).unwrap().is_symlink());
    assert_eq!(names(dir.path()), ["real", "s.age"]);
    assert_eq!(names(&dir.path().join("real")), ["s.age"]);
}

#[test]
fn what_is_no_regular_file_is_refused() {
    for path in ["/dev/null", "/", "/nonexistent/s.age"] {
        assert_eq!(Locked::existing(Path::new(path)).err().unwrap().exit, Exit::Config, "{path}");
    }
    assert!(Locked::vacant(Path::new("/nonexistent/s.age")).is_err());
    assert!(Locked::vacant(Path::new("/")).is_err());
}

#[test]
fn the_leftover_of_a_killed_writer_is_removed() {
    let dir = folder();
    let path = dir.path().join("s.age");
    fs::write(&path, b"one").unwrap();
    fs::write(dir.path().join(".s.age.portcullis-new"), b"half").unwrap();
    put(&path, b"two").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(names(dir.path()), ["s.age"]);
}

#[test]
fn a_filesystem_without_nameless_files_is_served_by_a_hidden_one() {
    let dir = folder();
    let path = dir.path().join("s.age");
    fs::write(&path, b"one").unwrap();
    let locked = Locked::existing(&path).unwrap();
    let hidden = dir.path().join(".hidden");
    let staged = locked.stage_named(b"two", hidden.clone()).unwrap();
    assert_eq!(fs::read(&hidden).unwrap(), b"two");
    assert!(locked.stage_named(b"three", hidden.clone()).is_err(), "never over another file");
    drop(staged);
    assert_eq!(names(dir.path()), ["s.age"]);
}

#[test]
fn a_failing_write_leaves_the_old_file_and_nothing_else() {
    let dir = folder();
    let path = dir.path().join("s.age");
    fs::write(&path, b"one").unwrap();
    let locked = Locked::existing(&path).unwrap();
    // A folder in the way of the rename: it fails after everything was written.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    fs::write(path.join("x"), b"").unwrap();
    assert!(locked.write(b"two").is_err());
    assert_eq!(names(dir.path()), ["s.age"]);
    assert_eq!(names(&path), ["x"]);
}

#[test]
fn the_second_writer_waits_for_the_first() {
    let dir = folder();
    let path = dir.path().join("s.age");
    fs::write(&path, b"").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let locked = Locked::existing(&path).unwrap();
                let grown = [locked.read().unwrap(), b"x".to_vec()].concat();
                std::thread::sleep(Duration::from_millis(5));
                locked.write(&grown).unwrap();
            });
        }
    });
    assert_eq!(fs::read(&path).unwrap(), b"xxxxxxxx");
}
