//! What opens a sealed file and what it is sealed for: identities, recipients, passphrases, from text.
//!
//! X25519 alone beside passphrases: a key that needs a program, a device or a question cannot open a file before a bot
//! starts. No message contains a key's text, and the types have no `Debug`.

use std::io::Read;
use std::path::Path;

use age::x25519;
use zeroize::Zeroizing;

use crate::refusal::Refusal;
use crate::secret::SecretText;

/// Room for hundreds of identities.
const MAX_KEY_FILE: usize = 64 << 10;
/// age computes for each identity and each stanza.
const MAX_IDENTITIES: usize = 100;

const ENCRYPTED: &str = "is itself encrypted, and nobody is there to ask for its passphrase";

/// What opens a file.
pub enum Key {
    Identities(Vec<x25519::Identity>),
    Passphrase(SecretText),
}

/// Why a text is no key, in a clause that follows the file's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadKey(pub String);

fn bad<T>(what: impl Into<String>) -> Result<T, BadKey> {
    Err(BadKey(what.into()))
}

impl Key {
    /// Parses the text of an identity file as `age-keygen` writes it: comments, empty lines, one identity a line.
    pub fn from_identities(text: &str) -> Result<Key, BadKey> {
        if text.starts_with("age-encryption.org/") || text.trim_start().starts_with("-----BEGIN AGE") {
            return bad(ENCRYPTED);
        }
        let mut identities = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                identities.push(identity(line).map_err(|what| BadKey(format!("{what} (line {})", i + 1)))?);
            }
        }
        match identities.len() {
            0 => bad("holds no identity"),
            n if n > MAX_IDENTITIES => bad(format!("holds more than {MAX_IDENTITIES} identities")),
            _ => Ok(Key::Identities(identities)),
        }
    }

    /// Takes the first line of a passphrase file.
    pub fn from_passphrase(text: &str) -> Result<Key, BadKey> {
        match text.lines().next().unwrap_or("") {
            "" => bad("has an empty first line, where the passphrase should be"),
            line if line.contains('\0') => bad("has a NUL byte in its passphrase"),
            line => Ok(Key::Passphrase(SecretText::new(line.to_owned()))),
        }
    }

    /// Reads and parses an identity file.
    pub fn identity_file(path: &Path) -> Result<Key, Refusal> {
        let text = read(path, "identity")?;
        Key::from_identities(&text).map_err(|error| refusal(path, "identity", &error))
    }

    /// Reads and parses a passphrase file.
    pub fn passphrase_file(path: &Path) -> Result<Key, Refusal> {
        let text = read(path, "passphrase")?;
        Key::from_passphrase(&text).map_err(|error| refusal(path, "passphrase", &error))
    }

    /// The recipients that this key opens files of; none for a passphrase.
    pub fn recipients(&self) -> Vec<x25519::Recipient> {
        match self {
            Key::Identities(identities) => identities.iter().map(x25519::Identity::to_public).collect(),
            Key::Passphrase(_) => Vec::new(),
        }
    }
}

/// One identity, or what else the line is.
fn identity(line: &str) -> Result<x25519::Identity, &'static str> {
    let upper = line.to_ascii_uppercase();
    let upper = Zeroizing::new(upper);
    if upper.starts_with("AGE-SECRET-KEY-PQ-") {
        return Err("holds a post-quantum identity, which is not supported yet");
    }
    if upper.starts_with("AGE-PLUGIN-") {
        return Err("holds an identity of a plugin, and no other program may run before the gate");
    }
    if upper.starts_with("AGE1") {
        return Err("holds a recipient (the public half), not an identity");
    }
    if upper.starts_with("SSH-") || (upper.starts_with("-----BEGIN") && upper.contains("KEY")) {
        return Err("holds an ssh key, which is not supported");
    }
    line.parse().map_err(|_| "holds a line that is no age identity")
}

/// Parses an `age1...` recipient.
pub fn recipient(text: &str) -> Result<x25519::Recipient, BadKey> {
    let text = text.trim();
    if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
        return bad("an identity was given where a recipient (`age1...`, the public half) is due");
    }
    if text.starts_with("ssh-") {
        return bad("an ssh key was given, and only `age1...` recipients are supported");
    }
    if text.starts_with("age1pq1") || text.starts_with("age1tag") {
        return bad(format!("`{text}` is a post-quantum or hardware recipient, which is not supported yet"));
    }
    if text.starts_with("age1") && text.len() > 70 {
        return bad(format!("`{text}` is a recipient of a plugin, which is not supported"));
    }
    text.parse().or_else(|_| bad(format!("`{text}` is no age recipient: one looks like `age1...`, 62 characters")))
}

/// The text of a key file, bounded; an endless one (`/dev/zero`) is refused.
fn read(path: &Path, what: &str) -> Result<Zeroizing<String>, Refusal> {
    let fail = |why: String| refusal(path, what, &BadKey(why));
    let file = std::fs::File::open(path).map_err(|error| fail(format!("cannot be opened: {}", io_text(&error))))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_KEY_FILE + 1));
    let read = file.take(MAX_KEY_FILE as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| fail(format!("cannot be read: {}", io_text(&error))))?;
    if bytes.len() > MAX_KEY_FILE {
        return Err(fail(format!("is longer than {} KiB", MAX_KEY_FILE >> 10)));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) if bytes.starts_with(b"age-encryption.org/") => Err(fail(ENCRYPTED.to_owned())),
        Err(_) => Err(fail("is not a text file".to_owned())),
    }
}

/// An error of the operating system without Rust's `(os error 2)`, in lower case.
pub fn io_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// A key file is named by the config or the command line: what is wrong with it is wrong there (78).
fn refusal(path: &Path, kind: &str, error: &BadKey) -> Refusal {
    let hint = match kind {
        "identity" => {
            "an identity file is what `age-keygen -o FILE` writes, readable by the user who starts portcullis"
        }
        _ => "a passphrase file has the passphrase as its first line, readable by the user who starts portcullis",
    };
    Refusal::config(format!("the {kind} file {} {error}", path.display()), hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use age::secrecy::ExposeSecret;

    const SECRET: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
    const PUBLIC: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

    fn refused(text: &str) -> String {
        match Key::from_identities(text) {
            Ok(_) => panic!("accepted: {text}"),
            Err(BadKey(what)) => what,
        }
    }

    #[test]
    fn an_identity_file_may_have_comments_and_several_identities() {
        let other = x25519::Identity::generate();
        let text = format!("# created\r\n# public key: x\r\n\r\n  {SECRET}\r\n{}", other.to_string().expose_secret());
        let Ok(key) = Key::from_identities(&text) else { panic!() };
        let recipients: Vec<_> = key.recipients().iter().map(ToString::to_string).collect();
        assert_eq!(recipients, [PUBLIC.to_owned(), other.to_public().to_string()]);
    }

    #[test]
    fn other_kinds_of_key_are_named_and_never_echoed() {
        for (text, part) in [
            ("", "no identity"),
            ("# only a comment\n", "no identity"),
            ("AGE-SECRET-KEY-PQ-1HUNTER2", "post-quantum"),
            ("AGE-PLUGIN-YUBIKEY-1HUNTER2", "plugin"),
            (PUBLIC, "public half"),
            ("age1hunter2", "public half"),
            ("ssh-ed25519 HUNTER2", "ssh"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nHUNTER2", "ssh"),
            ("age-encryption.org/v1\n-> scrypt HUNTER2", "encrypted"),
            ("-----BEGIN AGE ENCRYPTED FILE-----\nHUNTER2", "encrypted"),
            ("\n# c\nHUNTER2", "no age identity (line 3)"),
            (&SECRET[..70], "no age identity (line 1)"),
            (&SECRET.replace("GQ97", "GQ98"), "no age identity (line 1)"),
            (&format!("{SECRET}\n").repeat(101), "more than 100"),
        ] {
            let what = refused(text);
            assert!(what.contains(part), "{text}: {what}");
            assert!(!what.to_lowercase().contains("hunter2") && !what.contains("GQ9"), "{what}");
        }
    }

    #[test]
    fn a_passphrase_is_the_first_line_whatever_follows() {
        for (text, expected) in [("a b ", "a b "), ("x\ny\n", "x"), ("x\r\n", "x"), (" ключ", " ключ")] {
            let Ok(Key::Passphrase(passphrase)) = Key::from_passphrase(text) else { panic!("{text}") };
            assert_eq!(passphrase.expose(), expected);
        }
        for text in ["", "\n", "\r\nx", "\nx", "a\0b"] {
            assert!(Key::from_passphrase(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_x25519_recipients_are_taken_and_an_identity_is_never_echoed() {
        assert!(recipient(PUBLIC).is_ok());
        for text in ["", "age1", "ssh-ed25519 AAAA", "age1pq1xyz", "age1tagpq1x", SECRET, &PUBLIC.replace("t7r", "t7x")]
        {
            let Err(BadKey(what)) = recipient(text) else { panic!("{text}") };
            assert!(!what.contains("GQ9"), "{what}");
        }
    }

    #[test]
    fn a_key_file_that_cannot_be_one_is_refused_with_78() {
        for (path, part) in [
            ("/nonexistent/key", "no such file"),
            ("/", "is a directory"),
            ("/dev/zero", "longer than 64 KiB"),
            ("/proc/self/exe", "longer than 64 KiB"),
        ] {
            let Err(refusal) = Key::identity_file(Path::new(path)) else { panic!("{path}") };
            assert_eq!(refusal.exit, crate::refusal::Exit::Config);
            assert!(refusal.what.contains(part) && refusal.what.contains(path), "{}", refusal.what);
        }
    }
}
