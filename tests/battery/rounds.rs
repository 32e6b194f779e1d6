//! A round: every attempt, one after the other, with a look outside after each.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use crate::outside::{Victim, echo, terminal};
use crate::stage::Stage;
use crate::support::start::{binary, user_line};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cage {
    /// The plain user as such.
    None,
    /// The default cage, with `read` and `connect` granted, and `write` or not.
    Default { write: bool },
}

/// One attempt and what came of it.
#[derive(Debug)]
pub struct Attempt {
    pub number: u32,
    judge: String,
    pub group: String,
    name: String,
    /// The attacker says that it worked.
    pub claimed: bool,
    told: String,
    /// What was seen outside of it.
    seen: Vec<String>,
    secret: String,
}

impl Attempt {
    /// Proven by what is seen outside, or where nothing can be, by the secret or the attacker's own read-back.
    pub fn is_proven(&self) -> bool {
        match self.judge.as_str() {
            "read" => self.claimed && self.told.contains(&self.secret),
            "done" => self.claimed,
            _ => self.claimed && !self.seen.is_empty(),
        }
    }

    /// For a verdict on the cage anything that is seen outside is enough, whatever the attacker says of it.
    pub fn took_effect(&self) -> bool {
        self.is_proven() || !self.seen.is_empty()
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = if self.claimed { "worked" } else { "failed" };
        write!(f, "{:03} {}: {}: {said}: {} {:?}", self.number, self.group, self.name, self.told, self.seen)
    }
}

pub struct Round {
    pub attempts: Vec<Attempt>,
    /// What portcullis, and whoever wrote to the terminal, said.
    pub said: String,
}

impl Round {
    pub fn of(cage: Cage, what: &str) -> Round {
        let secret = format!("s3cret-{}-{what}", std::process::id());
        let stage = Stage::new(&secret);
        let mut victim = Victim::start(&stage, &secret);
        let granted = echo();
        let facts = format!("{}granted={granted}\n", victim.facts);
        let facts = stage.place.write("read/stage", facts, 0o644).display().to_string();
        let attacker = stage.path("app/attacker").display().to_string();
        let config = config(&stage, cage, granted, &[&attacker, "try", &facts, what]);
        let mut command = terminal(&stage, cage == Cage::None);
        match cage {
            Cage::None => command.args([&attacker, "try", &facts, what]),
            Cage::Default { .. } => command.arg(binary()).args(["run", "-c", &config]),
        };
        command.env_clear().env("PATH", "/usr/bin:/bin").current_dir(stage.place.path(""));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the attacker");
        let mut acknowledge = child.stdin.take().expect("its input");
        let mut errors = child.stderr.take().expect("its terminal");
        let said = std::thread::spawn(move || {
            let mut said = String::new();
            errors.read_to_string(&mut said).map(|_| said)
        });
        let mut attempts = Vec::new();
        let mut before = stage.picture();
        for line in BufReader::new(child.stdout.take().expect("its output")).lines() {
            let mut attempt = parse(&line.expect("a line"), &secret);
            attempt.seen.extend(victim.reached(attempt.judge == "reached" && attempt.claimed));
            attempt.seen.extend(victim.changed());
            let after = stage.picture();
            attempt.seen.extend(differences(&before, &after));
            stage.set(&secret);
            victim.set();
            before = stage.picture();
            attempts.push(attempt);
            acknowledge.write_all(b"\n").expect("the attacker hears");
        }
        drop(acknowledge);
        let status = child.wait().expect("its end");
        let said = said.join().expect("a thread").expect("text");
        assert!(status.success(), "{cage:?}: {status}: {said}");
        Round { attempts, said }
    }
}

fn config(stage: &Stage, cage: Cage, granted: u16, command: &[&str]) -> String {
    let words = command.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
    let write = match cage {
        Cage::Default { write: true } => format!("write = [{:?}]\n", stage.path("data")),
        _ => String::new(),
    };
    let text = format!(
        "[workload]\ncommand = [{words}]\n{}\n[confine]\nread = [{:?}]\n{write}connect = [{granted}]\n",
        user_line(),
        stage.path("read"),
    );
    stage.place.write("portcullis.toml", text, 0o644).display().to_string()
}

fn parse(line: &str, secret: &str) -> Attempt {
    let fields: Vec<&str> = line.splitn(6, '\t').collect();
    let [number, judge, group, name, verdict, told] = fields[..] else { panic!("the attacker said `{line}`") };
    Attempt {
        number: number.parse().expect("a number"),
        judge: judge.to_owned(),
        group: group.to_owned(),
        name: name.to_owned(),
        claimed: verdict == "+",
        told: told.to_owned(),
        seen: Vec::new(),
        secret: secret.to_owned(),
    }
}

fn differences<K: Ord + fmt::Debug>(
    before: &std::collections::BTreeMap<K, String>,
    after: &std::collections::BTreeMap<K, String>,
) -> Vec<String> {
    let gone = before.keys().filter(|name| !after.contains_key(name)).map(|name| format!("{name:?} is gone"));
    let other = after
        .iter()
        .filter(|(name, looks)| before.get(name) != Some(looks))
        .map(|(name, looks)| format!("{name:?}: {looks}"));
    gone.chain(other).collect()
}
