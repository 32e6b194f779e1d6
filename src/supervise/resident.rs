//! What init gives up once the workload runs: capabilities, calls, memory. What is left can wait, signal and tell.

use std::ffi::CStr;
use std::os::fd::AsFd;

use caps::Capability;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::confine::verify::Status;
use crate::confine::{capabilities, filter};
use crate::plan::Plan;
use crate::refusal::{Refusal, cause};
use crate::sys::{descriptors, memory, seccomp};

/// What init is called while it supervises (proc_pid_comm(5)): for lists of processes, and for `portcullis health`.
pub const RESIDENT_NAME: &CStr = c"portcullis:run";

/// Settles down, away from where we were started. CAP_KILL stays where the workload has
/// another uid: without it, it could not be signalled. So does CAP_SYS_PTRACE where files are
/// explained. `keeper`: there is one to talk to.
pub fn settle(plan: &Plan, keeper: bool) -> Result<(), Refusal> {
    // The directory that we were started in may be unmounted while the workload lives.
    std::env::set_current_dir("/").map_err(|error| {
        Refusal::host(format!("/ cannot be entered: {error}", error = cause(error)), "check the root")
    })?;
    release_standard_streams()?;
    nix::sys::prctl::set_name(RESIDENT_NAME).map_err(|errno| Refusal::internal(format!("taking a name: {errno}")))?;
    let looks = plan.cage.syscalls.explain_files.then_some(Capability::CAP_SYS_PTRACE);
    let kept = [Some(Capability::CAP_KILL), looks].into_iter().flatten().filter(|_| plan.cage.ids.change);
    let kept: Vec<Capability> = kept.collect();
    capabilities::keep_only(kept.iter().copied())?;
    nix::sys::prctl::set_no_new_privs().map_err(|errno| {
        Refusal::host(
            format!("init's no_new_privs failed: {errno}", errno = cause(errno)),
            "an outer sandbox forbids it",
        )
    })?;
    let status = Status::at(Status::open()?);
    let found = status.filters()?;
    let filter = filter::init(keeper, plan.cage.syscalls.explain_files)?;
    seccomp::install(filter.instructions(), false).map_err(|errno| {
        Refusal::host(
            format!("init's own filter failed: {errno}", errno = cause(errno)),
            "an outer sandbox forbids seccomp",
        )
    })?;
    status.must_be_settled(kept.iter().fold(0, |mask, capability| mask | capability.bitmask()), found + 1)?;
    Ok(())
}

/// The last thing before the first sleep, so that nothing of the start is touched again. No protection, only thrift: a kernel
/// that keeps the pages costs memory and nothing else.
pub fn give_back_memory() {
    memory::trim_heap();
    memory::drop_own_text().ok();
}

/// Whoever reads the workload's output, or writes its input, hears of its end from the workload alone: init holds neither. The
/// numbers stay taken, by a directory that can be neither read nor written through them.
fn release_standard_streams() -> Result<(), Refusal> {
    let cannot = |errno| Refusal::internal(format!("giving up the standard streams: {errno}"));
    let nothing = open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map_err(cannot)?;
    (0..=1).try_for_each(|fd| descriptors::place(nothing.as_fd(), fd).map_err(cannot))
}
