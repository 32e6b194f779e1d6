//! The words for a [`Fault`]: what is wrong and where in one line, what to write instead in another.
//!
//! Read at three in the morning: no parser's jargon, the nearest known key, and never more of a value than finds it.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use super::fault::{Fault, Kind, Step};
use super::text::echo;
use crate::refusal::Refusal;

/// Where a config came from, as the first words of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    File(PathBuf),
    /// Flags alone.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path) => path.display().fmt(f),
            Origin::CommandLine => f.write_str("the command line"),
        }
    }
}

impl Origin {
    /// The refusal for a fault in `text`, which came from here.
    pub(super) fn refuse(&self, text: &str, fault: &Fault) -> Refusal {
        let (what, hint) = words(fault);
        match &fault.span {
            Some(span) => {
                let (line, column) = position(text, span.start);
                Refusal::config(format!("{self}:{line}:{column}: {what}"), hint)
            }
            None if *self == Origin::CommandLine => Refusal::config(what, hint),
            None => Refusal::config(format!("{self}: {what}"), hint),
        }
    }

    /// The refusal for a text that is no TOML at all.
    pub(super) fn refuse_syntax(&self, text: &str, error: &toml::de::Error) -> Refusal {
        let (what, hint) = syntax(text, error.message(), error.span().unwrap_or(0..0));
        let (line, column) = position(text, error.span().map_or(0, |span| span.start));
        Refusal::config(format!("{self}:{line}:{column}: {what}"), hint)
    }
}

/// Line and column of a byte, both from one, columns in characters.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// What and hint.
fn words(fault: &Fault) -> (String, String) {
    let name = || last_name(&fault.path);
    match &fault.kind {
        Kind::UnknownKey { key, known } => {
            (format!("unknown key `{}` {}", echo(key), table(&fault.path)), right_key(key, known))
        }
        Kind::UnknownWord { word, known } => {
            (format!("`{}` cannot be \"{}\"", name(), echo(word)), right_word(word, known))
        }
        Kind::WrongType { got, expected } => wrong_type(&fault.path, got, plain(expected)),
        Kind::WrongValue { got, expected } => {
            (format!("`{}` cannot be \"{}\"", name(), echo(got)), format!("it can be {}", plain(expected)))
        }
        Kind::Missing(key) => {
            let table = table(&fault.path);
            (format!("`{key}` is missing {table}"), format!("add a line `{key} = ...` {table}"))
        }
        Kind::Said { what, hint } => (what.clone(), hint.clone()),
    }
}

fn wrong_type(path: &[Step], got: &str, expected: &str) -> (String, String) {
    let hint = match (got, expected) {
        (_, "a table") => format!("write [{}] on a line of its own and its keys below it", keys(path)),
        (_, "true or false") => "write true or false without quotes".to_owned(),
        ("a text", wanted) if wanted.contains("number") => "write the number without quotes".to_owned(),
        ("a number" | "true" | "false" | "a date", wanted) if wanted.contains("text") => {
            "write it between quotes".to_owned()
        }
        ("a text", "a list") => "write it between brackets, such as [\"one\", \"two\"]".to_owned(),
        ("a number", "a list") => "write it between brackets, such as [443]".to_owned(),
        _ => format!("write {expected}"),
    };
    (format!("`{}` must be {expected}, not {got}", last_name(path)), hint)
}

/// serde's own words for what it expects, in ours.
fn plain(expected: &str) -> &str {
    match expected {
        "a string" => "a text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "i64" | "u64" | "u32" | "u16" => "a whole number",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}

/// `command[1]` for the second word of a command: the last key, with what indices follow it.
fn last_name(path: &[Step]) -> String {
    let start = path.iter().rposition(|step| matches!(step, Step::Key(_))).unwrap_or(0);
    let mut name = String::new();
    for step in &path[start..] {
        match step {
            Step::Key(key) => name.push_str(&echo(key)),
            Step::Index(index) => name.push_str(&format!("[{index}]")),
        }
    }
    name
}

/// `in [deliver]`, `in [[deliver.file]]`, or `at the top level`.
fn table(path: &[Step]) -> String {
    let name = keys(path);
    match path.last() {
        None => "at the top level".to_owned(),
        Some(Step::Key(_)) => format!("in [{name}]"),
        Some(Step::Index(_)) => format!("in [[{name}]]"),
    }
}

fn keys(path: &[Step]) -> String {
    let key = |step: &Step| match step {
        Step::Key(key) => Some(echo(key)),
        Step::Index(_) => None,
    };
    path.iter().filter_map(key).collect::<Vec<_>>().join(".")
}

/// The nearest key of this table, else the table that the key belongs in, else all keys of this one.
fn right_key(key: &str, known: &[&str]) -> String {
    if let Some(near) = nearest(key, known) {
        return format!("did you mean `{near}`?");
    }
    match homes_of(key).as_slice() {
        [] => format!("known here: {}", known.join(", ")),
        homes => format!("`{key}` belongs in [{}]", homes.join("] or [")),
    }
}

/// The tables that know this key, by the schema, which cannot drift from the types.
fn homes_of(key: &str) -> Vec<String> {
    let schema: serde_json::Value = serde_json::from_str(super::schema::SCHEMA).unwrap_or_default();
    let has_it = |table: &&serde_json::Value| {
        let definition = table["$ref"].as_str().and_then(|pointer| schema.pointer(pointer.trim_start_matches('#')));
        definition.is_some_and(|definition| definition["properties"].get(key).is_some())
    };
    let tables = schema["properties"].as_object().into_iter().flatten();
    tables.filter(|(_, table)| has_it(table)).map(|(name, _)| name.clone()).collect()
}

/// All words of a short list; of a longer one the nearest, if one is near.
pub(super) fn right_word(word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(near) if known.len() > 3 => format!("did you mean `{near}`?"),
        _ => format!("it can be: {}", known.join(", ")),
    }
}

/// Near is one edit in three letters, at most three, whatever the case and `-` or `_` between words.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let folded = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let word: String = folded(word).chars().take(64).collect();
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&word, &folded(name)), *name))
        .filter(|(edits, name)| *edits <= (name.len() / 3).clamp(1, 3))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// How the toml crate starts its commonest complaints, and what a person should hear instead.
const SYNTAX: [(&str, &str, &str); 10] = [
    ("string values must be quoted", "a text without quotes", "write texts between quotes, such as \"30s\""),
    ("invalid boolean", "neither true nor false", "write true or false in lower case, and texts between quotes"),
    ("invalid basic string", "a text without its closing quote", "close it on the same line"),
    ("invalid literal string", "a text without its closing quote", "close it on the same line"),
    ("missing escaped value", "a `\\` that escapes nothing", "write `\\\\` for one, or use single quotes"),
    ("unexpected key or value", "something stands after the value", "write one key and its value a line"),
    ("key with no value", "a key without `=`", "write key = value"),
    ("missing comma", "a list without its closing bracket, or a comma too few", "write lists as [\"one\", \"two\"]"),
    ("unclosed array", "a list without its closing bracket", "write lists as [\"one\", \"two\"]"),
    ("unclosed table", "a table without its closing bracket", "write [workload] on a line of its own"),
];

fn syntax(text: &str, message: &str, span: Range<usize>) -> (String, String) {
    let there = text.get(span).unwrap_or("").trim();
    if message.starts_with("duplicate key") {
        return (format!("`{}` is given twice", echo(there)), "keep one of the two".to_owned());
    }
    match SYNTAX.iter().find(|(start, ..)| message.starts_with(start)) {
        Some((start, ..)) if start.starts_with("string values") && there.is_empty() => {
            ("no value after `=`".to_owned(), "write one, or remove the line".to_owned())
        }
        Some((_, what, hint)) => ((*what).to_owned(), (*hint).to_owned()),
        None => {
            let message: String = message.chars().take(160).collect();
            (format!("not valid TOML: {message}"), "correct this line; https://toml.io shows how".to_owned())
        }
    }
}

#[cfg(test)]
mod tests;
