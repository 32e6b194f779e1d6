//! From a text to a typed value: what a bad one is told, and the one serde bridge all such types share.
//!
//! Nothing here knows a type of the config.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserializer, Error, Visitor};

use super::fault::complain;
use crate::refusal::escape;

/// A text that is no value of its type: what is wrong with it, and what it should look like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {hint}")]
pub struct BadValue {
    pub what: String,
    pub hint: String,
}

pub(super) fn bad<T>(what: impl Into<String>, hint: impl Into<String>) -> Result<T, BadValue> {
    Err(BadValue { what: what.into(), hint: hint.into() })
}

/// At most this many characters of a value stand in a message: enough to find it, not enough to flood a log.
const ECHO: usize = 60;

/// A value as a message may show it: escaped, and cut where it is long.
pub fn echo(text: &str) -> String {
    let mut out = escape(&text.chars().take(ECHO).collect::<String>());
    if text.chars().nth(ECHO).is_some() {
        out.push('…');
    }
    out
}

/// Deserialises a type from its text form, so that config and flags share one parser.
pub(super) fn parse_with<'de, T, D>(deserializer: D, expected: &'static str) -> Result<T, D::Error>
where
    T: FromStr<Err = BadValue>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_str(Text { expected, parsed: PhantomData })
}

struct Text<T> {
    expected: &'static str,
    parsed: PhantomData<T>,
}

impl<T: FromStr<Err = BadValue>> Visitor<'_> for Text<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|bad| complain(&bad))
    }
}

/// `Deserialize` by `FromStr`; the second argument says what is expected where something else than a text stands.
macro_rules! from_text {
    ($type:ty, $expected:expr) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::config::text::parse_with(deserializer, $expected)
            }
        }
    };
}
pub(super) use from_text;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_bounded_and_escaped() {
        assert_eq!(echo("plain"), "plain");
        assert_eq!(echo("a\nb\u{202e}"), "a\\u{a}b\\u{202e}");
        assert_eq!(echo(&"x".repeat(60)), "x".repeat(60));
        assert_eq!(echo(&"é".repeat(61)), "é".repeat(60) + "…");
    }
}
