//! The attempts as data: what is tried, what must come back, and when there is nothing to try.

mod files;
mod kernel;
mod network;
mod processes;
mod rights;

use nix::errno::Errno;

use super::facts::Facts;

/// What came of an act: done, or the kernel's errno.
pub type Outcome = Result<(), Errno>;

/// One thing that an attacker would try.
pub struct Attempt {
    pub group: &'static str,
    /// In words, unique in its group.
    pub tries: &'static str,
    /// What should come back: who holds it.
    pub held_by: &'static str,
    /// Why there is nothing to try with these facts, if so.
    pub pointless: fn(&Facts) -> Option<&'static str>,
    /// Done in a child of its own, which ends right after it.
    pub act: fn(&Facts) -> Outcome,
    /// Whether a failure without the cage says that the attempt proves nothing here. Not so for what was given up for good.
    pub compared: bool,
}

/// A table's row: an attempt that is always worth trying.
const fn always(
    group: &'static str,
    tries: &'static str,
    held_by: &'static str,
    act: fn(&Facts) -> Outcome,
) -> Attempt {
    Attempt { group, tries, held_by, pointless: nothing, act, compared: true }
}

/// One that is pointless under some facts.
const fn unless(
    group: &'static str,
    tries: &'static str,
    held_by: &'static str,
    pointless: fn(&Facts) -> Option<&'static str>,
    act: fn(&Facts) -> Outcome,
) -> Attempt {
    Attempt { group, tries, held_by, pointless, act, compared: true }
}

fn nothing(_: &Facts) -> Option<&'static str> {
    None
}

/// All of them, in the order in which they are reported.
pub fn all() -> impl Iterator<Item = &'static Attempt> {
    [files::ATTEMPTS, network::ATTEMPTS, processes::ATTEMPTS, kernel::ATTEMPTS, rights::ATTEMPTS].into_iter().flatten()
}

/// Turns what is no error of the kernel's into one, for attempts that look at what they got.
fn must(holds: bool, otherwise: Errno) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// A standard library's error as the kernel's.
pub(super) fn errno(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn there_are_many_and_each_is_one() {
        let names: BTreeSet<(&str, &str)> = all().map(|attempt| (attempt.group, attempt.tries)).collect();
        assert_eq!(names.len(), all().count());
        assert!(names.len() >= 60, "{}", names.len());
    }
}
