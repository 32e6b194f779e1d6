//! Names to numbers by `/etc/passwd` and `/etc/group` (passwd(5), group(5)).
//!
//! Only the files: a static binary has no NSS, and a container's users are in its files or are numbers.

use std::path::Path;

use crate::config::values::{Id, UserSpec};
use crate::refusal::Refusal;

/// A user as numbers, with the home directory where the name has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub name: Option<String>,
    pub home: Option<String>,
}

/// Both databases, as text; missing files are empty ones (a `FROM scratch` image).
#[derive(Debug, Clone, Default)]
pub struct Users {
    passwd: String,
    group: String,
}

/// A user database larger than this is not read: 16 MiB.
const MOST: u64 = 16 << 20;

impl Users {
    pub fn read() -> Self {
        Users { passwd: read(Path::new("/etc/passwd")), group: read(Path::new("/etc/group")) }
    }

    pub fn from_texts(passwd: &str, group: &str) -> Self {
        Users { passwd: passwd.to_owned(), group: group.to_owned() }
    }

    /// Resolves `user[:group]`. `key` is where the config says it, for the message.
    pub fn resolve(&self, spec: &UserSpec, key: &str) -> Result<User, Refusal> {
        let line = self.user_line(&spec.user);
        let uid = match (&spec.user, &line) {
            (Id::Number(uid), _) => *uid,
            (Id::Name(_), Some(line)) => line.uid,
            (Id::Name(name), None) => return Err(unknown(key, "user", name, "/etc/passwd")),
        };
        let gid = match (&spec.group, &line) {
            (Some(group), _) => self.resolve_group(group, key)?,
            (None, Some(line)) => line.gid,
            (None, None) => return Err(no_group(key, uid)),
        };
        let (name, home) = line.map_or((None, None), |line| (Some(line.name), Some(line.home)));
        Ok(User { uid, gid, name, home })
    }

    pub fn resolve_group(&self, group: &Id, key: &str) -> Result<u32, Refusal> {
        match group {
            Id::Number(gid) => Ok(*gid),
            Id::Name(name) => fields(&self.group)
                .find(|f| f.first() == Some(&name.as_str()))
                .and_then(|f| f.get(2)?.parse().ok())
                .ok_or_else(|| unknown(key, "group", name, "/etc/group")),
        }
    }

    /// The line of a uid, for the home directory of the user that portcullis was started as.
    pub fn by_uid(&self, uid: u32) -> Option<User> {
        self.user_line(&Id::Number(uid)).map(|l| User { uid, gid: l.gid, name: Some(l.name), home: Some(l.home) })
    }

    fn user_line(&self, user: &Id) -> Option<Line> {
        fields(&self.passwd).filter_map(|f| Line::parse(&f)).find(|line| match user {
            Id::Number(uid) => line.uid == *uid,
            Id::Name(name) => line.name == *name,
        })
    }
}

struct Line {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

impl Line {
    fn parse(f: &[&str]) -> Option<Line> {
        let (uid, gid) = (f.get(2)?.parse().ok()?, f.get(3)?.parse().ok()?);
        Some(Line { name: (*f.first()?).to_owned(), uid, gid, home: (*f.get(5)?).to_owned() })
    }
}

fn fields(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(':').collect())
}

fn read(path: &Path) -> String {
    let small = std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() <= MOST);
    if small { std::fs::read_to_string(path).unwrap_or_default() } else { String::new() }
}

fn unknown(key: &str, what: &str, name: &str, file: &str) -> Refusal {
    Refusal::config(
        format!("{key} names the {what} `{name}`, which does not exist here"),
        format!("add it to {file}, or write the number"),
    )
}

fn no_group(key: &str, uid: u32) -> Refusal {
    Refusal::config(
        format!("{key} is the number {uid} without a group, and /etc/passwd does not say which group it has"),
        format!("write both, such as \"{uid}:{uid}\""),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Users {
        Users::from_texts(
            "root:x:0:0:root:/root:/bin/sh\nbot:x:1000:1001:,,,:/home/bot:/bin/sh\nbroken:x:y:z\n",
            "root:x:0:\nbots:x:1001:bot\nodd:x:seven:\n",
        )
    }

    fn resolve(text: &str) -> Result<(u32, u32), Refusal> {
        users().resolve(&text.parse().unwrap(), "workload.user").map(|user| (user.uid, user.gid))
    }

    #[test]
    fn names_and_numbers_resolve_by_the_files() {
        assert_eq!(resolve("bot"), Ok((1000, 1001)));
        assert_eq!(resolve("1000"), Ok((1000, 1001)));
        assert_eq!(resolve("bot:root"), Ok((1000, 0)));
        assert_eq!(resolve("7:8"), Ok((7, 8)));
        assert_eq!(users().by_uid(1000).unwrap().home.as_deref(), Some("/home/bot"));
    }

    #[test]
    fn what_is_not_there_is_refused_with_the_file_to_mend() {
        for (spec, hint) in
            [("nobody", "/etc/passwd"), ("bot:nogroup", "/etc/group"), ("7", "\"7:7\""), ("broken", "/etc/passwd")]
        {
            let refusal = resolve(spec).unwrap_err();
            assert!(refusal.hint.contains(hint), "{spec}: {}", refusal.hint);
        }
    }
}
