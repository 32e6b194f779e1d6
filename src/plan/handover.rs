//! What is handed to the workload may not be what fetched it: neither by a descriptor that it inherits, nor by a template, nor as
//! a secret of its own. Files are told apart by device and inode, whatever they are called.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::identity;
use super::model::{Delivery, FetchPlan, Launch};
use crate::config::reference::Source;
use crate::refusal::{Refusal, cause};

/// Refuses a start whose workload would be given an identity, or a secret's own file.
pub fn gives_no_identity(fetch: Option<&FetchPlan>, delivery: &Delivery, launch: &Launch) -> Result<(), Refusal> {
    let Some(fetch) = fetch else { return Ok(()) };
    for (what, path) in identity::files(fetch) {
        let file = looked_at(&path)?;
        for fd in inherited(launch) {
            if !same(&looked_at(&descriptor(fd))?, &file) {
                continue;
            }
            return Err(Refusal::config(
                format!("descriptor {fd}, which the program inherits, is {what} `{}`", path.display()),
                "start portcullis with other standard streams and sockets: what it inherits the program can read",
            ));
        }
    }
    for (what, path) in identity::logins(fetch) {
        let file = looked_at(&path)?;
        for (key, given) in delivered(fetch, delivery) {
            if !same(&looked_at(given)?, &file) {
                continue;
            }
            return Err(Refusal::config(
                format!("{key}: `{}` is {what} itself, and would be handed to the program", given.display()),
                "name another file: what fetches the secrets is not for the program",
            ));
        }
    }
    Ok(())
}

/// The standard streams, and the sockets that are handed on.
fn inherited(launch: &Launch) -> impl Iterator<Item = u32> {
    0..3 + launch.sockets
}

fn descriptor(fd: u32) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{fd}"))
}

/// Files whose content goes to the workload as it is.
fn delivered<'a>(fetch: &'a FetchPlan, delivery: &'a Delivery) -> impl Iterator<Item = (String, &'a Path)> {
    let templates = delivery.files.iter().filter_map(|file| file.template.as_deref());
    let templates = templates.map(|path| ("deliver.file.template".to_owned(), path));
    let secrets = fetch.secrets.iter().filter(|secret| secret.from.source == Source::File);
    templates.chain(secrets.filter_map(|secret| Some((format!("secrets.{}", secret.name), secret.file.as_deref()?))))
}

fn same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// What cannot be looked at cannot be told from an identity.
fn looked_at(path: &Path) -> Result<Metadata, Refusal> {
    path.metadata().map_err(|error| {
        Refusal::config(
            format!("`{}` cannot be looked at: {}", path.display(), cause(error)),
            "make it reachable for the user that portcullis is started as; what stands below /proc needs /proc in full",
        )
    })
}
