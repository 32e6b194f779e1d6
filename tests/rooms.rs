//! The structure, held: which room may import which, where `unsafe` and the HTTP stack may stand, and what each file says of
//! itself. A new edge fails here until it is written down, and so does one that is no longer used.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Room to the rooms it may import. One direction: what a line names stands in lines below it.
const EDGES: &[(&str, &[&str])] = &[
    ("lib", &[]),
    ("main", &["cli", "console", "fetch", "keep", "launch", "log", "probe", "wire"]),
    (
        "cli",
        &["config", "console", "host", "init", "launch", "plan", "probe", "refusal", "seal", "secret", "supervise"],
    ),
    ("init", &["cli", "config", "console", "host", "launch", "plan", "refusal", "supervise"]),
    ("probe", &["config", "confine", "console", "launch", "plan", "refusal", "supervise", "sys"]),
    ("supervise", &["config", "confine", "console", "launch", "plan", "refusal", "secret", "sys", "wire"]),
    ("keep", &["confine", "console", "fetch", "refusal", "sys", "wire"]),
    ("fetch", &["config", "confine", "console", "deliver", "plan", "refusal", "seal", "secret", "sys", "wire"]),
    ("launch", &["confine", "deliver", "host", "plan", "refusal", "sys", "wire"]),
    ("confine", &["config", "plan", "refusal", "sys"]),
    ("plan", &["config", "host", "refusal", "secret"]),
    ("host", &["config", "refusal", "sys"]),
    ("deliver", &["config", "seal", "secret"]),
    ("wire", &["config", "refusal", "sys"]),
    ("log", &["console"]),
    ("console", &["config", "refusal", "sys"]),
    ("seal", &["refusal", "secret"]),
    ("config", &["refusal"]),
    ("refusal", &[]),
    ("secret", &[]),
    ("sys", &[]),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files() -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![source()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|e| e == "rs") {
                found.push(entry);
            }
        }
    }
    found
}

fn room(file: &Path) -> String {
    let below = file.strip_prefix(source()).expect("below src");
    let first = below.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The code of a file: without its comments, and without the tests at its end.
fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).expect("a file");
    let production = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(&text);
    production.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn is_test(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == "tests.rs") || file.components().any(|c| c.as_os_str() == "tests")
}

fn rooms() -> BTreeSet<String> {
    files().iter().map(|file| room(file)).collect()
}

fn imports(code: &str, rooms: &BTreeSet<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for start in ["crate::", "portcullis::"] {
        for (at, _) in code.match_indices(start) {
            let rest = &code[at + start.len()..];
            let names: Vec<&str> = match rest.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap_or("").split([',', ' ', '\n']).collect(),
                None => vec![rest],
            };
            for name in names {
                let name: String = name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if rooms.contains(&name) {
                    found.insert(name);
                }
            }
        }
    }
    found
}

#[test]
fn rooms_import_what_is_written_down_and_nothing_else() {
    let rooms = rooms();
    let mut real: BTreeMap<String, BTreeSet<String>> =
        rooms.iter().map(|room| (room.clone(), BTreeSet::new())).collect();
    for file in files().iter().filter(|file| !is_test(file)) {
        let own = room(file);
        let others = imports(&code(file), &rooms).into_iter().filter(|other| *other != own);
        real.get_mut(&own).expect("a room").extend(others);
    }
    let written: BTreeMap<String, BTreeSet<String>> = EDGES
        .iter()
        .map(|(room, others)| ((*room).to_owned(), others.iter().map(|other| (*other).to_owned()).collect()))
        .collect();
    for (room, others) in &real {
        assert_eq!(Some(others), written.get(room), "what `{room}` imports (left) is not what is written down (right)");
    }
    assert_eq!(real.len(), written.len(), "a room is written down that does not exist");
}

#[test]
fn edges_lead_down() {
    let place = |name: &str| EDGES.iter().position(|(room, _)| *room == name).expect("a room");
    for (room, others) in EDGES {
        for other in *others {
            // The story calls the command line's flags, and the command line calls the story.
            if (*room, *other) != ("init", "cli") {
                assert!(place(room) < place(other), "{room} -> {other}");
            }
        }
    }
}

#[test]
fn unsafe_stands_in_one_room_and_each_block_says_why() {
    for file in files() {
        let text = std::fs::read_to_string(&file).expect("a file");
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines
            .iter()
            .enumerate()
            .filter(|(_, line)| line.contains("unsafe {") && !line.trim_start().starts_with("//"))
        {
            assert_eq!(room(&file), "sys", "{}: {line}", file.display());
            let before = &lines[at.saturating_sub(7)..=at];
            assert!(before.iter().any(|line| line.contains("SAFETY:")), "{}:{}: no SAFETY", file.display(), at + 1);
        }
    }
}

#[test]
fn every_room_but_sys_forbids_unsafe() {
    for room in
        rooms().into_iter().filter(|room| !["sys", "lib", "main", "log", "refusal", "secret"].contains(&room.as_str()))
    {
        let file =
            [format!("{room}/mod.rs"), format!("{room}.rs")].into_iter().map(|f| source().join(f)).find(|f| f.exists());
        let text = std::fs::read_to_string(file.expect("the room's file")).expect("a file");
        assert!(text.contains("#![forbid(unsafe_code)]"), "{room}");
    }
}

#[test]
fn the_http_stack_is_the_fetchers_alone() {
    for file in files().iter().filter(|file| room(file) != "fetch") {
        for name in ["tokio", "reqwest", "vaultrs", "rustls", "rustify"] {
            let used = code(file).contains(&format!("{name}::"));
            assert!(!used, "{} uses {name}", file.display());
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_and_stays_small() {
    for file in files() {
        let text = std::fs::read_to_string(&file).expect("a file");
        assert!(text.starts_with("//!"), "{} has no //! header", file.display());
        assert!(text.lines().count() <= 400, "{} is {} lines long", file.display(), text.lines().count());
    }
}

#[test]
fn no_result_is_dropped_in_silence() {
    for file in files().iter().filter(|file| !is_test(file)) {
        assert!(!code(file).contains("let _ ="), "{}", file.display());
    }
}

#[test]
fn the_story_is_short() {
    assert!(std::fs::read_to_string(source().join("init.rs")).expect("init.rs").lines().count() <= 70);
}
