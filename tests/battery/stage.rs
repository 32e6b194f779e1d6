//! The stage: directories that are granted and one that is not, and a picture of the latter to see changes by.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::start::{Place, UID, executable, is_root};

/// The attacker, built once.
pub fn attacker() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/battery/attacker");
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(&sources).expect("sources").map(|e| e.expect("a file").path()).collect();
        files.retain(|file| file.extension().is_some_and(|e| e == "c"));
        // The order of the parts is the order of the numbers.
        files.sort();
        let program = crate::support::scratch("battery").join("attacker");
        let mut cc = Command::new("cc");
        cc.args(["-static", "-O1", "-w", "-pthread", "-o"]).arg(&program).args(&files);
        let output = cc.output().expect("a C compiler");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        program
    })
}

/// What a file is, as far as an attempt could change it.
type Picture = BTreeMap<PathBuf, String>;

pub struct Stage {
    pub place: Place,
}

const FILES: [(&str, &str, u32); 9] = [
    ("outside/secret", "SECRET", 0o644),
    ("outside/file", "untouched", 0o600),
    ("outside/dir/secret", "SECRET", 0o644),
    ("outside/setid", "untouched", 0o6755),
    ("outside/script", "#!/bin/sh\nexit 77\n", 0o755),
    ("read/file", "untouched", 0o600),
    ("read/setid", "untouched", 0o6755),
    ("outside/SECRET", "", 0o600),
    ("app/nothing", "", 0o644),
];

impl Stage {
    pub fn new(secret: &str) -> Stage {
        let stage = Stage { place: Place::new() };
        for dir in ["outside", "read", "data"] {
            std::fs::create_dir(stage.path(dir)).expect("a directory");
            give(&stage.path(dir), 0o755);
        }
        stage.set(secret);
        for program in ["app/attacker", "read/program"] {
            executable(attacker(), &stage.path(program), 0o755);
            give(&stage.path(program), 0o755);
        }
        stage
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path(name)
    }

    /// Puts everything as it was; what does not belong there goes.
    pub fn set(&self, secret: &str) {
        for name in ["outside/empty", "outside/dir"] {
            std::fs::create_dir_all(self.path(name)).expect("a directory");
            give(&self.path(name), 0o755);
        }
        if !self.path("outside/program").exists() {
            executable(attacker(), &self.path("outside/program"), 0o755);
            give(&self.path("outside/program"), 0o755);
        }
        for (name, text, mode) in FILES {
            let (path, text) = (self.path(&name.replace("SECRET", secret)), text.replace("SECRET", secret));
            // A new file each time: an attempt may have made a second name of the old one.
            if path.exists() {
                std::fs::remove_file(&path).expect("an old file");
            }
            std::fs::write(&path, text).expect("a file");
            give(&path, mode);
        }
        for folder in ["outside", "data"] {
            for entry in std::fs::read_dir(self.path(folder)).expect("the stage").flatten() {
                self.remove_if_strange(folder, &entry.path(), secret);
            }
        }
    }

    fn remove_if_strange(&self, folder: &str, path: &Path, secret: &str) {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let known = ["secret", "file", "dir", "setid", "script", "program", "empty", "tick"];
        let ours = known.contains(&name.as_str())
            || name.ends_with(secret)
            || ["stream.sock", "dgram.sock", "seqpacket.sock"].contains(&name.as_str());
        if folder == "outside" && ours {
            return;
        }
        let removed = if path.is_dir() && !path.is_symlink() {
            std::fs::remove_dir_all(path)
        } else {
            std::fs::remove_file(path)
        };
        removed.expect("a strange file removed");
    }

    /// Names, contents, modes, owners and times of everything outside the grants to write.
    pub fn picture(&self) -> Picture {
        let mut picture = Picture::new();
        let mut folders = vec![self.path("outside"), self.path("read")];
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path.clone());
                }
                // The victim touches this one all the time.
                if !path.ends_with("outside/tick") {
                    picture.insert(path.clone(), looks(&path));
                }
            }
        }
        picture
    }
}

fn looks(path: &Path) -> String {
    let found = path.symlink_metadata().expect("a file");
    let times = if found.is_dir() { 0 } else { found.mtime() };
    let links = if found.is_dir() { 0 } else { found.nlink() };
    let content = if found.is_file() && found.len() < 4096 {
        std::fs::read_to_string(path).unwrap_or_default()
    } else {
        String::new()
    };
    format!("{:o} {} {} {times} {links} {} {content}", found.mode(), found.uid(), found.gid(), found.len())
}

/// Everything on the stage is the workload's own: only the cage stands between them.
fn give(path: &Path, mode: u32) {
    if is_root() {
        std::os::unix::fs::chown(path, Some(UID), Some(UID)).expect("an owner");
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}
