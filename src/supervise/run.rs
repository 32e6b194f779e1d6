//! From the word "go" to the last orphan: the exec, then the life of the workload. Its end in order is `end`, its job `job`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::unistd::Pid;

use super::denials::Denials;
use super::end::Others;
use super::ending::Ending;
use super::keeping::Keeping;
use super::prepare::{Prepared, Stopped};
use super::{forward, resident, wait};
use crate::console::Console;
use crate::launch::launcher::exec_refusal;
use crate::launch::roles::Launcher;
use crate::launch::tty::Terminal;
use crate::plan::Plan;
use crate::refusal::Refusal;
use crate::sys::process::{Ended, Reaped, reap_one};
use crate::sys::signals::{self, Arrived};
use crate::wire::{Frame, Tag};

/// Where the loop is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The launcher was told to go; its exec is not yet done.
    Executing,
    Running,
    /// Somebody asked for the end, or the workload has ended.
    Ending(Ending),
}

pub(super) struct Supervisor<'a> {
    pub(super) plan: &'a Plan,
    pub(super) console: Console,
    pub(super) state: State,
    pub(super) workload: Pid,
    signals: OwnedFd,
    exec_result: Option<OwnedFd>,
    pub(super) denials: Option<Denials>,
    pub(super) ended: Option<Ended>,
    /// The first TERM, for the last line.
    pub(super) asked: Option<Arrived>,
    pub(super) terminal: Option<Terminal>,
    pub(super) stopped: bool,
    /// The job stopped with its workload, and goes on with it.
    pub(super) stopped_along: bool,
    held: Vec<Arrived>,
    pub(super) others: Others,
    /// There is somebody to wait for.
    pub(super) children: bool,
    pub(super) keeping: Option<Keeping>,
}

/// Tells the launcher to go and stays with the workload until nothing is left. Returns the exit code.
///
/// `started` is called once, when the workload runs: it prints the line that says what holds, and hears whether denials are
/// explained. Its refusal ends the workload again.
pub fn supervise(
    plan: &Plan,
    prepared: Prepared,
    console: &Console,
    end: Instant,
    started: impl FnOnce(&Console, bool) -> Result<(), Refusal>,
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
        asked: None,
        terminal: Terminal::find(),
        stopped: false,
        stopped_along: false,
        held: prepared.held,
        others: Others::default(),
        children: true,
        keeping: prepared.keeping,
    };
    let go = role.channel.send(Frame::new(Tag::Go, 0, 0, 0), &[]);
    let began = go.map_err(|error| Refusal::internal(format!("the launcher {error}")).into()).and_then(|()| {
        supervisor.until_executed(end)?;
        // A launcher that could not go on has said so before its end of the exec's pipe closed.
        if let Ok(Some((Frame { tag: Tag::Refused, a, .. }, _))) = role.channel.receive() {
            drop(role.log.drain());
            return Err(role.log.refusal(a).into());
        }
        drop((role.channel, role.log));
        started(console, explained)?;
        resident::settle(plan, supervisor.keeping.is_some()).map_err(Stopped::from)
    });
    if let Err(stopped) = began {
        supervisor.kill_and_wait();
        return Err(stopped);
    }
    if let Err(refusal) = supervisor.live() {
        supervisor.kill_and_wait();
        return Err(refusal.into());
    }
    Ok(supervisor.last_words())
}

impl Supervisor<'_> {
    fn until_executed(&mut self, end: Instant) -> Result<(), Stopped> {
        while self.state == State::Executing {
            if Instant::now() >= end {
                return Err(Refusal::new(
                    crate::refusal::Exit::Deadline,
                    format!("the deadline of {:?} passed while the program was being executed", self.plan.deadline),
                    "see whether the file system that holds it answers, or raise `deadline`",
                )
                .into());
            }
            self.turn(Some(end))?;
            if self.exec_result.is_none() && self.state == State::Executing {
                return Err(self.died_before_the_exec());
            }
        }
        Ok(())
    }

    /// The exec's pipe closes at an exec, and at a death: nothing was executed yet. A terminal's signals reach the launcher
    /// itself by now: that is an end somebody asked for, and no fault.
    fn died_before_the_exec(&mut self) -> Stopped {
        if let Ok(nix::sys::wait::WaitStatus::Signaled(_, signal, _)) = nix::sys::wait::waitpid(self.workload, None) {
            self.ended = Some(Ended::Signalled { signal: signal as i32, core: false });
            if forward::ENDING.contains(&(signal as i32)) {
                return Stopped::Signalled(signal as i32);
            }
        }
        Refusal::new(
            crate::refusal::Exit::RoleBroke,
            "the launcher ended before it executed the program",
            "look for an out-of-memory kill or a memory limit on this host; if there is none, report it",
        )
        .into()
    }

    fn live(&mut self) -> Result<(), Refusal> {
        // Whoever executed init may have left it a child that ended before signals were heard.
        self.reap()?;
        for arrived in std::mem::take(&mut self.held) {
            self.signal(arrived)?;
        }
        resident::give_back_memory();
        while self.children {
            let mut until = None;
            if let State::Ending(ending) = &mut self.state {
                if let Some(step) = ending.due(Instant::now()) {
                    self.step(step)?;
                    continue;
                }
                until = ending.next();
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

    /// Four bytes are an errno; end-of-file is a successful exec, where its notification was answered.
    fn hear_exec(&mut self) -> Result<(), Refusal> {
        let Some(pipe) = &self.exec_result else { return Ok(()) };
        let mut bytes = [0u8; 4];
        let length =
            nix::unistd::read(pipe, &mut bytes).map_err(|errno| Refusal::internal(format!("exec: {errno}")))?;
        self.exec_result = None;
        if length > 0 {
            return Err(exec_refusal(self.plan, Errno::from_raw(i32::from_le_bytes(bytes))));
        }
        if self.denials.as_ref().is_none_or(Denials::start_was_answered) && self.state == State::Executing {
            self.state = State::Running;
        }
        Ok(())
    }

    fn hear_signals(&mut self) -> Result<(), Refusal> {
        let broken = |errno| Refusal::internal(format!("signalfd: {errno}"));
        loop {
            let mut batch = signals::Batch::default();
            let full = batch.read(self.signals.as_fd()).map_err(broken)?;
            for arrived in batch.iter() {
                if arrived.signal == libc::SIGCHLD { self.reap()? } else { self.signal(arrived)? }
            }
            if !full {
                return Ok(());
            }
        }
    }

    fn signal(&mut self, arrived: Arrived) -> Result<(), Refusal> {
        if self.state == State::Executing {
            // The launcher would die of it before the program could hear it.
            self.held.push(arrived);
            return Ok(());
        }
        let Some(arrived) = forward::for_the_workload(&arrived, &self.plan.rewrite) else { return Ok(()) };
        match arrived.signal {
            libc::SIGTERM => self.asked_to_end(arrived),
            libc::SIGCONT if self.stopped_along => self.go_on_along(),
            _ => self.pass(arrived),
        }
    }

    /// To the workload, if it is there.
    pub(super) fn pass(&self, arrived: Arrived) -> Result<(), Refusal> {
        if self.ended.is_some() {
            return Ok(());
        }
        forward::forward(self.workload, arrived)
            .map_err(|errno| Refusal::internal(format!("forwarding {}: {errno}", forward::name(arrived.signal))))
    }

    fn reap(&mut self) -> Result<(), Refusal> {
        loop {
            match reap_one().map_err(|errno| Refusal::internal(format!("waitpid: {errno}")))? {
                Reaped::NoneYet => return self.whoever_came_to_us(),
                Reaped::NoChildren => {
                    self.children = false;
                    return Ok(());
                }
                Reaped::Child(pid, ended) if pid == self.workload => self.workload_changed(ended)?,
                Reaped::Child(pid, Ended::Signalled { signal: libc::SIGSYS, .. }) if !self.is_keeper(pid) => {
                    self.say_foreign(pid);
                }
                Reaped::Child(pid, ended) if self.is_keeper(pid) => {
                    self.keeper_changed(ended)?;
                }
                Reaped::Child(..) => {}
            }
        }
    }

    fn workload_changed(&mut self, change: Ended) -> Result<(), Refusal> {
        match change {
            Ended::Stopped(signal) => self.workload_stopped(signal),
            Ended::Continued => {
                self.stopped = false;
                Ok(())
            }
            ended => {
                self.ended = Some(ended);
                self.workload_ended();
                Ok(())
            }
        }
    }
}
