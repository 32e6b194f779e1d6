//! The documents agree with the code, because they are run: the README's commands, configs and outputs, and the manual page.
//!
//! A block of the README is run, parsed or compared by its language. A comment above it says what else holds it:
//! `run by: FILE` (the file has the command), `lines of: FILE` (the file has each line), `output of: COMMAND` (an earlier one).

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use boon::{Compiler, Schemas};
use portcullis::config::{Request, load, schema};
use portcullis::refusal::Exit;
use support::page::{self, Block};
use support::start::{Place, binary, is_root};

fn readme() -> String {
    fs::read_to_string("README.md").unwrap()
}

fn blocks() -> Vec<Block> {
    page::blocks("README.md")
}

/// A folder in which the README's commands are run, one block after the other.
struct Walk {
    place: Place,
    outputs: BTreeMap<String, String>,
}

impl Walk {
    /// Runs it by bash; both outputs together. What belongs to the checkout runs there.
    fn run(&mut self, script: &str) -> (String, bool) {
        let own = script.split_whitespace().next().is_some_and(|word| Path::new(word).exists());
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", &format!("exec 2>&1; {script}")]);
        let folder = self.place.path("");
        bash.current_dir(if own { Path::new(".") } else { &folder }).env("REAL_KEY", "a-real-key-0123456789");
        bash.env("PATH", format!("{}:{}", binary().parent().unwrap().display(), std::env::var("PATH").unwrap()));
        // Optimised is what the release suites are for.
        bash.env("PROFILE", "dev");
        // What cargo told this test would make build scripts run anew.
        std::env::vars().filter(|(n, _)| n.starts_with("CARGO_PKG_") || n.starts_with("CARGO_MANIFEST_")).for_each(
            |(n, _)| {
                bash.env_remove(n);
            },
        );
        let output = bash.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        self.outputs.insert(script.to_owned(), text.clone());
        (text, output.status.success())
    }

    #[track_caller]
    fn printed(&self, shown: &str, real: &str) {
        let folder = self.place.path("").display().to_string();
        page::printed(shown, &real.replace(folder.trim_end_matches('/'), "/srv"));
    }
}

#[test]
fn the_readmes_commands_run_and_print_what_it_shows() {
    if !is_root() {
        return support::skip("the README's walk names a user, which only root can become");
    }
    let mut walk = Walk { place: Place::new(), outputs: BTreeMap::new() };
    let mut ran = 0;
    for block in blocks() {
        let mark = block.mark.as_ref().map(|(kind, what)| (kind.as_str(), what.as_str()));
        match (block.language.as_str(), mark) {
            ("sh", None) => {
                let (text, success) = walk.run(&block.text);
                assert!(success, "{}\n{text}", block.text);
                ran += 1;
            }
            ("console", None) => {
                let (command, shown) = block.text.split_once('\n').unwrap();
                let (text, _) = walk.run(command.strip_prefix("$ ").expect("a command after `$ `"));
                walk.printed(shown, &text);
                ran += 1;
            }
            ("text", Some(("output of", command))) => {
                let real = walk.outputs.get(command).unwrap_or_else(|| panic!("`{command}` was not run before"));
                walk.printed(&block.text, real);
            }
            ("sh", Some(("run by", file))) => {
                let held = fs::read_to_string(file).unwrap();
                assert!(held.contains(&block.text), "{file} does not run `{}`", block.text);
            }
            (_, Some(("lines of", file))) => {
                page::lines_of(file, &block.text);
            }
            ("toml", None) => {}
            (language, mark) => panic!("nothing holds the block of `{language}` with {mark:?}:\n{}", block.text),
        }
    }
    assert!(ran >= 5, "only {ran} commands were found");
}

#[test]
fn the_readmes_configs_are_taken_by_the_parser_and_by_the_schema() {
    let mut schemas = Schemas::new();
    let mut compiler = Compiler::new();
    compiler.add_resource("portcullis.json", serde_json::from_str(schema::SCHEMA).unwrap()).unwrap();
    let index = compiler.compile("portcullis.json", &mut schemas).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let configs: Vec<String> = blocks().into_iter().filter(|b| b.language == "toml").map(|b| b.text).collect();
    assert!(configs.len() >= 2);
    for text in configs {
        let file = folder.path().join("portcullis.toml");
        fs::write(&file, &text).unwrap();
        let loaded = load(&Request { file: Some(file), cwd: folder.path().to_owned(), ..Request::default() });
        loaded.unwrap_or_else(|refusal| panic!("{text}\n{refusal}"));
        let value: serde_json::Value = toml::from_str(&text).unwrap();
        schemas.validate(&value, index).unwrap_or_else(|error| panic!("{text}\n{error}"));
    }
}

#[test]
fn the_readmes_exit_codes_are_the_programs() {
    let text = readme();
    let rows = text.lines().filter_map(|line| {
        let (code, meaning) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
        Some((code.parse::<u8>().ok()?, meaning.to_owned()))
    });
    let table = Exit::TABLE.map(|(exit, meaning)| (exit.code(), meaning.to_owned()));
    assert_eq!(rows.collect::<Vec<_>>(), table);
}

#[test]
fn what_the_readme_points_at_is_there() {
    let text = readme();
    let links: Vec<&str> = text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() > 10);
    let gone: Vec<&&str> = links.iter().filter(|link| !Path::new(link).exists()).collect();
    assert!(gone.is_empty(), "the README links to {gone:?}");
}

/// What the program prints for these arguments.
fn said(args: &[&str]) -> String {
    let output = Command::new(binary()).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The names under `Commands:` of a help text.
fn listed(help: &str) -> Vec<String> {
    let names = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Every command with its help.
fn helps() -> Vec<(Vec<String>, String)> {
    let mut all = Vec::new();
    for name in listed(&said(&["--help"])) {
        let help = said(&[&name, "--help"]);
        let inner = listed(&help);
        for sub in &inner {
            all.push((vec![name.clone(), sub.clone()], said(&[&name, sub, "--help"])));
        }
        if inner.is_empty() {
            all.push((vec![name], help));
        }
    }
    assert!(all.len() >= 11, "{}", all.len());
    all
}

/// `--name` words.
fn flags(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("--") {
        let before = text[..at].chars().next_back();
        let name: String = text[at + 2..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        if !name.is_empty() && before.is_none_or(|c| c.is_whitespace() || "(`[".contains(c)) {
            found.insert(name);
        }
    }
    found
}

#[test]
fn every_flag_in_the_readme_is_one_of_ours() {
    let known: BTreeSet<String> = helps().iter().flat_map(|(_, help)| flags(help)).collect();
    // Cargo's and docker's own.
    let foreign = ["release", "from"].map(str::to_owned);
    let unknown: Vec<String> =
        flags(&readme()).into_iter().filter(|f| !known.contains(f) && !foreign.contains(f)).collect();
    assert!(unknown.is_empty(), "the README has {unknown:?}");
}

#[test]
fn every_command_and_flag_is_in_the_manual_page_and_in_the_completions() {
    let page = said(&["man"]).replace("\\-", "-");
    let completions = said(&["completions", "bash"]);
    for (command, help) in helps() {
        assert!(page.contains(&format!(".SS portcullis {}\n", command.join(" "))), "{command:?} is not in the page");
        for flag in flags(&help).into_iter().filter(|flag| !["help", "version"].contains(&flag.as_str())) {
            assert!(page.contains(&format!("--{flag}")), "--{flag} of {command:?} is not in the page");
            assert!(completions.contains(&format!("--{flag}")), "--{flag} of {command:?} is not in the completions");
        }
    }
}

/// The names of all properties anywhere in the schema.
fn properties(value: &serde_json::Value, found: &mut BTreeSet<String>) {
    if let Some(object) = value.as_object() {
        let names = object.get("properties").and_then(|properties| properties.as_object());
        found.extend(names.into_iter().flat_map(|names| names.keys().cloned()));
        object.values().for_each(|inner| properties(inner, found));
    }
    value.as_array().into_iter().flatten().for_each(|inner| properties(inner, found));
}

#[test]
fn every_key_of_the_config_is_in_the_manual_page() {
    let page = said(&["man"]).replace("\\-", "-");
    let mut keys = BTreeSet::new();
    properties(&serde_json::from_str(&said(&["schema"])).unwrap(), &mut keys);
    assert!(keys.len() > 40, "{}", keys.len());
    let told = |key: &String| page.contains(&format!("\\fB{key}\\fR")) || page.contains(&format!(".{key}\\fR"));
    let missing: Vec<&String> = keys.iter().filter(|key| !told(key)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_manual_page_has_the_exit_codes_and_the_variables_that_the_code_reads() {
    let page = said(&["man"]).replace("\\-", "-");
    for (exit, meaning) in Exit::TABLE {
        assert!(page.contains(&format!("\\fB{}\\fR\n{meaning}\n", exit.code())), "{exit:?}");
    }
    let environment = page.split(".SH ").find(|section| section.starts_with("ENVIRONMENT\n")).expect("a section");
    for variable in variables() {
        assert!(environment.contains(&variable), "{variable} is not in the section");
    }
}

/// Names of variables of ours, of the store and of the service manager, wherever the sources quote one.
fn variables() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![Path::new("src").to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
                let source = fs::read_to_string(path).unwrap();
                quoted(source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default(), &mut found);
            }
        }
    }
    for known in
        ["PORTCULLIS_CONFIG", "PORTCULLIS_LOG", "PORTCULLIS_CREDENTIALS_FD", "VAULT_ADDR", "AWS_REGION", "LISTEN_FDS"]
    {
        assert!(found.contains(known), "{known} is not found in the sources: the search is broken");
    }
    found
}

fn quoted(source: &str, found: &mut BTreeSet<String>) {
    let of = |word: &&str| {
        ["PORTCULLIS_", "VAULT_", "AWS_", "LISTEN_", "CREDENTIALS_D"].iter().any(|start| word.starts_with(start))
            && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
    };
    found.extend(source.split('"').filter(of).map(str::to_owned));
}

#[test]
fn the_licences_that_cargo_names_are_there() {
    let apache = fs::read_to_string("LICENSE-APACHE").unwrap();
    assert!(apache.contains("Apache License") && apache.contains("END OF TERMS AND CONDITIONS"));
    assert!(fs::read_to_string("LICENSE-MIT").unwrap().contains("the portcullis authors"));
    assert!(fs::read_to_string("Cargo.toml").unwrap().contains("license = \"Apache-2.0 OR MIT\""));
}
