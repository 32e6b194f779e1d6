//! The bundle's forms: what the workload reads on its pipe, its standard input, its files or in its environment.
//!
//! Rendering is the fetcher's; the launcher decodes the environment's form alone. Nothing here opens, logs or confines.

#![forbid(unsafe_code)]

pub mod environment;
pub mod template;

use crate::config::model::FileFormat;
use crate::seal::dotenv;
use crate::secret::SecretText;
use zeroize::Zeroizing;

/// The variable that holds the number of the pipe's descriptor.
pub const DESCRIPTOR_VARIABLE: &str = "PORTCULLIS_CREDENTIALS_FD";

/// The most that a rendered form may be, in bytes: what a pipe can hold (fcntl(2), pipe-max-size for plain users).
pub const MOST: usize = 1 << 20;

/// The named values, in the order of the config.
pub struct Bundle(Vec<(String, SecretText)>);

impl Bundle {
    pub fn new(values: Vec<(String, SecretText)>) -> Self {
        Bundle(values)
    }

    pub fn get(&self, name: &str) -> Option<&SecretText> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The values of these names, in this order. `None` when one is missing.
    pub fn only(&self, names: &[String]) -> Option<Bundle> {
        names.iter().map(|name| Some((name.clone(), self.get(name)?.clone()))).collect::<Option<Vec<_>>>().map(Bundle)
    }

    /// One JSON object, names to texts (RFC 8259).
    pub fn json(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(self.size_hint()));
        out.push(b'{');
        for (i, (name, value)) in self.0.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            json_text(&mut out, name);
            out.push(b':');
            json_text(&mut out, value.expose());
        }
        out.push(b'}');
        out
    }

    /// `NAME="value"` lines, by the grammar of sealed files.
    pub fn dotenv(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(self.size_hint()));
        for (name, value) in &self.0 {
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            out.extend_from_slice(dotenv::quote(value.expose()).as_bytes());
            out.push(b'\n');
        }
        out
    }

    /// The one value itself, without a newline. `None` unless there is exactly one.
    pub fn raw(&self) -> Option<Zeroizing<Vec<u8>>> {
        match self.0.as_slice() {
            [(_, value)] => Some(Zeroizing::new(value.expose().as_bytes().to_vec())),
            _ => None,
        }
    }

    /// The bundle as a file of this format; `template` is the user's own text. The error says what is wrong, never a value.
    pub fn render(&self, format: FileFormat, template: Option<&str>) -> Result<Zeroizing<Vec<u8>>, String> {
        match (format, template) {
            (FileFormat::Json, None) => Ok(self.json()),
            (FileFormat::Dotenv, None) => Ok(self.dotenv()),
            (FileFormat::Raw, None) => self.raw().ok_or_else(|| "the raw form takes exactly one secret".to_owned()),
            (FileFormat::Template, Some(text)) => template::fill(text, self),
            _ => Err("a template belongs to format = \"template\", and to no other".to_owned()),
        }
    }

    /// Room for every value escaped, so that a growing buffer leaves no copies behind.
    fn size_hint(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + 6 * value.len() + 8).sum::<usize>() + 2
    }
}

/// Appends a JSON string: quotes, backslashes and control characters escaped, everything else as it is.
fn json_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    json_escape(out, text);
    out.push(b'"');
}

/// The inside of a JSON string.
fn json_escape(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..=0x1f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn bundle(values: &[(&str, &str)]) -> Bundle {
        let owned = values.iter().map(|(n, v)| ((*n).to_owned(), SecretText::new((*v).to_owned())));
        Bundle::new(owned.collect())
    }

    #[test]
    fn json_is_read_back_by_another_parser_whatever_the_value() {
        let nasty = "quote\" back\\ line\nreturn\r tab\t bell\u{7} del\u{7f} é 漢 😀 </script>";
        let json = bundle(&[("a", nasty), ("b", "plain")]).json();
        let read: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(read, serde_json::json!({ "a": nasty, "b": "plain" }));
    }

    #[test]
    fn json_never_grows_its_buffer() {
        let value = "\u{1}".repeat(1000);
        let bundle = bundle(&[("a", &value)]);
        assert!(bundle.json().len() <= bundle.size_hint());
    }

    #[test]
    fn raw_is_the_value_itself_and_takes_one_alone() {
        assert_eq!(bundle(&[("a", "x\n")]).raw().unwrap().as_slice(), b"x\n");
        assert!(bundle(&[("a", "x"), ("b", "y")]).raw().is_none());
        assert!(bundle(&[]).raw().is_none());
    }

    #[test]
    fn a_selection_keeps_order_and_misses_nothing() {
        let all = bundle(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let some = all.only(&["c".to_owned(), "a".to_owned()]).unwrap();
        assert_eq!(some.json().as_slice(), br#"{"c":"3","a":"1"}"#);
        assert!(all.only(&["d".to_owned()]).is_none());
    }
}
