//! A look at an age file's header before age reads it: is it one, is it whole, who can open it, at what price.
//!
//! Only for messages and bounds: what this finds is not authenticated, and age checks everything again. The format is
//! <https://c2sp.org/age>: a version line, stanzas that start with `-> TYPE ARGS`, a line `--- MAC`, a nonce, the payload.

use super::open::OpenError;

/// More than 300 recipients. age reads a header anew for every line of it, so its length must be bounded.
const MAX_HEADER: usize = 64 << 10;
const MAGIC: &[u8] = b"age-encryption.org/";
const NONCE: usize = 16;

/// Who a file says it is for.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    /// The stanzas' types, in order, each once.
    kinds: Vec<String>,
    /// Stanzas, without grease.
    recipients: usize,
    /// log2 of scrypt's N, for a file with a passphrase.
    work_factor: Option<u32>,
}

impl Header {
    pub fn is_passphrase(&self) -> bool {
        self.kinds.iter().any(|kind| kind == "scrypt")
    }

    pub fn has_x25519(&self) -> bool {
        self.kinds.iter().any(|kind| kind == "X25519")
    }

    /// How many recipients can open the file; who they are, a header does not say.
    pub fn recipients(&self) -> usize {
        self.recipients
    }

    /// `None` where it cannot be read, which age refuses.
    pub fn work_factor(&self) -> Option<u32> {
        self.work_factor
    }

    /// The types of recipient for a message. Every age writes a stanza of a random type ending in `-grease`, so that
    /// unknown ones stay usual: it is left out.
    pub fn kinds(&self) -> String {
        let known: Vec<_> = self.kinds.iter().filter(|kind| !kind.ends_with("grease")).map(String::as_str).collect();
        known.join(", ")
    }
}

/// Reads the header of a file that is not armoured.
pub fn scan(file: &[u8]) -> Result<Header, OpenError> {
    let rest = after_magic(file)?;
    let version = rest.split(|b| *b == b'\n').next().unwrap_or(rest);
    if version != b"v1" {
        // A file may be cut anywhere.
        return Err(if b"v1".starts_with(rest) { OpenError::Truncated } else { OpenError::Version });
    }
    let bounded = &rest[..rest.len().min(MAX_HEADER)];
    let Some(end) = find(bounded, b"\n---") else {
        return Err(if rest.len() > MAX_HEADER { OpenError::LongHeader } else { OpenError::Truncated });
    };
    let Some(mac_end) = find(&bounded[end + 1..], b"\n") else {
        return Err(OpenError::Truncated);
    };
    if rest.len() < end + 1 + mac_end + 1 + NONCE {
        return Err(OpenError::Truncated);
    }
    Ok(stanzas(&bounded[..end]))
}

fn after_magic(file: &[u8]) -> Result<&[u8], OpenError> {
    match file.strip_prefix(MAGIC) {
        Some(rest) => Ok(rest),
        None if file.is_empty() => Err(OpenError::Empty),
        None if MAGIC.starts_with(file) => Err(OpenError::Truncated),
        None => Err(OpenError::NotAge),
    }
}

fn stanzas(lines: &[u8]) -> Header {
    let mut header = Header { kinds: Vec::new(), recipients: 0, work_factor: None };
    for line in lines.split(|b| *b == b'\n') {
        let Some(stanza) = line.strip_prefix(b"-> ") else { continue };
        let stanza = String::from_utf8_lossy(stanza);
        let mut words = stanza.split(' ');
        let kind: String = words.next().unwrap_or_default().chars().take(40).collect();
        if kind == "scrypt" {
            header.work_factor = words.nth(1).and_then(|word| word.parse().ok());
        }
        header.recipients += usize::from(!kind.ends_with("grease"));
        if !header.kinds.contains(&kind) {
            header.kinds.push(kind);
        }
    }
    header
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"age-encryption.org/v1\n-> X25519 abc\nbody\n-> q-grease x\n\n-> X25519 def\nbody\n\
        -> scrypt salt 18\nbody\n--- mac\n0123456789abcdef";

    #[test]
    fn a_header_says_who_can_open_the_file_and_at_what_price() {
        let header = scan(FILE).unwrap();
        assert!(header.is_passphrase() && header.has_x25519());
        assert_eq!((header.work_factor(), header.recipients()), (Some(18), 3));
        assert_eq!(header.kinds(), "X25519, scrypt");
    }

    #[test]
    fn a_header_cut_anywhere_is_truncated() {
        assert_eq!(scan(b""), Err(OpenError::Empty));
        for cut in 1..FILE.len() {
            assert_eq!(scan(&FILE[..cut]), Err(OpenError::Truncated), "{cut}");
        }
    }

    #[test]
    fn other_files_and_other_versions_are_told_apart() {
        assert_eq!(scan(b"A=b\n"), Err(OpenError::NotAge));
        assert_eq!(scan(b"age-encryption.org/v2\n"), Err(OpenError::Version));
        assert_eq!(scan(b"age-encryption.org/v11\n"), Err(OpenError::Version));
    }

    #[test]
    fn an_endless_header_is_refused_before_age_reads_it() {
        let mut file = b"age-encryption.org/v1\n".to_vec();
        file.extend(b"-> X25519 abc\nbody\n".repeat(10_000));
        assert_eq!(scan(&file), Err(OpenError::LongHeader));
    }
}
