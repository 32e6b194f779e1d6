//! A reference says where one secret value is: `source:path#field?key=value`.
//!
//! By the text alone: a path or field that could mean nothing to its source is refused here, the rest is its business.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::errors::nearest;
use super::text::{BadValue, bad, echo, from_text};

pub use super::source::Source;

/// Where one value is. A field that starts with `/` is an RFC 6901 pointer, any other is a plain top-level name; an empty one
/// is the whole value, at the sources that have such.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    pub source: Source,
    pub path: String,
    pub field: String,
    /// `?key=value` pairs, `&` between them; which keys a source knows is checked in `checks`.
    pub query: BTreeMap<String, String>,
}

const FORM: &str = "write it as \"source:path#field\", such as \"age:secrets.env.age#API_KEY\"";

impl FromStr for Reference {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let shown = echo(text);
        let fail = |why: &str| BadValue { what: format!("`{shown}` is no reference: {why}"), hint: FORM.to_owned() };
        let (source, rest) = split_source(text)?;
        if text.chars().any(char::is_control) {
            return Err(fail("it has control characters in it"));
        }
        let (path, field, query) = match rest.split_once('#') {
            Some((_, tail)) if tail.is_empty() || tail.starts_with('?') => return Err(fail("its field is empty")),
            Some((path, tail)) => {
                tail.split_once('?').map_or((path, tail, None), |(field, query)| (path, field, Some(query)))
            }
            None if source.traits().whole => {
                rest.split_once('?').map_or((rest, "", None), |(path, query)| (path, "", Some(query)))
            }
            None => return Err(fail("it names no field after `#`")),
        };
        let reference = Reference {
            source,
            path: path.to_owned(),
            field: field.to_owned(),
            query: query.map_or(Ok(BTreeMap::new()), |query| parse_query(query).map_err(|why| fail(&why)))?,
        };
        reference.judge().or_else(|(why, hint)| bad(format!("`{shown}` is no reference: {why}"), hint))?;
        Ok(reference)
    }
}

/// What names no source is not echoed: someone may have written the secret itself here.
fn split_source(text: &str) -> Result<(Source, &str), BadValue> {
    let names = Source::ALL.map(Source::name);
    let (word, rest) = text.split_once(':').unwrap_or(("", text));
    if let Some(source) = Source::ALL.iter().find(|source| source.name() == word) {
        return Ok((*source, rest));
    }
    match nearest(word, &names) {
        Some(near) => bad(format!("`{}:` is no source of secrets", echo(word)), format!("did you mean `{near}:`?")),
        None => bad(
            format!("this is no reference: it starts with none of {}:", names.join(":, ")),
            "write where the value is, never the value itself, such as \"age:secrets.env.age#API_KEY\"",
        ),
    }
}

type Fault = (&'static str, &'static str);

impl Reference {
    /// What every source asks of its path and field, by the text alone.
    fn judge(&self) -> Result<(), Fault> {
        if self.path.is_empty() {
            return Err(("its path is empty", FORM));
        }
        if self.path.contains('?') {
            return Err((
                "it has a `?` before the field",
                "a query stands last, as in \"source:path#field?key=value\"",
            ));
        }
        match self.source {
            Source::Age => self.judge_pointer(),
            Source::Aws => self.judge_aws().and_then(|()| self.judge_pointer()),
            Source::Exec => self.judge_exec().and_then(|()| self.judge_pointer()),
            Source::File => self.judge_file(),
            Source::Vault => self.judge_vault().and_then(|()| self.judge_pointer()),
        }
    }

    fn judge_pointer(&self) -> Result<(), Fault> {
        let bad_escape = |part: &str| part.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1']));
        if self.field.starts_with('/') && bad_escape(&self.field) {
            return Err(("its pointer has a `~` that is neither `~0` nor `~1`", "write `~0` for `~` and `~1` for `/`"));
        }
        Ok(())
    }

    fn judge_file(&self) -> Result<(), Fault> {
        match self.field.as_str() {
            "." | ".." => Err(("its field is no file name", "name a file of the directory after `#`")),
            field if field.contains('/') => {
                Err(("its field has a `/`", "the directory stands before `#`, one file's name after it"))
            }
            _ => Ok(()),
        }
    }

    fn judge_aws(&self) -> Result<(), Fault> {
        let may_stand = |b: u8| b.is_ascii_alphanumeric() || b"/_+=.@:-".contains(&b);
        match self.path.bytes().all(may_stand) {
            true => Ok(()),
            false => Err((
                "its path is no name and no ARN of a secret",
                "a name has letters, digits and /_+=.@- as AWS Secrets Manager shows it",
            )),
        }
    }

    fn judge_exec(&self) -> Result<(), Fault> {
        match super::values::is_identifier(&self.path) {
            true => Ok(()),
            false => Err((
                "its path is no name of a table",
                "write exec:NAME#FIELD, where [exec.NAME] has the command; a name has letters, digits and `_`",
            )),
        }
    }

    fn judge_vault(&self) -> Result<(), Fault> {
        if self.path.starts_with('/') || self.path.ends_with('/') {
            return Err(("its path starts or ends with `/`", "write the mount and the path, such as secret/bots/mm1"));
        }
        match self.path.split('/').find(|part| matches!(*part, "" | "." | "..")) {
            Some("") => Err(("its path has an empty part", "write one `/` between two parts")),
            Some(_) => Err(("its path has a `.` or `..` in it", "write the path that it means")),
            None => Ok(()),
        }
    }
}

fn parse_query(query: &str) -> Result<BTreeMap<String, String>, String> {
    let mut pairs = BTreeMap::new();
    for pair in query.split('&') {
        let Some((key, value)) = pair.split_once('=').filter(|(key, value)| !key.is_empty() && !value.is_empty())
        else {
            return Err(format!("`{}` after `?` is not key=value", echo(pair)));
        };
        if pairs.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(format!("`{}` is given twice after `?`", echo(key)));
        }
    }
    Ok(pairs)
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source.name(), self.path)?;
        if !self.field.is_empty() {
            write!(f, "#{}", self.field)?;
        }
        for (i, (key, value)) in self.query.iter().enumerate() {
            write!(f, "{}{key}={value}", if i == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

from_text!(Reference, "a reference such as \"age:secrets.env.age#API_KEY\"");

#[cfg(test)]
mod tests;

/// As it is written, so that a reference survives a wire.
impl serde::Serialize for Reference {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
