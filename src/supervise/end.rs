//! The end in order: the workload first, then everybody else, each asked and given time; KILL for what stays; the last words.
//!
//! Driven by signals and by the steps of `ending`: whoever is left is looked for when somebody has died, never at intervals.

use std::collections::BTreeSet;
use std::time::Instant;

use nix::unistd::Pid;

use super::denied;
use super::ending::{Ending, Step};
use super::keeping::Keeping;
use super::run::{State, Supervisor};
use super::{descendants, forward, ignore};
use crate::launch::roles;
use crate::refusal::{Exit, Refusal};
use crate::sys::process::Ended;
use crate::sys::signals::Arrived;

/// What is done about everybody but the workload.
#[derive(Default)]
pub(super) struct Others {
    /// From now on, whoever is there hears TERM.
    asking: bool,
    asked: BTreeSet<Pid>,
    /// From now on, whoever is there is killed.
    killing: bool,
}

impl Supervisor<'_> {
    /// TERM, or what `rewrite` makes one.
    pub(super) fn asked_to_end(&mut self, arrived: Arrived) -> Result<(), Refusal> {
        let (stop, now) = (&self.plan.stop, Instant::now());
        let first = self.asked.is_none();
        self.asked.get_or_insert(arrived);
        match &mut self.state {
            State::Ending(ending) => ending.hurry(stop, now),
            _ => self.state = State::Ending(Ending::asked_for(stop, now)),
        }
        // A value that came with the first one goes with it, where it is passed on as it is.
        if first && stop.before.is_empty() && stop.signal == libc::SIGTERM && arrived.code == libc::SI_QUEUE {
            let State::Ending(ending) = &mut self.state else { return Ok(()) };
            ignore(ending.due(now).ok_or(()));
            self.pass(arrived)?;
        }
        if self.stopped { self.go_on() } else { Ok(()) }
    }

    pub(super) fn step(&mut self, step: Step) -> Result<(), Refusal> {
        match step {
            Step::Send(signal) => self.pass(Arrived::of(signal)),
            Step::AskTheRest => {
                self.others.asking = true;
                self.ask_the_rest();
                Ok(())
            }
            Step::Kill => self.begin_to_kill(),
        }
    }

    pub(super) fn workload_ended(&mut self) {
        let now = Instant::now();
        match &mut self.state {
            State::Ending(ending) => ending.workload_is_gone(now),
            _ => self.state = State::Ending(Ending::by_itself(&self.plan.stop, now)),
        }
    }

    /// Somebody has died: its children are ours now, and may be new to us.
    pub(super) fn whoever_came_to_us(&mut self) -> Result<(), Refusal> {
        if self.others.killing {
            self.kill_all()?;
            self.see_who_is_left();
            return Ok(());
        }
        if self.others.asking {
            self.ask_the_rest();
        }
        self.see_who_is_left();
        Ok(())
    }

    /// All that descends from init, but the keeper and what it starts: they have their own end.
    fn rest(&self) -> Vec<Pid> {
        descendants::living(self.keeping.as_ref().map(Keeping::pid))
    }

    /// With a keeper there is a child to the last: the end is when nobody else is left.
    fn see_who_is_left(&mut self) {
        if self.keeping.is_some() && self.ended.is_some() && self.rest().is_empty() {
            self.children = false;
        }
    }

    /// TERM to each once, in whatever session it is; and a stopped one could not hear it.
    fn ask_the_rest(&mut self) {
        for pid in self.rest() {
            let workload = pid == self.workload && self.ended.is_none();
            if workload || !self.others.asked.insert(pid) {
                continue;
            }
            // EPERM: a child that somebody with other rights left to us. It is not ours to end.
            ignore(forward::forward(pid, Arrived::of(libc::SIGTERM)));
            ignore(forward::forward(pid, Arrived::of(libc::SIGCONT)));
        }
    }

    fn begin_to_kill(&mut self) -> Result<(), Refusal> {
        let whom = if self.ended.is_none() { "the program" } else { "what the program left behind" };
        let time = self.plan.stop.timeout;
        let hurried = if self.asked.is_some() { "" } else { " of its end" };
        self.console.say("killed", &format!("{whom} did not end within {time:?}{hurried} and is killed"));
        self.others.killing = true;
        self.kill_all()
    }

    /// Whatever is made meanwhile becomes ours when its parent dies of this, which wakes the loop.
    fn kill_all(&mut self) -> Result<(), Refusal> {
        let left = self.rest();
        let killed = left.iter().filter(|pid| roles::kill(**pid).is_ok()).count();
        if killed == 0 && !left.is_empty() {
            // None of them is ours to end, so none is ours to wait for.
            self.console.say("left", &format!("left running, by other users: {}", left.len()));
            self.children = false;
        }
        Ok(())
    }

    /// A refusal after "go": nothing that was started may stay.
    pub(super) fn kill_and_wait(&mut self) {
        if self.ended.is_none() {
            ignore(roles::kill(self.workload));
        }
        self.give_up_leases();
        // What a kill orphans becomes our child: until there is none. A failing wait means the same.
        loop {
            let left = descendants::living(None);
            let foreign = !left.is_empty() && left.into_iter().all(|pid| roles::kill(pid).is_err());
            if foreign || nix::sys::wait::waitpid(None, None).is_err() {
                break;
            }
        }
        self.settle_terminal();
    }

    fn settle_terminal(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.take_back(self.workload);
            terminal.restore();
        }
    }

    fn give_up_leases(&mut self) {
        if let Some(keeping) = self.keeping.take() {
            keeping.give_up(&self.console);
        }
    }

    /// Gives the terminal back, has what was minted given up, says why this ends, and gives the exit code.
    pub(super) fn last_words(&mut self) -> u8 {
        self.settle_terminal();
        self.give_up_leases();
        self.say_denials();
        let name = self.plan.launch.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (how, code) = match self.ended {
            Some(Ended::Exited(code)) => (format!("exited with {code}"), code),
            Some(Ended::Signalled { signal, core }) => {
                let core = if core { " (core dumped)" } else { "" };
                let why = if signal == libc::SIGSYS { denied::FOREIGN_CALL } else { "" };
                (format!("was ended by {}{core}{why}", forward::name(signal)), 128u8.saturating_add(signal as u8))
            }
            _ => ("was left".to_owned(), Exit::Internal.code()),
        };
        self.console.say("ended", &format!("ended: {name} {how}{}{}", self.why(), self.left_behind()));
        code
    }

    /// Who asked for it, where somebody did.
    fn why(&self) -> String {
        match self.asked {
            None => String::new(),
            Some(Arrived { sender: 0, .. }) => ", after SIGTERM from outside".to_owned(),
            Some(Arrived { sender, .. }) => format!(", after SIGTERM from pid {sender}"),
        }
    }

    fn left_behind(&self) -> String {
        match self.others.asked.len() {
            0 => String::new(),
            1 => "; 1 process that it left behind was ended".to_owned(),
            many => format!("; {many} processes that it left behind were ended"),
        }
    }
}
