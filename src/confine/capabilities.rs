//! Capabilities: the bounding set and securebits while CAP_SETPCAP is there, then all five sets, empty.

use caps::CapSet;

use super::{failed, not_held};
use crate::refusal::Refusal;
use crate::sys;

/// A failure without the crate's own words before the kernel's.
fn unchanged(what: &str, error: caps::errors::CapsError) -> Refusal {
    let text = error.to_string();
    failed(what, text.rsplit_once("failure: ").map_or(text.as_str(), |(_, cause)| cause))
}

/// Empties the bounding set and locks the securebits. Must come before the ids change: it needs CAP_SETPCAP.
pub fn close_bounding_set() -> Result<(), Refusal> {
    let found = caps::read(None, CapSet::Bounding).map_err(|error| unchanged("reading the bounding set", error))?;
    // In the order of their numbers: a failure names the same one each time.
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(caps::Capability::index);
    for capability in found {
        caps::drop(None, CapSet::Bounding, capability)
            .map_err(|error| unchanged(&format!("dropping {capability} from the bounding set"), error))?;
        if caps::has_cap(None, CapSet::Bounding, capability)
            .map_err(|error| unchanged("reading the bounding set", error))?
        {
            return Err(not_held(format!("{capability} is still in the bounding set after it was dropped")));
        }
    }
    sys::process::lock_securebits().map_err(|errno| failed("locking the securebits", errno))
}

/// Empties the ambient, inheritable, effective and permitted sets, and reads them back.
pub fn drop_all() -> Result<(), Refusal> {
    // Ambient first: it must be a subset of the others. Permitted last: the others may not exceed it.
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set).map_err(|error| {
            unchanged(&format!("emptying the {} capability set", format!("{set:?}").to_lowercase()), error)
        })?;
        let left = caps::read(None, set).map_err(|error| unchanged("reading the capability sets", error))?;
        if !left.is_empty() {
            return Err(not_held(format!("the {} capability set is not empty", format!("{set:?}").to_lowercase())));
        }
    }
    Ok(())
}

/// Keeps these in the effective and permitted sets and drops every other: init's CAP_KILL.
pub fn keep_only(kept: impl IntoIterator<Item = caps::Capability>) -> Result<(), Refusal> {
    let kept: caps::CapsHashSet = kept.into_iter().collect();
    for set in [CapSet::Ambient, CapSet::Inheritable] {
        caps::clear(None, set).map_err(|error| unchanged("giving up capabilities", error))?;
    }
    for set in [CapSet::Effective, CapSet::Permitted] {
        caps::set(None, set, &kept).map_err(|error| unchanged("giving up capabilities", error))?;
        let now = caps::read(None, set).map_err(|error| unchanged("reading the capability sets", error))?;
        if now != kept {
            return Err(not_held(format!("init's {set:?} capabilities are {now:?} instead of {kept:?}")));
        }
    }
    Ok(())
}
