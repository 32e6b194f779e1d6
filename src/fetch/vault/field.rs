//! One field out of a secret's data: it must be there and be a text that is worth handing on, or is handed on in base64.
//!
//! Messages name fields, never values.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::refusal::{Exit, Refusal};
use crate::secret::SecretText;

use super::Want;
use super::location::{How, Location};

/// How many field names a hint lists, and how much of each.
const NAMES: usize = 12;
const NAME_CHARS: usize = 48;

/// Before anything is fetched: an RFC 6901 pointer escapes `~` as `~0` and `/` as `~1`, and knows nothing else.
pub fn check(want: &Want) -> Result<(), Refusal> {
    let escapes_ok = || want.field.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
    if want.field.is_empty() || want.field.starts_with('/') && !escapes_ok() {
        return Err(Refusal::config(
            format!("`{}`: `{}` is no field", want.name, want.field),
            "write a field's name, or a pointer such as /keys/0 in which `~0` stands for ~ and `~1` for /",
        ));
    }
    Ok(())
}

/// The value of a field, as it is handed on.
pub fn pick(data: &Value, want: &Want, location: &Location) -> Result<SecretText, Refusal> {
    match want.base64 {
        false => text(data, want, location).map(|text| SecretText::new(text.to_owned())),
        true => in_base64(data, want, location),
    }
}

/// A text's own bytes, anything else as the JSON that it is. What is not there or empty is refused all the same.
fn in_base64(data: &Value, want: &Want, location: &Location) -> Result<SecretText, Refusal> {
    let bytes = match find(data, &want.field) {
        None | Some(Value::Null) => return text(data, want, location).map(|text| SecretText::new(text.to_owned())),
        Some(Value::String(text)) if text.is_empty() => {
            return self::text(data, want, location).map(|_| SecretText::new(String::new()));
        }
        Some(Value::String(text)) => Zeroizing::new(text.clone()),
        Some(other) => Zeroizing::new(other.to_string()),
    };
    Ok(SecretText::new(BASE64_STANDARD.encode(bytes.as_bytes())))
}

/// The text of a field; anything else is refused with what it is.
fn text<'a>(data: &'a Value, want: &Want, location: &Location) -> Result<&'a str, Refusal> {
    let place = format!("`{}`: field `{}` of {}/{}", want.name, want.field, location.mount, location.rest);
    let no = |what: String, hint: String| Refusal::new(Exit::StoreSaidNo, what, hint);
    let Some(value) = find(data, &want.field) else {
        return Err(no(format!("{place} does not exist"), missing_hint(data, &want.field, location)));
    };
    let put = match location.how {
        How::Kv2 { .. } => format!("write it as a text: `vault kv patch {} {}=VALUE`", location.cli(), want.field),
        How::Kv1 => format!("write it as a text: `vault kv put {} {}=VALUE`", location.cli(), want.field),
        _ => "name another field, or take it as it is with encoding = \"base64\"".to_owned(),
    };
    let fault = match value {
        Value::String(text) if text.is_empty() => "is empty",
        Value::String(text) if text.trim().is_empty() => "is blank",
        Value::String(text) if text.contains('\0') => "holds a NUL byte, which no C string can carry",
        Value::String(text) => return Ok(text),
        Value::Null => "is null, not a text",
        Value::Bool(_) => "is true or false, not a text",
        Value::Number(_) => "is a number, not a text",
        Value::Array(_) => "is an array, not a text",
        Value::Object(_) => "is an object, not a text",
    };
    let hint = match value {
        Value::Object(_) | Value::Array(_) => format!("reach into it by a pointer: {}", names_hint(value)),
        _ => put,
    };
    Err(no(format!("{place} {fault}"), hint))
}

fn find<'a>(data: &'a Value, field: &str) -> Option<&'a Value> {
    if field.starts_with('/') { data.pointer(field) } else { data.get(field) }
}

/// Names what is there: at the top, or for a pointer as deep as it leads.
fn missing_hint(data: &Value, field: &str, location: &Location) -> String {
    let (level, last) = deepest(data, field);
    let nearest = names(level).into_iter().min_by_key(|name| strsim::damerau_levenshtein(name, &last));
    let close = nearest.filter(|name| strsim::normalized_damerau_levenshtein(name, &last) > 0.5);
    match close {
        Some(name) => format!("did you mean `{}`? {}", short(name), names_hint(level)),
        None if location.mints() => names_hint(level),
        None => format!("{} (`{}`)", names_hint(level), location.command()),
    }
}

fn deepest<'a>(data: &'a Value, field: &str) -> (&'a Value, String) {
    if !field.starts_with('/') {
        return (data, field.to_owned());
    }
    let mut known = field;
    while let Some((parent, last)) = known.rsplit_once('/') {
        if let Some(level) = data.pointer(parent) {
            return (level, last.replace("~1", "/").replace("~0", "~"));
        }
        known = parent;
    }
    (data, field.to_owned())
}

fn names(level: &Value) -> Vec<&str> {
    level.as_object().map(|object| object.keys().map(String::as_str).collect()).unwrap_or_default()
}

fn names_hint(level: &Value) -> String {
    if let Some(array) = level.as_array() {
        return format!("there is an array of {}", array.len());
    }
    let names = names(level);
    if names.is_empty() {
        return "there are no fields".to_owned();
    }
    let listed: Vec<_> = names.iter().take(NAMES).map(|name| short(name)).collect();
    let more = if names.len() > NAMES { format!(" and {} more", names.len() - NAMES) } else { String::new() };
    format!("the fields there are {}{more}", listed.join(", "))
}

fn short(name: &str) -> String {
    match name.char_indices().nth(NAME_CHARS) {
        Some((cut, _)) => format!("{}...", &name[..cut]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn picked(data: Value, field: &str) -> Result<String, Refusal> {
        picked_as(data, field, false)
    }

    fn picked_as(data: Value, field: &str, base64: bool) -> Result<String, Refusal> {
        let want = Want { name: "k".into(), path: "secret/a".into(), field: field.into(), base64, ..Want::default() };
        let location = Location { mount: "secret".into(), rest: "a".into(), how: How::Kv2 { version: None } };
        check(&want)?;
        pick(&data, &want, &location).map(|value| value.expose().to_owned())
    }

    #[test]
    fn in_base64_everything_is_handed_on_but_nothing() {
        for (value, encoded) in [
            (json!("text"), "dGV4dA=="),
            (json!("nul\0"), "bnVsAA=="),
            (json!(8217), "ODIxNw=="),
            (json!({"a": [true]}), "eyJhIjpbdHJ1ZV19"),
        ] {
            assert_eq!(picked_as(json!({"k": value}), "k", true).unwrap(), encoded);
        }
        for value in [json!({}), json!({"k": null}), json!({"k": ""})] {
            assert_eq!(picked_as(value, "k", true).unwrap_err().exit, Exit::StoreSaidNo);
        }
    }

    #[test]
    fn a_plain_field_is_a_top_level_name_whatever_is_in_it() {
        let data = || json!({"a.b": "dots", "a": {"b": "deep", "c/d": ["x", "y"]}, "m~n": "tilde"});
        assert_eq!(picked(data(), "a.b").unwrap(), "dots");
        assert_eq!(picked(data(), "m~n").unwrap(), "tilde");
        assert_eq!(picked(data(), "/a/b").unwrap(), "deep");
        assert_eq!(picked(data(), "/a/c~1d/1").unwrap(), "y");
        assert_eq!(picked(data(), "/m~0n").unwrap(), "tilde");
        assert_eq!(picked(data(), "/m~2n").unwrap_err().exit, Exit::Config);
        assert_eq!(picked(data(), "/m~").unwrap_err().exit, Exit::Config);
    }

    #[test]
    fn what_is_no_usable_text_is_named_and_never_shown() {
        for (value, fault) in [
            (json!(8217), "is a number"),
            (json!(true), "is true or false"),
            (json!(null), "is null"),
            (json!(["s3cr3t"]), "is an array"),
            (json!({"in": "s3cr3t"}), "is an object"),
            (json!(""), "is empty"),
            (json!(" \n"), "is blank"),
            (json!("s3cr3t\0"), "NUL"),
        ] {
            let refusal = picked(json!({"k": value}), "k").unwrap_err();
            assert_eq!(refusal.exit, Exit::StoreSaidNo);
            assert!(refusal.what.contains(fault), "{refusal}");
            assert!(!refusal.to_string().contains("s3cr3t") && !refusal.to_string().contains("8217"), "{refusal}");
        }
    }

    #[test]
    fn a_missing_field_is_told_with_the_names_that_are_there_and_no_value() {
        let data = json!({"api_kez": "s3cr3t", "deep": {"inner": "s3cr3t"}});
        let hint = picked(data.clone(), "api_key").unwrap_err().hint;
        assert!(hint.contains("did you mean `api_kez`") && hint.contains("deep"), "{hint}");
        let hint = picked(data.clone(), "/deep/other/x").unwrap_err().hint;
        assert!(hint.contains("inner") && !hint.contains("api_kez"), "{hint}");
        assert!(!hint.contains("s3cr3t"));
        let many: serde_json::Map<_, _> = (0..40).map(|i| (format!("{i:02}{}", "x".repeat(200)), json!("v"))).collect();
        let hint = picked(Value::Object(many), "nope").unwrap_err().hint;
        assert!(hint.contains("and 28 more") && hint.len() < 900, "{hint}");
    }
}
