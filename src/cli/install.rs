//! `portcullis install`: this binary, copied to where another container finds it. A scratch image has no `cp`.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::refusal::{Refusal, cause};

#[derive(Debug, Args)]
pub struct InstallArgs {
    /// The file to make, or a directory to put `portcullis` into
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

/// For everybody to execute, whatever the umask: the container that runs it has another user. For nobody to read: the kernel
/// lets nobody look into a process whose program its user cannot read.
const MODE: u32 = 0o111;

/// Replaces what is there in one step: whoever executes it meanwhile has the old file or the new one, whole.
pub fn run(args: &InstallArgs) -> Result<(), Refusal> {
    let target = if args.path.is_dir() { args.path.join("portcullis") } else { args.path.clone() };
    let own = File::open("/proc/self/exe").map_err(|error| {
        Refusal::config(
            format!("this binary cannot be read, so it cannot be copied: {}", cause(error)),
            "give this user read permission on it (mode 0555) where it is to be copied from",
        )
    })?;
    let beside = beside(&target);
    let copied = copy(own, &beside).and_then(|()| fs::rename(&beside, &target));
    copied.map_err(|error| {
        let left = fs::remove_file(&beside).err().filter(|error| error.kind() != io::ErrorKind::NotFound);
        let left = left.map_or(String::new(), |_| format!(", and `{}` stays", beside.display()));
        Refusal::config(
            format!("`{}` cannot be written: {}{left}", target.display(), cause(error)),
            "name a file in a directory that this user may write, with room for it",
        )
    })
}

/// In the same directory, so that it can be renamed.
fn beside(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.{}", std::process::id()))
}

fn copy(mut own: File, to: &Path) -> io::Result<()> {
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o700).open(to)?;
    let written = io::copy(&mut own, &mut target)?;
    target.set_permissions(Permissions::from_mode(MODE))?;
    target.sync_all()?;
    if written == own.metadata()?.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
