//! Finds the config, opens it with suspicion, and makes one [`Loaded`] of file, flags and environment.
//!
//! The only file of this room that touches the file system, and only for the config itself.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::errors::Origin;
use super::fault::Fault;
use super::flags::Flags;
use super::{Config, checks, tree};
use crate::refusal::{Refusal, cause};

/// Where a config is looked for when nothing names one.
pub const DEFAULT_FILE: &str = "/etc/portcullis/portcullis.toml";

/// Names another place.
pub const FILE_VARIABLE: &str = "PORTCULLIS_CONFIG";

/// The largest config, in bytes.
pub const MAX_BYTES: u64 = 256 * 1024;

/// The environment that portcullis was started with.
pub type Environment = BTreeMap<OsString, OsString>;

/// What a config is made from.
#[derive(Debug, Default)]
pub struct Request {
    /// `-c FILE`.
    pub file: Option<PathBuf>,
    pub flags: Flags,
    pub environment: Environment,
    /// The working directory, absolute.
    pub cwd: PathBuf,
    /// A root start takes orders only from files that nobody else can write.
    pub as_root: bool,
}

/// A config that is right in itself; whether this host can do it is the plan's question.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub config: Config,
    /// The command as it will be run. The config's own copy of it is for display where flags gave bytes that are no UTF-8.
    pub command: Vec<OsString>,
    /// Absolute: relative references and file names resolve against it.
    pub folder: PathBuf,
    /// The config file as read, empty with flags alone: a fetched value must not stand in it.
    pub text: String,
    pub origin: Origin,
    /// `--explain-files`: for the hour in which a config is being written, so that no file can ask for it.
    pub explain_files: bool,
}

/// The config of this start, or why there is none.
pub fn load(request: &Request) -> Result<Loaded, Refusal> {
    load_or(request, Path::new(DEFAULT_FILE))
}

fn load_or(request: &Request, default: &Path) -> Result<Loaded, Refusal> {
    match find(request, default)? {
        Some(path) => from_file(request, path),
        None if request.flags.suffice() => from_text(request, String::new(), Origin::CommandLine, request.cwd.clone()),
        None => Err(Refusal::config(
            format!("there is no config: {} does not exist, and no command is given", default.display()),
            "name a config with -c FILE, scaffold one with `portcullis init DIR`, or write the command after `--`",
        )),
    }
}

/// The file to read, if any: one that is named must exist, the default one may be missing.
fn find(request: &Request, default: &Path) -> Result<Option<PathBuf>, Refusal> {
    if let Some(file) = &request.file {
        return named(file.as_os_str(), "-c").map(Some);
    }
    if let Some(file) = request.environment.get(OsStr::new(FILE_VARIABLE)) {
        return named(file, FILE_VARIABLE).map(Some);
    }
    match default.metadata() {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        _ => Ok(Some(default.to_owned())),
    }
}

fn named(file: &OsStr, by: &str) -> Result<PathBuf, Refusal> {
    if file.is_empty() {
        return Err(Refusal::config(
            format!("{by} names no config: it is empty"),
            format!("name a file, or leave {by} out"),
        ));
    }
    Ok(file.into())
}

fn from_file(request: &Request, path: PathBuf) -> Result<Loaded, Refusal> {
    let text = read(&path, request.as_root)?;
    let absolute = request.cwd.join(&path);
    let folder = absolute.parent().unwrap_or(Path::new("/")).to_owned();
    from_text(request, text, Origin::File(path), folder)
}

/// Everything after the file is read: also what the tests start from.
fn from_text(request: &Request, text: String, origin: Origin, folder: PathBuf) -> Result<Loaded, Refusal> {
    let root = DeTable::parse(&text).map_err(|error| origin.refuse_syntax(&text, &error))?;
    let document = toml::Spanned::new(root.span(), DeValue::Table(root.into_inner()));
    let own = Config::deserialize(tree::Node::new(&document)).map_err(|fault| origin.refuse(&text, &fault))?;
    let mut config = own.clone();
    request.flags.overlay(&mut config, &origin, &request.cwd)?;
    checks::fill_from_environment(&mut config, &request.environment, &request.cwd)?;
    checks::all(&config).map_err(|fault| origin.refuse(&text, &placed(fault, &own, &document)))?;
    let command = request.flags.command_or(&config);
    Ok(Loaded { config, command, folder, text, origin, explain_files: request.flags.explain_files })
}

/// The place of a fault, if the file alone has it too: what flags brought in stands in no line.
fn placed(fault: Fault, own: &Config, document: &toml::Spanned<DeValue<'_>>) -> Fault {
    let DeValue::Table(root) = document.get_ref() else {
        return fault;
    };
    match tree::locate(root, &fault.path).filter(|_| checks::all(own).as_ref() == Err(&fault)) {
        Some(span) => fault.at(span),
        None => fault,
    }
}

/// The file's text, if it is a regular file, small enough, UTF-8, and (for root) nobody else's to write.
fn read(path: &Path, as_root: bool) -> Result<String, Refusal> {
    let cannot = |error: io::Error| unreadable(path, &error);
    // Before opening, too: opening a device can act on it. What counts is the second look, at what was opened.
    must_be_regular(path, &path.metadata().map_err(cannot)?)?;
    let file = open(path).map_err(cannot)?;
    let about = file.metadata().map_err(cannot)?;
    must_be_regular(path, &about)?;
    if as_root {
        only_root_can_change(path, &about)?;
    }
    read_bounded(path, file, about.len())
}

fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)
}

fn must_be_regular(path: &Path, about: &Metadata) -> Result<(), Refusal> {
    let kind = about.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let is = if kind.is_dir() { "a directory" } else { "no regular file" };
    Err(Refusal::config(format!("the config {} is {is}", path.display()), "name the TOML file itself"))
}

/// The opened file and the directory that it really is in. The directory of a link to it does not count: Kubernetes
/// shows a config through links in a directory that anyone may write to, but that is mounted read-only.
fn only_root_can_change(path: &Path, opened: &Metadata) -> Result<(), Refusal> {
    let cannot = |error: io::Error| unreadable(path, &error);
    let real = path.canonicalize().map_err(cannot)?;
    let found = real.metadata().map_err(cannot)?;
    if (found.dev(), found.ino()) != (opened.dev(), opened.ino()) {
        return Err(Refusal::config(format!("{} was replaced while it was read", path.display()), "start again"));
    }
    let folder = real.parent().unwrap_or(Path::new("/"));
    let about_folder = folder.metadata().map_err(cannot)?;
    must_be_roots_alone(path, opened.uid(), opened.mode())?;
    must_be_roots_alone(folder, about_folder.uid(), without_sticky(about_folder.mode()))
}

/// In a sticky directory such as /tmp nobody can replace what root owns (rename(2), EPERM): there its write bits harm nobody.
fn without_sticky(mode: u32) -> u32 {
    if mode & 0o1000 != 0 { mode & !0o022 } else { mode }
}

/// A root start with a config that another user can change would be that user's way to root.
fn must_be_roots_alone(path: &Path, uid: u32, mode: u32) -> Result<(), Refusal> {
    let shown = path.display();
    if uid != 0 {
        return Err(Refusal::config(
            format!("started as root, but {shown} belongs to user {uid}, who could change it"),
            format!("chown root {shown}, or start as a plain user"),
        ));
    }
    if mode & 0o022 != 0 {
        return Err(Refusal::config(
            format!("started as root, but others than its owner may write {shown} (mode {:04o})", mode & 0o7777),
            format!("chmod go-w {shown}"),
        ));
    }
    Ok(())
}

fn read_bounded(path: &Path, file: File, length: u64) -> Result<String, Refusal> {
    let too_large = || {
        Refusal::config(
            format!("the config {} is larger than {} KiB", path.display(), MAX_BYTES / 1024),
            "is this the right file? a config holds references, no data",
        )
    };
    if length > MAX_BYTES {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(too_large());
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        Refusal::config(
            format!("{}:{}: not valid UTF-8", path.display(), line + 1),
            "is this the right file? save it as UTF-8 text",
        )
    })
}

fn unreadable(path: &Path, error: &io::Error) -> Refusal {
    let (why, hint) = match error.kind() {
        io::ErrorKind::NotFound => {
            ("it does not exist", "check the path, or scaffold a config with `portcullis init DIR`")
        }
        io::ErrorKind::NotADirectory => ("a part of its path is no directory", "check the path"),
        io::ErrorKind::PermissionDenied => {
            ("permission denied", "let the user that starts portcullis read it and enter its directory")
        }
        _ => {
            return Refusal::config(
                format!("cannot read the config {}: {}", path.display(), cause(error)),
                "check the path",
            );
        }
    };
    Refusal::config(format!("cannot read the config {}: {why}", path.display()), hint)
}

#[cfg(test)]
mod tests;
