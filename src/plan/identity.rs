//! What fetched the secrets must stay out of the workload's reach, and so must what decides the next start.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::model::{Cage, FetchPlan, Grant, GrantKind};
use crate::config::reference::Source;
use crate::host::aliases;
use crate::refusal::Refusal;

/// Refuses a plan that lets the workload change the config, or portcullis itself: what would run at the next start.
pub fn keep_out_of_change(config: Option<&Path>, cage: &Cage) -> Result<(), Refusal> {
    let own = std::env::current_exe().ok();
    for (what, path) in [("the config", config), ("portcullis itself", own.as_deref())] {
        let Some(path) = path else { continue };
        if let Some(grant) = covering(&cage.landlock.grants, path, |grant| grant.kind == GrantKind::Write) {
            return Err(exposed(what, path, grant, "change"));
        }
    }
    Ok(())
}

/// Refuses a plan whose grants cover a key, a token, a secret's own file (to read), or the sealed file (to write).
pub fn keep_out_of_reach(fetch: Option<&FetchPlan>, cage: &Cage, notes: &mut Vec<String>) -> Result<(), Refusal> {
    let Some(fetch) = fetch else { return Ok(()) };
    for (what, path) in identities(fetch) {
        one_name_alone(what, &path)?;
        if let Some(grant) = covering(&cage.landlock.grants, &path, |_| true) {
            return Err(exposed(what, &path, grant, "read"));
        }
        let single_use = fetch.vault.as_ref().and_then(|store| store.single_use_file());
        if !cage.ids.change && single_use == Some(&path) {
            notes.push(format!("{what} `{}` is removed as soon as it was used", path.display()));
        } else if !cage.ids.change {
            notes.push(format!(
                "{what} `{}` can be read by a shell of the workload's user outside the cage, and its mode be changed by the workload",
                path.display()
            ));
        }
    }
    if let Some(store) = &fetch.vault
        && let Some(grant) = covering(&cage.landlock.grants, &store.ca, |grant| grant.kind == GrantKind::Write)
    {
        return Err(exposed("the authority that vouches for the store", &store.ca, grant, "change"));
    }
    for secret in fetch.secrets.iter().filter(|secret| secret.from.source == Source::Age) {
        let Some(path) = &secret.file else { continue };
        if let Some(grant) = covering(&cage.landlock.grants, path, |grant| grant.kind == GrantKind::Write) {
            return Err(exposed("the sealed file", path, grant, "change"));
        }
    }
    Ok(())
}

fn identities(fetch: &FetchPlan) -> Vec<(&'static str, PathBuf)> {
    let mut paths = Vec::new();
    paths.extend(fetch.age.as_ref().map(|key| ("the age key", key.path().clone())));
    let store = fetch.vault.iter().flat_map(|store| store.identity_files());
    paths.extend(store.map(|path| ("the store's identity", path.clone())));
    let files = fetch.secrets.iter().filter(|secret| secret.from.source == Source::File);
    paths.extend(files.filter_map(|secret| secret.file.clone()).map(|path| ("the secret's file", path)));
    paths
}

/// The grant that reaches a file by any of its names: as written, as resolved, as mounted again; and, to change it, by a link
/// on the way that the workload could lead elsewhere.
fn covering<'a>(grants: &'a [Grant], path: &Path, which: impl Fn(&Grant) -> bool) -> Option<&'a Grant> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut names = aliases::mounted_again(&real);
    names.extend([path.to_owned(), real]);
    let links = aliases::links(path);
    grants.iter().filter(|grant| which(grant)).find(|grant| {
        let reaches = |name: &PathBuf| name.starts_with(&grant.path);
        names.iter().any(reaches) || (grant.kind == GrantKind::Write && links.iter().any(reaches))
    })
}

/// A second hard link may lie anywhere, and a grant of that place is a grant of the file.
fn one_name_alone(what: &str, path: &Path) -> Result<(), Refusal> {
    match path.metadata() {
        Ok(metadata) if metadata.nlink() > 1 => Err(Refusal::config(
            format!(
                "{what} `{}` has {} hard links, so it may lie within reach by another name",
                path.display(),
                metadata.nlink()
            ),
            "make it a file of its own: cp it to a new name, and remove the old ones",
        )),
        _ => Ok(()),
    }
}

fn exposed(what: &str, path: &Path, grant: &Grant, verb: &str) -> Refusal {
    Refusal::config(
        format!(
            "the workload could {verb} {what} `{}`: `{}` ({}) covers it",
            path.display(),
            grant.path.display(),
            grant.from
        ),
        "move it out of that directory, or grant the program a narrower path",
    )
}
