//! The small types a config is made of: each knows its own format, its bounds and how to say that a value is wrong.
//!
//! Nothing here may look at the host: a value is right or wrong by its text alone.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer};

/// A text that is no value of its type: what it should look like, in one clause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadValue(pub String);

fn bad<T>(message: impl Into<String>) -> Result<T, BadValue> {
    Err(BadValue(message.into()))
}

/// Deserialises a type from its text form, so that config and flags share one parser.
macro_rules! from_text {
    ($type:ty) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

/// A length of time: `500ms`, `30s`, `5m`, `12h`, `45d`. Whole numbers, one unit, more than nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

impl Span {
    pub const fn from_secs(seconds: u64) -> Self {
        Span(Duration::from_secs(seconds))
    }
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Span {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let millis_per_unit: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => {
                return bad(format!(
                    "`{text}` is no duration: write a whole number and one of ms, s, m, h, d, such as \"30s\""
                ));
            }
        };
        match number.parse::<u64>().ok().and_then(|n| n.checked_mul(millis_per_unit)) {
            Some(0) => bad(format!("`{text}` is no time at all: a duration must be more than zero")),
            Some(millis) if millis <= 3_650 * 86_400_000 => Ok(Span(Duration::from_millis(millis))),
            Some(_) => bad(format!("`{text}` is longer than ten years")),
            None => {
                bad(format!("`{text}` is no duration: write a whole number and one of ms, s, m, h, d, such as \"30s\""))
            }
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
            if millis.is_multiple_of(size) {
                return write!(f, "{}{unit}", millis / size);
            }
        }
        write!(f, "{millis}ms")
    }
}
from_text!(Span);

/// A number of bytes or of things: `1024`, `64KiB`, `512MiB`, `2GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    pub const fn new(count: u64) -> Self {
        Size(count)
    }
    pub fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let scale: u64 = match unit {
            "" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return bad(format!("`{text}` is no size: write a whole number, or one with KiB, MiB or GiB")),
        };
        match number.parse::<u64>().ok().and_then(|n| n.checked_mul(scale)) {
            Some(count) => Ok(Size(count)),
            None => bad(format!("`{text}` is no size: write a whole number, or one with KiB, MiB or GiB")),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, or a text such as \"512MiB\"")
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Size, E> {
                u64::try_from(n).map(Size).map_err(|_| E::custom(format!("`{n}` is no size: it is less than zero")))
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Size, E> {
                Ok(Size(n))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A TCP port, 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port(u16);

impl Port {
    pub fn get(self) -> u16 {
        self.0
    }
    fn from_number(n: i128) -> Result<Self, BadValue> {
        match u16::try_from(n) {
            Ok(port) if port > 0 => Ok(Port(port)),
            _ => bad(format!("`{n}` is no port: ports are 1 to 65535")),
        }
    }
}

impl FromStr for Port {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.parse::<u32>() {
            Ok(n) => Port::from_number(n.into()),
            Err(_) => bad(format!("`{text}` is no port: ports are 1 to 65535")),
        }
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let n = i64::deserialize(deserializer)?;
        Port::from_number(n.into()).map_err(de::Error::custom)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An absolute path without `.` or `..` parts and without a NUL byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AbsPath(PathBuf);

impl AbsPath {
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for AbsPath {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        if !text.starts_with('/') {
            return bad(format!("`{text}` is a relative path: write it from the root, such as \"/app\""));
        }
        if text.split('/').any(|part| part == ".." || part == ".") {
            return bad(format!("`{text}` has a `.` or `..` in it: write the path it means"));
        }
        if text.contains('\0') {
            return bad("a path cannot contain a NUL byte");
        }
        Ok(AbsPath(PathBuf::from(text)))
    }
}
from_text!(AbsPath);

/// The name of a secret in the bundle: a letter or `_`, then letters, digits, `_`; at most 64.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct SecretName(String);

impl SecretName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of an environment variable, by the same rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct EnvName(String);

impl EnvName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn identifier(text: &str, what: &str) -> Result<String, BadValue> {
    let mut chars = text.chars();
    let starts_well = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if starts_well && text.len() <= 64 && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(text.to_owned());
    }
    bad(format!("`{text}` is no {what}: letters, digits and `_`, not starting with a digit, at most 64"))
}

impl FromStr for SecretName {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        identifier(text, "secret name").map(SecretName)
    }
}
from_text!(SecretName);

impl FromStr for EnvName {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        identifier(text, "variable name").map(EnvName)
    }
}
from_text!(EnvName);

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for EnvName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A user as written: a name or a number, with an optional group after a colon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSpec {
    pub user: Id,
    pub group: Option<Id>,
}

/// A name to look up in `/etc/passwd` or `/etc/group`, or a number to take as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Id {
    Number(u32),
    Name(String),
}

impl FromStr for Id {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text.is_empty() || text.contains(['\0', '\n', ':']) {
            return bad(format!("`{text}` is no user or group: write a name or a number"));
        }
        if !text.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(Id::Name(text.to_owned()));
        }
        // (uid_t)-1 means "unchanged" to setresuid(2).
        match text.parse::<u32>() {
            Ok(n) if n != u32::MAX => Ok(Id::Number(n)),
            _ => bad(format!("`{text}` is no id: ids are 0 to 4294967294")),
        }
    }
}

impl FromStr for UserSpec {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user.parse()?, Some(group.parse()?)),
            None => (text.parse()?, None),
        };
        Ok(UserSpec { user, group })
    }
}
from_text!(UserSpec);
from_text!(Id);
