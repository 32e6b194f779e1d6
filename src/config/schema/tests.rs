//! The schema against the types that it was made from.

use std::str::FromStr;

use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, SchemaGenerator, generate::SchemaSettings};

use super::SCHEMA;
use crate::config::Config;
use crate::config::reference::Reference;
use crate::config::values::{AbsPath, BadValue, EnvName, Id, SecretName, Size, Span, UserSpec};

/// TOML has no null: an optional key is absent.
struct NoNull;

impl Transform for NoNull {
    fn transform(&mut self, schema: &mut Schema) {
        if schema.get("default").is_some_and(|default| default.is_null()) {
            schema.remove("default");
        }
        if let Some(types) = schema.get_mut("type").and_then(|types| types.as_array_mut()) {
            types.retain(|name| name != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                schema.insert("type".into(), only);
            }
        }
        if let Some(shapes) = schema.get_mut("anyOf").and_then(|shapes| shapes.as_array_mut()) {
            shapes.retain(|shape| shape.get("type").is_none_or(|name| name != "null"));
            if let [only] = shapes.as_slice() {
                let only = only.as_object().unwrap().clone();
                schema.remove("anyOf");
                only.into_iter().for_each(|(key, value)| drop(schema.insert(key, value)));
            }
        }
        transform_subschemas(self, schema);
    }
}

fn generate() -> String {
    let mut schema = SchemaGenerator::new(SchemaSettings::draft2020_12()).into_root_schema_for::<Config>();
    NoNull.transform(&mut schema);
    schema.insert("title".into(), "portcullis.toml".into());
    serde_json::to_string_pretty(&schema).unwrap() + "\n"
}

#[test]
fn the_committed_schema_is_the_one_of_the_types() {
    let generated = generate();
    if std::env::var_os("PORTCULLIS_BLESS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/schema.json"), &generated).unwrap();
        return;
    }
    assert!(generated == SCHEMA, "schema.json is stale: run the tests with PORTCULLIS_BLESS=1 and look at the diff");
}

/// Each type's pattern takes what its parser takes: tried on whatever is made of the characters that matter to either.
/// `beyond` is the start of the complaint that no pattern can make.
fn agree<T: FromStr<Err = BadValue>>(name: &str, starts: &[&str], pieces: &[&str], beyond: &str) {
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource("s.json", serde_json::from_str(SCHEMA).unwrap()).unwrap();
    let index = compiler.compile(&format!("s.json#/$defs/{name}"), &mut schemas).unwrap();
    let mut seed = 7u32;
    let mut next = move |below: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) as usize % below
    };
    let mut taken = 0;
    for _ in 0..20_000 {
        let mut text = starts[next(starts.len())].to_owned();
        (0..next(9)).for_each(|_| text.push_str(pieces[next(pieces.len())]));
        let parsed = text.parse::<T>().map(drop);
        let excused = parsed.as_ref().is_err_and(|bad| bad.what.contains(beyond));
        let valid = schemas.validate(&text.clone().into(), index).is_ok();
        assert!(valid == parsed.is_ok() || excused, "{name} {text:?}: parser {parsed:?}, schema {valid}");
        taken += usize::from(parsed.is_ok());
    }
    assert!(taken > 500, "{taken} of the texts are a {name}: too few to mean anything");
}

#[test]
fn patterns_and_parsers_agree() {
    let numbers = ["0", "1", "9", "42949672", "s", "ms", "d", "KiB", "GiB", " ", "-", ".", "x"];
    agree::<Span>("Span", &["", "1", "0", "30s"], &numbers[..9], "is longer than ten years");
    agree::<Size>("Size", &["", "1"], &numbers, "is larger than any size");
    agree::<AbsPath>("AbsPath", &["/", "/a", "a", ""], &["/", ".", "..", "a", "\0", "\n", "ü", "..."], "no exception");
    let long = "y".repeat(58);
    let names = ["a", "Z", "_", "9", "-", " ", "ä", "\n", "\0"];
    agree::<SecretName>("SecretName", &["", "a", "_", &long], &names[..5], "no exception");
    agree::<EnvName>("EnvName", &["", "A", &long], &names, "no exception");
    let ids = ["0", "1", "9", "42949672", "a", "-", ":", "\n", "\0", " "];
    agree::<Id>("Id", &["", "1", "bot", "000"], &ids, "is no id");
    agree::<UserSpec>("UserSpec", &["", "1:", "bot", "65532"], &ids, "is no id");
    let references = ["a", "/", ".", "..", "#", "?", "=", "&", "~", "~0", ":", "b", "\n", "ü", "#k", "?v=1"];
    agree::<Reference>(
        "Reference",
        &["age:", "aws:", "aws:x", "exec:", "exec:x", "file:", "vault:", "ag:"],
        &references,
        "is given twice",
    );
}
