//! JSON text to a tree of values in which only texts are kept: strict, duplicates refused at any depth, nesting bounded.
//!
//! A number where a text is due is no error here: only the reference to it is refused, so the tree remembers its kind.
//! No message contains a value.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::syntax::{MOST_ITEMS, Syntax, TOO_MANY};
use crate::secret::SecretText;

/// A JSON value, of which only texts are kept. serde_json bounds the depth at 128.
#[derive(Clone)]
pub enum Node {
    Text(SecretText),
    Number,
    Bool,
    Null,
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    /// For a message: `it is a number, not a text`.
    pub fn kind(&self) -> &'static str {
        match self {
            Node::Text(_) => "a text",
            Node::Number => "a number",
            Node::Bool => "a true or false",
            Node::Null => "null",
            Node::Array(_) => "a list",
            Node::Object(_) => "an object",
        }
    }

    /// One step of an RFC 6901 pointer, already unescaped.
    pub fn child(&self, key: &str) -> Option<&Node> {
        match self {
            Node::Object(members) => members.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            Node::Array(items) if key == "0" || !key.starts_with(['0', '+']) => items.get(key.parse::<usize>().ok()?),
            _ => None,
        }
    }
}

/// Parses a whole text as one JSON value.
pub fn parse(text: &str) -> Result<Node, Syntax> {
    bounded(text)?;
    serde_json::from_str(text).map_err(syntax)
}

/// Counts before anything is made of it: a value follows each comma, and each bracket's opening. Outside of texts, whose
/// quotes a backslash hides.
fn bounded(text: &str) -> Result<(), Syntax> {
    let (mut count, mut inside, mut hidden) = (0usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if hidden => hidden = false,
            b'\\' => hidden = inside,
            b'"' => inside = !inside,
            b',' | b'[' | b'{' if !inside => count += 1,
            _ => {}
        }
        if count > MOST_ITEMS {
            return Err(Syntax::at(text, at, TOO_MANY));
        }
    }
    Ok(())
}

/// serde_json's messages are fixed texts, and our own name keys alone: safe to show. Its place is a suffix of the text.
fn syntax(error: serde_json::Error) -> Syntax {
    let (line, column) = (error.line().max(1), error.column().max(1));
    let whole = error.to_string();
    let what = whole.split(" at line ").next().unwrap_or_default();
    match error.classify() {
        serde_json::error::Category::Data => Syntax { line, column, what: what.to_owned() },
        serde_json::error::Category::Eof => Syntax { line, column, what: "it ends inside its JSON".to_owned() },
        _ => Syntax { line, column, what: format!("this is not JSON: {what}") },
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(SecretText::new(text.to_owned())))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Bool)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Number)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Number)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Number)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(de::Error::custom(format!("`{key}` is given twice")));
            }
            members.push((key, map.next_value()?));
        }
        Ok(Node::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Syntax {
        match parse(text) {
            Ok(_) => panic!("accepted: {text}"),
            Err(syntax) => syntax,
        }
    }

    #[test]
    fn a_key_given_twice_is_refused_at_any_depth() {
        assert_eq!(refused("{\"a\": 1,\n \"a\": 2}").what, "`a` is given twice");
        assert_eq!(refused("{\"a\": 1,\n \"a\": 2}").line, 2);
        assert_eq!(refused("{\"x\": [{\"a\": 1, \"\\u0061\": 2}]}").what, "`a` is given twice");
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place_and_without_a_value() {
        for (text, line, column) in [
            ("{\"a\": \"hunter2\",}", 1, 17),
            ("{\"a\": \"hunter2\"", 1, 15),
            ("{\n\"a\": hunter2}", 2, 6),
            ("{\"a\": \"hunter2\"} x", 1, 18),
            ("{\"a\": \"hunter2\n\"}", 2, 0),
            ("{\"a\": \"hunter2\\q\"}", 1, 16),
            ("{hunter2: 1}", 1, 2),
        ] {
            let syntax = refused(text);
            assert_eq!((syntax.line, syntax.column), (line, column.max(1)), "{text}: {syntax}");
            assert!(!syntax.to_string().contains("hunter2"), "{syntax}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(&deep(100)).is_ok());
        assert!(refused(&deep(10_000)).what.contains("recursion limit"));
        assert_eq!(refused(&deep(100_000)).what, TOO_MANY);
    }

    #[test]
    fn values_are_counted_outside_of_texts() {
        let text = format!(r#"{{"a": "{}\"[{{\\", "b": [{}0]}}"#, ",".repeat(MOST_ITEMS), "0,".repeat(MOST_ITEMS - 3));
        assert!(parse(&text).is_ok());
        let refused = refused(&text.replace("[0,", "[0,0,"));
        assert_eq!((refused.what.as_str(), refused.line), (TOO_MANY, 1));
    }

    #[test]
    fn a_step_goes_by_key_or_by_plain_index() {
        let Ok(node) = parse(r#"{"a": ["x", "y"], "0": "z"}"#) else { panic!() };
        let list = node.child("a").unwrap();
        assert!(matches!(list.child("1"), Some(Node::Text(text)) if text.expose() == "y"));
        for key in ["2", "01", "+1", "-1", "", "a", "00"] {
            assert!(list.child(key).is_none(), "{key}");
        }
        assert!(node.child("0").is_some() && node.child("1").is_none());
    }
}
