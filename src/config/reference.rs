//! A reference says where one secret value is: `source:path#field?key=value`.
//!
//! Parsing alone: what a source does with the parts is the source's business.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};

use super::values::BadValue;

/// A kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    Age,
    File,
    Vault,
}

impl Source {
    pub const ALL: [(&'static str, Source); 3] =
        [("age", Source::Age), ("file", Source::File), ("vault", Source::Vault)];

    pub fn name(self) -> &'static str {
        match self {
            Source::Age => "age",
            Source::File => "file",
            Source::Vault => "vault",
        }
    }
}

/// Where one value is. A field that starts with `/` is an RFC 6901 pointer, any other is a plain top-level name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Reference {
    pub source: Source,
    pub path: String,
    pub field: String,
    /// `?key=value` pairs, `&` between them; which keys a source knows is checked by the plan.
    pub query: BTreeMap<String, String>,
}

const FORM: &str = "write it as \"source:path#field\", such as \"age:secrets.env.age#API_KEY\"";

impl FromStr for Reference {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let fail = |why: &str| Err(BadValue(format!("`{text}` is no reference: {why}; {FORM}")));
        if text.chars().any(char::is_control) {
            return Err(BadValue(format!("a reference cannot contain control characters; {FORM}")));
        }
        let Some((source, rest)) = text.split_once(':') else {
            return fail("it names no source");
        };
        let Some((_, source)) = Source::ALL.iter().find(|(name, _)| *name == source) else {
            return fail(&format!("there is no source `{source}` (there are age, file, vault)"));
        };
        let Some((path, tail)) = rest.split_once('#') else {
            return fail("it names no field after `#`");
        };
        let (field, query) = match tail.split_once('?') {
            Some((field, query)) => (field, parse_query(text, query)?),
            None => (tail, BTreeMap::new()),
        };
        if path.is_empty() {
            return fail("its path is empty");
        }
        if field.is_empty() {
            return fail("its field is empty");
        }
        Ok(Reference { source: *source, path: path.to_owned(), field: field.to_owned(), query })
    }
}

fn parse_query(whole: &str, query: &str) -> Result<BTreeMap<String, String>, BadValue> {
    let mut pairs = BTreeMap::new();
    for pair in query.split('&') {
        let Some((key, value)) = pair.split_once('=').filter(|(key, value)| !key.is_empty() && !value.is_empty())
        else {
            return Err(BadValue(format!("`{whole}` is no reference: `{pair}` after `?` is not key=value; {FORM}")));
        };
        if pairs.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(BadValue(format!("`{whole}` is no reference: `{key}` is given twice; {FORM}")));
        }
    }
    Ok(pairs)
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}#{}", self.source.name(), self.path, self.field)?;
        for (i, (key, value)) in self.query.iter().enumerate() {
            write!(f, "{}{key}={value}", if i == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
