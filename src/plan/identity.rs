//! What fetched the secrets must stay out of the workload's reach, and so must what decides the next start.

use std::path::{Path, PathBuf};

use super::model::{Cage, FetchPlan, Grant, GrantKind};
use crate::config::reference::Source;
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
        if let Some(grant) = covering(&cage.landlock.grants, &path, |_| true) {
            return Err(exposed(what, &path, grant, "read"));
        }
        if !cage.ids.change {
            notes.push(format!(
                "{what} `{}` can be read by a shell of the workload's user outside the cage",
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
    paths.extend(fetch.vault.as_ref().map(|store| ("the store's identity", store.login.identity_file().clone())));
    let files = fetch.secrets.iter().filter(|secret| secret.from.source == Source::File);
    paths.extend(files.filter_map(|secret| secret.file.clone()).map(|path| ("the secret's file", path)));
    paths
}

fn covering<'a>(grants: &'a [Grant], path: &Path, which: impl Fn(&Grant) -> bool) -> Option<&'a Grant> {
    // The file may be reached by its own name or by what that name links to.
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    grants
        .iter()
        .filter(|grant| which(grant))
        .find(|grant| real.starts_with(&grant.path) || path.starts_with(&grant.path))
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
