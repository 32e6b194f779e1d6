//! The cage of a role that talks to a store: the fetcher's, and the keeper's.
//!
//! Applied by the role itself, from its slice, and read back. What the role then does is no business of this file.

use std::path::PathBuf;

use crate::confine::filter::Filter;
use crate::confine::verify::{Expected, Status};
use crate::confine::{capabilities, dumps, ids, landlock, limits};
use crate::plan::{Grant, GrantKind, LandlockPlan};
use crate::refusal::{Refusal, cause};
use crate::sys::{process, seccomp};
use crate::wire::slice::FetcherCage;

/// Confines this process before it reads one byte of a store or an identity: ids, capabilities, files and ports, then the
/// filter, which is its own role's.
pub fn enter(cage: &FetcherCage, filter: &Filter) -> Result<(), Refusal> {
    nix::sys::prctl::set_no_new_privs().map_err(|errno| {
        Refusal::host(
            format!("setting no_new_privs failed: {errno}", errno = cause(errno)),
            "an outer sandbox forbids it",
        )
    })?;
    limits::address_space(cage.address_space)?;
    let found = nix::unistd::getgroups().map_err(|errno| {
        Refusal::host(
            format!("a role cannot read its groups: {errno}", errno = cause(errno)),
            "an outer sandbox forbids it",
        )
    })?;
    let mut groups: Vec<u32> = found.iter().map(|gid| gid.as_raw()).collect();
    if let Some((uid, gid)) = cage.ids {
        let init = nix::unistd::getppid();
        ids::change(uid, gid, &[])?;
        // The change cleared the death signal (prctl(2)); init may have died in between.
        process::die_with_parent().map_err(|errno| {
            let errno = cause(errno);
            Refusal::host(format!("setting the parent-death signal failed: {errno}"), "an outer sandbox forbids it")
        })?;
        if nix::unistd::getppid() != init {
            return Err(Refusal::internal("init died while a role confined itself"));
        }
        groups.clear();
        // Changing ids made the process's dumpable flag follow fs.suid_dumpable: say it again.
        dumps::forbid()?;
    }
    capabilities::drop_all()?;
    ids::try_to_undo()?;
    let status = Status::at(Status::open()?);
    // Asked now: the filter has no use for the question.
    let own = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
    let (uid, gid) = cage.ids.unwrap_or(own);
    landlock::enforce(&domain(cage))?;
    let found = status.filters()?;
    seccomp::install(filter.instructions(), false).map_err(|errno| {
        Refusal::host(
            format!("a role's filter failed: {errno}", errno = cause(errno)),
            "an outer sandbox forbids seccomp",
        )
    })?;
    groups.sort_unstable();
    groups.dedup();
    status.must_say(&Expected { uid, gid, groups, bounding_empty: false, filters: found + 1 })
}

/// What a resolver reads (resolv.conf(5), hosts(5), nsswitch.conf(5), gai.conf(5)).
const RESOLVER_FILES: [&str; 5] =
    ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf"];

/// The store's ports, and the resolver's files if a name has to be resolved; no other file at all.
fn domain(cage: &FetcherCage) -> LandlockPlan {
    let mut connect = cage.connect.clone();
    let mut grants = Vec::new();
    if cage.resolve {
        connect.push(53);
        let paths = RESOLVER_FILES.iter().filter_map(|path| PathBuf::from(path).canonicalize().ok());
        grants.extend(paths.map(|path| Grant { path, directory: false, kind: GrantKind::Read, from: "the resolver" }));
    }
    LandlockPlan {
        abi: cage.landlock_abi,
        grants,
        connect: (cage.landlock_abi >= 4).then_some(connect),
        bind: (cage.landlock_abi >= 4).then(Vec::new),
        scopes: cage.landlock_abi >= 6,
    }
}
