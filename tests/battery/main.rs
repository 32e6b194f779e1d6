//! The battery: numbered attacks, each with an effect that is seen outside, each proven live in the same run.
//!
//! A static C program (`attacker/`) is started twice as the same plain user: without a cage, where each attempt must succeed
//! and its effect be seen; and as the workload of the default cage with nothing but `read`, `write` and `connect` granted,
//! where nothing may be seen but the trades that no unprivileged cage holds without a price: metadata of the user's own
//! files, and inotify. An attempt that this host does not give even without a cage proves nothing and is not counted.
//!
//! The trades: `chmod` and its family change files of the same uid wherever they are, if the config grants any place to
//! write, for programs change the modes of what they write; with no write grant they are denied as well.

#[path = "../support/mod.rs"]
mod support;

mod outside;
mod rounds;
mod stage;

use std::collections::BTreeSet;

use rounds::{Attempt, Cage, Round};

/// The groups of attempts that a cage with a write grant leaves open, by what it costs to close them.
const TRADES: [&str; 2] = ["metadata", "inotify"];

fn escaped(round: &Round) -> Vec<&Attempt> {
    round.attempts.iter().filter(|attempt| attempt.took_effect()).collect()
}

fn table(attempts: &[&Attempt]) -> String {
    attempts.iter().map(|attempt| format!("{attempt}\n")).collect()
}

#[test]
fn nothing_escapes_but_the_trades() {
    let free = Round::of(Cage::None, "attacks");
    let caged = Round::of(Cage::Default { write: true }, "attacks");
    let dead: Vec<&Attempt> = free.attempts.iter().filter(|attempt| !attempt.is_proven()).collect();
    let live: BTreeSet<u32> = free.attempts.iter().filter(|a| a.is_proven()).map(|a| a.number).collect();
    println!("{} attempts, {} live here; not live:\n{}", free.attempts.len(), live.len(), table(&dead));
    assert_eq!(free.attempts.len(), caged.attempts.len(), "both rounds tried everything");
    assert!(live.len() >= 150, "{} attempts are live here; these are not:\n{}", live.len(), table(&dead));

    let escapes = escaped(&caged);
    let (trades, real): (Vec<&Attempt>, Vec<&Attempt>) =
        escapes.into_iter().partition(|attempt| TRADES.contains(&attempt.group.as_str()));
    println!("trades:\n{}", table(&trades));
    assert!(real.is_empty(), "escaped:\n{}", table(&real));
}

#[test]
fn without_a_write_grant_only_inotify_is_left() {
    let caged = Round::of(Cage::Default { write: false }, "attacks");
    let escapes = escaped(&caged);
    let groups: BTreeSet<&str> = escapes.iter().map(|attempt| attempt.group.as_str()).collect();
    assert_eq!(groups, BTreeSet::from(["inotify"]), "escaped:\n{}", table(&escapes));
}

#[test]
fn what_honest_programs_do_stays_whole() {
    let caged = Round::of(Cage::Default { write: true }, "honest");
    assert!(caged.attempts.len() >= 50, "{} honest things", caged.attempts.len());
    let broken: Vec<&Attempt> = caged.attempts.iter().filter(|attempt| !attempt.claimed).collect();
    assert!(broken.is_empty(), "broken:\n{}\n{}", table(&broken), caged.said);
    let denied: Vec<&str> = caged.said.lines().filter(|line| line.contains("portcullis: denied: ")).collect();
    assert!(denied.is_empty(), "honest calls were denied: {denied:#?}");
}
