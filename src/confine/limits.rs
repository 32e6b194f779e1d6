//! Resource limits (setrlimit(2)), soft and hard alike, read back. `core` is 1: a piped core_pattern ignores 0 (core(5)). A
//! hard 0 that was found, and that cannot be raised, stays where core_pattern is a file's name: there it holds as well.

use nix::sys::resource::{Resource, setrlimit};

use crate::config::model::Limit;
use crate::refusal::{Refusal, cause};
use crate::sys::process::limit;

pub const CORE: u64 = 1;

/// Forbids core dumps for this process and what it becomes.
pub fn no_core() -> Result<(), Refusal> {
    if limit(Resource::RLIMIT_CORE) == Ok((0, 0)) && cores_are_files() {
        return Ok(());
    }
    set(Resource::RLIMIT_CORE, "core", CORE)
}

/// Whether the kernel writes cores itself, within the limit, and pipes them to no program. Unreadable counts as no.
fn cores_are_files() -> bool {
    std::fs::read_to_string("/proc/sys/kernel/core_pattern").is_ok_and(|pattern| !pattern.starts_with(['|', '@']))
}

/// Bounds the address space, so that a hostile answer ends its reader and nothing else.
pub fn address_space(bytes: u64) -> Result<(), Refusal> {
    set(Resource::RLIMIT_AS, "as", bytes)
}

pub fn apply(limits: &[(Limit, u64)]) -> Result<(), Refusal> {
    no_core()?;
    limits.iter().try_for_each(|(limit, value)| {
        let (resource, name) = resource(*limit);
        set(resource, name, *value)
    })
}

fn resource(limit: Limit) -> (Resource, &'static str) {
    match limit {
        Limit::As => (Resource::RLIMIT_AS, "as"),
        Limit::Cpu => (Resource::RLIMIT_CPU, "cpu"),
        Limit::Data => (Resource::RLIMIT_DATA, "data"),
        Limit::Fsize => (Resource::RLIMIT_FSIZE, "fsize"),
        Limit::Memlock => (Resource::RLIMIT_MEMLOCK, "memlock"),
        Limit::Nofile => (Resource::RLIMIT_NOFILE, "nofile"),
        Limit::Nproc => (Resource::RLIMIT_NPROC, "nproc"),
        Limit::Stack => (Resource::RLIMIT_STACK, "stack"),
    }
}

/// The core limit is no matter of the config: 1, which keeps dumps from a program in core_pattern too (core(5)), where 0
/// does not.
fn hint(resource: Resource, value: u64) -> &'static str {
    match resource {
        _ if !limit(resource).is_ok_and(|(_, hard)| hard < value) => {
            "an outer sandbox may forbid setrlimit and prlimit64; allow them there"
        }
        Resource::RLIMIT_CORE => {
            "core_pattern pipes cores to a program here, which a limit of 0 does not stop and 1 does: set 1 outside (docker run --ulimit core=1, LimitCORE=1)"
        }
        _ => {
            "a limit above the hard limit needs CAP_SYS_RESOURCE: raise it outside (docker run --ulimit), or lower it in workload.limits"
        }
    }
}

fn set(resource: Resource, name: &str, value: u64) -> Result<(), Refusal> {
    setrlimit(resource, value, value).map_err(|errno| {
        Refusal::host(
            format!("the limit {name} could not be set to {value}: {errno}", errno = cause(errno)),
            hint(resource, value),
        )
    })?;
    match limit(resource) {
        Ok(now) if now == (value, value) => Ok(()),
        Ok(now) => Err(super::not_held(format!("the limit {name} is {now:?} after it was set to {value}"))),
        Err(errno) => Err(super::failed(&format!("the limit {name}"), errno)),
    }
}
