//! The commands that print secrets, decided: each is planned as a workload of its own, with the same rules for its program, its
//! environment and its cage, by a config that says the same in other words.

use std::path::Path;

use super::super::model::{ExecPlan, Grant, Ids, SecretPlan};
use super::super::{Host, cage, launch};
use super::Places;
use crate::config::Loaded;
use crate::config::model::{Config, Exec, Mode, Output};
use crate::config::reference::{Reference, Source};
use crate::config::values::{AbsPath, SecretName, TableName};
use crate::host::{Started, paths};
use crate::refusal::Refusal;

/// Every command that a reference names; the others are not run.
///
/// `ids`: the fetcher's own, when started as root.
pub(super) fn decide(
    loaded: &Loaded,
    host: &Host,
    started: &Started,
    places: &Places<'_>,
    ids: Option<(u32, u32)>,
    notes: &mut Vec<String>,
) -> Result<Vec<ExecPlan>, Refusal> {
    let named = |table: &&TableName| {
        let of = |from: &Reference| from.source == Source::Exec && from.path == table.as_str();
        loaded.config.secrets.values().any(|secret| of(&secret.from))
    };
    let tables = loaded.config.exec.iter().filter(|(table, _)| named(table));
    tables
        .map(|(table, exec)| {
            let mut own = Vec::new();
            let planned = command(loaded, host, started, places, ids, table, exec, &mut own)
                .map_err(|refusal| of_command(table.as_str(), refusal))?;
            // What is missing on this host is said once.
            own.retain(|note| !notes.contains(note));
            notes.extend(own.into_iter().map(|note| match note.starts_with("MISSING") {
                true => note,
                false => format!("[exec.{}]: {}", table.as_str(), reworded(table.as_str(), &note)),
            }));
            Ok(planned)
        })
        .collect()
}

#[allow(clippy::too_many_arguments)] // the plan's own inputs, and the one table
fn command(
    loaded: &Loaded,
    host: &Host,
    started: &Started,
    places: &Places<'_>,
    ids: Option<(u32, u32)>,
    table: &TableName,
    exec: &Exec,
    notes: &mut Vec<String>,
) -> Result<ExecPlan, Refusal> {
    let loaded = as_a_workload(loaded, exec)?;
    let ids = match ids {
        Some((uid, gid)) => Ids { uid, gid, groups: Vec::new(), change: true },
        None => {
            let process = &host.process;
            Ids { uid: process.uid, gid: process.gid, groups: process.groups.clone(), change: false }
        }
    };
    let launch = launch::decide(&loaded, host, started, &ids, notes)?;
    let mut cage = cage::decide(&loaded, host, ids, &launch, notes)?;
    // There is nobody to ask for a password, and a command that asks would wait for the deadline.
    cage.landlock.grants.retain(|grant| grant.path != Path::new("/dev/tty"));
    own_paths(exec, &mut cage.landlock.grants)?;
    let input = |(name, from): (&SecretName, &Reference)| input(table, name, from, places);
    Ok(ExecPlan {
        name: table.to_string(),
        raw: exec.output == Output::Raw,
        inputs: exec.secrets.iter().map(input).collect::<Result<_, _>>()?,
        stdin: exec.stdin.as_ref().and_then(|stdin| exec.secrets.keys().position(|name| name == stdin)),
        launch,
        cage,
    })
}

/// The same command as the workload of a config of its own. `replace`: nobody stays to answer for it.
fn as_a_workload(loaded: &Loaded, exec: &Exec) -> Result<Loaded, Refusal> {
    let root: AbsPath = "/".parse().map_err(|_| Refusal::internal("the root is no path"))?;
    let mut config = Config { mode: Mode::Replace, ..Config::default() };
    config.workload.env = exec.env.clone();
    config.workload.workdir = Some(root);
    config.confine.execute = exec.execute.clone();
    config.confine.connect = exec.connect.clone();
    config.confine.dns = exec.dns;
    config.confine.optional = loaded.config.confine.optional.clone();
    let command = exec.command.iter().map(Into::into).collect();
    Ok(Loaded { config, command, text: String::new(), explain_files: false, ..loaded.clone() })
}

/// `read` and `shared`, told apart by what they are for: see `identity.rs`.
fn own_paths(exec: &Exec, grants: &mut Vec<Grant>) -> Result<(), Refusal> {
    for (paths_of, from) in [(&exec.read, READ), (&exec.shared, "confine.shared")] {
        for path in paths_of {
            let found = paths::find(path.as_path(), from)?;
            let kind = super::super::GrantKind::Read;
            grants.push(Grant { path: found.path, directory: found.directory, kind, from });
        }
    }
    Ok(())
}

/// Where a grant is from that is a command's alone.
pub const READ: &str = "confine.read";

fn input(table: &TableName, name: &SecretName, from: &Reference, places: &Places<'_>) -> Result<SecretPlan, Refusal> {
    let key = format!("exec.{table}.secrets.{name}");
    let file = super::local_file(from, &key, places)?;
    Ok(SecretPlan { name: name.to_string(), from: from.clone(), file, max_age: None, base64: false })
}

/// A refusal about the command, which the rooms that decide speak of as the workload.
pub fn of_command(table: &str, refusal: Refusal) -> Refusal {
    let what = reworded(table, &refusal.what);
    let what = if what.starts_with("exec.") { what } else { format!("[exec.{table}]: {what}") };
    Refusal { what, hint: reworded(table, &refusal.hint), ..refusal }
}

/// Keys and users of the workload as those of the command.
fn reworded(table: &str, text: &str) -> String {
    let table = format!("exec.{table}");
    text.replace("confine.optional", "\u{0}")
        .replace("confine.", &format!("{table}."))
        .replace('\u{0}', "confine.optional")
        .replace("workload.env.set", &format!("{table}.env.set"))
        .replace("workload.workdir", "/")
        .replace("the workload's user", "the command's user")
        .replace("the workload", "the command")
}
