//! Plaintext to [`Document`]: which syntax it is, and what `seal` keeps beside the user's own content.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::super::{dotenv, json, stamp, syntax::Syntax};
use super::{DIRECTIVE, Document, Entry, Format, Item, RESERVED};
use json::Node;

pub fn document(plaintext: &[u8]) -> Result<Document, Syntax> {
    let text = std::str::from_utf8(plaintext).map_err(|error| {
        let readable = String::from_utf8_lossy(&plaintext[..error.valid_up_to()]);
        Syntax::at(&readable, readable.len(), "this is not UTF-8 text")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        true => from_json(text),
        false => from_dotenv(text),
    }
}

/// Times by name, each once.
type Times = BTreeMap<String, i64>;

fn from_dotenv(text: &str) -> Result<Document, Syntax> {
    let mut document = Document::new(Format::Dotenv);
    let mut times = Times::new();
    for item in dotenv::parse(text)? {
        match item {
            dotenv::Item::Other { raw, offset } => match raw.trim_start_matches([' ', '\t']).strip_prefix(DIRECTIVE) {
                Some(words) => directive(words, &mut document.recipients, &mut times)
                    .map_err(|what| Syntax::at(text, offset, what))?,
                None => document.items.push(Item::Line(Zeroizing::new(raw.to_owned()))),
            },
            dotenv::Item::Pair(pair) => {
                let raw = Some(Zeroizing::new(pair.raw.to_owned()));
                let entry = Entry { value: Node::Text(pair.value), set_at: None, raw };
                document.items.push(Item::Entry(pair.name.to_owned(), entry));
            }
        }
    }
    Ok(with_times(document, times))
}

/// One comment of `seal`. A damaged one is refused: an age is judged by it.
fn directive(words: &str, recipients: &mut Vec<String>, times: &mut Times) -> Result<(), String> {
    let words: Vec<&str> = words.split_ascii_whitespace().collect();
    match words[..] {
        ["recipients", ref keys @ ..] if !keys.is_empty() => recipients.extend(keys.iter().map(|key| key.to_string())),
        ["set", name, time] if dotenv::is_name(name) => {
            let time =
                stamp::parse(time).ok_or("the time after `# portcullis:set` is not like 2026-11-24T08:30:00Z")?;
            if times.insert(name.to_owned(), time).is_some() {
                return Err(format!("`# portcullis:set {name}` stands there twice"));
            }
        }
        _ => return Err("a `# portcullis:` comment is `recipients age1...` or `set NAME TIME`".to_owned()),
    }
    Ok(())
}

fn with_times(mut document: Document, times: Times) -> Document {
    for item in &mut document.items {
        if let Item::Entry(name, entry) = item {
            entry.set_at = times.get(name).copied();
        }
    }
    document
}

fn from_json(text: &str) -> Result<Document, Syntax> {
    let Node::Object(members) = json::parse(text)? else {
        return Err(Syntax::at(text, 0, "this is not a JSON object"));
    };
    // The same text once more, for how each value stands; it was valid a line above.
    let raw: RawObject = serde_json::from_str(text).map_err(|_| Syntax::at(text, 0, "this is not a JSON object"))?;
    let mut document = Document::new(Format::Json);
    let mut times = Times::new();
    for ((name, value), raw) in members.into_iter().zip(raw.0) {
        if name == RESERVED {
            (document.recipients, times) = kept(raw).map_err(|what| Syntax::at(text, offset_in(text, raw), what))?;
        } else {
            let raw = Some(Zeroizing::new(raw.get().to_owned()));
            document.items.push(Item::Entry(name, Entry { value, set_at: None, raw }));
        }
    }
    Ok(with_times(document, times))
}

/// Where a slice of `text` starts in it.
fn offset_in(text: &str, part: &RawValue) -> usize {
    (part.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize)
}

/// What `seal` keeps in a JSON document.
fn kept(raw: &RawValue) -> Result<(Vec<String>, Times), &'static str> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Kept {
        #[serde(default)]
        recipients: Vec<String>,
        #[serde(default)]
        set: BTreeMap<String, String>,
    }
    const FORM: &str =
        "`#portcullis` is {\"recipients\": [\"age1...\"], \"set\": {\"NAME\": \"2026-11-24T08:30:00Z\"}}";
    // A derived struct would take a list too.
    let object = Some(raw.get()).filter(|text| text.starts_with('{')).ok_or(FORM)?;
    let kept: Kept = serde_json::from_str(object).map_err(|_| FORM)?;
    let times = kept.set.into_iter().map(|(name, time)| Some((name, stamp::parse(&time)?)));
    Ok((kept.recipients, times.collect::<Option<Times>>().ok_or(FORM)?))
}

/// The values of a JSON object as they stand.
struct RawObject<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for RawObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Vec<&'de RawValue>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((_, raw)) = map.next_entry::<serde::de::IgnoredAny, &RawValue>()? {
                    members.push(raw);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Members).map(RawObject)
    }
}
