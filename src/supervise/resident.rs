//! What init gives up once the workload runs: capabilities, calls, memory. What is left can wait, signal and tell.

use caps::Capability;

use crate::confine::{capabilities, filter};
use crate::plan::Plan;
use crate::refusal::{Refusal, cause};
use crate::sys::{memory, seccomp};

/// Settles down, away from where we were started. CAP_KILL stays where the workload has
/// another uid: without it, it could not be signalled. `keeper`: there is one to talk to.
pub fn settle(plan: &Plan, keeper: bool) -> Result<(), Refusal> {
    // The directory that we were started in may be unmounted while the workload lives.
    std::env::set_current_dir("/").map_err(|error| {
        Refusal::host(format!("/ cannot be entered: {error}", error = cause(error)), "check the root")
    })?;
    let kept = plan.cage.ids.change.then_some(Capability::CAP_KILL);
    capabilities::keep_only(kept)?;
    nix::sys::prctl::set_no_new_privs().map_err(|errno| {
        Refusal::host(
            format!("init's no_new_privs failed: {errno}", errno = cause(errno)),
            "an outer sandbox forbids it",
        )
    })?;
    let filter = filter::init(keeper)?;
    seccomp::install(filter.instructions(), false).map_err(|errno| {
        Refusal::host(
            format!("init's own filter failed: {errno}", errno = cause(errno)),
            "an outer sandbox forbids seccomp",
        )
    })?;
    memory::trim_heap();
    // No protection, only thrift: a kernel that keeps the pages costs memory and nothing else.
    memory::drop_own_text().ok();
    Ok(())
}
