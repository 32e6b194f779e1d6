//! Where a secret is: the mount, what is below it, and the mount's kind. Pure: no request is made to find out.
//!
//! A path that a URL library would quietly rewrite (`..`, empty segments) is refused before it becomes a URL.

use std::collections::BTreeMap;

use crate::config::model::MountKind;
use crate::config::mount_of;
use crate::refusal::Refusal;

use super::{Engines, Want, field};

/// One secret at the store, as one request reads it: wants of equal locations come from one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    pub mount: String,
    pub rest: String,
    pub how: How,
}

/// Which request reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    Kv1,
    Kv2 {
        /// The newest, unless the reference pins one.
        version: Option<u64>,
    },
    /// Any engine that is read.
    Read,
    /// Any engine that is written to, with these parameters.
    Write(BTreeMap<String, String>),
}

impl Location {
    /// `secret/bots/mm1`
    pub fn path(&self) -> String {
        format!("{}/{}", self.mount, self.rest)
    }

    /// As a policy names it: `secret/data/bots/mm1` for KV 2.
    pub fn policy_path(&self) -> String {
        match self.how {
            How::Kv2 { .. } => format!("{}/data/{}", self.mount, self.rest),
            _ => self.path(),
        }
    }

    /// The line of a policy that this needs, and no more than it.
    pub fn policy_line(&self) -> String {
        let capabilities = if self.is_written() { "\"create\", \"update\"" } else { "\"read\"" };
        format!("path \"{}\" {{ capabilities = [{capabilities}] }}", self.policy_path())
    }

    pub fn is_written(&self) -> bool {
        matches!(self.how, How::Write(_))
    }

    /// Whether each request may make something new: a database user, a certificate.
    pub fn mints(&self) -> bool {
        matches!(self.how, How::Read | How::Write(_))
    }

    /// As `vault kv` takes it.
    pub fn cli(&self) -> String {
        format!("-mount={} {}", self.mount, self.rest)
    }

    /// The command that does the same by hand.
    pub fn command(&self) -> String {
        match &self.how {
            How::Kv1 | How::Kv2 { version: None } => format!("vault kv get {}", self.cli()),
            How::Kv2 { version: Some(version) } => format!("vault kv get -version={version} {}", self.cli()),
            How::Read => format!("vault read {}", self.path()),
            How::Write(parameters) if parameters.is_empty() => format!("vault write -f {}", self.path()),
            How::Write(parameters) => {
                let parameters: Vec<String> = parameters.keys().map(|name| format!("{name}=...")).collect();
                format!("vault write {} {}", self.path(), parameters.join(" "))
            }
        }
    }
}

/// One location a want; every want is checked before anything is sent.
pub fn of_wants(wants: &[Want], engines: &Engines) -> Result<Vec<Location>, Refusal> {
    wants
        .iter()
        .map(|want| {
            field::check(want)?;
            locate(want, engines)
        })
        .collect()
}

/// Whether a path is what a pattern says, in which `*` stands for one whole segment.
pub fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    let alike = |(wanted, found): (&&str, &&str)| wanted == found || (*wanted == "*" && !found.is_empty());
    pattern.len() == path.len() && pattern.iter().zip(&path).all(alike)
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

fn locate(want: &Want, engines: &Engines) -> Result<Location, Refusal> {
    let path = want.path.as_str();
    if rewritten(path) {
        return Err(Refusal::config(
            format!("`{}`: `{path}` is no path of a vault secret", want.name),
            "write mount/path as `vault kv get` takes it: no slash at an end, no empty, `.` or `..` segment",
        ));
    }
    let (mount, kind) = mount_of(&engines.mounts, path);
    let rest = path[mount.len()..].trim_start_matches('/');
    if rest.is_empty() {
        return Err(Refusal::config(
            format!("`{}`: `{path}` names a mount and no secret in it", want.name),
            "write mount/path#field; a mount of more than one segment is listed in [vault] mounts",
        ));
    }
    let how = match (engines.writes.get(path), kind) {
        (Some(parameters), _) => How::Write(parameters.clone()),
        (None, MountKind::Kv1) => How::Kv1,
        (None, MountKind::Kv2) => How::Kv2 { version: want.version },
        (None, MountKind::Read) => How::Read,
    };
    if want.version.is_some() && !matches!(how, How::Kv2 { .. }) {
        return Err(Refusal::config(
            format!("`{}`: only a KV 2 mount keeps versions, and {mount} is none", want.name),
            "remove ?version, or correct [vault] mounts",
        ));
    }
    Ok(Location { mount: mount.to_owned(), rest: rest.to_owned(), how })
}

#[cfg(test)]
mod tests {
    use super::*;
    use MountKind::{Kv1, Kv2, Read};

    fn at(path: &str) -> Result<(String, String, How), Refusal> {
        let mounts = [("old", Kv1), ("teams/kv", Kv2), ("teams/kv/legacy", Kv1), ("database", Read), ("pki", Read)];
        let engines = Engines {
            mounts: mounts.map(|(mount, kind)| (mount.to_owned(), kind)).into(),
            writes: [("pki/issue/bot".to_owned(), [("ttl".to_owned(), "1h".to_owned())].into())].into(),
        };
        let want = Want { path: path.into(), field: "f".into(), ..Want::default() };
        locate(&want, &engines).map(|l| (l.mount, l.rest, l.how))
    }

    #[test]
    fn the_longest_listed_mount_counts_else_the_first_segment() {
        let kv2 = || How::Kv2 { version: None };
        for (path, mount, rest, how) in [
            ("secret/bots/mm1", "secret", "bots/mm1", kv2()),
            ("old/a", "old", "a", How::Kv1),
            ("older/a", "older", "a", kv2()),
            ("teams/kv/a", "teams/kv", "a", kv2()),
            ("teams/kv/legacy/a", "teams/kv/legacy", "a", How::Kv1),
            ("teams/kv/legacyx", "teams/kv", "legacyx", kv2()),
            ("database/creds/bot", "database", "creds/bot", How::Read),
            ("cubbyhole/x", "cubbyhole", "x", How::Read),
            ("pki/cert/ca", "pki", "cert/ca", How::Read),
            ("pki/issue/bot", "pki", "issue/bot", How::Write([("ttl".to_owned(), "1h".to_owned())].into())),
        ] {
            assert_eq!(at(path).unwrap(), (mount.to_owned(), rest.to_owned(), how), "{path}");
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

    #[test]
    fn a_star_is_one_segment() {
        let pattern = "auth/approle/role/*/secret-id";
        assert!(matches(pattern, "auth/approle/role/mm1/secret-id"));
        for path in [
            "auth/approle/role/secret-id",
            "auth/approle/role//secret-id",
            "auth/approle/role/a/b/secret-id",
            "auth/approle/role/a/secret-id/",
            "auth/other/role/a/secret-id",
            "sys/wrapping/wrap",
            "",
        ] {
            assert!(!matches(pattern, path), "{path}");
        }
    }
}
