//! What fetched the secrets must stay out of the workload's reach, and so must what decides the next start.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::cage::SYSTEM;
use super::fetch::exec::READ;
use super::model::{Cage, FetchPlan, Grant, GrantKind, SecretPlan};
use super::readers;
use crate::config::reference::Source;
use crate::host::aliases::{self, Mounts};
use crate::refusal::{Refusal, cause};

/// Refuses a plan that lets the workload change the config, or portcullis itself: what would run at the next start.
pub fn keep_out_of_change(config: Option<&Path>, cage: &Cage, mounts: &Mounts) -> Result<(), Refusal> {
    let own = std::env::current_exe().map_err(|error| {
        Refusal::host(
            format!("where portcullis itself lies cannot be seen: {}", cause(error)),
            "mount /proc: it stands in /proc/self/exe",
        )
    })?;
    for (what, path) in [("the config", config), ("portcullis itself", Some(own.as_path()))] {
        let Some(path) = path else { continue };
        if let Some(grant) = covering(&cage.landlock.grants, mounts, path, |grant| grant.kind == GrantKind::Write) {
            return Err(exposed(what, path, grant, "change"));
        }
    }
    Ok(())
}

/// Refuses a plan whose grants cover a key, a token, a secret's own file (to read), or the sealed file (to write).
pub fn keep_out_of_reach(
    fetch: Option<&FetchPlan>,
    cage: &Cage,
    mounts: &Mounts,
    notes: &mut Vec<String>,
) -> Result<(), Refusal> {
    let Some(fetch) = fetch else { return Ok(()) };
    for (what, path) in files(fetch) {
        one_name_alone(what, &path)?;
        let found = covering(&cage.landlock.grants, mounts, &path, |_| true);
        if let Some(grant) = found.or_else(|| within(&cage.landlock.grants, &path)) {
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
        } else if readers::may_read(&path, &cage.ids) {
            notes.push(format!(
                "{what} `{}` can be read by a shell of the workload's user outside the cage: its mode lets that user (chmod 0400, and let root own it)",
                path.display()
            ));
        }
    }
    let authorities = fetch.vault.iter().map(|store| &store.ca).chain(fetch.aws.iter().map(|store| &store.ca));
    for ca in authorities {
        if let Some(grant) = covering(&cage.landlock.grants, mounts, ca, |grant| grant.kind == GrantKind::Write) {
            return Err(exposed("the authority that vouches for the store", ca, grant, "change"));
        }
    }
    out_of_reach_of_the_link(fetch, cage)?;
    for secret in all_secrets(fetch).filter(|secret| secret.from.source == Source::Age) {
        let Some(path) = &secret.file else { continue };
        if let Some(grant) = covering(&cage.landlock.grants, mounts, path, |grant| grant.kind == GrantKind::Write) {
            return Err(exposed("the sealed file", path, grant, "change"));
        }
    }
    Ok(())
}

/// Those that are handed on, and those that a command logs in with.
fn all_secrets(fetch: &FetchPlan) -> impl Iterator<Item = &SecretPlan> {
    fetch.secrets.iter().chain(fetch.exec.iter().flat_map(|command| &command.inputs))
}

/// Refuses a plan that lets the workload change what a command is or reads: it would run, with its identity, at the next start.
pub fn keep_commands_out_of_change(fetch: Option<&FetchPlan>, cage: &Cage, mounts: &Mounts) -> Result<(), Refusal> {
    let writes = |grant: &Grant| grant.kind == GrantKind::Write;
    for command in fetch.iter().flat_map(|fetch| &fetch.exec) {
        let own = command.cage.landlock.grants.iter().filter(|grant| grant.from != SYSTEM);
        let paths = own.map(|grant| &grant.path).chain([&command.launch.program]).chain(&command.launch.scripts);
        for path in paths {
            let beneath = |grant: &&Grant| writes(grant) && grant.path.starts_with(path);
            let found = covering(&cage.landlock.grants, mounts, path, writes);
            if let Some(grant) = found.or_else(|| cage.landlock.grants.iter().find(beneath)) {
                return Err(exposed(&format!("what [exec.{}] runs or reads", command.name), path, grant, "change"));
            }
        }
    }
    Ok(())
}

/// A port is granted on any address, and what gives credentials on a link gives them to the workload too.
fn out_of_reach_of_the_link(fetch: &FetchPlan, cage: &Cage) -> Result<(), Refusal> {
    let Some(uri) = fetch.aws.as_ref().and_then(|store| store.login.near()) else { return Ok(()) };
    let port = super::fetch::near_port(uri);
    if cage.landlock.connect.as_ref().is_none_or(|ports| ports.contains(&port)) {
        return Err(Refusal::config(
            format!(
                "the workload could ask {uri} for the identity for aws: its port is granted, and a port is granted on any address"
            ),
            "leave that port out of confine.connect, or log in by web-identity, profile or keys",
        ));
    }
    Ok(())
}

/// Everything that the workload must not read, with what it is to people.
pub fn files(fetch: &FetchPlan) -> Vec<(&'static str, PathBuf)> {
    let mut paths = logins(fetch);
    let files = all_secrets(fetch).filter(|secret| secret.from.source == Source::File);
    paths.extend(files.filter_map(|secret| secret.file.clone()).map(|path| ("the secret's file", path)));
    paths
}

/// What fetches the secrets.
pub fn logins(fetch: &FetchPlan) -> Vec<(&'static str, PathBuf)> {
    let mut paths = Vec::new();
    paths.extend(fetch.age.as_ref().map(|key| ("the age key", key.path().clone())));
    let store = fetch.vault.iter().flat_map(|store| store.identity_files());
    paths.extend(store.map(|path| ("the store's identity", path.clone())));
    let aws = fetch.aws.iter().filter_map(|store| store.login.identity_file());
    paths.extend(aws.map(|path| ("the identity for aws", path.clone())));
    let read = fetch.exec.iter().flat_map(|command| &command.cage.landlock.grants).filter(|grant| grant.from == READ);
    paths.extend(read.map(|grant| ("what a command logs in with", grant.path.clone())));
    paths
}

/// The grant that reaches a file by any of its names: as written, as resolved, as mounted again; and, to change it, by a link
/// on the way that the workload could lead elsewhere.
fn covering<'a>(
    grants: &'a [Grant],
    mounts: &Mounts,
    path: &Path,
    which: impl Fn(&Grant) -> bool,
) -> Option<&'a Grant> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut names = mounts.again(&real);
    names.extend([path.to_owned(), real]);
    let links = aliases::links(path);
    grants.iter().filter(|grant| which(grant)).find(|grant| {
        let reaches = |name: &PathBuf| name.starts_with(&grant.path);
        names.iter().any(reaches) || (grant.kind == GrantKind::Write && links.iter().any(reaches))
    })
}

/// The grant of something inside a directory that must stay out of reach as a whole.
fn within<'a>(grants: &'a [Grant], path: &Path) -> Option<&'a Grant> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    grants.iter().find(|grant| grant.path.starts_with(&real))
}

/// A second hard link may lie anywhere, and a grant of that place is a grant of the file.
fn one_name_alone(what: &str, path: &Path) -> Result<(), Refusal> {
    match path.metadata() {
        // A directory has one for each directory in it, and can have no other.
        Ok(metadata) if metadata.nlink() > 1 && !metadata.is_dir() => Err(Refusal::config(
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
