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
            (format!("unknown key `{}` {}", echo(key), table(&fault.path)), suggest(key, known, "known here"))
        }
        Kind::UnknownWord { word, known } => {
            (format!("`{}` cannot be \"{}\"", name(), echo(word)), suggest(word, known, "it can be"))
        }
        Kind::WrongType { got, expected } => wrong_type(&name(), got, expected),
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

fn wrong_type(name: &str, got: &str, expected: &str) -> (String, String) {
    let expected = plain(expected);
    let hint = match (got, expected) {
        (_, "true or false") => "write true or false without quotes".to_owned(),
        ("a text", wanted) if wanted.contains("number") => "write the number without quotes".to_owned(),
        ("a number" | "true" | "false" | "a date", wanted) if wanted.contains("text") => {
            "write it between quotes".to_owned()
        }
        ("a text" | "a number", "a list") => "write it between brackets, such as [\"...\"]".to_owned(),
        _ => format!("write {expected}"),
    };
    (format!("`{name}` must be {expected}, not {got}"), hint)
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
    let keys: Vec<String> = path
        .iter()
        .filter_map(|step| match step {
            Step::Key(key) => Some(echo(key)),
            Step::Index(_) => None,
        })
        .collect();
    let name = keys.join(".");
    match path.last() {
        None => "at the top level".to_owned(),
        Some(Step::Key(_)) => format!("in [{name}]"),
        Some(Step::Index(_)) => format!("in [[{name}]]"),
    }
}

/// The nearest known name where one is near, else all of them.
pub(super) fn suggest(word: &str, known: &[&str], otherwise: &str) -> String {
    match nearest(word, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "remove it".to_owned(),
        None => format!("{otherwise}: {}", known.join(", ")),
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

/// The toml crate's syntax messages are short and good; the commonest get a hint of their own.
fn syntax(text: &str, message: &str, span: Range<usize>) -> (String, String) {
    if message.starts_with("duplicate key") {
        let key = echo(text.get(span).unwrap_or("").trim());
        return (format!("`{key}` is given twice"), "keep one of the two".to_owned());
    }
    if message.contains("string values must be quoted") {
        return ("a text without quotes".to_owned(), "write texts between quotes, such as \"30s\"".to_owned());
    }
    let hint = if message.contains("unclosed") || message.contains("missing") || message.contains("expected") {
        "look at this line and at the end of the one before it"
    } else {
        "this place is not valid TOML: see https://toml.io"
    };
    (format!("not valid TOML: {}", echo_message(message)), hint.to_owned())
}

fn echo_message(message: &str) -> String {
    crate::refusal::escape(&message.chars().take(160).collect::<String>())
}
