//! Paths as this host has them: what is there, what it really is, and the system's own files that a program needs.

use std::collections::BTreeMap;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};

use crate::refusal::{Refusal, cause};

/// A path that exists, without symbolic links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub path: PathBuf,
    pub directory: bool,
    /// A character or block device.
    pub device: bool,
    /// Whether its mount forbids execution.
    pub noexec: bool,
}

/// Resolves a path of the config. `key` is where it is written; a missing one is refused with the nearest parent there is.
pub fn find(path: &Path, key: &str) -> Result<Found, Refusal> {
    match path.canonicalize().and_then(|real| Ok((real.metadata()?, real))) {
        Ok((metadata, real)) => Ok(Found {
            directory: metadata.is_dir(),
            device: metadata.file_type().is_char_device() || metadata.file_type().is_block_device(),
            noexec: statvfs(&real).is_ok_and(|s| s.flags().contains(FsFlags::ST_NOEXEC)),
            path: real,
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Refusal::config(
            format!("{key}: `{}` does not exist", path.display()),
            format!("create it or correct the path; the nearest part that exists is `{}`", nearest(path).display()),
        )),
        Err(error) => Err(Refusal::config(
            format!("{key}: `{}` cannot be looked at: {}", path.display(), cause(error)),
            "make it reachable for the user that portcullis is started as, or leave it out",
        )),
    }
}

fn nearest(path: &Path) -> &Path {
    path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"))
}

/// What every dynamic program reads, and may execute: programs, libraries. Missing ones are left out.
const EXECUTE: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// What every program may read: the loader's cache, names, time zones, certificates, what the machine is.
const READ: &[&str] = &[
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/hostname",
    "/etc/protocols",
    "/etc/services",
    "/etc/localtime",
    "/etc/locale.alias",
    "/etc/timezone",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls",
    "/etc/pki/ca-trust",
    "/etc/ca-certificates",
    "/etc/mime.types",
    "/etc/os-release",
    "/etc/inputrc",
    "/proc",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/sys/kernel/mm/transparent_hugepage",
    "/dev/urandom",
    "/dev/random",
    "/dev/zero",
];

/// A runtime that is installed where the system's own paths do not reach: its folders in `/etc` and `/opt` by the starts of
/// their names.
struct Runtime {
    from: &'static str,
    configuration: &'static str,
    programs: &'static str,
}

const RUNTIMES: [Runtime; 3] = [
    Runtime { from: "python's own", configuration: "python3", programs: "python" },
    Runtime { from: "node's own", configuration: "nodejs", programs: "node" },
    Runtime { from: "java's own", configuration: "java-", programs: "java" },
];

/// Devices that every program may also write.
const DEVICES: &[&str] = &["/dev/null", "/dev/full", "/dev/tty"];

/// What every program on this host may touch: the system's own files, and those of the runtimes that are installed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Base {
    pub execute: Vec<PathBuf>,
    pub read: Vec<PathBuf>,
    pub devices: Vec<PathBuf>,
    pub runtimes: Vec<RuntimePath>,
}

/// A folder of a runtime, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuntimePath {
    pub from: &'static str,
    pub path: PathBuf,
    pub execute: bool,
}

impl Base {
    pub fn survey() -> Self {
        Base {
            execute: present(EXECUTE),
            read: present(READ),
            devices: present(DEVICES),
            runtimes: runtimes(Path::new("/")),
        }
    }
}

fn runtimes(root: &Path) -> Vec<RuntimePath> {
    let mut found = Vec::new();
    for runtime in &RUNTIMES {
        let mut add = |folder: &str, start: &str, execute| {
            let paths = folders(&root.join(folder), start);
            found.extend(paths.into_iter().map(|path| RuntimePath { from: runtime.from, path, execute }));
        };
        add("etc", runtime.configuration, false);
        add("opt", runtime.programs, true);
    }
    found.sort();
    found
}

/// Folders, and no links, whose names start like this.
fn folders(below: &Path, start: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(below) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let named = |path: &PathBuf| path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(start));
    paths.filter(named).filter(|path| path.is_dir() && !path.is_symlink()).collect()
}

/// The listed paths that exist, without links and without doubles (a merged /usr).
fn present(paths: &[&str]) -> Vec<PathBuf> {
    let (mut found, mut folders): (Vec<PathBuf>, _) = (Vec::new(), BTreeMap::new());
    for real in paths.iter().filter_map(|path| real(Path::new(path), &mut folders)) {
        if !found.iter().any(|known| real.starts_with(known)) {
            found.push(real);
        }
    }
    found
}

/// As `canonicalize`, which asks for each part of each path: here the folders, which are few, are asked for once.
fn real(path: &Path, folders: &mut BTreeMap<PathBuf, Option<PathBuf>>) -> Option<PathBuf> {
    let (folder, name) = (path.parent()?, path.file_name()?);
    let known = folders.entry(folder.to_owned()).or_insert_with(|| folder.canonicalize().ok());
    let there = known.as_ref()?.join(name);
    let link = there.symlink_metadata().ok()?.is_symlink();
    if link { there.canonicalize().ok() } else { Some(there) }
}

/// The first bundle of certificates that a distribution put in place.
pub fn system_certificates() -> Option<PathBuf> {
    [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ]
    .iter()
    .map(PathBuf::from)
    .find(|p| p.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_path_names_its_nearest_parent() {
        let refusal = find(Path::new("/usr/no/such/place"), "confine.read").unwrap_err();
        assert!(refusal.what.contains("confine.read: `/usr/no/such/place` does not exist"));
        assert!(refusal.hint.ends_with("`/usr`"));
    }

    #[test]
    fn a_path_of_the_base_is_what_canonicalize_says() {
        let mut folders = BTreeMap::new();
        for path in [EXECUTE, READ, DEVICES, &["/no/such/place", "/proc/self"]].concat() {
            assert_eq!(real(Path::new(path), &mut folders), Path::new(path).canonicalize().ok(), "{path}");
        }
    }

    #[test]
    fn runtimes_are_found_where_they_are_installed() {
        let root = tempfile::tempdir().unwrap();
        for dir in ["etc/python3.11", "etc/other", "opt/java/openjdk", "opt/nodejs-20"] {
            std::fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        let found: Vec<(&str, bool)> = runtimes(root.path()).iter().map(|r| (r.from, r.execute)).collect();
        assert_eq!(found, [("java's own", true), ("node's own", true), ("python's own", false)]);
    }

    #[test]
    fn the_base_holds_each_real_path_once() {
        let base = Base::survey();
        for path in &base.execute {
            assert_eq!(base.execute.iter().filter(|p| path.starts_with(p)).count(), 1, "{}", path.display());
        }
    }
}
