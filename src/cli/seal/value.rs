//! Where a value comes from: standard input if it is no terminal, else a hidden prompt, asked twice.
//!
//! Never from an argument or a variable: other programs can read those. Buffers are wiped.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;

use zeroize::Zeroizing;

use super::prompt;
use crate::refusal::{Exit, Refusal};
use crate::seal::document::Document;
use crate::seal::open::MAX_PLAINTEXT;
use crate::seal::pick;
use crate::secret::SecretText;

/// A key, a certificate chain, a service account's file; a bundle is 1 MiB at most.
const MAX_VALUE: usize = 64 << 10;

/// Reads the value for `name`.
pub fn read(name: &str) -> Result<SecretText, Refusal> {
    match io::stdin().is_terminal() {
        false => from_bytes(&standard_input(MAX_VALUE + 2)?),
        true => asked(name),
    }
}

/// Reads a whole document from standard input; what has no time in it gets `now`.
pub fn document(now: i64) -> Result<Document, Refusal> {
    if io::stdin().is_terminal() {
        return Err(usage("--stdin was given, and standard input is a terminal", "redirect it: --stdin < .env"));
    }
    let text = standard_input(MAX_PLAINTEXT)?;
    let mut document = Document::parse(&text).map_err(|syntax| {
        usage(&format!("standard input cannot be read at {syntax}"), "it is a dotenv document or a JSON object")
    })?;
    document.stamp_all(now);
    Ok(document)
}

/// Reads standard input around the buffer of `io::stdin`, which is never wiped. The bound is part of the answer: one
/// byte more than it is refused.
fn standard_input(bound: usize) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let stdin = io::stdin().as_fd().try_clone_to_owned().map(File::from);
    let mut bytes = Zeroizing::new(Vec::with_capacity(bound + 1));
    stdin
        .and_then(|file| file.take(bound as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| usage(&format!("standard input cannot be read: {error}"), "pipe the value in"))?;
    match bytes.len() > bound {
        true => Err(too_long()),
        false => Ok(bytes),
    }
}

/// Exactly one line end is taken off: the one that `echo` adds.
fn from_bytes(bytes: &[u8]) -> Result<SecretText, Refusal> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| usage("the value is not UTF-8 text", "encode it first, for instance with `base64 -w0`"))?;
    let text = text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(text);
    checked(SecretText::new(text.to_owned()))
}

fn asked(name: &str) -> Result<SecretText, Refusal> {
    let first = checked(prompt::ask(&format!("value of {name} (not shown): "))?)?;
    let second = prompt::ask("the same again: ")?;
    match first == second {
        true => Ok(first),
        false => Err(usage("the two values differ", "run the command again; nothing was changed")),
    }
}

fn checked(value: SecretText) -> Result<SecretText, Refusal> {
    if value.len() > MAX_VALUE {
        return Err(too_long());
    }
    let hint = "give a text of at least one character; `portcullis seal remove NAME` removes a value";
    pick::usable(&value).map_err(|what| usage(&format!("the value {what}"), hint))?;
    Ok(value)
}

fn too_long() -> Refusal {
    usage("standard input is too long: a value has at most 64 KiB, a document 4 MiB", "seal the key, not the data")
}

fn usage(what: &str, hint: &str) -> Refusal {
    Refusal::new(Exit::Usage, what, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(bytes: &[u8]) -> Result<String, String> {
        from_bytes(bytes).map(|value| value.expose().to_owned()).map_err(|refusal| refusal.what)
    }

    #[test]
    fn exactly_one_line_end_is_taken_off() {
        for (bytes, expected) in [("x", "x"), ("x\n", "x"), ("x\r\n", "x"), ("x\n\n", "x\n"), ("\nx \n", "\nx ")] {
            assert_eq!(value(bytes.as_bytes()), Ok(expected.to_owned()), "{bytes:?}");
        }
    }

    #[test]
    fn values_that_could_not_be_handed_over_are_refused() {
        for (bytes, part) in [
            (b"".to_vec(), "is empty"),
            (b"\n".to_vec(), "is empty"),
            (b"a\0b".to_vec(), "NUL"),
            (b"a\xff".to_vec(), "UTF-8"),
            (vec![b'x'; MAX_VALUE + 1], "64 KiB"),
        ] {
            let what = value(&bytes).unwrap_err();
            assert!(what.contains(part), "{what}");
        }
        assert!(value(&vec![b'x'; MAX_VALUE]).is_ok());
    }
}
