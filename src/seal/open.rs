//! Encrypted bytes and a key to a [`Document`], whole or not at all; and what each way to fail tells the operator.
//!
//! Exit codes: whatever is wrong with the sealed file itself, or with the key for it, is 77, the store said no or has no
//! usable value. A path that leads nowhere, and a key file that is none, are 78: the config names them.

use std::borrow::Cow;
use std::io::{self, Read};
use std::path::Path;

use age::armor::ArmoredReader;
use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Identity};
use zeroize::Zeroizing;

use super::document::Document;
use super::header::{self, Header};
use super::keys::{Key, io_text};
use super::syntax::Syntax;
use crate::refusal::{Exit, Refusal};

/// Bounds what is read from disk: 4 MiB of secrets, armoured.
pub const MAX_ENCRYPTED: usize = 5 << 20;
/// Bounds the document.
pub const MAX_PLAINTEXT: usize = 4 << 20;
/// What `age -p` writes; it costs 272 MiB and a second. Each step more doubles both.
pub const MAX_WORK_FACTOR: u8 = 18;

const ARMOR_BEGIN: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";
const ARMOR_END: &[u8] = b"-----END AGE ENCRYPTED FILE-----";

/// Why a sealed file does not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    Empty,
    NotAge,
    /// An age file of a later format.
    Version,
    LongHeader,
    Truncated,
    Damaged,
    TooLarge,
    /// The document is.
    TooLargeInside,
    WrongIdentity,
    WrongPassphrase,
    /// A file with a passphrase met an identity.
    NeedsPassphrase,
    /// A file for recipients met a passphrase.
    NeedsIdentity,
    /// Recipients that are neither X25519 nor a passphrase: their types.
    Unsupported(String),
    WorkFactor(u32),
    Content(Syntax),
}

/// Whether the file is ASCII armour. Blank space before it is passed over, as age does.
pub fn is_armored(file: &[u8]) -> bool {
    file.trim_ascii_start().starts_with(ARMOR_BEGIN)
}

/// Opens a file with a key.
pub fn open(file: &[u8], key: &Key) -> Result<Document, OpenError> {
    open_binary(&binary(file)?, key)
}

/// What a file says of itself without a key.
pub fn header(file: &[u8]) -> Result<Header, OpenError> {
    header::scan(&binary(file)?)
}

fn binary(file: &[u8]) -> Result<Cow<'_, [u8]>, OpenError> {
    if file.len() > MAX_ENCRYPTED {
        return Err(OpenError::TooLarge);
    }
    match is_armored(file) {
        true => dearmor(file.trim_ascii_start()).map(Cow::Owned),
        false => Ok(Cow::Borrowed(file)),
    }
}

fn dearmor(file: &[u8]) -> Result<Vec<u8>, OpenError> {
    let mut binary = Vec::with_capacity(file.len());
    match ArmoredReader::new(file).read_to_end(&mut binary) {
        Ok(_) => Ok(binary),
        Err(_) if file.windows(ARMOR_END.len()).any(|window| window == ARMOR_END) => Err(OpenError::Damaged),
        Err(_) => Err(OpenError::Truncated),
    }
}

fn open_binary(file: &[u8], key: &Key) -> Result<Document, OpenError> {
    let header = header::scan(file)?;
    let decryptor = Decryptor::new_buffered(file).map_err(|_| OpenError::Damaged)?;
    let reader = match key {
        Key::Identities(_) if header.is_passphrase() => return Err(OpenError::NeedsPassphrase),
        Key::Identities(_) if !header.has_x25519() => return Err(OpenError::Unsupported(header.kinds())),
        Key::Identities(identities) => decryptor.decrypt(identities.iter().map(|identity| identity as &dyn Identity)),
        Key::Passphrase(_) if !header.is_passphrase() => return Err(OpenError::NeedsIdentity),
        Key::Passphrase(passphrase) => {
            let passphrase = SecretString::from(passphrase.expose().to_owned());
            decryptor.decrypt(std::iter::once(&work_bounded(passphrase, &header)? as &dyn Identity))
        }
    };
    let plaintext = decrypt(reader.map_err(decrypt_error)?, file.len())?;
    Document::parse(&plaintext).map_err(OpenError::Content)
}

fn work_bounded(passphrase: SecretString, header: &Header) -> Result<age::scrypt::Identity, OpenError> {
    match header.work_factor() {
        Some(factor) if factor > u32::from(MAX_WORK_FACTOR) => Err(OpenError::WorkFactor(factor)),
        None => Err(OpenError::Damaged),
        Some(_) => {
            let mut identity = age::scrypt::Identity::new(passphrase);
            identity.set_max_work_factor(MAX_WORK_FACTOR);
            Ok(identity)
        }
    }
}

fn decrypt_error(error: DecryptError) -> OpenError {
    match error {
        DecryptError::NoMatchingKeys => OpenError::WrongIdentity,
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => OpenError::WrongPassphrase,
        DecryptError::ExcessiveWork { required, .. } => OpenError::WorkFactor(required.into()),
        _ => OpenError::Damaged,
    }
}

/// The whole plaintext. A plaintext is shorter than its file, so the buffer never grows and leaves no copy.
fn decrypt(reader: impl Read, room: usize) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let mut plaintext = Zeroizing::new(Vec::with_capacity(room));
    match reader.take(MAX_PLAINTEXT as u64 + 1).read_to_end(&mut plaintext) {
        Ok(n) if n > MAX_PLAINTEXT => Err(OpenError::TooLargeInside),
        Ok(_) => Ok(plaintext),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(OpenError::Truncated),
        // A chunk cut in the middle fails its checksum like a changed one.
        Err(_) => Err(OpenError::Damaged),
    }
}

/// Reads a sealed file, bounded.
pub fn read_file(path: &Path) -> Result<Vec<u8>, Refusal> {
    let fail = |error: io::Error| {
        Refusal::config(
            format!("the sealed file {} cannot be read: {}", path.display(), io_text(&error)),
            "`portcullis seal create -f FILE` makes one; its path is relative to the config's folder",
        )
    };
    let file = std::fs::File::open(path).map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(MAX_ENCRYPTED as u64 + 1).read_to_end(&mut bytes).map_err(fail)?;
    match bytes.len() > MAX_ENCRYPTED {
        true => Err(OpenError::TooLarge.refusal(&path.display().to_string())),
        false => Ok(bytes),
    }
}

impl OpenError {
    /// In two lines for the operator. `file` is the sealed file's name.
    pub fn refusal(&self, file: &str) -> Refusal {
        let (what, hint) = self.lines();
        Refusal::new(Exit::StoreSaidNo, format!("the sealed file {file} {what}"), hint)
    }

    /// What follows the file's name, and what to do.
    fn lines(&self) -> (String, &'static str) {
        let (what, hint) = match self {
            OpenError::Unsupported(kinds) => {
                let what = format!("is for recipients of a kind that cannot be opened here: {kinds}");
                return (what, "encrypt it anew for an X25519 recipient, such as `age-keygen` makes, or a passphrase");
            }
            OpenError::WorkFactor(factor) => {
                let what = format!("asks for a work factor of {factor} for its passphrase; at most {MAX_WORK_FACTOR}");
                return (what, "encrypt it anew with `age -p`, which uses 18, or `portcullis seal rekey`");
            }
            OpenError::Content(syntax) => {
                let what = format!("opens, but cannot be read at {syntax}");
                return (what, "`age -d -i KEY FILE` shows the text; correct it and encrypt it anew");
            }
            OpenError::Empty => ("is empty", RESTORE),
            OpenError::NotAge => {
                ("is not an age file", "encrypt it: `age -r age1... -o FILE.age FILE`, or `portcullis seal`")
            }
            OpenError::Version => {
                ("has a later version of the age format than v1", "encrypt it anew with an age of version 1")
            }
            OpenError::LongHeader => ("has a header of more than 64 KiB", "encrypt it anew for fewer recipients"),
            OpenError::Truncated => ("is cut short", RESTORE),
            OpenError::Damaged => ("is damaged or cut short: its contents do not match its checksum", RESTORE),
            OpenError::TooLarge => ("is larger than 5 MiB", "keep secrets alone in it"),
            OpenError::TooLargeInside => ("holds more than 4 MiB", "keep secrets alone in it"),
            OpenError::WrongIdentity => (
                "is not for this identity",
                "give the identity whose public key it was sealed for, or run `portcullis seal rekey` with that one",
            ),
            OpenError::WrongPassphrase => ("has another passphrase", "give the passphrase that it was sealed with"),
            OpenError::NeedsPassphrase => (
                "is sealed with a passphrase, not for an identity",
                "give it as `passphrase_file` in [age], or run `portcullis seal rekey --recipient age1...`",
            ),
            OpenError::NeedsIdentity => (
                "is sealed for an identity, not with a passphrase",
                "give it as `identity` in [age] instead of `passphrase_file`",
            ),
        };
        (what.to_owned(), hint)
    }
}

const RESTORE: &str = "restore it from a copy; `age -d` on it fails in the same way";

#[cfg(test)]
mod tests;
