//! What clap says, as a [`Refusal`] with our exit code: its own, 2, means something else to whoever started us.
//!
//! Nothing here prints: the caller does, and exits.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::config::values::{BadValue, echo};
use crate::refusal::{Exit, Refusal};

/// Why a command line starts nothing.
#[derive(Debug)]
pub enum NotRun {
    /// Help or the version was asked for: print this on standard output, exit 0.
    Printed(String),
    Refused(Refusal),
}

impl From<clap::Error> for NotRun {
    fn from(error: clap::Error) -> Self {
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => NotRun::Printed(error.render().to_string()),
            _ => NotRun::Refused(refusal(&error)),
        }
    }
}

/// A usage error in two lines.
pub fn refusal(error: &clap::Error) -> Refusal {
    let flag = context(error, ContextKind::InvalidArg);
    let flag = flag.as_deref().unwrap_or("the command line");
    let (what, hint) = match error.kind() {
        ErrorKind::ValueValidation => bad_value(error, flag),
        ErrorKind::InvalidValue => wrong_word(error, flag),
        ErrorKind::UnknownArgument => unknown(error, flag),
        ErrorKind::InvalidSubcommand => unknown_command(error),
        ErrorKind::ArgumentConflict => conflict(error, flag),
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => (
            "no command is given".to_owned(),
            "`portcullis --help` lists them; `portcullis run` is the main one".to_owned(),
        ),
        ErrorKind::InvalidUtf8 => (
            "a flag's value is not valid UTF-8".to_owned(),
            "only the command's own arguments, after `--`, may be any bytes".to_owned(),
        ),
        _ => (first_line(error), HELP.to_owned()),
    };
    Refusal::new(Exit::Usage, what, hint)
}

const HELP: &str = "`portcullis --help` and `portcullis run --help` list the flags";

fn bad_value(error: &clap::Error, flag: &str) -> (String, String) {
    match error.source().and_then(|source| source.downcast_ref::<BadValue>()) {
        Some(bad) => (format!("{}: {}", name(flag), bad.what), bad.hint.clone()),
        None => (first_line(error), HELP.to_owned()),
    }
}

fn wrong_word(error: &clap::Error, flag: &str) -> (String, String) {
    let given = context(error, ContextKind::InvalidValue).unwrap_or_default();
    if given.is_empty() {
        return (format!("{} needs a value", name(flag)), format!("write {flag}"));
    }
    let hint = match (context(error, ContextKind::SuggestedValue), context(error, ContextKind::ValidValue)) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, Some(all)) => format!("it can be: {all}"),
        (None, None) => HELP.to_owned(),
    };
    (format!("{} cannot be `{}`", name(flag), echo(&given)), hint)
}

fn unknown(error: &clap::Error, flag: &str) -> (String, String) {
    let hint = match context(error, ContextKind::SuggestedArg) {
        Some(near) => format!("did you mean `{}`?", near.replace(", ", "` or `")),
        None if flag.starts_with('-') => HELP.to_owned(),
        None => "write the command to start, and its arguments, after `--`".to_owned(),
    };
    let kind = if flag.starts_with('-') { "flag" } else { "argument" };
    (format!("unknown {kind} `{}`", echo(flag)), hint)
}

fn unknown_command(error: &clap::Error) -> (String, String) {
    let given = context(error, ContextKind::InvalidSubcommand).unwrap_or_default();
    let hint = match context(error, ContextKind::SuggestedSubcommand) {
        Some(near) => format!("did you mean `{}`?", near.replace(", ", "` or `")),
        None => "to start a program, write `portcullis run -- CMD`; `portcullis --help` lists the commands".to_owned(),
    };
    (format!("unknown command `{}`", echo(&given)), hint)
}

fn conflict(error: &clap::Error, flag: &str) -> (String, String) {
    match context(error, ContextKind::PriorArg) {
        Some(other) if other != flag => {
            (format!("{} and {} exclude each other", name(flag), name(&other)), "keep one of the two".to_owned())
        }
        _ => (format!("{} is given twice", name(flag)), "keep one of the two".to_owned()),
    }
}

/// `--user <USER>` without what follows the name.
fn name(flag: &str) -> &str {
    flag.split([' ', '=', '[']).next().unwrap_or(flag)
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => Some(texts.join(", ")),
        ContextValue::StyledStr(text) => Some(text.to_string()),
        _ => None,
    }
}

fn first_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let line = text.lines().next().unwrap_or("the command line cannot be understood");
    echo_line(line.trim_start_matches("error: "))
}

fn echo_line(line: &str) -> String {
    line.chars().take(200).collect()
}
