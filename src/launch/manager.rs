//! The service manager that waits for a word (sd_notify(3)): reached before anything is started, told once the program runs.
//!
//! Only for `workload.notify = "ready"`. What a program says itself does not come by here.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use super::launcher;
use crate::plan::{Notify, Plan};
use crate::refusal::{Refusal, cause, escape};
use crate::sys::descriptors;

/// A connection to it; nothing where nobody waits for a word of ours.
pub struct Manager(Option<UnixDatagram>);

impl Manager {
    /// Connects now: with `mode = "replace"` the cage stands around this process when the word is due.
    pub fn reach(plan: &Plan) -> Result<Manager, Refusal> {
        let Some(Notify::Ready { socket }) = &plan.launch.notify else { return Ok(Manager(None)) };
        let connected = connect(socket).map_err(|error| unreachable(socket, error))?;
        // The launcher's contract fills the numbers below.
        let raised = descriptors::move_above(connected.as_fd(), launcher::floor(plan));
        let raised: OwnedFd = raised.map_err(|errno| unreachable(socket, errno.into()))?;
        Ok(Manager(Some(raised.into())))
    }

    /// `status` is what `systemctl status` shows.
    pub fn ready(self, status: &str) -> Result<(), Refusal> {
        let Some(socket) = self.0 else { return Ok(()) };
        let word = format!("READY=1\nSTATUS={}\n", escape(status));
        socket.send(word.as_bytes()).map(drop).map_err(|error| {
            Refusal::host(
                format!("the service manager could not be told that the program runs: {}", cause(error)),
                "see whether it is well; it would have ended this start as one that never got ready",
            )
        })
    }
}

fn connect(name: &OsStr) -> std::io::Result<UnixDatagram> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

fn unreachable(name: &OsStr, error: std::io::Error) -> Refusal {
    Refusal::config(
        format!("NOTIFY_SOCKET is `{}`, where no service manager can be reached: {}", name.display(), cause(error)),
        "allow the unit unix sockets (RestrictAddressFamilies=AF_UNIX), or remove the variable",
    )
}
