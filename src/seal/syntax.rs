//! Where a document breaks its grammar: a line, a column and a clause. Never a value, nor any other text of the document
//! but a name.

use std::fmt;

/// The most lines of a dotenv document, or values of a JSON one at any depth; a time that `seal` keeps counts as one. Each
/// costs its reader memory beyond its own bytes, and the fetcher's is bounded.
pub const MOST_ITEMS: usize = 20_000;
/// What is said of more.
pub const TOO_MANY: &str = "more than 20,000 lines or values are no secrets but data";

/// A document that cannot be read. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syntax {
    pub line: usize,
    pub column: usize,
    pub what: String,
}

impl Syntax {
    /// The place of the byte at `offset` in `text`; an offset beyond the end is the end.
    pub fn at(text: &str, offset: usize, what: impl Into<String>) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        Syntax {
            line: before.bytes().filter(|b| *b == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            what: what.into(),
        }
    }
}

impl fmt::Display for Syntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.what)
    }
}
