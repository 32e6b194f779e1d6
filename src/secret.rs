//! The type of a secret value in memory: wiped when dropped, no `Debug`, no `Display`, no serialisation.
//!
//! Nothing here may print, log or store. Whoever needs the text says `expose`, so that one search finds every place.

use zeroize::Zeroizing;

/// A secret text. It can be compared and measured; to read it, say [`SecretText::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    pub fn new(text: String) -> Self {
        SecretText(Zeroizing::new(text))
    }

    /// The plaintext. Each caller is a place where a secret can leak.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a store vouches for, beside a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vouched {
    /// The store's version number, where it has one.
    pub version: Option<u64>,
    /// When the store says the value was set, in seconds since 1970 UTC.
    pub set_at: Option<i64>,
}

/// One fetched value, with what its store vouches for.
pub struct Fetched {
    pub value: SecretText,
    /// The store's version number, where it has one.
    pub version: Option<u64>,
    /// When the store says the value was set, in seconds since 1970 UTC; `None` where no store vouches for a time.
    pub set_at: Option<i64>,
}
