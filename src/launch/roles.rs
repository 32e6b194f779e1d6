//! Making the pipes and starting the two roles: the launcher first, by a fork that descends from no secret; then the
//! fetcher, by executing our own image anew.

use std::ffi::CString;
use std::fs::Permissions;
use std::io::{Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{Gid, Pid, Uid, pipe2};

use super::{fetcher, launcher, slice};
use crate::plan::Plan;
use crate::refusal::Refusal;
use crate::sys::memory::{self, Purpose};
use crate::sys::process;
use crate::wire::{self, Channel, LogLines, Reporter};

/// One way of the bundle: what init holds of its pipe.
#[derive(Default)]
pub struct Ends {
    /// For counting what waits; closed before the exec.
    pub reader: Option<OwnedFd>,
    writer: Option<OwnedFd>,
}

impl Ends {
    fn pipe(wanted: bool) -> Result<Ends, Refusal> {
        if !wanted {
            return Ok(Ends::default());
        }
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| short_of("a pipe", errno))?;
        // Only the writer: a full pipe must be an error to the fetcher, and the workload reads as usual.
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(|errno| short_of("a pipe", errno))?;
        Ok(Ends { reader: Some(reader), writer: Some(writer) })
    }

    pub fn take_writer(&mut self) -> Option<OwnedFd> {
        self.writer.take()
    }
}

/// Everything that the bundle goes through.
#[derive(Default)]
pub struct BundleEnds {
    pub pipe: Ends,
    pub stdin: Ends,
    pub env: Ends,
    /// Empty memfds that the fetcher fills and seals, in the plan's order.
    pub files: Vec<OwnedFd>,
}

impl BundleEnds {
    /// Made by init with the ids it was started with: a pipe that root made cannot be reopened by the workload's uid.
    pub fn make(plan: &Plan) -> Result<BundleEnds, Refusal> {
        let delivery = &plan.delivery;
        Ok(BundleEnds {
            pipe: Ends::pipe(delivery.pipe)?,
            stdin: Ends::pipe(delivery.stdin)?,
            env: Ends::pipe(!delivery.env.is_empty())?,
            files: delivery.files.iter().map(|_| memory_file(plan)).collect::<Result<_, _>>()?,
        })
    }
}

/// A memfd that the workload may open by `/proc/self/fd/N`: its own, read-only by mode, later sealed.
fn memory_file(plan: &Plan) -> Result<OwnedFd, Refusal> {
    let ids = &plan.cage.ids;
    if !ids.change {
        return read_only_memory();
    }
    // Made under the workload's ids for the file system alone (setfsuid(2)): fchown would need CAP_CHOWN, and init has
    // SETUID and SETGID anyway.
    let found = (nix::unistd::geteuid(), nix::unistd::getegid());
    nix::unistd::setfsgid(Gid::from_raw(ids.gid));
    nix::unistd::setfsuid(Uid::from_raw(ids.uid));
    let made = read_only_memory();
    nix::unistd::setfsuid(found.0);
    nix::unistd::setfsgid(found.1);
    let made = made?;
    let owner = nix::sys::stat::fstat(&made).map(|stat| (stat.st_uid, stat.st_gid));
    // setfsuid reports no errors: the file itself says whether it worked.
    if owner == Ok((ids.uid, ids.gid)) {
        Ok(made)
    } else {
        Err(short_of("a file in memory of the workload's user", "it belongs to somebody else"))
    }
}

fn read_only_memory() -> Result<OwnedFd, Refusal> {
    let fd = memory::sealable(c"credentials", Purpose::Data).map_err(|errno| short_of("a file in memory", errno))?;
    let file = std::fs::File::from(fd);
    file.set_permissions(Permissions::from_mode(0o400)).map_err(|error| short_of("a file in memory", error))?;
    Ok(file.into())
}

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
}

/// Starts the fetcher, if there is anything to fetch.
pub fn start_fetcher(
    plan: &Plan,
    ends: &mut BundleEnds,
    own_image: &OwnedFd,
    end: Instant,
) -> Result<Option<Fetcher>, Refusal> {
    let Some(fetch) = &plan.fetch else { return Ok(None) };
    let left = end.saturating_duration_since(Instant::now());
    let (slice, gifts) = slice::cut(plan, fetch, ends, left)?;
    if gifts.len() > wire::MOST_DESCRIPTORS {
        return Err(Refusal::config(
            format!("{} files are needed at once, and {} can be handed over", gifts.len(), wire::MOST_DESCRIPTORS),
            "use fewer secrets, or keep several in one sealed file",
        ));
    }
    let slice = serde_json::to_vec(&slice).map_err(|error| Refusal::internal(format!("writing the slice: {error}")))?;
    let slice = sealed(&slice).map_err(|error| short_of("a file in memory", error))?;
    let (ours, theirs) = wire::pair().map_err(|errno| short_of("a socket pair", errno))?;
    let (log, log_writer) = log_pipe()?;
    let init = Pid::this();
    let command = fetcher::Command::new(own_image)?;
    let child = process::fork().map_err(|errno| short_of("a process", errno))?;
    let Some(pid) = child else { command.become_fetcher(theirs.into_fd(), slice, log_writer, init) };
    let role = Role { pid, channel: ours, log: LogLines::new("fetcher", log) };
    Ok(Some(Fetcher { role, gifts }))
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

/// Our own image, opened while `/proc` is as we were started with it.
pub fn own_image() -> Result<OwnedFd, Refusal> {
    nix::fcntl::open("/proc/self/exe", OFlag::O_PATH | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty()).map_err(
        |errno| {
            Refusal::host(
                format!("/proc/self/exe cannot be opened: {errno}"),
                "mount /proc: portcullis verifies itself there",
            )
        },
    )
}

fn short_of(what: &str, error: impl std::fmt::Display) -> Refusal {
    Refusal::host(
        format!("the kernel did not give {what}: {error}"),
        "raise the limit that is exhausted (ulimit -a, pids cgroup)",
    )
}

/// Ends a child that has no business any more, by its own pid. ESRCH: it is gone already.
pub fn kill(pid: Pid) -> Result<(), Errno> {
    match crate::sys::signals::send(pid, libc::SIGKILL) {
        Err(Errno::ESRCH) => Ok(()),
        other => other,
    }
}

/// A C string from bytes without NUL.
pub fn c_string(bytes: impl Into<Vec<u8>>, what: &str) -> Result<CString, Refusal> {
    CString::new(bytes).map_err(|_| Refusal::config(format!("{what} contains a NUL byte"), "remove it"))
}
