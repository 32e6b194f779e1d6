//! The commands that print secrets, while they run beside the fetcher: what they say, how they end, and that nothing of them is
//! left.
//!
//! Init tells the fetcher of a command that ended well; any other end is a refusal, whatever it had printed by then.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::heard::broke;
use super::prepare::Preparation;
use super::{forward, ignore};
use crate::launch::printer::{self, Command, CommandEnds};
use crate::refusal::{Exit, Refusal};
use crate::sys::process::Ended;
use crate::wire::{Frame, Tag, WireError};

/// One that was started.
pub(super) struct Running {
    name: String,
    command: Command,
    ended: bool,
    told: bool,
}

impl Preparation<'_> {
    /// Starts them all, and returns what the fetcher gets of them.
    pub(super) fn start_commands(&mut self) -> Result<Vec<CommandEnds>, Refusal> {
        let mut ends = Vec::new();
        for planned in self.plan.fetch.iter().flat_map(|fetch| &fetch.exec) {
            let mut command = printer::start(planned)?;
            ends.extend(command.ends.take());
            self.commands.push(Running { name: planned.name.clone(), command, ended: false, told: false });
        }
        Ok(ends)
    }

    pub(super) fn command_errors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.commands.iter().filter_map(|running| running.command.said.as_fd())
    }

    pub(super) fn print_what_commands_say(&mut self) {
        let lines: Vec<String> = self.commands.iter_mut().flat_map(|running| running.command.said.drain()).collect();
        lines.iter().for_each(|line| self.console.pass_on(line));
    }

    /// Whatever a command left in its group ends with it. Asked before it is reaped, while the group's number cannot be
    /// another's.
    pub(super) fn end_what_commands_left(&mut self) -> Result<(), Refusal> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        for running in self.commands.iter().filter(|running| !running.ended) {
            // EINVAL: it was ended by a signal that the library has no name for.
            if !matches!(waitid(Id::Pid(running.command.pid), flags), Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD)) {
                printer::end(running.command.pid).map_err(|errno| cannot_end(&running.name, errno))?;
            }
        }
        Ok(())
    }

    /// Whether this child was a command; the error is why it ends the start.
    pub(super) fn command_ended(&mut self, pid: Pid, how: Ended) -> Result<bool, Refusal> {
        let Some(running) = self.commands.iter_mut().find(|running| running.command.pid == pid && !running.ended)
        else {
            return Ok(false);
        };
        running.ended = true;
        self.print_what_commands_say();
        let Some(running) = self.commands.iter_mut().find(|running| running.command.pid == pid) else {
            return Ok(false);
        };
        if let Some(line) = running.command.said.last() {
            self.console.pass_on(&line);
        }
        // Until the exec it is our own program, and says itself why it stops.
        drop(running.command.report.drain());
        let before_the_exec = running.command.report.has_refusal();
        match how {
            Ended::Exited(code) if before_the_exec => Err(running.command.report.refusal(code.into())),
            Ended::Exited(0) => Ok(true),
            Ended::Exited(code) => Err(failed(&running.name, &format!("exited with {code}"))),
            Ended::Signalled { signal, .. } => {
                Err(failed(&running.name, &format!("was ended by {}", forward::name(signal))))
            }
            Ended::Stopped(_) | Ended::Continued => {
                Err(Refusal::internal("a command that stopped was taken for ended"))
            }
        }
    }

    /// The fetcher judges what was printed once it knows that nothing is missing from it.
    pub(super) fn tell_of_commands(&mut self) -> Result<(), Refusal> {
        let Some(fetching) = self.fetching.as_ref().filter(|fetching| fetching.given && fetching.ended.is_none())
        else {
            return Ok(());
        };
        for (index, running) in self.commands.iter_mut().enumerate().filter(|(_, r)| r.ended && !r.told) {
            match fetching.role.channel.send(Frame::new(Tag::Ended, index as u64, 0, 0), &[]) {
                // It is gone, and its death says why.
                Ok(()) | Err(WireError::System(Errno::EPIPE | Errno::ECONNRESET)) => running.told = true,
                Err(error) => return Err(broke(format!("the fetcher {error}"))),
            }
        }
        Ok(())
    }

    /// The command that the deadline cut, if it was one.
    pub(super) fn command_too_late(&self) -> Option<Refusal> {
        let running = self.commands.iter().find(|running| !running.ended)?;
        Some(Refusal::new(
            Exit::Deadline,
            format!(
                "the deadline of {:?} passed while the command of [exec.{}] was running",
                self.plan.deadline, running.name
            ),
            "see why it takes so long: does it wait for an answer or a password, is its port in `connect`, is `dns` set? or raise `deadline`",
        ))
    }

    /// Ends those that still run, with everything that they started.
    pub(super) fn end_commands(&mut self) {
        for running in self.commands.iter_mut().filter(|running| !running.ended) {
            if printer::end(running.command.pid).is_ok() {
                // ECHILD: it was reaped already.
                ignore(nix::sys::wait::waitpid(running.command.pid, None));
            }
            running.ended = true;
        }
        self.print_what_commands_say();
    }
}

fn failed(name: &str, how: &str) -> Refusal {
    Refusal::new(
        Exit::StoreSaidNo,
        format!("the command of [exec.{name}] {how}"),
        "see what it said on standard error, above; run it by hand as the fetcher's user, and name what it needs in `read`, `connect` and `dns`",
    )
}

fn cannot_end(name: &str, errno: Errno) -> Refusal {
    Refusal::host(
        format!("what the command of [exec.{name}] left behind cannot be ended: {}", errno.desc()),
        "an outer sandbox may forbid kill",
    )
}
