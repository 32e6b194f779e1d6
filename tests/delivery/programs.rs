//! Workloads in the real runtimes: what each saw, as lines of name, length in bytes and SHA-256. Never a value.
//!
//! Each takes one argument: `pipe`, `stdin`, or the variable with the path of a JSON file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::stage::{Stage, executable, shared};

pub const RUNTIMES: [&str; 6] = ["python", "node", "go", "rust-static", "rust-dynamic", "sh"];

/// Puts the program into the stage and returns its command, without the argument.
pub fn command(stage: &Stage, runtime: &str) -> Vec<String> {
    let script = |interpreter: &str, name: &str, text: &str| {
        let path = stage.write(&format!("app/{name}"), text, 0o444);
        vec![interpreter.to_owned(), path.display().to_string()]
    };
    match runtime {
        "python" => script("python3", "report.py", PYTHON),
        "node" => script("node", "report.mjs", NODE),
        "sh" => script("sh", "report.sh", SHELL),
        compiled => vec![built(compiled).display().to_string()],
    }
}

/// Compiled once for all tests of this process.
pub fn built(name: &str) -> PathBuf {
    static GO: OnceLock<PathBuf> = OnceLock::new();
    static RUST_STATIC: OnceLock<PathBuf> = OnceLock::new();
    static RUST_DYNAMIC: OnceLock<PathBuf> = OnceLock::new();
    static GO_READER: OnceLock<PathBuf> = OnceLock::new();
    let path = match name {
        "go" => GO.get_or_init(|| go("report", &source("report.go", GO_REPORT))),
        "go-reader" => GO_READER.get_or_init(|| go("go-reader", Path::new("examples/readers/main.go"))),
        "rust-static" => RUST_STATIC.get_or_init(|| rust("rust-static", "target-feature=+crt-static")),
        "rust-dynamic" => RUST_DYNAMIC.get_or_init(|| rust("rust-dynamic", "target-feature=-crt-static")),
        other => panic!("{other} is not compiled"),
    };
    path.clone()
}

fn source(name: &str, text: &str) -> PathBuf {
    let path = shared().join(name);
    fs::write(&path, text).unwrap();
    path
}

fn go(name: &str, source: &Path) -> PathBuf {
    let out = shared().join(name);
    let source = source.canonicalize().unwrap();
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&out).arg(source).env("CGO_ENABLED", "0").env("GO111MODULE", "off");
    done(build.current_dir(shared()));
    out
}

fn rust(name: &str, feature: &str) -> PathBuf {
    let out = shared().join(name);
    let source = source(&format!("{name}.rs"), RUST);
    done(Command::new("rustc").args(["--edition", "2024", "-O", "-C", feature, "-o"]).arg(&out).arg(source));
    out
}

/// The Rust example, as cargo builds it.
pub fn rust_reader() -> PathBuf {
    static READER: OnceLock<PathBuf> = OnceLock::new();
    let built = READER.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--locked", "--example", "read_credentials"]);
        // What cargo told this test would make build scripts run anew, here and in the next build outside.
        let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
        for (name, _) in std::env::vars().filter(|(name, _)| told.iter().any(|start| name.starts_with(start))) {
            build.env_remove(name);
        }
        done(&mut build);
        let deps = std::env::current_exe().unwrap();
        let example = deps.parent().unwrap().parent().unwrap().join("examples/read_credentials");
        let out = shared().join("rust-reader");
        executable(&example, &out, 0o755);
        out
    });
    built.clone()
}

fn done(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

const PYTHON: &str = r#"
import hashlib, json, os, sys
way = sys.argv[1]
file = os.environ["PORTCULLIS_CREDENTIALS_FD"] if way == "pipe" else 0 if way == "stdin" else os.environ[way]
with open(int(file) if way == "pipe" else file, "rb") as opened:
    values = json.load(opened)
for name, value in sorted(values.items()):
    print(name, len(value.encode()), hashlib.sha256(value.encode()).hexdigest())
"#;

const NODE: &str = r#"
import { readFileSync } from "node:fs";
import { createHash } from "node:crypto";
const way = process.argv[2];
const file = way === "pipe" ? Number(process.env.PORTCULLIS_CREDENTIALS_FD) : way === "stdin" ? 0 : process.env[way];
const values = JSON.parse(readFileSync(file, "utf8"));
for (const name of Object.keys(values).sort()) {
  const bytes = Buffer.from(values[name]);
  console.log(name, bytes.length, createHash("sha256").update(bytes).digest("hex"));
}
"#;

const GO_REPORT: &str = r#"package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strconv"
)

func main() {
	file := os.Stdin
	var err error
	switch way := os.Args[1]; way {
	case "pipe":
		var fd int
		fd, err = strconv.Atoi(os.Getenv("PORTCULLIS_CREDENTIALS_FD"))
		file = os.NewFile(uintptr(fd), "credentials")
	case "stdin":
	default:
		file, err = os.Open(os.Getenv(way))
	}
	values := map[string]string{}
	if err == nil {
		err = json.NewDecoder(file).Decode(&values)
	}
	if err != nil {
		panic(err)
	}
	names := []string{}
	for name := range values {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Printf("%s %d %x\n", name, len(values[name]), sha256.Sum256([]byte(values[name])))
	}
}
"#;

/// The standard library has neither JSON nor SHA-256: it hands on the bytes that it read, and `expected` looks into them.
const RUST: &str = r#"
use std::os::fd::FromRawFd;
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let way = std::env::args().nth(1).ok_or("no argument")?;
    let mut file = match way.as_str() {
        "pipe" => unsafe { std::fs::File::from_raw_fd(std::env::var("PORTCULLIS_CREDENTIALS_FD")?.parse()?) },
        "stdin" => unsafe { std::fs::File::from_raw_fd(0) },
        variable => std::fs::File::open(std::env::var(variable)?)?,
    };
    std::io::copy(&mut file, &mut std::io::stdout())?;
    Ok(())
}
"#;

const SHELL: &str = r#"
case $1 in
pipe) exec <&"$PORTCULLIS_CREDENTIALS_FD" ;;
stdin) ;;
*) eval "exec <\"\$$1\"" ;;
esac
values=$(cat)
for name in $(printf %s "$values" | jq -r 'keys[]'); do
  length=$(printf %s "$values" | jq -j --arg name "$name" '.[$name]' | wc -c)
  hash=$(printf %s "$values" | jq -j --arg name "$name" '.[$name]' | sha256sum)
  echo "$name $length ${hash%% *}"
done
"#;
