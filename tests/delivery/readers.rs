//! The readers that users copy, and programs that read the pipe and standard input whole, in every runtime.

use std::fs;

use crate::programs::{self, RUNTIMES};
use crate::stage::{STARTERS, Stage, Starter};
use crate::values::{self, NASTY};

/// The examples themselves, each with the command that runs it.
fn examples(stage: &Stage) -> Vec<(&'static str, Vec<String>)> {
    let copy = |interpreter: &str, name: &str| {
        let text = fs::read(format!("examples/readers/{name}")).unwrap();
        let path = stage.write(&format!("app/{name}"), text, 0o555);
        vec![interpreter.to_owned(), path.display().to_string()]
    };
    vec![
        ("python", copy("python3", "read_credentials.py")),
        ("node", copy("node", "read_credentials.mjs")),
        ("bash", copy("bash", "read_credentials.sh")),
        ("dash", copy("dash", "read_credentials.sh")),
        ("go", vec![programs::built("go-reader").display().to_string()]),
        ("rust", vec![programs::rust_reader().display().to_string()]),
    ]
}

#[test]
fn each_reader_prints_names_and_lengths_and_no_value() {
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        stage.seal_values(&[("api_key", "key-é-0123456789"), ("api_secret", "hush\"\\hush")]);
        for (name, command) in examples(&stage) {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            stage.config(&words, &["api_key", "api_secret"], "");
            let printed = stage.ok();
            let mut lines: Vec<&str> = printed.lines().collect();
            lines.sort_unstable();
            let expected = match name {
                "bash" | "dash" => ["api_key 17 bytes", "api_secret 10 bytes"],
                _ => ["api_key 16 characters", "api_secret 10 characters"],
            };
            assert_eq!(lines, expected, "{name}, {:?}", stage.starter);
        }
    }
}

#[test]
fn each_reader_has_five_lines() {
    for (file, from, to) in [
        ("read_credentials.py", "with ", ""),
        ("read_credentials.mjs", "import ", ""),
        ("read_credentials.sh", "credentials=", ""),
        ("main.go", "\tfd, err", "}"),
        ("read_credentials.rs", "    let fd", "}"),
    ] {
        let text = fs::read_to_string(format!("examples/readers/{file}")).unwrap();
        let code =
            text.lines().skip_while(|line| !line.starts_with(from)).take_while(|line| to.is_empty() || *line != to);
        let lines = code.filter(|line| !line.is_empty() && !line.trim_start().starts_with("//")).count();
        assert!(lines <= 5, "{file} has {lines} lines");
    }
}

/// One program of each runtime, reading `way`, under a config with `more`; what it saw must be `expected`.
fn every_runtime_sees(stage: &Stage, way: &str, values: &[(&str, &str)], more: &str) {
    stage.seal_values(values);
    let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
    let expected = values::report(values);
    for runtime in RUNTIMES {
        let mut command = programs::command(stage, runtime);
        command.push(way.to_owned());
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        stage.config(&words, &names, more);
        assert_eq!(values::told(runtime, &stage.ok()), expected, "{runtime} by {way}, {:?}", stage.starter);
    }
}

#[test]
fn every_runtime_reads_the_pipe_whole_whatever_the_values() {
    let long = values::long();
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        every_runtime_sees(&stage, "pipe", &[("nasty", NASTY), ("long", &long), ("plain", "key-0123")], "");
    }
}

#[test]
fn every_runtime_reads_standard_input_whole_whatever_the_values() {
    let long = values::long();
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        let more = "[deliver]\npipe = false\nstdin = true\n";
        every_runtime_sees(&stage, "stdin", &[("nasty", NASTY), ("long", &long), ("plain", "key-0123")], more);
    }
}

#[test]
fn a_bundle_of_a_mebibyte_arrives_and_one_byte_more_is_refused() {
    let (first, names) = (values::longest(), ["first", "second"]);
    // {"first":"...","second":"..."}
    let around = r#"{"first":"","second":""}"#.len();
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        let second = "x".repeat((1 << 20) - around - first.len());
        let exact = [("first", first.as_str()), ("second", second.as_str())];
        every_runtime_sees(&stage, "pipe", &exact, "");
        let more = format!("{second}x");
        stage.seal_values(&[("first", &first), ("second", &more)]);
        stage.config(&["true"], &names, "");
        assert!(stage.refused(77).contains("1048577 bytes, and 1 MiB is the most"));
    }
}

#[test]
fn one_value_beyond_512_kib_is_refused() {
    let Some(stage) = Stage::new(Starter::Plain) else { return };
    stage.seal_values(&[("big", &"x".repeat(900 * 1024))]);
    stage.config(&["true"], &["big"], "");
    assert!(stage.refused(77).contains("longer than 512 KiB"));
}
