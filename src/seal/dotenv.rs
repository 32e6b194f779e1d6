//! Dotenv text to names and values, and back. A parser of its own, because readers of dotenv disagree and the crates
//! substitute variables from the environment; here nothing is substituted, and what readers read differently is refused.
//!
//! ```text
//! file       = [ BOM ] { line }
//! line       = { blank } [ comment | assignment ] end
//! end        = LF | CR LF | end of file
//! blank      = space | tab
//! comment    = "#" { any character but LF }
//! assignment = [ "export" blank { blank } ] name { blank } "=" { blank } value { blank } [ comment ]
//! name       = ( letter | "_" ) { letter | digit | "_" | "." | "-" }        ASCII
//! value      = unquoted | single | double
//! unquoted   = { any character but LF and CR }     not starting with ' " or `; its blanks at both ends are not part of it;
//!                                                  a "#" after a blank starts a comment; backslashes are themselves
//! single     = "'" { any character but ' } "'"     verbatim, over several lines too
//! double     = '"' { escape | any character but " and \ } '"'                over several lines too
//! escape     = "\n" | "\r" | "\t" | "\\" | '\"' | "\$"
//! ```
//!
//! A comment after a quoted value needs a blank before it. `${` and `$(` are refused outside single quotes (write `\$` in
//! double ones): some reader would substitute them. A name that is given twice is refused. Line ends inside quotes are
//! kept as they stand. At most 20,000 lines and assignments.
//!
//! No environment, no files, and no message with a value in it.

use std::collections::HashSet;

use zeroize::Zeroizing;

use super::syntax::{MOST_ITEMS, Syntax, TOO_MANY};
use crate::secret::SecretText;

/// One line of a document, or an assignment over several.
pub enum Item<'a> {
    /// A comment or an empty line, without its end. `offset` is its first byte.
    Other {
        raw: &'a str,
        offset: usize,
    },
    Pair(Pair<'a>),
}

pub struct Pair<'a> {
    pub name: &'a str,
    pub value: SecretText,
    /// The whole assignment as it stands, with `export` and comment.
    pub raw: &'a str,
}

/// The whole document, in order. `text` may start with a byte order mark.
pub fn parse(text: &str) -> Result<Vec<Item<'_>>, Syntax> {
    let mut parser = Parser { text, at: if text.starts_with('\u{feff}') { 3 } else { 0 } };
    let mut items = Vec::new();
    let mut seen = HashSet::new();
    while parser.at < text.len() {
        let start = parser.at;
        if items.len() == MOST_ITEMS {
            return Err(Syntax::at(text, start, TOO_MANY));
        }
        let item = parser.line()?;
        if let Item::Pair(pair) = &item
            && !seen.insert(pair.name)
        {
            return Err(Syntax::at(text, start, format!("`{}` is given twice", pair.name)));
        }
        items.push(item);
    }
    Ok(items)
}

/// Whether `text` can be a name here.
pub fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(is_name_char)
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

/// A value in the plainest form that reads back as itself: bare, else in single quotes, else in double quotes.
pub fn quote(value: &str) -> Zeroizing<String> {
    // Room for the worst case at once: a buffer that grows leaves copies behind.
    let mut out = Zeroizing::new(String::with_capacity(2 * value.len() + 2));
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:@%+,=-".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        out.push_str(value);
    } else if !value.contains(|c: char| c == '\'' || c.is_control()) {
        out.push('\'');
        out.push_str(value);
        out.push('\'');
    } else {
        quote_double(value, &mut out);
    }
    out
}

fn quote_double(value: &str, out: &mut String) {
    out.push('"');
    for c in value.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' | '"' | '$' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out.push('"');
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn fail<T>(&self, at: usize, what: &str) -> Result<T, Syntax> {
        Err(Syntax::at(self.text, at, what))
    }

    /// Whether there were any.
    fn skip_blanks(&mut self) -> bool {
        let skipped = self.rest().len() - self.rest().trim_start_matches([' ', '\t']).len();
        self.at += skipped;
        skipped > 0
    }

    /// The rest of this line, without its end.
    fn to_line_end(&self) -> &'a str {
        let line = self.rest().split('\n').next().unwrap_or("");
        line.strip_suffix('\r').filter(|_| self.rest().len() > line.len()).unwrap_or(line)
    }

    fn line(&mut self) -> Result<Item<'a>, Syntax> {
        let offset = self.at;
        self.skip_blanks();
        if self.to_line_end().is_empty() || self.peek() == Some('#') {
            self.at += self.to_line_end().len();
            let raw = &self.text[offset..self.at];
            self.line_end()?;
            return Ok(Item::Other { raw, offset });
        }
        self.pair(offset).map(Item::Pair)
    }

    fn pair(&mut self, start: usize) -> Result<Pair<'a>, Syntax> {
        self.skip_export();
        let name = self.name()?;
        self.skip_blanks();
        if self.peek() != Some('=') {
            return self.fail(self.at, "there is no `=` after the name");
        }
        self.at += 1;
        let after_blank = self.skip_blanks();
        let value = match self.peek() {
            Some('\'') => self.single()?,
            Some('"') => self.double()?,
            Some('`') => return self.fail(self.at, "a value cannot start with a backtick; put it in single quotes"),
            _ => self.unquoted(after_blank)?,
        };
        self.skip_blanks();
        // Each kind of value ends where only a comment can start with `#`.
        if self.peek() == Some('#') {
            self.at += self.to_line_end().len();
        }
        let raw = &self.text[start..self.at];
        self.line_end()?;
        Ok(Pair { name, value, raw })
    }

    fn skip_export(&mut self) {
        if let Some(rest) = self.rest().strip_prefix("export")
            && rest.starts_with([' ', '\t'])
        {
            self.at += "export".len();
            self.skip_blanks();
        }
    }

    fn name(&mut self) -> Result<&'a str, Syntax> {
        let rest = self.rest();
        let name = &rest[..rest.find(|c| !is_name_char(c)).unwrap_or(rest.len())];
        if !is_name(name) {
            return self.fail(self.at, "there is no name: a letter or `_`, then letters, digits, `_`, `.` and `-`");
        }
        self.at += name.len();
        Ok(name)
    }

    fn unquoted(&mut self, after_blank: bool) -> Result<SecretText, Syntax> {
        let line = self.to_line_end();
        let mut blank = after_blank;
        let mut end = line.len();
        for (i, c) in line.char_indices() {
            if c == '#' && blank {
                end = i;
                break;
            }
            if c == '\r' {
                return self.fail(self.at + i, "a carriage return stands inside the line");
            }
            blank = matches!(c, ' ' | '\t');
        }
        let value = line[..end].trim_end_matches([' ', '\t']);
        self.refuse_substitution(value)?;
        self.at += value.len();
        Ok(SecretText::new(value.to_owned()))
    }

    fn refuse_substitution(&self, value: &str) -> Result<(), Syntax> {
        match value.find("${").into_iter().chain(value.find("$(")).min() {
            Some(i) => self.fail(self.at + i, SUBSTITUTION),
            None => Ok(()),
        }
    }

    fn single(&mut self) -> Result<SecretText, Syntax> {
        let inside = &self.rest()[1..];
        let Some(end) = inside.find('\'') else {
            return self.fail(self.at, "this single quote is never closed");
        };
        self.at += end + 2;
        self.after_quote()?;
        Ok(SecretText::new(inside[..end].to_owned()))
    }

    fn double(&mut self) -> Result<SecretText, Syntax> {
        let start = self.at;
        let inside = &self.rest()[1..];
        let mut value = Zeroizing::new(String::with_capacity(closing_quote(inside)));
        let mut chars = inside.char_indices().peekable();
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.at = start + 1 + i + 1;
                    self.after_quote()?;
                    return Ok(SecretText::new(std::mem::take(&mut *value)));
                }
                '\\' => match chars.next().and_then(|(_, c)| unescape(c)) {
                    Some(c) => value.push(c),
                    None => return self.fail(start + 1 + i, "unknown escape: there are \\n \\r \\t \\\\ \\\" \\$"),
                },
                '$' if matches!(chars.peek(), Some((_, '{' | '('))) => return self.fail(start + 1 + i, SUBSTITUTION),
                _ => value.push(c),
            }
        }
        self.fail(start, "this double quote is never closed")
    }

    fn after_quote(&self) -> Result<(), Syntax> {
        match self.peek() {
            None | Some(' ' | '\t' | '\n' | '\r') => Ok(()),
            Some(_) => self.fail(self.at, "only a blank or the end of the line may follow a closing quote"),
        }
    }

    fn line_end(&mut self) -> Result<(), Syntax> {
        let rest = self.rest();
        let length = if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with('\n')) };
        if length == 0 && !rest.is_empty() {
            return self.fail(self.at, "only a comment may follow the value on its line");
        }
        self.at += length;
        Ok(())
    }
}

const SUBSTITUTION: &str = "`${` and `$(` are not substituted here: put the value in single quotes, or write `\\$`";

/// How far the closing double quote is at least: room for the value, so that its buffer never grows.
fn closing_quote(inside: &str) -> usize {
    let mut escaped = false;
    inside
        .bytes()
        .position(|b| {
            let closes = b == b'"' && !escaped;
            escaped = b == b'\\' && !escaped;
            closes
        })
        .unwrap_or(inside.len())
}

fn unescape(c: char) -> Option<char> {
    match c {
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        '\\' | '"' | '$' => Some(c),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
