//! Becoming a role that is executed anew (the fetcher, the keeper): between fork and exec, the descriptors that its contract names and nothing else.

use std::os::fd::{AsFd, OwnedFd};

use nix::unistd::{Pid, getppid};

use super::c_string;
use crate::refusal::{Refusal, cause};
use crate::sys::{descriptors, exec, process};
use crate::wire::{ROLE_SLICE, ROLE_SOCKET};

/// Everything that needs memory is made before the fork.
pub struct Command {
    image: OwnedFd,
    null: OwnedFd,
    argv: exec::Strings,
    envp: exec::Strings,
}

/// The one variable that a role keeps.
const LOG: &str = "PORTCULLIS_LOG";

impl Command {
    /// `role` is the name by which `main` knows it.
    pub fn new(image: OwnedFd, role: &str) -> Result<Command, Refusal> {
        let level = std::env::var(LOG).ok().map(|level| c_string(format!("{LOG}={level}"), LOG)).transpose()?;
        let null = std::fs::File::options().read(true).write(true).open("/dev/null").map_err(|error| {
            Refusal::host(
                format!("/dev/null cannot be opened: {error}", error = cause(error)),
                "provide it in this container",
            )
        })?;
        Ok(Command {
            image,
            null: null.into(),
            argv: exec::Strings::new(vec![c_string(role, "the role's name")?]),
            envp: exec::Strings::new(level.into_iter().collect()),
        })
    }

    /// In the child: never returns. A failure here is seen by init as a role that died.
    pub fn become_role(self, socket: OwnedFd, slice: OwnedFd, log: OwnedFd, init: Pid) -> ! {
        let done = self.arrange_and_exec(&socket, &slice, &log, init);
        let Err(errno) = done;
        process::exit_now(errno as i32 as u8)
    }

    fn arrange_and_exec(
        &self,
        socket: &OwnedFd,
        slice: &OwnedFd,
        log: &OwnedFd,
        init: Pid,
    ) -> Result<std::convert::Infallible, nix::errno::Errno> {
        const FLOOR: i32 = 16;
        process::die_with_parent()?;
        if getppid() != init {
            return Err(nix::errno::Errno::ESRCH);
        }
        let image = descriptors::move_above(self.image.as_fd(), FLOOR)?;
        let placed = [(&self.null, 0), (&self.null, 1), (log, 2), (socket, ROLE_SOCKET), (slice, ROLE_SLICE)];
        let sources =
            placed.iter().map(|(fd, _)| descriptors::move_above(fd.as_fd(), FLOOR)).collect::<Result<Vec<_>, _>>()?;
        descriptors::cloexec_from(3)?;
        for (source, (_, number)) in sources.iter().zip(&placed) {
            descriptors::place(source.as_fd(), *number)?;
        }
        exec::exec_descriptor(image.as_fd(), &self.argv, &self.envp)
    }
}
