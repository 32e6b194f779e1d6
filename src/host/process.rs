//! This process as it was started: ids, groups, capabilities, and whether it is PID 1.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;

use caps::{CapSet, Capability};
use nix::sys::resource::Resource;
use nix::unistd::{AccessFlags, access, getegid, geteuid, getgroups, getpid};

use crate::refusal::{Refusal, cause};
use crate::sys::process::limit;

#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub can_setuid: bool,
    pub can_setgid: bool,
    pub can_setpcap: bool,
    pub can_kill: bool,
    pub can_ptrace: bool,
    /// Whether this uid may read the file that runs, or could make it readable: the process began dumpable then, and another
    /// of the same uid may have taken hold of it before it could say otherwise (`would_dump` in fs/exec.c).
    pub seizable: bool,
    /// The limit on core files in bytes, as sanitising left it.
    pub core: u64,
    /// The bounding set, by name, as found.
    pub bounding: BTreeSet<String>,
}

pub fn survey() -> Result<Process, Refusal> {
    let effective = read(CapSet::Effective)?;
    let mut groups: Vec<u32> = getgroups().map_err(unreadable)?.into_iter().map(|g| g.as_raw()).collect();
    groups.sort_unstable();
    groups.dedup();
    Ok(Process {
        pid: getpid().as_raw(),
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
        groups,
        can_setuid: effective.contains(&Capability::CAP_SETUID),
        can_setgid: effective.contains(&Capability::CAP_SETGID),
        can_setpcap: effective.contains(&Capability::CAP_SETPCAP),
        can_ptrace: effective.contains(&Capability::CAP_SYS_PTRACE),
        can_kill: effective.contains(&Capability::CAP_KILL),
        seizable: seizable(),
        core: limit(Resource::RLIMIT_CORE).map_err(unreadable)?.0,
        bounding: read(CapSet::Bounding)?.iter().map(ToString::to_string).collect(),
    })
}

fn seizable() -> bool {
    let own = std::path::Path::new("/proc/self/exe");
    access(own, AccessFlags::R_OK).is_ok() || !own.metadata().is_ok_and(|file| file.uid() != geteuid().as_raw())
}

fn read(set: CapSet) -> Result<caps::CapsHashSet, Refusal> {
    caps::read(None, set).map_err(|error| {
        // Without the crate's own words before the kernel's.
        let text = error.to_string();
        unreadable(text.rsplit_once("failure: ").map_or(text.as_str(), |(_, cause)| cause))
    })
}

fn unreadable(error: impl std::fmt::Display) -> Refusal {
    Refusal::host(
        format!("this process cannot read its own capabilities, groups or limits: {error}", error = cause(error)),
        "an outer sandbox forbids capget, getgroups or prlimit64; allow them there",
    )
}
