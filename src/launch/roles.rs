//! Making the pipes and starting the two roles: the launcher first, by a fork that descends from no secret; then the
//! fetcher, by executing our own image anew.

use std::io::{Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{Pid, pipe2};
use serde::Serialize;

use super::bundle::BundleEnds;
use super::command::Command;
use super::open::Removable;
use super::printer::CommandEnds;
use super::slice::Cut;
use super::{image, launcher, short_of, slice};
use crate::plan::{FetchPlan, Plan};
use crate::refusal::Refusal;
use crate::sys::memory::{self, Purpose};
use crate::sys::process;
use crate::wire::slice::Kept;
use crate::wire::{self, Channel, LogLines, Reporter};

/// A role that runs: how init talks to it and hears from it.
pub struct Role {
    pub pid: Pid,
    pub channel: Channel,
    pub log: LogLines,
}

/// The launcher, and what init hears of its exec.
pub struct Launcher {
    pub role: Role,
    /// Says the errno of a failed exec, or end-of-file when the workload runs.
    pub exec_result: OwnedFd,
}

/// Starts the launcher. In the child this never returns.
pub fn start_launcher(plan: &Plan, ends: &mut BundleEnds) -> Result<Launcher, Refusal> {
    let (ours, theirs) = wire::pair().map_err(|errno| short_of("a socket pair", errno))?;
    let (log, log_writer) = log_pipe()?;
    let (exec_result, exec_writer) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| short_of("a pipe", errno))?;
    let init = Pid::this();
    let child = process::fork().map_err(|errno| short_of("a process", errno))?;
    let Some(pid) = child else {
        drop((ours, log, exec_result));
        launcher::run(
            plan,
            launcher::Kit::of(std::mem::take(ends)),
            exec_writer,
            Reporter::new(theirs, log_writer),
            init,
        )
    };
    let role = Role { pid, channel: ours, log: LogLines::new("launcher", log) };
    Ok(Launcher { role, exec_result })
}

/// A started fetcher, and the descriptors it gets once it has reported itself confined.
pub struct Fetcher {
    pub role: Role,
    pub gifts: Vec<OwnedFd>,
    /// To be removed when the fetcher says that it was used.
    pub single_use: Option<Removable>,
    /// What it may fill for a keeper.
    pub region: Option<OwnedFd>,
}

/// Starts the fetcher, if there is anything to fetch; `check` is for a fetch that nobody uses.
pub fn start_fetcher(
    plan: &Plan,
    ends: &mut BundleEnds,
    commands: Vec<CommandEnds>,
    end: Instant,
    check: bool,
) -> Result<Option<Fetcher>, Refusal> {
    let Some(fetch) = &plan.fetch else { return Ok(None) };
    let left = end.saturating_duration_since(Instant::now());
    let Cut { slice, gifts, single_use, region } = slice::cut(plan, fetch, ends, commands, left, check)?;
    if gifts.len() > wire::MOST_DESCRIPTORS {
        return Err(Refusal::config(
            format!("{} files are needed at once, and {} can be handed over", gifts.len(), wire::MOST_DESCRIPTORS),
            "use fewer secrets, or keep several in one sealed file",
        ));
    }
    let role = execute(fetch, &slice, wire::ROLE_FETCHER, "fetcher")?;
    Ok(Some(Fetcher { role, gifts, single_use, region }))
}

/// Starts the keeper, and says what it gets once it has reported itself confined. The region is given with it.
pub fn start_keeper(plan: &Plan, kept: &[Kept], region: OwnedFd) -> Result<(Role, Vec<OwnedFd>), Refusal> {
    let Some(fetch) = &plan.fetch else { return Err(Refusal::internal("nothing was fetched that could be kept")) };
    let (slice, gifts) = slice::cut_for_keeper(plan, kept, region)?;
    Ok((execute(fetch, &slice, wire::ROLE_KEEPER, "keeper")?, gifts))
}

/// Executes our own image anew, as a role with its slice.
fn execute(fetch: &FetchPlan, slice: &impl Serialize, role: &str, name: &'static str) -> Result<Role, Refusal> {
    let slice = serde_json::to_vec(slice).map_err(|error| Refusal::internal(format!("writing the slice: {error}")))?;
    let slice = sealed(&slice).map_err(|error| short_of("a file in memory", error))?;
    let (ours, theirs) = wire::pair().map_err(|errno| short_of("a socket pair", errno))?;
    let (log, log_writer) = log_pipe()?;
    let init = Pid::this();
    // With ids of its own a role has no outsider of the same uid; as a plain user it does, from its first instruction.
    let command = Command::new(image::own(fetch.ids.is_none())?, role)?;
    let child = process::fork().map_err(|errno| short_of("a process", errno))?;
    let Some(pid) = child else { command.become_role(theirs.into_fd(), slice, log_writer, init) };
    Ok(Role { pid, channel: ours, log: LogLines::new(name, log) })
}

fn sealed(bytes: &[u8]) -> std::io::Result<OwnedFd> {
    let mut file = std::fs::File::from(memory::sealable(c"slice", Purpose::Data)?);
    file.write_all(bytes)?;
    // The fetcher shares this offset.
    file.rewind()?;
    let file = OwnedFd::from(file);
    memory::seal(&file, libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL)?;
    Ok(file)
}

/// A role's log: init's end does not block.
fn log_pipe() -> Result<(OwnedFd, OwnedFd), Refusal> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| short_of("a pipe", errno))?;
    fcntl(reader.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(|errno| short_of("a pipe", errno))?;
    Ok((reader, writer))
}

/// Ends a child that has no business any more, by its own pid. ESRCH: it is gone already.
pub fn kill(pid: Pid) -> Result<(), Errno> {
    match crate::sys::signals::send(pid, libc::SIGKILL) {
        Err(Errno::ESRCH) => Ok(()),
        other => other,
    }
}
