//! The `exec:` source: what a command printed, which init started beside this process in a cage of its own.
//!
//! Here its output is read, bounded, and judged once init has said that it ended well. No message contains a byte of it: a
//! command may print a secret where nobody expects one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::IntoRawFd;

use zeroize::Zeroizing;

use super::given::Given;
use super::local::Local;
use super::{judge, output};
use crate::deliver::Bundle;
use crate::refusal::{Exit, Refusal, cause};
use crate::seal::document::Document;
use crate::seal::pick;
use crate::secret::{Fetched, SecretText, Vouched};
use crate::wire::slice::{ExecOutput, Wanted};
use crate::wire::{Channel, Frame, Tag};

/// The most that a command may print, in bytes.
const MOST: usize = 1 << 20;

/// What a command printed.
enum Printed {
    Raw(SecretText),
    Fields(Document),
}

/// One value for each of `wanted`, in their order. Each command ran once, however many references name it.
///
/// `must_not_contain`: texts in which what a command logs in with may not stand either.
pub fn fetch(
    commands: &[ExecOutput],
    wanted: &[&Wanted],
    must_not_contain: &[String],
    local: &mut Local,
    given: &mut Given,
    init: &Channel,
) -> Result<Vec<Fetched>, Refusal> {
    for command in commands {
        log_in(command, must_not_contain, local, given)?;
    }
    let outputs = commands.iter().map(|command| read(command, given)).collect::<Result<Vec<_>, Refusal>>()?;
    all_ended_well(commands.len(), init)?;
    let mut printed = BTreeMap::new();
    for (command, output) in commands.iter().zip(outputs) {
        printed.insert(command.name.as_str(), understand(command, &output)?);
    }
    wanted
        .iter()
        .map(|wanted| match printed.get(wanted.from.path.as_str()) {
            Some(printed) => value(printed, wanted),
            None => Err(Refusal::internal("a reference to a command that was not run")),
        })
        .collect()
}

/// Gives a command what it logs in with. The pipes close behind it: the command sees their end.
fn log_in(
    command: &ExecOutput,
    must_not_contain: &[String],
    local: &mut Local,
    given: &mut Given,
) -> Result<(), Refusal> {
    let mut values = Vec::new();
    for input in &command.inputs {
        let got = local.value(input, given)?;
        judge::usable(input, &got)?;
        judge::nowhere_else(input, &got, must_not_contain)?;
        values.push((input.name.clone(), got.value));
    }
    if let Some((index, place)) = command.stdin {
        let (_, value) = values.get(index).ok_or_else(|| Refusal::internal("a command's input that is not there"))?;
        output::into_pipe(value.expose().as_bytes(), place, given)?;
    }
    match command.credentials {
        Some(place) => output::into_pipe(&Bundle::new(values).json(), place, given).map(drop),
        None => Ok(()),
    }
}

fn read(command: &ExecOutput, given: &mut Given) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    // All of it at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MOST + 1));
    let mut pipe = File::from(given.take(command.output)?);
    let read = pipe.by_ref().take(MOST as u64 + 1).read_to_end(&mut bytes);
    // It stays open until this process ends: closed earlier, a command that prints too much would die of it, and init would
    // hear of that before it hears why.
    let _open = pipe.into_raw_fd();
    read.map_err(|error| Refusal::internal(format!("reading what [exec.{}] prints: {}", command.name, cause(error))))?;
    if bytes.len() > MOST {
        return Err(Refusal::new(
            Exit::StoreUnavailable,
            format!("the command of [exec.{}] prints more than {} MiB", command.name, MOST >> 20),
            "let it print the secrets alone: a store's client can be asked for one item, or for its fields",
        ));
    }
    Ok(bytes)
}

/// Init says so of each, and of any other end it refuses the start itself.
fn all_ended_well(commands: usize, init: &Channel) -> Result<(), Refusal> {
    let broken = |error| Refusal::new(Exit::RoleBroke, format!("the fetcher lost init: init {error}"), "start again");
    for _ in 0..commands {
        match init.receive().map_err(broken)? {
            Some((Frame { tag: Tag::Ended, .. }, descriptors)) if descriptors.is_empty() => {}
            _ => return Err(Refusal::internal("init said something else than how a command ended")),
        }
    }
    Ok(())
}

fn understand(command: &ExecOutput, bytes: &[u8]) -> Result<Printed, Refusal> {
    let name = &command.name;
    let nonsense = |what: String, hint: &str| Refusal::new(Exit::StoreUnavailable, what, hint);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::new(
            Exit::StoreSaidNo,
            format!("the command of [exec.{name}] printed nothing, and exited with 0"),
            "run it by hand as the fetcher's user: it must print the secrets on standard output",
        ));
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(nonsense(
            format!("the command of [exec.{name}] prints what is no UTF-8 text"),
            "let it print text; encode what is binary, such as with base64",
        ));
    };
    if command.raw {
        let value = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        return Ok(Printed::Raw(SecretText::new(value.to_owned())));
    }
    // The words of the fault may hold a name, which here is a part of the output, and its column the length of a value.
    Document::parse(bytes).map(Printed::Fields).map_err(|fault| {
        nonsense(
            format!(
                "what the command of [exec.{name}] prints is neither a JSON object nor dotenv, in its line {}",
                fault.line
            ),
            "ask its client for JSON, or write output = \"raw\" if it prints one value alone",
        )
    })
}

fn value(printed: &Printed, wanted: &Wanted) -> Result<Fetched, Refusal> {
    let value = match printed {
        Printed::Raw(value) => value.clone(),
        Printed::Fields(document) => {
            let from = format!("what [exec.{}] prints", wanted.from.path);
            let picked = pick::pick(document, &wanted.from.field, &from).map_err(|refusal| Refusal {
                hint: "a field is a top-level name of what it prints, or a pointer into JSON such as `#/data/value`, and a text that is not empty".to_owned(),
                ..refusal
            })?;
            picked.value
        }
    };
    // Nobody vouches for a time in it, whatever it says.
    Ok(Fetched { value, vouched: Vouched::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "correct-horse-battery";

    fn command(raw: bool) -> ExecOutput {
        ExecOutput { name: "x".into(), raw, output: 0, inputs: Vec::new(), credentials: None, stdin: None }
    }

    fn got(raw: bool, printed: &str, from: &str) -> Result<String, Refusal> {
        let wanted =
            Wanted { name: "k".into(), from: from.parse().unwrap(), file: None, max_age_secs: None, base64: false };
        let printed = understand(&command(raw), printed.as_bytes())?;
        let fetched = value(&printed, &wanted)?;
        assert_eq!(fetched.vouched, Vouched::default(), "nobody vouches for a command's output");
        Ok(fetched.value.expose().to_owned())
    }

    #[test]
    fn json_dotenv_and_raw_are_understood() {
        assert_eq!(got(false, r#"{"a": "v", "b": {"c": ["w"]}}"#, "exec:x#a").unwrap(), "v");
        assert_eq!(got(false, r#"{"a": "v", "b": {"c": ["w"]}}"#, "exec:x#/b/c/0").unwrap(), "w");
        assert_eq!(got(false, "# portcullis:set A 2026-11-24T08:30:00Z\nA='v w'\n", "exec:x#A").unwrap(), "v w");
        for (printed, value) in [("v\n", "v"), ("v\r\n", "v"), (" v\n\n", " v\n"), ("{", "{")] {
            assert_eq!(got(true, printed, "exec:x").unwrap(), value);
        }
    }

    #[test]
    fn no_refusal_contains_what_was_printed() {
        for (raw, printed, exit) in [
            (false, format!("{OUTPUT}\n"), Exit::StoreUnavailable),
            (false, format!("[\"{OUTPUT}\"]"), Exit::StoreUnavailable),
            (false, format!("{{\"{OUTPUT}\": "), Exit::StoreUnavailable),
            (false, format!("{OUTPUT}=1\n{OUTPUT}=2\n"), Exit::StoreUnavailable),
            (false, format!("{{\"{OUTPUT}\": \"{OUTPUT}\"}}"), Exit::StoreSaidNo),
            (false, format!("{OUTPUT}={OUTPUT}"), Exit::StoreSaidNo),
            (false, format!("{{\"k\": [\"{OUTPUT}\"]}}"), Exit::StoreSaidNo),
            (false, "k=".to_owned(), Exit::StoreSaidNo),
            (false, String::new(), Exit::StoreSaidNo),
            (true, " \n\n".to_owned(), Exit::StoreSaidNo),
        ] {
            let refusal = got(raw, &printed, if raw { "exec:x" } else { "exec:x#k" }).unwrap_err();
            assert_eq!(refusal.exit, exit, "{printed}: {refusal}");
            assert!(!refusal.to_string().contains(OUTPUT), "{refusal}");
        }
        assert!(understand(&command(true), b"\xff\xfe").is_err());
    }
}
