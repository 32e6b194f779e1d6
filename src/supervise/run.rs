//! From the word "go" to the last orphan: the exec, then the life of the workload, then the end of everything in order.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::unistd::{Pid, getpgrp, tcsetpgrp};

use super::denials::Denials;
use super::keeping::Keeping;
use super::prepare::{Prepared, Stopped};
use super::{descendants, forward, ignore, resident, wait};
use crate::console::Console;
use crate::launch::launcher::exec_refusal;
use crate::launch::roles::{self, Launcher};
use crate::launch::tty;
use crate::plan::Plan;
use crate::refusal::Refusal;
use crate::sys::process::{Ended, Reaped, reap_one};
use crate::sys::signals::{self, Arrived};
use crate::wire::{Frame, Tag};

mod leases;

/// Where the loop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The launcher was told to go; its exec is not yet done.
    Executing,
    Running,
    /// Somebody asked for the end, or the workload has ended: what is left at that time is killed.
    Ending {
        kill_at: Instant,
    },
}

struct Supervisor<'a> {
    plan: &'a Plan,
    console: Console,
    state: State,
    workload: Pid,
    signals: OwnedFd,
    exec_result: Option<OwnedFd>,
    denials: Option<Denials>,
    ended: Option<Ended>,
    stopped: bool,
    held: Vec<Arrived>,
    killed: bool,
    /// Whether those that the workload left behind were told to end.
    asked_the_rest: bool,
    children: bool,
    keeping: Option<Keeping>,
}

/// Tells the launcher to go and stays with the workload until nothing is left. Returns the exit code.
///
/// `started` is called once, when the workload runs: it prints the line that says what holds, and hears whether denials are
/// explained.
pub fn supervise(
    plan: &Plan,
    prepared: Prepared,
    console: &Console,
    end: Instant,
    started: impl FnOnce(&Console, bool),
) -> Result<u8, Stopped> {
    let explained = prepared.denials.is_some();
    let Some(Launcher { mut role, exec_result }) = prepared.launcher else {
        return Err(Refusal::internal("there is no launcher to supervise").into());
    };
    // The workload must see the end of its credentials: init keeps no end of any pipe.
    drop(prepared.ends);
    let mut supervisor = Supervisor {
        plan,
        console: *console,
        state: State::Executing,
        workload: role.pid,
        signals: prepared.signals,
        exec_result: Some(exec_result),
        denials: prepared.denials,
        ended: None,
        stopped: false,
        held: prepared.held,
        killed: false,
        asked_the_rest: false,
        children: true,
        keeping: prepared.keeping,
    };
    let go = role.channel.send(Frame::new(Tag::Go, 0, 0, 0), &[]);
    let began = go.map_err(|error| Refusal::internal(format!("the launcher {error}"))).and_then(|()| {
        supervisor.until_executed(end)?;
        // A launcher that could not go on has said so before its end of the exec's pipe closed.
        if let Ok(Some((Frame { tag: Tag::Refused, a, .. }, _))) = role.channel.receive() {
            drop(role.log.drain());
            return Err(role.log.refusal(a));
        }
        drop((role.channel, role.log));
        started(console, explained);
        resident::settle(plan, supervisor.keeping.is_some())
    });
    if let Err(refusal) = began {
        supervisor.kill_and_wait();
        return Err(refusal.into());
    }
    let held = std::mem::take(&mut supervisor.held);
    let lived = held.into_iter().try_for_each(|arrived| supervisor.signal(arrived));
    if let Err(refusal) = lived.and_then(|()| supervisor.live()) {
        supervisor.kill_and_wait();
        return Err(refusal.into());
    }
    Ok(supervisor.last_words())
}

impl Supervisor<'_> {
    fn until_executed(&mut self, end: Instant) -> Result<(), Refusal> {
        while self.state == State::Executing {
            if Instant::now() >= end {
                return Err(Refusal::new(
                    crate::refusal::Exit::Deadline,
                    format!("the deadline of {:?} passed while the program was being executed", self.plan.deadline),
                    "see whether the file system that holds it answers, or raise `deadline`",
                ));
            }
            self.turn(Some(end))?;
        }
        Ok(())
    }

    fn live(&mut self) -> Result<(), Refusal> {
        while self.children {
            let until = match self.state {
                State::Ending { kill_at } => Some(kill_at),
                State::Executing | State::Running => None,
            };
            if until.is_some_and(|at| Instant::now() >= at) {
                self.kill_all()?;
            }
            self.turn(until)?;
        }
        Ok(())
    }

    fn turn(&mut self, until: Option<Instant>) -> Result<(), Refusal> {
        let (signals, exec, denied, keeper) = {
            let mut fds: Vec<BorrowedFd<'_>> = vec![self.signals.as_fd()];
            fds.extend(self.exec_result.as_ref().map(AsFd::as_fd));
            fds.extend(self.denials.as_ref().map(Denials::as_fd));
            fds.extend(self.keeping.iter().flat_map(Keeping::descriptors));
            let mut ready = wait(&fds, until)?.into_iter();
            let signals = ready.next().unwrap_or(false);
            let exec = self.exec_result.is_some() && ready.next().unwrap_or(false);
            let denied = self.denials.is_some() && ready.next().unwrap_or(false);
            (signals, exec, denied, ready.any(|ready| ready))
        };
        // Signals first: a storm of denials may not delay them.
        if signals {
            self.hear_signals()?;
        }
        if exec {
            self.hear_exec()?;
        }
        if keeper {
            self.hear_keeper()?;
        }
        if denied {
            self.answer_denial()?;
        }
        Ok(())
    }

    fn answer_denial(&mut self) -> Result<(), Refusal> {
        let Some(denials) = &mut self.denials else { return Ok(()) };
        if !denials.answer_one(&self.console)? {
            // Nobody is left inside the filter: a hung-up descriptor would make poll spin.
            self.say_denials();
            self.denials = None;
        }
        Ok(())
    }

    /// Four bytes are an errno; end-of-file is a successful exec.
    fn hear_exec(&mut self) -> Result<(), Refusal> {
        let Some(pipe) = &self.exec_result else { return Ok(()) };
        let mut bytes = [0u8; 4];
        let length =
            nix::unistd::read(pipe, &mut bytes).map_err(|errno| Refusal::internal(format!("exec: {errno}")))?;
        self.exec_result = None;
        if length > 0 {
            return Err(exec_refusal(self.plan, Errno::from_raw(i32::from_le_bytes(bytes))));
        }
        if self.denials.as_ref().is_some_and(|denials| !denials.start_was_answered()) {
            // The pipe closes at an exec, and at a death: nothing was executed yet.
            return Err(Refusal::new(
                crate::refusal::Exit::RoleBroke,
                "the launcher ended before it executed the program",
                "look for an out-of-memory kill or a memory limit on this host; if there is none, report it",
            ));
        }
        if self.state == State::Executing {
            self.state = State::Running;
        }
        Ok(())
    }

    fn hear_signals(&mut self) -> Result<(), Refusal> {
        let broken = |errno| Refusal::internal(format!("signalfd: {errno}"));
        while let Some(arrived) = signals::read_one(self.signals.as_fd()).map_err(broken)? {
            if arrived.signal == libc::SIGCHLD { self.reap()? } else { self.signal(arrived)? }
        }
        Ok(())
    }

    fn signal(&mut self, arrived: Arrived) -> Result<(), Refusal> {
        if !forward::is_forwarded(&arrived) {
            return Ok(());
        }
        if self.state == State::Executing {
            // The launcher would die of it before the program could hear it.
            self.held.push(arrived);
            return Ok(());
        }
        if self.ended.is_none() {
            let cannot = |errno| Refusal::internal(format!("forwarding {}: {errno}", forward::name(arrived.signal)));
            forward::forward(self.workload, arrived).map_err(cannot)?;
        }
        if arrived.signal == libc::SIGTERM {
            self.begin_to_end();
            if self.stopped {
                self.go_on()?;
            }
        }
        Ok(())
    }

    /// A stopped program could not hear TERM.
    fn go_on(&self) -> Result<(), Refusal> {
        forward::forward(self.workload, Arrived::of(libc::SIGCONT))
            .map_err(|errno| Refusal::internal(format!("continuing the workload: {errno}")))
    }

    /// The clock starts once, at the first reason.
    fn begin_to_end(&mut self) {
        if !matches!(self.state, State::Ending { .. }) {
            self.state = State::Ending { kill_at: Instant::now() + self.plan.stop_timeout };
        }
    }

    fn reap(&mut self) -> Result<(), Refusal> {
        loop {
            match reap_one().map_err(|errno| Refusal::internal(format!("waitpid: {errno}")))? {
                Reaped::NoneYet => {
                    self.term_the_rest()?;
                    return self.see_who_is_left();
                }
                Reaped::NoChildren => {
                    self.children = false;
                    return Ok(());
                }
                Reaped::Child(pid, ended) if pid == self.workload => self.workload_changed(ended)?,
                Reaped::Child(pid, ended) if self.keeping.as_ref().is_some_and(|keeping| keeping.pid() == pid) => {
                    self.keeper_changed(ended)?;
                }
                Reaped::Child(..) => {}
            }
        }
    }

    fn workload_changed(&mut self, change: Ended) -> Result<(), Refusal> {
        match change {
            Ended::Stopped(signal) => {
                self.stopped = true;
                if matches!(self.state, State::Ending { .. }) {
                    return self.go_on();
                }
                // SIGSTOP is somebody's wish for that one program, not a terminal's for the job.
                if matches!(signal, libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU) {
                    self.stop_along();
                }
                Ok(())
            }
            Ended::Continued => {
                self.stopped = false;
                Ok(())
            }
            ended => {
                self.ended = Some(ended);
                self.begin_to_end();
                Ok(())
            }
        }
    }

    /// Under a shell, a stopped job includes its init: give the terminal back, stop, and go on together.
    fn stop_along(&self) {
        let Some(terminal) = tty::terminal() else { return };
        if self.plan.pid1 {
            return;
        }
        // A terminal that is gone, or a group that is: there is no job to control then.
        ignore(tcsetpgrp(terminal, getpgrp()));
        ignore(signals::send(Pid::this(), libc::SIGSTOP));
        ignore(tcsetpgrp(terminal, self.workload));
        ignore(signals::send(Pid::from_raw(-self.workload.as_raw()), libc::SIGCONT));
    }

    /// The workload is gone: whoever it left behind gets TERM, and the rest of the time.
    fn term_the_rest(&mut self) -> Result<(), Refusal> {
        if self.ended.is_none() || self.asked_the_rest {
            return Ok(());
        }
        self.asked_the_rest = true;
        for pid in self.others() {
            // EPERM: a child that somebody with other rights left to us. It is not ours to end.
            ignore(forward::forward(pid, Arrived::of(libc::SIGTERM)));
            ignore(forward::forward(pid, Arrived::of(libc::SIGCONT)));
        }
        Ok(())
    }

    /// The time is over. Whatever is made meanwhile is found the next time round.
    fn kill_all(&mut self) -> Result<(), Refusal> {
        let left = self.others();
        if !self.killed {
            let whom = if self.ended.is_none() { "the program" } else { "what the program left behind" };
            self.console
                .say("killed", &format!("{whom} did not end within {:?} and is killed", self.plan.stop_timeout));
            self.killed = true;
        }
        let killed = left.iter().filter(|pid| roles::kill(**pid).is_ok()).count();
        if killed == 0 && !left.is_empty() {
            // None of them is ours to end, so none is ours to wait for.
            self.console.say("left", &format!("left running, by other users: {}", left.len()));
            self.children = false;
            return Ok(());
        }
        // Not at once again: a process in an uninterruptible sleep takes its time.
        self.state = State::Ending { kill_at: Instant::now() + std::time::Duration::from_millis(100) };
        Ok(())
    }

    /// A refusal after "go": nothing that was started may stay.
    fn kill_and_wait(&mut self) {
        if let Some(keeping) = self.keeping.take() {
            keeping.give_up(&self.console);
        }
        if self.ended.is_none() {
            ignore(roles::kill(self.workload));
        }
        // What a kill orphans becomes our child: until there is none. A failing wait means the same.
        loop {
            let left = descendants::living(None);
            let foreign = !left.is_empty() && left.into_iter().all(|pid| roles::kill(pid).is_err());
            if foreign || nix::sys::wait::waitpid(None, None).is_err() {
                return;
            }
        }
    }

    /// All that descends from init, but the keeper and what it starts: they have their own end.
    fn others(&self) -> Vec<Pid> {
        descendants::living(self.keeping.as_ref().map(Keeping::pid))
    }

    /// With a keeper there is a child to the last: the end is when nobody else is left.
    fn see_who_is_left(&mut self) -> Result<(), Refusal> {
        if self.keeping.is_some() && self.ended.is_some() && self.others().is_empty() {
            self.children = false;
        }
        Ok(())
    }

    fn say_denials(&self) {
        if let Some(summary) = self.denials.as_ref().and_then(Denials::summary) {
            self.console.say("denials", &summary);
        }
    }

    /// Gives the terminal back, has what was minted given up, says why this ends, and gives the exit code.
    fn last_words(&mut self) -> u8 {
        if let Some(keeping) = self.keeping.take() {
            keeping.give_up(&self.console);
        }
        tty::take_back(self.workload);
        self.say_denials();
        let name = self.plan.launch.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match self.ended {
            Some(Ended::Exited(code)) => {
                self.console.say("ended", &format!("ended: {name} exited with {code}"));
                code
            }
            Some(Ended::Signalled { signal, .. }) => {
                self.console.say("ended", &format!("ended: {name} was ended by {}", forward::name(signal)));
                128u8.saturating_add(signal as u8)
            }
            _ => crate::refusal::Exit::Internal.code(),
        }
    }
}
