//! One thing that is wrong in a config, as data: what, and where in the tree and in the text.
//!
//! It is serde's error type for the config, so that nothing has to be read back out of a message. The words are chosen in
//! `errors.rs`; nothing here makes a sentence.

use std::fmt::{self, Display};
use std::ops::Range;

use serde::de::{Error, Expected, Unexpected};

use super::values::BadValue;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    /// From the document's root to the value, or to the table that holds the bad key.
    pub path: Vec<Step>,
    /// Bytes of the config's text, where they are known.
    pub span: Option<Range<usize>>,
}

/// One step down the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Key(String),
    Index(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A key that its table does not know.
    UnknownKey { key: String, known: &'static [&'static str] },
    /// A text that is none of a closed list.
    UnknownWord { word: String, known: &'static [&'static str] },
    /// A number where a text is due, and the like; both sides in serde's or in our visitors' words.
    WrongType { got: String, expected: String },
    /// The right type, but no value of it.
    WrongValue { got: String, expected: String },
    /// A key that its table needs.
    Missing(String),
    /// A whole sentence and its hint, by a type's own parser or by a check.
    Said { what: String, hint: String },
}

impl Fault {
    pub fn new(kind: Kind) -> Self {
        Fault { kind, path: Vec::new(), span: None }
    }

    /// For the checks that look at more than one value: a sentence, about the value at `path`.
    pub fn said(path: impl IntoIterator<Item = Step>, what: impl Into<String>, hint: impl Into<String>) -> Self {
        let kind = Kind::Said { what: what.into(), hint: hint.into() };
        Fault { kind, path: path.into_iter().collect(), span: None }
    }

    /// The innermost place is the most exact one: it stays.
    pub fn at(mut self, span: Range<usize>) -> Self {
        self.span.get_or_insert(span);
        self
    }

    pub fn below(mut self, step: Step) -> Self {
        self.path.insert(0, step);
        self
    }
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Step::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Step::Index(index)
    }
}

/// `place!["deliver", "file", 2]`: keys and indices alike.
macro_rules! place {
    ($($step:expr),* $(,)?) => { [$($crate::config::fault::Step::from($step)),*] };
}
pub(super) use place;

/// What separates a sentence from its hint on the way through serde, whose own errors are one text. Values are echoed
/// with control characters escaped, so it never stands inside either.
const SEPARATOR: char = '\n';

/// A parser's complaint as serde error, with its hint.
pub fn complain<E: Error>(bad: &BadValue) -> E {
    E::custom(format_args!("{}{SEPARATOR}{}", bad.what, bad.hint))
}

impl Error for Fault {
    fn custom<T: Display>(message: T) -> Self {
        let message = message.to_string();
        let (what, hint) = message.split_once(SEPARATOR).unwrap_or((&message, ""));
        Fault::said([], what, hint)
    }
    fn invalid_type(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Fault::new(Kind::WrongType { got: kind_of(got), expected: expected.to_string() })
    }
    fn invalid_value(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let got = match got {
            Unexpected::Str(text) => text.to_owned(),
            other => other.to_string(),
        };
        Fault::new(Kind::WrongValue { got, expected: expected.to_string() })
    }
    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Fault::new(Kind::UnknownWord { word: word.to_owned(), known })
    }
    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Fault::new(Kind::UnknownKey { key: key.to_owned(), known })
    }
    fn missing_field(key: &'static str) -> Self {
        Fault::new(Kind::Missing(key.to_owned()))
    }
}

fn kind_of(got: Unexpected<'_>) -> String {
    match got {
        Unexpected::Bool(on) => return on.to_string(),
        Unexpected::Signed(_) | Unexpected::Unsigned(_) => "a number",
        Unexpected::Float(_) => "a number with a point",
        Unexpected::Str(_) => "a text",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a table",
        other => return other.to_string(),
    }
    .to_owned()
}

/// For serde's bounds and for `Debug` output alone: people read what `errors.rs` makes of it.
impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl std::error::Error for Fault {}
