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

/// What a store vouches for, and what else it says beside a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vouched {
    /// The store's version number, where it has one.
    pub version: Option<u64>,
    /// When the store says the value was set, in seconds since 1970 UTC; `None` where no store vouches for a time.
    pub set_at: Option<i64>,
    /// For how long the value lives, where it does not live until it is changed.
    pub lease: Option<Lease>,
    /// What the identity may do at the value's path beyond fetching it; known to `check --live` alone.
    pub beyond: Option<Capabilities>,
}

/// How long a value lives unless somebody renews it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    pub seconds: u64,
    pub renewable: bool,
    /// Which of the kept things it is, counted from 1 (0 is the token); `None` if nobody keeps it.
    pub kept: Option<usize>,
}

/// What a policy allows at a path, by Vault's words; a word that is not known here counts as `other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities(u16);

impl Capabilities {
    const WORDS: [&'static str; 10] =
        ["create", "read", "update", "patch", "delete", "list", "scan", "sudo", "root", "other"];

    pub fn of<'a>(words: impl Iterator<Item = &'a str>) -> Capabilities {
        let known = |word: &str| Self::WORDS.iter().position(|known| *known == word).unwrap_or(Self::WORDS.len() - 1);
        Capabilities(words.filter(|word| *word != "deny").fold(0, |bits, word| bits | 1 << known(word)))
    }

    pub fn without(self, words: &[&str]) -> Capabilities {
        Capabilities(self.0 & !Capabilities::of(words.iter().copied()).0)
    }

    /// Whether it has one of these.
    pub fn has(self, words: &[&str]) -> bool {
        self.0 & Capabilities::of(words.iter().copied()).0 != 0
    }

    pub fn words(self) -> Vec<&'static str> {
        let has = |(at, word): (usize, &&'static str)| (self.0 & 1 << at != 0).then_some(*word);
        Self::WORDS.iter().enumerate().filter_map(has).collect()
    }

    /// For the wire.
    pub fn bits(self) -> u64 {
        self.0.into()
    }

    /// `None` for bits that are no capabilities.
    pub fn from_bits(bits: u64) -> Option<Capabilities> {
        u16::try_from(bits).ok().filter(|bits| bits >> Self::WORDS.len() == 0).map(Capabilities)
    }
}

/// One fetched value, with what its store says of it.
pub struct Fetched {
    pub value: SecretText,
    pub vouched: Vouched,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_survive_the_wire_and_unknown_words_are_kept_as_other() {
        let some = Capabilities::of(["read", "update", "teleport", "deny"].into_iter());
        assert_eq!(Capabilities::from_bits(some.bits()), Some(some));
        assert_eq!(some.words(), ["read", "update", "other"]);
        assert!(some.has(&["list", "read"]) && !some.has(&["list"]));
        assert_eq!(some.without(&["read"]).words(), ["update", "other"]);
        assert_eq!(Capabilities::from_bits(1 << 10), None);
        assert_eq!(Capabilities::of(["deny"].into_iter()), Capabilities::default());
    }
}
