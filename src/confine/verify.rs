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
    /// How many filters there are with our own: one more than were found.
    pub filters: u64,
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

    /// How many filters this process has now, an outer sandbox's among them (Linux 5.9). Asked before our own is installed:
    /// `Seccomp: 2` alone would be true of any outer filter, and that one can answer seccomp(2) with a success that is none.
    pub fn filters(&self) -> Result<u64, Refusal> {
        filters(&self.read()?)
    }

    /// Reads it now, by pread(2), and compares every line that a protection shows in.
    pub fn must_say(&self, expected: &Expected) -> Result<(), Refusal> {
        compare(&self.read()?, expected)
    }

    /// The same for init, which changes no ids: `capabilities` is the mask that it keeps.
    pub fn must_be_settled(&self, capabilities: u64, filters: u64) -> Result<(), Refusal> {
        settled(&self.read()?, capabilities, filters)
    }

    fn read(&self) -> Result<String, Refusal> {
        let mut buffer = [0u8; 8192];
        let length = self.0.read_at(&mut buffer, 0).map_err(|error| failed("reading /proc/self/status", error))?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }
}

/// The status as its lines: the name, and the words after it.
struct Lines<'a>(BTreeMap<&'a str, Vec<&'a str>>);

impl<'a> Lines<'a> {
    fn of(status: &'a str) -> Self {
        let pairs = status.lines().filter_map(|line| line.split_once(':'));
        Lines(pairs.map(|(key, value)| (key, value.split_whitespace().collect())).collect())
    }

    fn must(&self, key: &str, wanted: &[String]) -> Result<(), Refusal> {
        match self.0.get(key) {
            Some(found) if found == wanted => Ok(()),
            Some(found) => Err(not_held(format!("{key} is `{}` instead of `{}`", found.join(" "), wanted.join(" ")))),
            None => Err(not_held(format!("/proc/self/status has no line {key}"))),
        }
    }
}

fn filters(status: &str) -> Result<u64, Refusal> {
    let lines = Lines::of(status);
    match lines.0.get("Seccomp_filters").map(Vec::as_slice) {
        Some([count]) => count.parse().map_err(|error| failed("counting the seccomp filters", error)),
        _ => Err(Refusal::host(
            "/proc/self/status does not count the seccomp filters, so that ours could not be read back",
            "use Linux 6.2 or newer with CONFIG_SECCOMP_FILTER",
        )),
    }
}

fn compare(status: &str, expected: &Expected) -> Result<(), Refusal> {
    let lines = Lines::of(status);
    let four = |id: u32| vec![id.to_string(); 4];
    lines.must("Uid", &four(expected.uid))?;
    lines.must("Gid", &four(expected.gid))?;
    lines.must("Groups", &expected.groups.iter().map(u32::to_string).collect::<Vec<_>>())?;
    filtered(&lines, expected.filters)?;
    capability_sets(&lines, 0)?;
    if expected.bounding_empty { lines.must("CapBnd", &mask(0)) } else { Ok(()) }
}

fn settled(status: &str, capabilities: u64, filters: u64) -> Result<(), Refusal> {
    let lines = Lines::of(status);
    filtered(&lines, filters)?;
    capability_sets(&lines, capabilities)
}

fn filtered(lines: &Lines<'_>, filters: u64) -> Result<(), Refusal> {
    lines.must("NoNewPrivs", &["1".to_owned()])?;
    lines.must("Seccomp", &["2".to_owned()])?;
    lines.must("Seccomp_filters", &[filters.to_string()])
}

fn capability_sets(lines: &Lines<'_>, kept: u64) -> Result<(), Refusal> {
    for (set, bits) in [("CapInh", 0), ("CapPrm", kept), ("CapEff", kept), ("CapAmb", 0)] {
        lines.must(set, &mask(bits))?;
    }
    Ok(())
}

fn mask(bits: u64) -> [String; 1] {
    [format!("{bits:016x}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Name:\tx\nUid:\t7\t7\t7\t7\nGid:\t8\t8\t8\t8\nGroups:\t5 6 \nNoNewPrivs:\t1\nSeccomp:\t2\n\
        Seccomp_filters:\t3\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
        CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n";

    fn expected() -> Expected {
        Expected { uid: 7, gid: 8, groups: vec![5, 6], bounding_empty: true, filters: 3 }
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
    fn an_outer_filter_alone_is_not_ours() {
        assert_eq!(filters(GOOD), Ok(3));
        assert!(filters("Seccomp:\t2\n").is_err());
        let refusal = compare(GOOD, &Expected { filters: 4, ..expected() }).unwrap_err();
        assert!(refusal.what.contains("Seccomp_filters is `3` instead of `4`"), "{}", refusal.what);
    }

    #[test]
    fn init_keeps_what_it_was_meant_to_and_has_a_filter_of_its_own() {
        assert_eq!(settled(GOOD, 0, 3), Ok(()));
        assert!(settled(GOOD, 0, 4).is_err() && settled(GOOD, 0x20, 3).is_err());
        let kept = GOOD.replace("Eff:\t0000000000000000", "Eff:\t0000000000000020");
        assert!(settled(&kept, 0x20, 3).is_err(), "permitted, too");
        let kept = kept.replace("Prm:\t0000000000000000", "Prm:\t0000000000000020");
        assert_eq!(settled(&kept, 0x20, 3), Ok(()));
    }

    #[test]
    fn a_saved_id_that_stayed_behind_is_seen() {
        let status = GOOD.replace("Uid:\t7\t7\t7\t7", "Uid:\t7\t7\t0\t7");
        assert!(compare(&status, &expected()).is_err());
    }
}
