//! What preparing hears: frames, log lines, signals and deaths of the roles. Each frame is judged before it is believed.
//!
//! A role that says anything out of its turn, or dies before its part is done, ends the start.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::denials::Denials;
use super::forward;
use super::prepare::{MOST_HELD, Preparation, Source, Stopped};
use crate::refusal::{Exit, Refusal};
use crate::secret::{Capabilities, Lease, Vouched};
use crate::sys::process::{Ended, Reaped, reap_one};
use crate::sys::signals::{self, Arrived};
use crate::wire::slice::Kept;
use crate::wire::{Frame, NO_END, NO_TIME, Tag, WireError};

impl Preparation<'_> {
    pub(super) fn hear(&mut self, source: Source) -> Result<(), Stopped> {
        match source {
            Source::Signals => self.hear_signals(),
            Source::Launcher => self.hear_launcher().map_err(Stopped::from),
            Source::Fetcher => self.hear_fetcher().map_err(Stopped::from),
            Source::Command => {
                self.print_what_commands_say();
                Ok(())
            }
            Source::LauncherLog | Source::FetcherLog => {
                self.print_logs();
                Ok(())
            }
            Source::Keeper => self.hear_keeper().map_err(Stopped::from),
        }
    }

    fn hear_keeper(&mut self) -> Result<(), Refusal> {
        let Some(keeping) = &mut self.keeping else { return Ok(()) };
        match keeping.hear(&self.console)?.first() {
            None => Ok(()),
            Some(over) => Err(Refusal::new(
                Exit::StoreUnavailable,
                format!("{} ended before the program was started: {}", over.what, over.why),
                "give the store's role a longer lease (default_ttl, max_ttl), or see what delays this start",
            )),
        }
    }

    pub(super) fn print_logs(&mut self) {
        let launcher = self.launching.as_mut().map(|launching| launching.launcher.role.log.drain());
        let fetcher = self.fetching.as_mut().map(|fetching| fetching.role.log.drain());
        for line in launcher.into_iter().chain(fetcher).flatten() {
            self.console.pass_on(&line);
        }
    }

    fn hear_signals(&mut self) -> Result<(), Stopped> {
        let broken = |errno| Refusal::internal(format!("signalfd: {errno}"));
        loop {
            let mut batch = signals::Batch::default();
            let full = batch.read(self.signals.as_fd()).map_err(broken)?;
            for arrived in batch.iter() {
                if arrived.signal == libc::SIGCHLD { self.reap()? } else { self.hold(arrived)? }
            }
            if !full {
                return Ok(());
            }
        }
    }

    /// What asks for the end ends the start; everything else waits for the workload.
    fn hold(&mut self, arrived: Arrived) -> Result<(), Stopped> {
        let Some(meant) = forward::for_the_workload(&arrived, &self.plan.rewrite) else { return Ok(()) };
        if forward::ENDING.contains(&meant.signal) {
            return Err(Stopped::Signalled(meant.signal));
        }
        match self.held.len() {
            // As it arrived: the workload's loop rewrites it.
            0..MOST_HELD => self.held.push(arrived),
            MOST_HELD => {
                self.console.say(
                    "dropped",
                    &format!("more than {MOST_HELD} signals came before the program: the rest is dropped"),
                );
                self.held.push(arrived);
            }
            _ => {}
        }
        Ok(())
    }

    fn reap(&mut self) -> Result<(), Stopped> {
        let broken = |errno| Refusal::internal(format!("waitpid: {errno}"));
        self.end_what_commands_left()?;
        while let Reaped::Child(pid, ended) = reap_one().map_err(broken)? {
            if matches!(ended, Ended::Stopped(_) | Ended::Continued) {
                continue;
            }
            if self.fetching.as_ref().is_some_and(|fetching| fetching.role.pid == pid) {
                self.fetcher_ended(ended)?;
            } else if self.launching.as_ref().is_some_and(|launching| launching.launcher.role.pid == pid) {
                self.launcher_ended(ended)?;
            } else if self.keeping.as_ref().is_some_and(|keeping| keeping.pid() == pid) {
                self.hear_keeper()?;
                return Err(died("keeper", ended).into());
            } else {
                self.command_ended(pid, ended)?;
            }
        }
        Ok(())
    }

    /// A role that is gone may have left a last word in its socket.
    fn fetcher_ended(&mut self, ended: Ended) -> Result<(), Refusal> {
        self.print_logs();
        // First of all: it is reaped, and its number may be another's from now on.
        if let Some(fetching) = &mut self.fetching {
            fetching.ended = Some(ended);
        }
        while self.fetching.as_ref().is_some_and(|fetching| fetching.bundle.is_none()) {
            if !self.fetcher_frame()? {
                return Err(died("fetcher", ended));
            }
        }
        if ended == Ended::Exited(0) { Ok(()) } else { Err(died("fetcher", ended)) }
    }

    fn launcher_ended(&mut self, ended: Ended) -> Result<(), Refusal> {
        self.print_logs();
        if let Some(launching) = &mut self.launching {
            launching.ended = Some(ended);
        }
        // Whatever is still there to hear, a refusal above all.
        while self.launching.as_ref().is_some_and(|launching| !launching.caged) {
            if !self.launcher_frame()? {
                break;
            }
        }
        Err(died("launcher", ended))
    }

    fn hear_fetcher(&mut self) -> Result<(), Refusal> {
        // End-of-file alone is no answer: the death that follows is.
        while self.fetching.as_ref().is_some_and(|fetching| fetching.bundle.is_none()) && self.fetcher_frame()? {}
        Ok(())
    }

    /// Takes one frame of the fetcher. False when there is none (yet, or ever).
    fn fetcher_frame(&mut self) -> Result<bool, Refusal> {
        let Some(fetching) = &mut self.fetching else { return Ok(false) };
        let frame = match fetching.role.channel.receive() {
            Ok(None) => return Ok(false),
            Err(WireError::Closed) => {
                fetching.closed = true;
                return Ok(false);
            }
            Ok(Some((frame, descriptors))) if descriptors.is_empty() => frame,
            Ok(Some(_)) => return Err(broke("the fetcher sent a descriptor")),
            Err(error) => return Err(broke(format!("the fetcher {error}"))),
        };
        if !fetching.allowance.take(frame.tag) {
            return Err(broke(format!("the fetcher sent {:?} when it may not", frame.tag)));
        }
        match frame.tag {
            Tag::Ready => {
                tracing::debug!(descriptors = fetching.gifts.len(), "the fetcher is confined and gets its descriptors");
                let gifts: Vec<OwnedFd> = std::mem::take(&mut fetching.gifts);
                let borrowed: Vec<BorrowedFd<'_>> = gifts.iter().map(AsFd::as_fd).collect();
                let give = Frame::new(Tag::Give, gifts.len() as u64, 0, 0);
                fetching.role.channel.send(give, &borrowed).map_err(|error| broke(format!("the fetcher {error}")))?;
                fetching.given = true;
            }
            Tag::Secret if frame.a == self.notes.len() as u64 => {
                let set_at = (frame.c != NO_TIME).then_some(frame.c as i64);
                self.notes.push(Vouched { version: frame.b.checked_sub(1), set_at, lease: None, beyond: None });
            }
            Tag::Lease | Tag::Beyond => self.hear_more(frame)?,
            Tag::Kept if frame.a == self.kept.len() as u64 && frame.c <= 1 && self.notes.is_empty() => {
                let seconds = (frame.b != NO_END).then_some(frame.b);
                self.kept.push(Kept { seconds, renewable: frame.c == 1 });
            }
            Tag::Used => match fetching.single_use.take() {
                Some(file) => file.remove()?,
                None => return Err(broke("the fetcher used up an identity that is not for a single use")),
            },
            Tag::Bundle if self.notes.len() != self.plan.fetch.as_ref().map_or(0, |fetch| fetch.secrets.len()) => {
                return Err(broke("the fetcher reported a bundle without all its secrets"));
            }
            Tag::Bundle => {
                tracing::debug!(pipe = frame.a, stdin = frame.b, env = frame.c, "the bundle is written, in bytes");
                fetching.bundle = Some([frame.a, frame.b, frame.c]);
            }
            Tag::Refused => {
                // It has given up what it minted, or has said that it could not.
                self.kept.clear();
                for line in fetching.role.log.drain() {
                    self.console.pass_on(&line);
                }
                return Err(fetching.role.log.refusal(frame.a));
            }
            _ => return Err(broke("the fetcher reported its secrets out of order")),
        }
        Ok(true)
    }

    /// What follows a secret's own frame is about that very secret.
    fn hear_more(&mut self, frame: Frame) -> Result<(), Refusal> {
        let last = self.notes.len().checked_sub(1).filter(|last| *last as u64 == frame.a);
        let note = last.and_then(|last| self.notes.get_mut(last));
        let kept = self.kept.len() as u64;
        match (frame.tag, note, Capabilities::from_bits(frame.b)) {
            (Tag::Lease, Some(note), _) if note.lease.is_none() && frame.c / 2 < kept.max(1) => {
                let kept = usize::try_from(frame.c / 2).ok().filter(|kept| *kept > 0);
                note.lease = Some(Lease { seconds: frame.b, renewable: frame.c % 2 == 1, kept });
                Ok(())
            }
            (Tag::Beyond, Some(note), Some(beyond)) if note.beyond.is_none() => {
                note.beyond = Some(beyond);
                Ok(())
            }
            _ => Err(broke("the fetcher reported its secrets out of order")),
        }
    }

    fn hear_launcher(&mut self) -> Result<(), Refusal> {
        self.launcher_frame().map(drop)
    }

    fn launcher_frame(&mut self) -> Result<bool, Refusal> {
        let Some(launching) = &mut self.launching else { return Ok(false) };
        let role = &mut launching.launcher.role;
        let (frame, mut descriptors) = match role.channel.receive() {
            Ok(None) => return Ok(false),
            Err(WireError::Closed) => {
                launching.closed = true;
                return Ok(false);
            }
            Ok(Some(message)) => message,
            Err(error) => return Err(broke(format!("the launcher {error}"))),
        };
        if !launching.allowance.take(frame.tag) {
            return Err(broke(format!("the launcher sent {:?} when it may not", frame.tag)));
        }
        if frame.tag == Tag::Refused {
            for line in role.log.drain() {
                self.console.pass_on(&line);
            }
            return Err(role.log.refusal(frame.a));
        }
        let syscalls = &self.plan.cage.syscalls;
        let may_lack = !syscalls.explained || syscalls.explanation_optional;
        match (descriptors.pop(), descriptors.is_empty()) {
            (Some(listener), true) => {
                self.denials = Some(Denials::new(listener, role.pid, self.plan.cage.syscalls.profile)?)
            }
            (None, _) if may_lack => {}
            _ => return Err(broke("the launcher came without its listener, or with more")),
        }
        launching.caged = true;
        tracing::debug!("the cage stands and was read back");
        Ok(true)
    }
}

pub(super) fn broke(what: impl Into<String>) -> Refusal {
    Refusal::new(Exit::RoleBroke, what, "start again with PORTCULLIS_LOG=debug; if it stays so, report it")
}

fn died(role: &str, ended: Ended) -> Refusal {
    let how = match ended {
        Ended::Exited(code) => format!("exited with {code}"),
        Ended::Signalled { signal, .. } => format!("was ended by {}", forward::name(signal)),
        Ended::Stopped(_) | Ended::Continued => "changed its state".to_owned(),
    };
    Refusal::new(
        Exit::RoleBroke,
        format!("the {role} {how} before its part was done"),
        "look for an out-of-memory kill or a memory limit on this host; if there is none, report it",
    )
}
