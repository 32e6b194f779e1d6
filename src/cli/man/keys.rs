//! Every key of the config with what it means, out of the JSON Schema that the parser is tested against.
//!
//! A walk over the shapes that this schema has: objects, lists of objects, alternatives, names that the user chooses.

use serde_json::Value;

use crate::config::schema::SCHEMA;

pub struct Key {
    /// With its tables: `vault.auth.role_id`, `deliver.file[].var`, `secrets.NAME.max_age`.
    pub name: String,
    description: String,
    words: Vec<String>,
    default: Option<String>,
}

impl Key {
    /// What it means, the words that it can be, its default: sentences.
    pub fn text(&self) -> String {
        let mut parts: Vec<String> = sentence(&self.description).into_iter().collect();
        if !self.words.is_empty() {
            parts.push(format!("One of {}.", self.words.join(", ")));
        }
        parts.extend(self.default.as_ref().map(|default| format!("Default: {default}.")));
        parts.join(" ")
    }
}

/// With a capital and a full stop. `None` for nothing.
fn sentence(text: &str) -> Option<String> {
    let mut chars = text.trim_end_matches('.').chars();
    let first = chars.next()?;
    Some(format!("{}{}.", first.to_uppercase(), chars.as_str()))
}

/// All keys in the order of their names; none if the schema cannot be read, which a test rules out.
pub fn all() -> Vec<Key> {
    let Ok(root) = serde_json::from_str::<Value>(SCHEMA) else { return Vec::new() };
    let mut keys = Vec::new();
    Walk { root: &root, keys: &mut keys }.object(&root, "");
    keys
}

struct Walk<'a> {
    root: &'a Value,
    keys: &'a mut Vec<Key>,
}

impl<'a> Walk<'a> {
    fn object(&mut self, schema: &'a Value, prefix: &str) {
        for alternative in self.alternatives(schema) {
            for (name, inner) in alternative["properties"].as_object().into_iter().flatten() {
                self.key(inner, format!("{prefix}{name}"));
            }
            let named =
                alternative["patternProperties"].as_object().or(alternative["additionalProperties"].as_object());
            let Some(named) = named else { continue };
            match named.get("$ref").is_some() || named.contains_key("type") {
                // `additionalProperties` is a schema itself, `patternProperties` a map of them.
                true => self.key(&alternative["additionalProperties"], format!("{prefix}NAME")),
                false => named.values().for_each(|inner| self.key(inner, format!("{prefix}NAME"))),
            }
        }
    }

    fn key(&mut self, schema: &'a Value, name: String) {
        let words = self.words(schema);
        if let Some(known) = self.keys.iter_mut().find(|key| key.name == name) {
            // The same key in another shape, such as the method of each way to log in.
            known.words.extend(words);
            return;
        }
        let description = schema["description"].as_str().or_else(|| self.resolve(schema)["description"].as_str());
        let default = Some(&schema["default"]).filter(|default| !is_empty(default)).map(ToString::to_string);
        let key = Key { name: name.clone(), description: description.unwrap_or_default().to_owned(), words, default };
        self.keys.push(key);
        self.object(schema, &format!("{name}."));
        let items = &self.resolve(schema)["items"];
        if items.is_object() {
            self.object(items, &format!("{name}[]."));
        }
    }

    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let name = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/"));
        name.map_or(schema, |name| &self.root["$defs"][name])
    }

    /// The schema itself, and the shapes that a value may have.
    fn alternatives(&self, schema: &'a Value) -> Vec<&'a Value> {
        let schema = self.resolve(schema);
        let shapes = ["anyOf", "oneOf"].into_iter().filter_map(|word| schema[word].as_array()).flatten();
        std::iter::once(schema).chain(shapes.map(|shape| self.resolve(shape))).collect()
    }

    fn words(&self, schema: &'a Value) -> Vec<String> {
        let mut words = Vec::new();
        for shape in self.alternatives(schema).into_iter().chain(self.alternatives(&schema["items"])) {
            words.extend(shape.get("const"));
            words.extend(shape["enum"].as_array().into_iter().flatten());
        }
        words.iter().map(ToString::to_string).collect()
    }
}

fn is_empty(default: &Value) -> bool {
    match default {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(table) => table.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_every_shape_are_found() {
        let keys = all();
        let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
        for name in [
            "deadline",
            "workload.env.set",
            "secrets.NAME.max_age",
            "deliver.file[].template",
            "vault.auth.secret_id_file",
            "vault.auth.token_file",
            "vault.mounts.NAME",
            "vault.tls.min_version",
            "confine.dns",
        ] {
            assert!(names.contains(&name), "{name} is not among {names:#?}");
        }
    }

    #[test]
    fn words_and_defaults_are_told() {
        let text = |name: &str| all().into_iter().find(|key| key.name == name).unwrap().text();
        assert!(
            text("mode").contains("One of \"supervise\", \"replace\". Default: \"supervise\"."),
            "{}",
            text("mode")
        );
        assert!(text("confine.optional").contains("\"landlock-tcp\""), "{}", text("confine.optional"));
        assert_eq!(text("confine.dns"), "One of true, false, \"tcp\".");
        assert!(
            text("vault.auth.method").contains("\"kubernetes\", \"jwt\", \"cert\", \"token\""),
            "{}",
            text("vault.auth.method")
        );
    }
}
