//! Where a secret is: the mount, what is below it, and the mount's kind. Pure: no request is made to find out.
//!
//! A path that a URL library would quietly rewrite (`..`, empty segments) is refused before it becomes a URL.

use std::collections::BTreeMap;

use crate::config::model::MountKind;
use crate::refusal::Refusal;

use super::{Want, field};

/// One secret at the store, as one request reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    pub mount: String,
    pub rest: String,
    pub kind: MountKind,
}

impl Location {
    /// As a policy names it: `secret/data/bots/mm1` for KV 2.
    pub fn policy_path(&self) -> String {
        match self.kind {
            MountKind::Kv1 => format!("{}/{}", self.mount, self.rest),
            MountKind::Kv2 => format!("{}/data/{}", self.mount, self.rest),
        }
    }

    /// As `vault kv get` takes it.
    pub fn cli(&self) -> String {
        format!("-mount={} {}", self.mount, self.rest)
    }
}

/// One location a want; every want is checked before anything is sent.
pub fn of_wants(wants: &[Want], mounts: &BTreeMap<String, MountKind>) -> Result<Vec<Location>, Refusal> {
    wants
        .iter()
        .map(|want| {
            field::check(want)?;
            locate(want, mounts)
        })
        .collect()
}

/// An auth method's mount, without the slash that `vault auth list` shows after it.
pub fn auth_mount(mount: &str) -> Result<&str, Refusal> {
    let mount = mount.strip_suffix('/').unwrap_or(mount);
    match rewritten(mount) {
        false => Ok(mount),
        true => Err(Refusal::config(
            format!("`{mount}` is no mount of a vault auth method"),
            "write it as `vault auth list` shows it, such as approle",
        )),
    }
}

/// Whether a URL would not carry the path as it stands.
fn rewritten(path: &str) -> bool {
    path.split('/').any(|segment| matches!(segment, "" | "." | "..") || segment.contains(char::is_control))
}

fn locate(want: &Want, mounts: &BTreeMap<String, MountKind>) -> Result<Location, Refusal> {
    let path = want.path.as_str();
    if rewritten(path) {
        return Err(Refusal::config(
            format!("`{}`: `{path}` is no path of a vault secret", want.name),
            "write mount/path as `vault kv get` takes it: no slash at an end, no empty, `.` or `..` segment",
        ));
    }
    let (mount, kind) = listed(path, mounts).unwrap_or((path.split('/').next().unwrap_or(path), MountKind::Kv2));
    let rest = path[mount.len()..].trim_start_matches('/');
    if rest.is_empty() {
        return Err(Refusal::config(
            format!("`{}`: `{path}` names a mount and no secret in it", want.name),
            "write mount/path#field; a mount of more than one segment is listed in [vault] mounts",
        ));
    }
    Ok(Location { mount: mount.to_owned(), rest: rest.to_owned(), kind })
}

/// The longest listed mount that is a prefix of the path, segment by segment.
fn listed<'a>(path: &'a str, mounts: &BTreeMap<String, MountKind>) -> Option<(&'a str, MountKind)> {
    mounts
        .iter()
        .map(|(mount, kind)| (mount.trim_matches('/'), *kind))
        .filter(|(mount, _)| path.strip_prefix(mount).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
        .max_by_key(|(mount, _)| mount.len())
        .map(|(mount, kind)| (&path[..mount.len()], kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use MountKind::{Kv1, Kv2};

    fn at(path: &str) -> Result<(String, String, MountKind), Refusal> {
        let mounts = BTreeMap::from([
            ("old".to_owned(), Kv1),
            ("teams/kv/".to_owned(), Kv2),
            ("teams/kv/legacy".to_owned(), Kv1),
        ]);
        let want = Want { name: "k".into(), path: path.into(), field: "f".into() };
        locate(&want, &mounts).map(|l| (l.mount, l.rest, l.kind))
    }

    #[test]
    fn the_longest_listed_mount_counts_else_the_first_segment() {
        for (path, mount, rest, kind) in [
            ("secret/bots/mm1", "secret", "bots/mm1", Kv2),
            ("old/a", "old", "a", Kv1),
            ("older/a", "older", "a", Kv2),
            ("teams/kv/a", "teams/kv", "a", Kv2),
            ("teams/kv/legacy/a", "teams/kv/legacy", "a", Kv1),
            ("teams/kv/legacyx", "teams/kv", "legacyx", Kv2),
        ] {
            assert_eq!(at(path).unwrap(), (mount.to_owned(), rest.to_owned(), kind), "{path}");
        }
    }

    #[test]
    fn a_path_that_a_url_would_rewrite_is_refused() {
        for path in ["", "/secret/a", "secret/a/", "secret//a", "secret/../sys", "secret/./a", "secret/a\tb", "secret"]
        {
            assert_eq!(at(path).unwrap_err().exit, crate::refusal::Exit::Config, "{path}");
        }
        assert_eq!(auth_mount("team/approle/").unwrap(), "team/approle");
        assert!(["", "/", "../sys", "a//b", "approle//"].iter().all(|mount| auth_mount(mount).is_err()));
    }
}
