//! The small types a config is made of: each knows its own format, its bounds and how to say that a value is wrong.
//!
//! Nothing here may look at the host: a value is right or wrong by its text alone.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer};

use super::fault::complain;
pub use super::text::{BadValue, echo};
use super::text::{bad, from_text};

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

const SPAN_FORM: &str = "write a whole number and one of ms, s, m, h, d, such as \"30s\"";
const TEN_YEARS: u64 = 3_650 * 86_400_000;

impl FromStr for Span {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (number, unit) = split_number(text);
        let millis_per_unit: Option<u64> = match unit {
            "ms" => Some(1),
            "s" => Some(1_000),
            "m" => Some(60_000),
            "h" => Some(3_600_000),
            "d" => Some(86_400_000),
            _ => None,
        };
        let Some(scale) = millis_per_unit.filter(|_| !number.is_empty()) else {
            return bad(format!("`{}` is no duration", echo(text)), SPAN_FORM);
        };
        match number.parse::<u64>().ok().and_then(|n| n.checked_mul(scale)) {
            Some(0) => bad(format!("`{}` is no time at all", echo(text)), "a duration is more than zero"),
            Some(millis) if millis <= TEN_YEARS => Ok(Span(Duration::from_millis(millis))),
            _ => bad(format!("`{}` is longer than ten years", echo(text)), SPAN_FORM),
        }
    }
}

fn split_number(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
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
from_text!(Span, "a text such as \"30s\"");

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

const SIZE_FORM: &str = "write a whole number, or one with KiB, MiB or GiB, such as \"512MiB\"";

impl FromStr for Size {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (number, unit) = split_number(text);
        let scale: Option<u64> = match unit {
            "" => Some(1),
            "KiB" => Some(1 << 10),
            "MiB" => Some(1 << 20),
            "GiB" => Some(1 << 30),
            _ => None,
        };
        let Some(scale) = scale.filter(|_| !number.is_empty()) else {
            return bad(format!("`{}` is no size", echo(text)), SIZE_FORM);
        };
        match number.parse::<u64>().ok().and_then(|n| n.checked_mul(scale)) {
            Some(count) => Ok(Size(count)),
            None => bad(format!("`{}` is larger than any size", echo(text)), SIZE_FORM),
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
                let bad = || BadValue { what: format!("`{n}` is no size"), hint: "a size is zero or more".to_owned() };
                u64::try_from(n).map(Size).map_err(|_| complain(&bad()))
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Size, E> {
                Ok(Size(n))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(|bad| complain(&bad))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A TCP port, 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port(u16);

const PORT_FORM: &str = "ports are whole numbers from 1 to 65535, such as 443";

impl Port {
    pub fn get(self) -> u16 {
        self.0
    }
    fn from_number(n: i64) -> Result<Self, BadValue> {
        match u16::try_from(n) {
            Ok(port) if port > 0 => Ok(Port(port)),
            _ => bad(format!("`{n}` is no port"), PORT_FORM),
        }
    }
}

impl FromStr for Port {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.parse::<u32>() {
            Ok(n) => Port::from_number(n.into()),
            Err(_) => bad(format!("`{}` is no port", echo(text)), PORT_FORM),
        }
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Port;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port number such as 443")
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Port, E> {
                Port::from_number(n).map_err(|bad| complain(&bad))
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Port, E> {
                self.visit_i64(i64::try_from(n).unwrap_or(i64::MAX))
            }
        }
        deserializer.deserialize_any(Visitor)
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
        let shown = echo(text);
        if !text.starts_with('/') {
            return bad(format!("`{shown}` is a relative path"), "write it from the root, such as \"/app\"");
        }
        if text.split('/').any(|part| part == ".." || part == ".") {
            return bad(format!("`{shown}` has a `.` or `..` in it"), "write the path that it means");
        }
        if text.contains('\0') {
            return bad(format!("`{shown}` has a NUL byte in it"), "no path can contain one");
        }
        Ok(AbsPath(PathBuf::from(text)))
    }
}

impl fmt::Display for AbsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}
from_text!(AbsPath, "an absolute path such as \"/app\"");

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

/// A letter or `_`, then letters, digits, `_`; at most 64.
pub fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    let starts_well = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    starts_well && text.len() <= 64 && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn identifier(text: &str, what: &str) -> Result<String, BadValue> {
    if is_identifier(text) {
        return Ok(text.to_owned());
    }
    bad(
        format!("`{}` is no {what}", echo(text)),
        "use letters, digits and `_`, at most 64, and no digit in front, such as `api_key`",
    )
}

impl FromStr for SecretName {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        identifier(text, "secret name").map(SecretName)
    }
}
from_text!(SecretName, "the name of a secret, such as \"api_key\"");

impl FromStr for EnvName {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        identifier(text, "variable name").map(EnvName)
    }
}
from_text!(EnvName, "the name of a variable, such as \"API_KEY\"");

/// The name of an `[exec.NAME]` table, by the same rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableName(String);

impl TableName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TableName {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        identifier(text, "table name").map(TableName)
    }
}
from_text!(TableName, "the name of a table, such as \"bws\"");

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TableName {
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

const USER_FORM: &str =
    "write a name or a number, with a group after a colon where one is meant, such as \"65532:65532\"";

impl FromStr for Id {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text.is_empty() || text.contains(['\0', '\n', ':']) {
            return bad(format!("`{}` is no user or group", echo(text)), USER_FORM);
        }
        if !text.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(Id::Name(text.to_owned()));
        }
        // (uid_t)-1 means "unchanged" to setresuid(2).
        match text.parse::<u32>() {
            Ok(n) if n != u32::MAX => Ok(Id::Number(n)),
            _ => bad(format!("`{}` is no id", echo(text)), "ids are 0 to 4294967294"),
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

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Number(n) => n.fmt(f),
            Id::Name(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for UserSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.user.fmt(f)?;
        self.group.as_ref().map_or(Ok(()), |group| write!(f, ":{group}"))
    }
}

from_text!(UserSpec, "a text, such as \"65532:65532\"");
from_text!(Id, "a text, such as \"65532\"");

#[cfg(test)]
mod tests;
