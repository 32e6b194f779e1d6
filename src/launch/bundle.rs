//! What the bundle goes through: pipes and files in memory, made by init before any role exists.

use std::fs::Permissions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{Gid, Uid, pipe2};

use super::short_of;
use crate::plan::Plan;
use crate::refusal::Refusal;
use crate::sys::memory::{self, Purpose};

/// One way of the bundle: what init holds of its pipe.
#[derive(Default)]
pub struct Ends {
    /// For counting what waits; closed before the exec.
    pub reader: Option<OwnedFd>,
    writer: Option<OwnedFd>,
}

impl Ends {
    pub(super) fn pipe(wanted: bool) -> Result<Ends, Refusal> {
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
