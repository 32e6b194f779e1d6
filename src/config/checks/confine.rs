//! `[confine]`: no grant that undoes the cage by what it says alone.

use super::Check;
use crate::config::Config;
use crate::config::fault::{Fault, place};
use crate::config::values::AbsPath;

pub fn check(config: &Config) -> Check {
    let confine = &config.confine;
    for (key, list) in [("read", &confine.read), ("write", &confine.write), ("execute", &confine.execute)] {
        if let Some(index) = list.iter().position(|path| path.as_path().parent().is_none()) {
            return Err(Fault::said(
                place!["confine", key, index],
                format!("`/` in {key} is no cage: it is everything"),
                "name the directories that the program needs; the system's own libraries need no mention",
            ));
        }
    }
    confine.write.iter().enumerate().try_for_each(|(index, write)| not_executable(index, write, &confine.execute))
}

/// What the workload writes must never be what it may run: a foothold that survives a restart starts there.
fn not_executable(index: usize, write: &AbsPath, execute: &[AbsPath]) -> Check {
    let overlaps =
        |run: &&AbsPath| write.as_path().starts_with(run.as_path()) || run.as_path().starts_with(write.as_path());
    match execute.iter().find(overlaps) {
        Some(run) => Err(Fault::said(
            place!["confine", "write", index],
            format!("`{write}` may be written and `{run}` executed, and one holds the other"),
            "keep programs and data in separate directories",
        )),
        None => Ok(()),
    }
}
