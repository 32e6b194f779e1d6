//! Start to the workload's first instruction, without a store: bare exec, tini, portcullis without and with a sealed file.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::stage::{PLAIN, Stage};
use crate::table::{Arm, heading, interleave, times, verdict};

pub fn section(stage: &Stage) {
    for (user, name) in [(0, "root"), (PLAIN, "a plain user")] {
        heading(&format!("start to the first instruction, as {name}"));
        let workload = stage.path("workload");
        let none = stage.config("none.toml", &[workload.as_os_str()], "", "");
        let age = with_age(stage, user);
        let start = |command: &mut Command| stage.start(command, user);
        let arms: [Arm; 5] = [
            ("bare exec", Box::new(|| start(&mut Command::new(&workload)))),
            ("tini", Box::new(|| start(Command::new("/usr/bin/tini").arg("-s").arg("--").arg(&workload)))),
            ("portcullis, no secrets", Box::new(|| start(&mut stage.portcullis(&none)))),
            ("portcullis, one secret by age:", Box::new(|| start(&mut stage.portcullis(&age)))),
            ("the same, from a readable binary", Box::new(|| start(&mut stage.readable(&age)))),
        ];
        let all = interleave(stage.runs, &arms);
        let [_, tini, none, age, _] = &all[..] else { unreachable!("five arms") };
        times(&all, tini, "tini's");
        let ratio = |series: &crate::table::Series| series.median().as_secs_f64() / tini.median().as_secs_f64();
        verdict("without secrets, times tini's", ratio(none), 4.0, "x");
        verdict("with an age: secret, times tini's", ratio(age), 8.0, "x");
    }
}

/// A config with one secret in a file sealed by the age tool for a key of `user`.
pub fn with_age(stage: &Stage, user: u32) -> PathBuf {
    let workload = stage.path("workload");
    let identity = run("age-keygen", &[], "");
    let recipient = identity.lines().find_map(|l| l.strip_prefix("# public key: ")).expect("a recipient");
    stage.private(&format!("age.{user}.key"), user, &identity);
    let sealed =
        run("age", &["--encrypt", "--armor", "--recipient", recipient], "API_KEY=a-value-of-ordinary-length\n");
    stage.write(&format!("secrets.{user}.age"), &sealed);
    let more = format!(
        "[secrets]\napi_key = \"age:secrets.{user}.age#API_KEY\"\n[age]\nidentity = {:?}\n",
        stage.path(format!("age.{user}.key"))
    );
    stage.config(&format!("age.{user}.toml"), &[workload.as_os_str()], "", &more)
}

fn run(program: &str, args: &[&str], input: &str) -> String {
    let mut child =
        Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let child = child.as_mut().unwrap_or_else(|e| panic!("{program}: {e} (tests/prepare installs it)"));
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), input.as_bytes()).expect("written");
    std::io::read_to_string(child.stdout.take().expect("a pipe")).expect("text")
}
