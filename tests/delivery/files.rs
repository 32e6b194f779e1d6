//! `deliver.file`: a path in a variable, opened by every runtime; whole, more than once, and by nobody else; unchangeable.

use std::process::Command;

use portcullis::seal::dotenv::{self, Item};

use crate::programs::{self, RUNTIMES};
use crate::stage::{STARTERS, Stage, Starter, UID, is_root};
use crate::values::{self, NASTY, sha256};

fn file(var: &str, format: &str, more: &str) -> String {
    format!("[deliver]\npipe = false\n[[deliver.file]]\nvar = \"{var}\"\nformat = \"{format}\"\n{more}\n")
}

fn words(command: &[String]) -> Vec<&str> {
    command.iter().map(String::as_str).collect()
}

#[test]
fn every_runtime_opens_the_json_file_by_its_path() {
    let long = values::long();
    let all = [("nasty", NASTY), ("long", long.as_str())];
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        stage.seal_values(&all);
        for runtime in RUNTIMES {
            let mut command = programs::command(&stage, runtime);
            command.push("CREDENTIALS_FILE".to_owned());
            stage.config(&words(&command), &["nasty", "long"], &file("CREDENTIALS_FILE", "json", ""));
            assert_eq!(values::told(runtime, &stage.ok()), values::report(&all), "{runtime}, {:?}", stage.starter);
        }
    }
}

#[test]
fn a_template_becomes_the_users_own_json_in_every_runtime() {
    let template = r#"{"exchange": "x", "key": "${secret:nasty|json}", "price": "$$5", "plain": "${secret:plain}"}"#;
    let expected = values::report(&[("exchange", "x"), ("key", NASTY), ("price", "$5"), ("plain", "key-0123")]);
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        stage.seal_values(&[("nasty", NASTY), ("plain", "key-0123")]);
        stage.write("config.json.template", template, 0o400);
        let more = file("CONFIG_FILE", "template", "template = \"config.json.template\"");
        for runtime in RUNTIMES {
            let mut command = programs::command(&stage, runtime);
            command.push("CONFIG_FILE".to_owned());
            stage.config(&words(&command), &["nasty", "plain"], &more);
            assert_eq!(values::told(runtime, &stage.ok()), expected, "{runtime}, {:?}", stage.starter);
        }
    }
}

#[test]
fn the_raw_form_is_the_value_byte_for_byte() {
    let more =
        file("KEY_FILE", "raw", "secrets = [\"nasty\"]") + "[[deliver.file]]\nvar = \"REST\"\nformat = \"json\"\n";
    let expected = format!("{}  -\n", sha256(NASTY.as_bytes()));
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        stage.seal_values(&[("nasty", NASTY), ("plain", "key-0123")]);
        let python = "import hashlib,os;print(hashlib.sha256(open(os.environ['KEY_FILE'],'rb').read()).hexdigest(),' -',sep=' ')";
        let node = "console.log(require('crypto').createHash('sha256').update(require('fs').readFileSync(process.env.KEY_FILE)).digest('hex')+'  -')";
        for command in [
            &["sh", "-c", "sha256sum <\"$KEY_FILE\""][..],
            &["sh", "-c", "cat \"$KEY_FILE\" | sha256sum"],
            &["python3", "-c", python],
            &["node", "-e", node],
        ] {
            stage.config(command, &["nasty", "plain"], &more);
            assert_eq!(stage.ok(), expected, "{command:?}, {:?}", stage.starter);
        }
    }
}

/// The lines of a dotenv file, read back by the grammar that is written down in `seal::dotenv`.
fn pairs(text: &str) -> Vec<(String, String)> {
    let items = dotenv::parse(text).unwrap_or_else(|_| panic!("not dotenv"));
    let pair = |item: &Item<'_>| match item {
        Item::Pair(pair) => Some((pair.name.to_owned(), pair.value.expose().to_owned())),
        Item::Other { .. } => None,
    };
    items.iter().filter_map(pair).collect()
}

#[test]
fn the_dotenv_form_reads_back_whatever_the_value() {
    let long = values::long();
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        stage.seal_values(&[("nasty", NASTY), ("long", &long), ("plain", "key-0123")]);
        stage.config(&["sh", "-c", "cat \"$ENV_FILE\""], &["nasty", "long", "plain"], &file("ENV_FILE", "dotenv", ""));
        let expected = [("long", long.as_str()), ("nasty", NASTY), ("plain", "key-0123")];
        let read = pairs(&stage.ok());
        assert!(read.iter().map(|(n, v)| (n.as_str(), v.as_str())).eq(expected), "{:?}", stage.starter);
    }
}

#[test]
fn a_shell_and_node_read_the_dotenv_form_of_values_on_one_line_without_single_quotes() {
    // In single quotes, which both take verbatim. What has quotes or line ends is for JSON: readers disagree about them.
    let value = "a \"b\" \\n $HOME ${x} `id` # 漢 😀 ";
    let Some(stage) = Stage::new(Starter::Plain) else { return };
    stage.seal_values(&[("key", value)]);
    for command in [
        &["sh", "-c", ". \"$ENV_FILE\"; printf %s \"$key\""][..],
        &["node", "-e", "process.loadEnvFile(process.env.ENV_FILE); process.stdout.write(process.env.key)"],
    ] {
        stage.config(command, &["key"], &file("ENV_FILE", "dotenv", ""));
        assert_eq!(stage.ok(), value, "{command:?}");
    }
}

const ATTACK: &str = r#"
import ctypes, fcntl, hashlib, os, sys
path = os.environ["KEY_FILE"]
number = int(path.rsplit("/", 1)[1])
def whole():
    with open(path, "rb") as file: return hashlib.sha256(file.read()).hexdigest()
before = whole()
held = True
def refused(what, attempt):
    global held
    try: attempt()
    except OSError as error: return
    print("NOT refused:", what); held = False
def write():
    with open(path, "r+b") as file: file.write(b"X")
def append():
    with open(path, "ab") as file: file.write(b"X")
def shrink():
    descriptor = os.open(path, os.O_RDWR)
    try: os.ftruncate(descriptor, 1)
    finally: os.close(descriptor)
def truncate():
    with open(path, "wb"): pass
refused("write", write)
refused("append", append)
refused("truncate on opening", truncate)
refused("ftruncate", shrink)
refused("write to the descriptor itself", lambda: os.write(number, b"X"))
refused("unseal", lambda: fcntl.fcntl(number, 1033, 0x0002 << 3))
try: os.chmod(path, 0o600)  # Denied where nothing may be written; and the seals hold whatever its mode.
except PermissionError: pass
refused("write after chmod", write)
refused("append after chmod", append)
refused("ftruncate after chmod", shrink)
refused("truncate on opening after chmod", truncate)
first, second = open(path, "rb"), open(path, "rb")
assert first.read(3) == second.read(3), "two opens share a position"
seals = fcntl.fcntl(number, 1034)
print(before == whole(), held, seals & 15 == 15)
"#;

#[test]
fn a_delivered_file_cannot_be_changed_by_the_workload_and_opens_twice() {
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        stage.seal_values(&[("nasty", NASTY)]);
        let more = file("KEY_FILE", "raw", "secrets = [\"nasty\"]");
        stage.config(&["python3", "-c", ATTACK], &["nasty"], &more);
        assert_eq!(stage.ok(), "True True True\n", "{:?}", stage.starter);
    }
}

/// Tells its pid and waits for its input to end.
const WAIT: &str = "import os,sys\nprint(os.getpid(), os.environ['KEY_FILE'][-1], flush=True)\nsys.stdin.read()";

#[test]
fn a_delivered_file_is_nobody_elses_not_even_the_same_users_from_outside() {
    if !is_root() {
        return crate::support::skip("looking from another user needs root");
    }
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        stage.seal_values(&[("nasty", NASTY)]);
        stage.config(&["python3", "-c", WAIT], &["nasty"], &file("KEY_FILE", "raw", "secrets = [\"nasty\"]"));
        let mut running = Running::start(&stage);
        let (pid, number) = running.pid_and_number();
        for uid in [UID, UID + 1] {
            let path = format!("/proc/{pid}/fd/{number}");
            let id = uid.to_string();
            let mut look = Command::new("setpriv");
            look.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--", "cat", &path]);
            let output = look.output().unwrap();
            assert!(!output.status.success() && output.stdout.is_empty(), "uid {uid} read it, {:?}", stage.starter);
        }
        running.end();
    }
}

/// A start whose workload runs until its standard input ends.
struct Running(std::process::Child);

impl Running {
    fn start(stage: &Stage) -> Running {
        use std::process::Stdio;
        let mut command = stage.command(&["run"]);
        Running(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn pid_and_number(&mut self) -> (u32, u32) {
        use std::io::{BufRead, BufReader};
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let mut numbers = line.split_whitespace().map(|word| word.parse().unwrap());
        (numbers.next().expect("a pid"), numbers.next().expect("a number"))
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}
