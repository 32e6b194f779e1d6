//! The read-back: `/proc/self/status` after the last protection, against what the plan says.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use super::{failed, not_held};
use crate::refusal::Refusal;

/// What the status must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub uid: u32,
    pub gid: u32,
    /// Sorted.
    pub groups: Vec<u32>,
    /// Whether the bounding set was emptied; otherwise it is as found, which no_new_privs makes inert.
    pub bounding_empty: bool,
}

/// The status file of this process, opened ahead: inside the cage it might not be.
pub struct Status(File);

impl Status {
    /// Opens it for [`Status::at`], which may be given another descriptor of the same file.
    pub fn open() -> Result<OwnedFd, Refusal> {
        let file = File::open("/proc/self/status").map_err(|error| failed("opening /proc/self/status", error))?;
        Ok(file.into())
    }

    pub fn at(file: OwnedFd) -> Self {
        Status(file.into())
    }

    /// Reads it now, by pread(2), and compares every line that a protection shows in.
    pub fn must_say(&self, expected: &Expected) -> Result<(), Refusal> {
        let mut buffer = [0u8; 8192];
        let length = self.0.read_at(&mut buffer, 0).map_err(|error| failed("reading /proc/self/status", error))?;
        compare(&String::from_utf8_lossy(&buffer[..length]), expected)
    }
}

fn compare(status: &str, expected: &Expected) -> Result<(), Refusal> {
    let lines: BTreeMap<&str, Vec<&str>> = status
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key, value.split_whitespace().collect()))
        .collect();
    let must = |key: &str, wanted: Vec<String>| match lines.get(key) {
        Some(found) if *found == wanted => Ok(()),
        Some(found) => Err(not_held(format!("{key} is `{}` instead of `{}`", found.join(" "), wanted.join(" ")))),
        None => Err(not_held(format!("/proc/self/status has no line {key}"))),
    };
    let four = |id: u32| vec![id.to_string(); 4];
    must("Uid", four(expected.uid))?;
    must("Gid", four(expected.gid))?;
    must("NoNewPrivs", vec!["1".to_owned()])?;
    must("Seccomp", vec!["2".to_owned()])?;
    must("Groups", expected.groups.iter().map(u32::to_string).collect())?;
    let empty = || vec!["0".repeat(16)];
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        must(set, empty())?;
    }
    if expected.bounding_empty { must("CapBnd", empty()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Name:\tx\nUid:\t7\t7\t7\t7\nGid:\t8\t8\t8\t8\nGroups:\t5 6 \nNoNewPrivs:\t1\nSeccomp:\t2\n\
        CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
        CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n";

    fn expected() -> Expected {
        Expected { uid: 7, gid: 8, groups: vec![5, 6], bounding_empty: true }
    }

    #[test]
    fn the_right_status_passes() {
        assert_eq!(compare(GOOD, &expected()), Ok(()));
    }

    #[test]
    fn every_line_that_differs_or_is_missing_is_seen() {
        for line in GOOD.lines().skip(1) {
            let key = line.split_once(':').unwrap().0;
            let without = GOOD.replace(&format!("{line}\n"), "");
            assert!(compare(&without, &expected()).is_err(), "without {key}");
            let other = GOOD.replace(line, &format!("{key}:\t9"));
            let refusal = compare(&other, &expected()).unwrap_err();
            assert!(refusal.what.contains(key), "{}", refusal.what);
        }
    }

    #[test]
    fn a_saved_id_that_stayed_behind_is_seen() {
        let status = GOOD.replace("Uid:\t7\t7\t7\t7", "Uid:\t7\t7\t0\t7");
        assert!(compare(&status, &expected()).is_err());
    }
}
