//! The only way to fail: what happened, what to do about it, and the exit code.
//!
//! One table of codes, one printed form. Nothing here may read a secret, open a file or know a step of the start.

use std::fmt;

/// Exit codes that portcullis uses before the workload exists. Afterwards the code is the workload's own, or 128 + signal.
///
/// 64, 69, 70, 71, 76, 77 and 78 follow sysexits(3) in spirit; 124, 126 and 127 follow timeout(1) and sh(1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The command line cannot be understood.
    Usage = 64,
    /// The secret store cannot be reached or answers nonsense.
    StoreUnavailable = 69,
    /// A bug in portcullis.
    Internal = 70,
    /// This host cannot enforce what was asked.
    HostCannot = 71,
    /// A role died or broke the protocol.
    RoleBroke = 76,
    /// The secret store said no, or has no usable value.
    StoreSaidNo = 77,
    /// The configuration, or a file that it names, is wrong.
    Config = 78,
    /// The deadline passed.
    Deadline = 124,
    /// The workload's command is not executable.
    NotExecutable = 126,
    /// The workload's command was not found.
    NotFound = 127,
}

impl Exit {
    /// The whole table, in order: the README's table is tested against it.
    pub const TABLE: [(Exit, &'static str); 10] = [
        (Exit::Usage, "the command line cannot be understood"),
        (Exit::StoreUnavailable, "the secret store is unavailable or answers nonsense"),
        (Exit::Internal, "internal error: a bug in portcullis"),
        (Exit::HostCannot, "this host cannot enforce what was asked"),
        (Exit::RoleBroke, "a role died or broke the protocol"),
        (Exit::StoreSaidNo, "the secret store said no, or has no usable value"),
        (Exit::Config, "the configuration, or a file it names, is wrong"),
        (Exit::Deadline, "the deadline passed"),
        (Exit::NotExecutable, "the command is not executable"),
        (Exit::NotFound, "the command was not found"),
    ];

    /// The process exit code.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The reverse, for a code that a role reports: unknown numbers are not codes.
    pub fn from_code(code: u8) -> Option<Exit> {
        Self::TABLE.iter().map(|(exit, _)| *exit).find(|exit| exit.code() == code)
    }
}

/// A start that does not happen: lower case, no full stop, in words an operator knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub exit: Exit,
    pub what: String,
    pub hint: String,
}

impl Refusal {
    pub fn new(exit: Exit, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Refusal { exit, what: what.into(), hint: hint.into() }
    }

    /// A bug: the hint asks for a report.
    pub fn internal(what: impl Into<String>) -> Self {
        Refusal::new(Exit::Internal, what, "this is a bug in portcullis; please report it with this line")
    }

    /// A config that is wrong, or names a file that is.
    pub fn config(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Refusal::new(Exit::Config, what, hint)
    }

    /// A protection that this kernel or container cannot give.
    pub fn host(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Refusal::new(Exit::HostCannot, what, hint)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "portcullis: refused: {}\nportcullis: hint: {}", escape(&self.what), escape(&self.hint))
    }
}

/// An error of the system as a person reads it: without its number, which Rust adds, and its name, which nix does.
pub fn cause(error: impl fmt::Display) -> String {
    let text = error.to_string();
    let text = text.split(" (os error ").next().unwrap_or_default();
    match text.split_once(": ") {
        Some((name, words))
            if name.starts_with('E') && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) =>
        {
            words.to_owned()
        }
        _ => text.to_owned(),
    }
}

/// Makes a text safe for a terminal and a log: control characters become `\u{..}`, so that one message is one line.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_two_lines_whatever_it_says() {
        let refusal = Refusal::config("a\nb\u{1b}[31m", "c\rd");
        assert_eq!(refusal.to_string(), "portcullis: refused: a\\u{a}b\\u{1b}[31m\nportcullis: hint: c\\u{d}d");
    }

    #[test]
    fn a_cause_is_words_alone() {
        let io = std::io::Error::from_raw_os_error(1);
        for error in [&io as &dyn fmt::Display, &nix::errno::Errno::EPERM, &"Operation not permitted"] {
            assert_eq!(cause(error), "Operation not permitted");
        }
        assert_eq!(cause("it failed: EPERM"), "it failed: EPERM");
    }

    #[test]
    fn every_code_is_in_the_table_and_unknown_numbers_are_not() {
        for (exit, _) in Exit::TABLE {
            assert_eq!(Exit::from_code(exit.code()), Some(exit));
        }
        assert_eq!(Exit::from_code(1), None);
    }
}
