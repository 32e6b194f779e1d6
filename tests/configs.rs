//! Config files as a table: each of `configs/good` is taken, each of `configs/refused` is refused in the words beside it, and
//! the JSON Schema agrees with the parser on every one, but where the list below says why it cannot.
//!
//! `PORTCULLIS_BLESS=1` writes the words anew; read the diff.

use std::fs;
use std::path::{Path, PathBuf};

use boon::{Compiler, SchemaIndex, Schemas};
use portcullis::config::{Request, load, schema};

/// What the parser refuses and the schema takes, by the start of the file's name.
const BEYOND_THE_SCHEMA: [(&str, &str); 7] = [
    ("check-", "a rule over several keys, or one that has a hint of its own"),
    ("reference-query-unknown", "which keys a source knows may change without the shape of a reference"),
    ("reference-query-twice", "a pattern cannot compare two keys"),
    ("value-deadline-years", "a bound hidden in digits and a unit"),
    ("value-size-overflow", "a bound hidden in digits and a unit"),
    ("value-user-minus-one", "a bound hidden in digits"),
    ("type-huge-number", "not even a number to many JSON readers"),
];

fn configs(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new("tests/configs").join(kind);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no configs in {}", folder.display());
    files
}

fn request(file: &Path) -> Request {
    Request { file: Some(file.to_owned()), cwd: std::env::current_dir().unwrap(), ..Request::default() }
}

struct Judge {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Judge {
    fn new() -> Self {
        let mut schemas = Schemas::new();
        let mut compiler = Compiler::new();
        compiler.add_resource("portcullis.json", serde_json::from_str(schema::SCHEMA).unwrap()).unwrap();
        let index = compiler.compile("portcullis.json", &mut schemas).unwrap();
        Judge { schemas, index }
    }

    /// `None` where the text is no TOML, so that there is nothing to judge.
    fn accepts(&self, text: &str) -> Option<Result<(), String>> {
        let value: serde_json::Value = toml::from_str(text).ok()?;
        Some(self.schemas.validate(&value, self.index).map_err(|error| error.to_string()))
    }
}

#[test]
fn good_configs_are_taken_by_the_parser_and_by_the_schema() {
    let judge = Judge::new();
    for file in configs("good") {
        let loaded = load(&request(&file)).unwrap_or_else(|refusal| panic!("{}\n{refusal}", file.display()));
        let verdict = judge.accepts(&loaded.text).expect("TOML");
        assert_eq!(verdict, Ok(()), "{}", file.display());
    }
}

/// What people copy: configs below these folders, however deep. Templates of configs have other endings.
fn to_copy() -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from("examples"), PathBuf::from("docker")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        // One that cannot be listed is an operator's own: docker/secrets.
        for path in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|extension| extension == "toml") => files.push(path),
                false => {}
            }
        }
    }
    files
}

#[test]
fn configs_to_copy_are_taken_by_the_parser_and_by_the_schema() {
    let (judge, files) = (Judge::new(), to_copy());
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let loaded = load(&request(&file)).unwrap_or_else(|refusal| panic!("{}\n{refusal}", file.display()));
        assert_eq!(judge.accepts(&loaded.text).expect("TOML"), Ok(()), "{}", file.display());
    }
}

#[test]
fn refused_configs_are_refused_in_the_words_beside_them() {
    let mut wrong = Vec::new();
    for file in configs("refused") {
        let refusal = match load(&request(&file)) {
            Err(refusal) => refusal,
            Ok(_) => panic!("{} is taken", file.display()),
        };
        assert_eq!(refusal.exit.code(), 78, "{}", file.display());
        let (words, said) = (file.with_extension("txt"), format!("{refusal}\n"));
        assert_eq!(said.lines().count(), 2, "{said}");
        if std::env::var_os("PORTCULLIS_BLESS").is_some() {
            fs::write(&words, &said).unwrap();
        } else if fs::read_to_string(&words).unwrap_or_default() != said {
            wrong.push(said);
        }
    }
    assert!(wrong.is_empty(), "said other words than the files beside the configs:\n{}", wrong.concat());
}

#[test]
fn the_schema_refuses_what_the_parser_refuses() {
    let judge = Judge::new();
    let mut wrong = Vec::new();
    for file in configs("refused") {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let beyond = BEYOND_THE_SCHEMA.iter().find(|(start, _)| name.starts_with(start));
        match (judge.accepts(&fs::read_to_string(&file).unwrap()), beyond) {
            (Some(Ok(())), None) => wrong.push(format!("{name}: the schema takes it")),
            (Some(Err(why)), Some((_, reason))) => {
                wrong.push(format!("{name}: the schema refuses it, so \"{reason}\" is not so: {why}"));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_exception_is_needed() {
    let names: Vec<String> =
        configs("refused").iter().map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    for (start, reason) in BEYOND_THE_SCHEMA {
        assert!(names.iter().any(|name| name.starts_with(start)), "no config for the exception `{start}`: {reason}");
    }
}
