//! One value out of an opened document: there, a text, not empty, without a NUL byte; else a refusal that says what to do.
//!
//! Names may be shown, values never. How old a value may be is the fetcher's question.

use super::document::{Document, Entry, Format};
use super::json::Node;
use crate::refusal::{Exit, Refusal};
use crate::secret::{Fetched, SecretText, Vouched};

/// How many names a hint lists.
const LISTED: usize = 12;

/// The value that a reference names. `name` is a top-level name, or an RFC 6901 pointer if it starts with `/` and the
/// document is JSON; `file` is the sealed file's name, for messages.
pub fn pick(document: &Document, name: &str, file: &str) -> Result<Fetched, Refusal> {
    let Some((node, entry)) = find(document, name) else {
        return Err(no(format!("there is no {name} in {file}"), missing_hint(document, name)));
    };
    let Node::Text(text) = node else {
        let hint =
            format!("put it in quotes, or name a text inside it with a pointer such as `#/{}/...`", escape(name));
        return Err(no(format!("{name} in {file} is {}, not a text", node.kind()), hint));
    };
    usable(text).map_err(|what| no(format!("{name} in {file} {what}"), set_hint(name)))?;
    // A time stands beside a whole value only.
    let set_at = entry.set_at.filter(|_| std::ptr::eq(node, &entry.value));
    Ok(Fetched { value: text.clone(), vouched: Vouched { set_at, ..Vouched::default() } })
}

/// Why a text cannot be handed over.
pub fn usable(text: &SecretText) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("is empty");
    }
    if text.expose().contains('\0') {
        return Err("has a NUL byte in it");
    }
    Ok(())
}

fn find<'a>(document: &'a Document, name: &str) -> Option<(&'a Node, &'a Entry)> {
    let pointer = name.strip_prefix('/').filter(|_| document.format() == Format::Json);
    let Some(pointer) = pointer else {
        return document.get(name).map(|entry| (&entry.value, entry));
    };
    let mut steps = pointer.split('/').map(unescape);
    let entry = document.get(&steps.next()?)?;
    let node = steps.try_fold(&entry.value, |node, step| node.child(&step))?;
    Some((node, entry))
}

/// RFC 6901: `~1` is `/`, then `~0` is `~`.
fn unescape(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

fn escape(name: &str) -> String {
    name.trim_start_matches('/').replace('~', "~0").replace('/', "~1")
}

fn no(what: String, hint: impl Into<String>) -> Refusal {
    Refusal::new(Exit::StoreSaidNo, what, hint)
}

fn set_hint(name: &str) -> String {
    format!("`portcullis seal set {name}` gives it a value")
}

fn missing_hint(document: &Document, name: &str) -> String {
    let names: Vec<&str> = document.entries().map(|(name, _)| name).collect();
    // What a pointer leads to is no name that `seal set` could make.
    if name.starts_with('/') && document.format() == Format::Json && !names.is_empty() {
        return format!("correct the pointer; the names at the top are {}", listed(&names));
    }
    let near = names.iter().map(|known| (strsim::jaro_winkler(known, name), known)).max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        None => format!("the file holds no secret at all; {}", set_hint(name)),
        Some((likeness, known)) if likeness > 0.85 => format!("did you mean {known}? else {}", set_hint(name)),
        Some(_) => format!("it holds {}; {}", listed(&names), set_hint(name)),
    }
}

fn listed(names: &[&str]) -> String {
    let shown = names[..names.len().min(LISTED)].join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(text: &str, name: &str) -> Result<(String, Option<i64>), (String, String)> {
        let Ok(document) = Document::parse(text.as_bytes()) else { panic!("{text}") };
        match pick(&document, name, "s.age") {
            Ok(fetched) => Ok((fetched.value.expose().to_owned(), fetched.vouched.set_at)),
            Err(refusal) => {
                assert_eq!(refusal.exit, Exit::StoreSaidNo);
                Err((refusal.what, refusal.hint))
            }
        }
    }

    #[test]
    fn a_value_comes_with_the_time_it_was_set() {
        let text = "# portcullis:set A 2026-11-24T08:30:00Z\nA=x\nB=y";
        assert_eq!(picked(text, "A"), Ok(("x".into(), Some(1_795_509_000))));
        assert_eq!(picked(text, "B"), Ok(("y".into(), None)));
    }

    #[test]
    fn a_missing_name_is_refused_with_the_nearest_or_with_all() {
        let (what, hint) = picked("API_KEY=hunter2\nOTHER=hunter2", "API_KYE").unwrap_err();
        assert_eq!(what, "there is no API_KYE in s.age");
        assert_eq!(hint, "did you mean API_KEY? else `portcullis seal set API_KYE` gives it a value");
        let (_, hint) = picked("API_KEY=hunter2\nOTHER=hunter2", "zzz").unwrap_err();
        assert_eq!(hint, "it holds API_KEY, OTHER; `portcullis seal set zzz` gives it a value");
        let (_, hint) = picked("", "A").unwrap_err();
        assert!(hint.contains("no secret at all"), "{hint}");
        let many: String = (0..20).map(|i| format!("N{i}=x\n")).collect();
        assert!(picked(&many, "zzz").unwrap_err().1.contains("N11 and 8 more"));
    }

    #[test]
    fn empty_values_and_nul_bytes_are_refused() {
        assert_eq!(picked("A=", "A").unwrap_err().0, "A in s.age is empty");
        assert_eq!(picked("{\"A\": \"\"}", "A").unwrap_err().0, "A in s.age is empty");
        assert_eq!(picked("A='x\0y'", "A").unwrap_err().0, "A in s.age has a NUL byte in it");
        assert_eq!(picked("{\"A\": \"x\\u0000y\"}", "A").unwrap_err().0, "A in s.age has a NUL byte in it");
    }

    #[test]
    fn only_the_reference_to_a_wrong_kind_is_refused() {
        let text = r#"{"n": 5, "o": {"p": "q"}, "A": "x"}"#;
        assert_eq!(picked(text, "n").unwrap_err().0, "n in s.age is a number, not a text");
        assert_eq!(picked(text, "o").unwrap_err().0, "o in s.age is an object, not a text");
        assert_eq!(picked(text, "A"), Ok(("x".into(), None)));
    }

    #[test]
    fn a_pointer_goes_into_json_and_a_dot_means_nothing() {
        let text = r##"{"#portcullis": {"set": {"o": "1970-01-01T00:00:01Z", "a/~b": "1970-01-01T00:00:02Z"}},
            "o": {"p": ["x", "y"], "": "e"}, "a/~b": "z", "a.b": "d"}"##;
        assert_eq!(picked(text, "/o/p/1"), Ok(("y".into(), None)));
        assert_eq!(picked(text, "/o/"), Ok(("e".into(), None)));
        assert_eq!(picked(text, "/a~1~0b"), Ok(("z".into(), Some(2))));
        assert_eq!(picked(text, "a.b"), Ok(("d".into(), None)));
        for absent in ["o.p", "/o/p/2", "/o/x", "/", "/o/p/1/0", "#portcullis", "/#portcullis/set/o"] {
            assert!(picked(text, absent).unwrap_err().0.starts_with("there is no"), "{absent}");
        }
        assert!(picked("A=x", "/A").is_err(), "dotenv has no pointers");
    }
}
