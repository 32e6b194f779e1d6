//! The plaintext inside a sealed file: names and values in the order they stand, dotenv or a JSON object.
//!
//! What is not edited is written back as it stood: comments, quoting, numbers. Beside the user's own content stand two
//! things that `portcullis seal` keeps, in a form that every other reader of the format passes over:
//!
//! ```text
//! # portcullis:recipients age1... age1...                        {"#portcullis": {"recipients": ["age1..."],
//! # portcullis:set API_KEY 2026-11-24T08:30:00Z                      "set": {"API_KEY": "2026-11-24T08:30:00Z"}},
//! API_KEY=...                                                     "API_KEY": "..."}
//! ```
//!
//! A time carries its name, so that it cannot slip to another value in an editor; one whose name is gone is dropped with
//! the next edit. The whole is authenticated by age, so a time is as true as the file.
//!
//! No files, no clock, no keys; no message contains a value.

use zeroize::Zeroizing;

use super::json::Node;
use super::stamp;
use super::syntax::Syntax;
use crate::secret::SecretText;

mod parse;

/// Which syntax the plaintext has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Dotenv,
    Json,
}

/// A whole document. It holds plaintext: it has no `Debug`.
#[derive(Clone)]
pub struct Document {
    format: Format,
    /// The `age1...` keys that the file is sealed for, as far as it says so itself.
    pub recipients: Vec<String>,
    items: Vec<Item>,
}

#[derive(Clone)]
enum Item {
    /// A comment or an empty line.
    Line(Zeroizing<String>),
    Entry(String, Entry),
}

/// One named value.
#[derive(Clone)]
pub struct Entry {
    pub value: Node,
    /// When `seal` put it there, in seconds since 1970.
    pub set_at: Option<i64>,
    /// How it stands in the text, until it is set anew.
    raw: Option<Zeroizing<String>>,
}

/// The JSON member with what `seal` keeps; no secret can have this name.
pub const RESERVED: &str = "#portcullis";
/// What the comments of `seal` start with.
const DIRECTIVE: &str = "# portcullis:";

impl Document {
    pub fn new(format: Format) -> Self {
        Document { format, recipients: Vec::new(), items: Vec::new() }
    }

    /// Reads a plaintext: JSON if its first character is `{`, else dotenv.
    pub fn parse(plaintext: &[u8]) -> Result<Document, Syntax> {
        parse::document(plaintext)
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// Names and entries in order.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.items.iter().filter_map(|item| match item {
            Item::Entry(name, entry) => Some((name.as_str(), entry)),
            Item::Line(_) => None,
        })
    }

    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries().find(|(found, _)| *found == name).map(|(_, entry)| entry)
    }

    /// Sets a value where it stands, or as a new last one.
    pub fn set(&mut self, name: &str, value: SecretText, now: i64) {
        let fresh = Entry { value: Node::Text(value), set_at: Some(now), raw: None };
        for item in &mut self.items {
            if let Item::Entry(found, entry) = item
                && found == name
            {
                *entry = fresh;
                return;
            }
        }
        self.items.push(Item::Entry(name.to_owned(), fresh));
    }

    /// Removes a value; whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.items.len();
        self.items.retain(|item| !matches!(item, Item::Entry(found, _) if found == name));
        self.items.len() < before
    }

    /// Gives every text that has no time this one: for a document that is taken over whole.
    pub fn stamp_all(&mut self, now: i64) {
        for item in &mut self.items {
            if let Item::Entry(_, entry) = item
                && matches!(entry.value, Node::Text(_))
            {
                entry.set_at.get_or_insert(now);
            }
        }
    }

    /// The plaintext to seal.
    pub fn render(&self) -> Zeroizing<String> {
        // Worst case at once: a buffer that grows leaves copies behind.
        let mut out = Zeroizing::new(String::with_capacity(self.room()));
        match self.format {
            Format::Dotenv => self.render_dotenv(&mut out),
            Format::Json => self.render_json(&mut out),
        }
        out
    }

    fn room(&self) -> usize {
        let item = |item: &Item| match item {
            Item::Line(line) => line.len() + 1,
            Item::Entry(name, Entry { value: Node::Text(text), raw: None, .. }) => {
                8 * name.len() + 6 * text.len() + 128
            }
            Item::Entry(name, entry) => 8 * name.len() + entry.raw.as_ref().map_or(0, |raw| raw.len()) + 128,
        };
        256 + self.recipients.iter().map(|r| r.len() + 8).sum::<usize>() + self.items.iter().map(item).sum::<usize>()
    }

    fn render_dotenv(&self, out: &mut String) {
        if !self.recipients.is_empty() {
            out.extend([DIRECTIVE, "recipients ", &self.recipients.join(" "), "\n"]);
        }
        for item in &self.items {
            match item {
                Item::Line(line) => out.push_str(line),
                Item::Entry(name, entry) => {
                    if let Some(set_at) = entry.set_at {
                        out.extend([DIRECTIVE, "set ", name, " ", &stamp::format(set_at), "\n"]);
                    }
                    entry.render_dotenv(name, out);
                }
            }
            out.push('\n');
        }
    }

    fn render_json(&self, out: &mut String) {
        let mut separator = "{\n  ";
        let set: Vec<_> = self.entries().filter_map(|(name, entry)| Some((name, entry.set_at?))).collect();
        if !self.recipients.is_empty() || !set.is_empty() {
            let set: serde_json::Map<_, _> =
                set.into_iter().map(|(name, at)| (name.to_owned(), stamp::format(at).into())).collect();
            let kept = serde_json::json!({"recipients": self.recipients, "set": set});
            out.extend([separator, "\"", RESERVED, "\": ", &kept.to_string()]);
            separator = ",\n  ";
        }
        for (name, entry) in self.entries() {
            out.extend([separator, &quote_json(name), ": "]);
            entry.render_json(out);
            separator = ",\n  ";
        }
        out.push_str(if separator.starts_with('{') { "{}\n" } else { "\n}\n" });
    }
}

impl Entry {
    fn render_dotenv(&self, name: &str, out: &mut String) {
        match (&self.raw, &self.value) {
            (Some(raw), _) => out.push_str(raw),
            (None, Node::Text(text)) => out.extend([name, "=", &super::dotenv::quote(text.expose())]),
            (None, _) => unreachable!("only texts are set"),
        }
    }

    fn render_json(&self, out: &mut String) {
        match (&self.raw, &self.value) {
            (Some(raw), _) => out.push_str(raw),
            (None, Node::Text(text)) => out.push_str(&quote_json(text.expose())),
            (None, _) => unreachable!("only texts are set"),
        }
    }
}

fn quote_json(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(Vec::with_capacity(6 * text.len() + 2));
    serde_json::to_writer(&mut *out, text).expect("a text always has a JSON form, and a buffer takes it");
    Zeroizing::new(String::from_utf8(std::mem::take(&mut *out)).expect("serde_json writes UTF-8"))
}

#[cfg(test)]
mod tests;
