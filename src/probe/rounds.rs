//! A round: the attacker in a process below this one, in a cage or in none, and its lines read back.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::unistd::AccessFlags;

use super::ROLE_ATTACKER;
use super::attacker::{self, Line};
use super::facts::Facts;
use crate::confine::{capabilities, ids};
use crate::console::Console;
use crate::plan::{Delivery, Grant, GrantKind, Image, Plan};
use crate::refusal::{Exit, Refusal};
use crate::supervise::{self, Stopped};
use crate::sys::process::{self, Ended};
use crate::sys::{descriptors, signals};

/// Becomes the attacker in some cage, in a process of its own whose standard output is read; returns how it ended.
pub type Cage<'a> = &'a dyn Fn(&Facts) -> Result<u8, Refusal>;

/// Runs `inside` in a child and gathers what it prints. A refusal there is printed there, and ends the probe with its code.
pub fn results(inside: &dyn Fn() -> Result<u8, Refusal>) -> Result<Vec<Line>, Refusal> {
    let broken = |errno: nix::errno::Errno| Refusal::internal(format!("the probe's pipe: {}", errno.desc()));
    let (reader, writer) = nix::unistd::pipe().map_err(broken)?;
    let Some(child) = process::fork().map_err(broken)? else {
        drop(reader);
        become_round(writer, inside)
    };
    drop(writer);
    let lines: Vec<Line> = BufReader::new(File::from(reader))
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| serde_json::from_str(&line).ok())
        .collect();
    match process::wait_for(child).map_err(broken)? {
        Ended::Exited(0) => Ok(lines),
        other => Err(Refusal::new(
            Exit::RoleBroke,
            format!("the attacker did not come to its end: {other:?}, after {} attempts", lines.len()),
            "if a refusal stands above, follow it; else report this",
        )),
    }
}

/// The round's own process: its standard output is the pipe, its standard input is empty.
fn become_round(writer: OwnedFd, inside: &dyn Fn() -> Result<u8, Refusal>) -> ! {
    let null = File::open("/dev/null");
    let placed = null.is_ok_and(|null| descriptors::place(null.as_fd(), 0).is_ok())
        && descriptors::place(writer.as_fd(), 1).is_ok()
        && nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).is_ok();
    drop(writer);
    if !placed {
        process::exit_now(Exit::Internal.code());
    }
    match inside() {
        Ok(code) => process::exit_now(code),
        Err(refusal) => {
            crate::console::refuse_plainly(&refusal);
            process::exit_now(refusal.exit.code())
        }
    }
}

/// The cage as `run` builds it, by the same launcher and under the same supervisor; only the image is another.
pub fn launched(plan: &Plan, facts: &Facts) -> Result<u8, Refusal> {
    let mut plan = plan.clone();
    let own = std::env::current_exe().map_err(|error| Refusal::internal(format!("finding this program: {error}")))?;
    let text =
        serde_json::to_string(facts).map_err(|error| Refusal::internal(format!("writing the facts: {error}")))?;
    plan.launch.scripts.clear();
    plan.launch.image = image(&own, &mut plan.cage.landlock.grants);
    plan.launch.program = own;
    plan.launch.argv = vec![ROLE_ATTACKER.into(), text.into()];
    (plan.fetch, plan.delivery) = (None, Delivery::default());
    let (console, end) = (Console::silent(), Instant::now() + plan.deadline);
    signals::set_mask(signals::ALL)
        .map_err(|errno| Refusal::internal(format!("blocking signals: {}", errno.desc())))?;
    let code = supervise::prepare(&plan, &console, end, true)
        .and_then(|prepared| supervise::supervise(&plan, prepared, &console, end, |_, _| Ok(())));
    match code {
        Ok(code) => Ok(code),
        Err(Stopped::Refused(refusal)) => Err(refusal),
        Err(Stopped::Signalled(signal)) => Ok(128u8.saturating_add(signal as u8)),
    }
}

/// A copy in memory, as of other programs. A binary that may only be executed cannot be copied, and needs no copy to be
/// undumpable: then it is granted, the one thing that this cage has beside the program's.
fn image(own: &Path, grants: &mut Vec<Grant>) -> Image {
    if nix::unistd::access(own, AccessFlags::R_OK).is_ok() {
        return Image::ProgramCopy;
    }
    grants.push(Grant { path: own.to_owned(), directory: false, kind: GrantKind::Execute, from: "the probe" });
    Image::Direct
}

/// The same attempts as the same user, with nothing given up but what a change of ids takes.
pub fn without_a_cage(plan: &Plan, facts: &Facts) -> Result<u8, Refusal> {
    let ids = &plan.cage.ids;
    if ids.change {
        ids::change(ids.uid, ids.gid, &ids.groups)?;
        capabilities::drop_all()?;
    }
    nix::sys::prctl::set_dumpable(true)
        .map_err(|errno| Refusal::internal(format!("the comparison: {}", errno.desc())))?;
    attacker::attack(facts).map(|()| 0).map_err(|errno| Refusal::internal(format!("the comparison: {}", errno.desc())))
}
