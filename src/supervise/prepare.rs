//! Preparing: the launcher builds its cage while the fetcher talks to the store; init hears both and trusts neither.
//!
//! Ends with [`Prepared`]: a caged launcher that waits for one word, and a bundle that waits in its pipe. Any other end is
//! a refusal, after which nothing that was started is left.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::unistd::Pid;

use super::denials::Denials;
use super::{forward, ignore, wait};
use crate::console::Console;
use crate::launch::roles::{self, BundleEnds, Fetcher, Launcher, Role};
use crate::launch::tty;
use crate::plan::Plan;
use crate::refusal::{Exit, Refusal};
use crate::sys::process::{Ended, Reaped, reap_one};
use crate::sys::signals::{self, Arrived};
use crate::sys::{descriptors, memory};
use crate::wire::{Allowance, Frame, NO_TIME, Tag, WireError};

/// Why a start did not come to its end.
pub enum Stopped {
    Refused(Refusal),
    /// A signal asked for the end before the workload existed.
    Signalled(i32),
}

impl From<Refusal> for Stopped {
    fn from(refusal: Refusal) -> Self {
        Stopped::Refused(refusal)
    }
}

/// What the fetcher said of one secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SecretNote {
    pub version: Option<u64>,
    pub set_at: Option<i64>,
}

/// Both roles have done their part.
pub struct Prepared {
    /// `None` in `mode = "replace"`.
    pub launcher: Option<Launcher>,
    pub denials: Option<Denials>,
    /// What the launcher, or init in its place, hands to the workload.
    pub ends: BundleEnds,
    pub signals: OwnedFd,
    /// Signals that arrived meanwhile, for the workload.
    pub held: Vec<Arrived>,
    pub notes: Vec<SecretNote>,
}

/// Starts the roles and hears them out. `launcher` is false in `mode = "replace"`, where init itself is confined later.
pub fn prepare(plan: &Plan, console: &Console, end: Instant, launcher: bool) -> Result<Prepared, Stopped> {
    let mut preparation = Preparation::begin(plan, *console, end, launcher, plan.fetch.is_some())?;
    let done = preparation.hear_out();
    preparation.finish(done)
}

/// For `check`: builds the cage, fetches if asked to, and ends both roles again.
pub fn rehearse(plan: &Plan, console: &Console, end: Instant, fetch: bool) -> Result<Vec<SecretNote>, Stopped> {
    let mut preparation = Preparation::begin(plan, *console, end, true, fetch)?;
    let done = preparation.hear_out();
    preparation.end_all();
    done.map(|()| preparation.notes)
}

/// The fetcher's part, while it lives.
struct Fetching {
    role: Role,
    gifts: Vec<OwnedFd>,
    allowance: Allowance,
    bundle: Option<[u64; 3]>,
    ended: Option<Ended>,
    /// It closed its end: only its death is still to come.
    closed: bool,
}

struct Launching {
    launcher: Launcher,
    allowance: Allowance,
    caged: bool,
    ended: Option<Ended>,
    closed: bool,
}

struct Preparation<'a> {
    plan: &'a Plan,
    console: Console,
    end: Instant,
    signals: OwnedFd,
    launching: Option<Launching>,
    fetching: Option<Fetching>,
    denials: Option<Denials>,
    ends: BundleEnds,
    held: Vec<Arrived>,
    notes: Vec<SecretNote>,
}

/// A held signal is one that nobody can hear yet; more than this are no messages but noise.
const MOST_HELD: usize = 64;

/// What became readable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Signals,
    Launcher,
    LauncherLog,
    Fetcher,
    FetcherLog,
}

impl<'a> Preparation<'a> {
    fn begin(plan: &'a Plan, console: Console, end: Instant, launcher: bool, fetch: bool) -> Result<Self, Refusal> {
        let signals =
            signals::descriptor(signals::ALL).map_err(|errno| Refusal::internal(format!("signalfd: {errno}")))?;
        nix::sys::prctl::set_child_subreaper(true).map_err(|errno| {
            Refusal::host(format!("becoming a subreaper failed: {errno}"), "an outer sandbox forbids it")
        })?;
        let own_image = roles::own_image()?;
        let mut ends = BundleEnds::make(plan)?;
        let launching = launcher.then(|| roles::start_launcher(plan, &mut ends)).transpose()?.map(|launcher| {
            Launching { launcher, allowance: Allowance::launcher(), caged: false, ended: None, closed: false }
        });
        let mut preparation = Preparation {
            plan,
            console,
            end,
            signals,
            launching,
            fetching: None,
            denials: None,
            ends,
            held: Vec::new(),
            notes: Vec::new(),
        };
        if fetch && let Err(refusal) = preparation.start_fetcher(&own_image) {
            preparation.end_all();
            return Err(refusal);
        }
        Ok(preparation)
    }

    fn start_fetcher(&mut self, own_image: &OwnedFd) -> Result<(), Refusal> {
        let secrets = self.plan.fetch.as_ref().map_or(0, |fetch| fetch.secrets.len());
        let started = roles::start_fetcher(self.plan, &mut self.ends, own_image, self.end)?;
        self.fetching = started.map(|Fetcher { role, gifts }| Fetching {
            role,
            gifts,
            allowance: Allowance::fetcher(secrets),
            bundle: None,
            ended: None,
            closed: false,
        });
        Ok(())
    }

    fn finish(mut self, done: Result<(), Stopped>) -> Result<Prepared, Stopped> {
        if let Err(stopped) = done {
            self.end_all();
            return Err(stopped);
        }
        Ok(Prepared {
            launcher: self.launching.map(|launching| launching.launcher),
            denials: self.denials,
            ends: self.ends,
            signals: self.signals,
            held: self.held,
            notes: self.notes,
        })
    }

    fn hear_out(&mut self) -> Result<(), Stopped> {
        while !self.is_complete()? {
            if Instant::now() >= self.end {
                return Err(self.too_late().into());
            }
            self.turn()?;
        }
        Ok(())
    }

    /// Complete is: the launcher is caged, and the fetcher has reported all, is gone, and what it wrote is there.
    fn is_complete(&self) -> Result<bool, Refusal> {
        if self.launching.as_ref().is_some_and(|launching| !launching.caged) {
            return Ok(false);
        }
        match &self.fetching {
            None => Ok(true),
            Some(Fetching { bundle: Some(sizes), ended: Some(Ended::Exited(0)), .. }) => {
                self.count(*sizes)?;
                Ok(true)
            }
            Some(_) => Ok(false),
        }
    }

    /// The bytes in each pipe must be what the fetcher said, and each file must be sealed.
    fn count(&self, sizes: [u64; 3]) -> Result<(), Refusal> {
        for (ends, size) in [&self.ends.pipe, &self.ends.stdin, &self.ends.env].into_iter().zip(sizes) {
            let waiting = match &ends.reader {
                Some(reader) => descriptors::bytes_waiting(reader.as_fd())
                    .map_err(|errno| Refusal::internal(format!("counting the bundle: {errno}")))?,
                None => 0,
            };
            if waiting as u64 != size {
                return Err(broke(format!("the fetcher reported {size} bytes, and {waiting} wait in the pipe")));
            }
        }
        let wanted = libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
        let sealed = |file| memory::seals_of(file).is_ok_and(|seals| seals & wanted == wanted);
        if self.ends.files.iter().all(sealed) {
            Ok(())
        } else {
            Err(broke("the fetcher left a credentials file unsealed"))
        }
    }

    fn too_late(&self) -> Refusal {
        let waiting = match (&self.launching, &self.fetching) {
            (_, Some(Fetching { ended: None, .. })) => "the secrets to be fetched",
            (Some(Launching { caged: false, .. }), _) => "the cage to be built",
            _ => "the roles to end",
        };
        Refusal::new(
            Exit::Deadline,
            format!("the deadline of {:?} passed while waiting for {waiting}", self.plan.deadline),
            "see whether the secret store answers in time, or raise `deadline`",
        )
    }

    fn turn(&mut self) -> Result<(), Stopped> {
        let ready = {
            let sources = self.sources();
            let fds: Vec<BorrowedFd<'_>> = sources.iter().map(|(_, fd)| *fd).collect();
            let ready = wait(&fds, Some(self.end))?;
            let names: Vec<Source> = sources.iter().map(|(source, _)| *source).collect();
            names.into_iter().zip(ready).filter(|(_, ready)| *ready).map(|(source, _)| source).collect::<Vec<_>>()
        };
        // Frames before deaths: a role may say its last word and end at once.
        for source in [Source::LauncherLog, Source::FetcherLog, Source::Launcher, Source::Fetcher, Source::Signals] {
            if ready.contains(&source) {
                self.hear(source)?;
            }
        }
        Ok(())
    }

    fn sources(&self) -> Vec<(Source, BorrowedFd<'_>)> {
        let mut sources = vec![(Source::Signals, self.signals.as_fd())];
        if let Some(launching) = self.launching.as_ref().filter(|l| l.ended.is_none()) {
            if !launching.closed {
                sources.push((Source::Launcher, launching.launcher.role.channel.as_fd()));
            }
            sources.extend(launching.launcher.role.log.as_fd().map(|fd| (Source::LauncherLog, fd)));
        }
        if let Some(fetching) = self.fetching.as_ref().filter(|f| f.ended.is_none()) {
            if fetching.bundle.is_none() && !fetching.closed {
                sources.push((Source::Fetcher, fetching.role.channel.as_fd()));
            }
            sources.extend(fetching.role.log.as_fd().map(|fd| (Source::FetcherLog, fd)));
        }
        sources
    }

    fn hear(&mut self, source: Source) -> Result<(), Stopped> {
        match source {
            Source::Signals => self.hear_signals(),
            Source::Launcher => self.hear_launcher().map_err(Stopped::from),
            Source::Fetcher => self.hear_fetcher().map_err(Stopped::from),
            Source::LauncherLog | Source::FetcherLog => {
                self.print_logs();
                Ok(())
            }
        }
    }

    fn print_logs(&mut self) {
        let launcher = self.launching.as_mut().map(|launching| launching.launcher.role.log.drain());
        let fetcher = self.fetching.as_mut().map(|fetching| fetching.role.log.drain());
        for line in launcher.into_iter().chain(fetcher).flatten() {
            self.console.pass_on(&line);
        }
    }

    fn hear_signals(&mut self) -> Result<(), Stopped> {
        let broken = |errno| Refusal::internal(format!("signalfd: {errno}"));
        while let Some(arrived) = signals::read_one(self.signals.as_fd()).map_err(broken)? {
            if arrived.signal == libc::SIGCHLD {
                self.reap()?;
            } else if forward::ENDING.contains(&arrived.signal) {
                return Err(Stopped::Signalled(arrived.signal));
            } else if forward::is_forwarded(&arrived) && self.held.len() < MOST_HELD {
                self.held.push(arrived);
            }
        }
        Ok(())
    }

    fn reap(&mut self) -> Result<(), Stopped> {
        let broken = |errno| Refusal::internal(format!("waitpid: {errno}"));
        while let Reaped::Child(pid, ended) = reap_one().map_err(broken)? {
            if matches!(ended, Ended::Stopped(_) | Ended::Continued) {
                continue;
            }
            if self.fetching.as_ref().is_some_and(|fetching| fetching.role.pid == pid) {
                self.fetcher_ended(ended)?;
            } else if self.launching.as_ref().is_some_and(|launching| launching.launcher.role.pid == pid) {
                self.launcher_ended(ended)?;
            }
        }
        Ok(())
    }

    /// A role that is gone may have left a last word in its socket.
    fn fetcher_ended(&mut self, ended: Ended) -> Result<(), Refusal> {
        self.print_logs();
        while self.fetching.as_ref().is_some_and(|fetching| fetching.bundle.is_none()) {
            if !self.fetcher_frame()? {
                return Err(died("fetcher", ended));
            }
        }
        let Some(fetching) = &mut self.fetching else { return Ok(()) };
        fetching.ended = Some(ended);
        if ended == Ended::Exited(0) { Ok(()) } else { Err(died("fetcher", ended)) }
    }

    fn launcher_ended(&mut self, ended: Ended) -> Result<(), Refusal> {
        self.print_logs();
        // Whatever is still there to hear, a refusal above all.
        while self.launching.as_ref().is_some_and(|launching| !launching.caged) {
            if !self.launcher_frame()? {
                break;
            }
        }
        if let Some(launching) = &mut self.launching {
            launching.ended = Some(ended);
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
            }
            Tag::Secret if frame.a == self.notes.len() as u64 => {
                let set_at = (frame.c != NO_TIME).then_some(frame.c as i64);
                self.notes.push(SecretNote { version: frame.b.checked_sub(1), set_at });
            }
            Tag::Bundle => {
                tracing::debug!(pipe = frame.a, stdin = frame.b, env = frame.c, "the bundle is written, in bytes");
                fetching.bundle = Some([frame.a, frame.b, frame.c]);
            }
            Tag::Refused => {
                for line in fetching.role.log.drain() {
                    self.console.pass_on(&line);
                }
                return Err(fetching.role.log.refusal(frame.a));
            }
            _ => return Err(broke("the fetcher reported its secrets out of order")),
        }
        Ok(true)
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
            (Some(listener), true) => self.denials = Some(Denials::new(listener, role.pid)?),
            (None, _) if may_lack => {}
            _ => return Err(broke("the launcher came without its listener, or with more")),
        }
        launching.caged = true;
        tracing::debug!("the cage stands and was read back");
        Ok(true)
    }

    /// Ends what was started and waits for it: nothing is left behind. Both roles die of KILL at once, so this is short.
    fn end_all(&mut self) {
        let launcher = self.launching.iter().filter(|l| l.ended.is_none()).map(|l| l.launcher.role.pid);
        let fetcher = self.fetching.iter().filter(|f| f.ended.is_none()).map(|f| f.role.pid);
        let pids: Vec<Pid> = launcher.chain(fetcher).collect();
        for pid in pids {
            if roles::kill(pid).is_ok() {
                // ECHILD: it was reaped already.
                ignore(nix::sys::wait::waitpid(pid, None));
            }
        }
        if let Some(launching) = &self.launching {
            tty::take_back(launching.launcher.role.pid);
        }
        self.print_logs();
    }
}

fn broke(what: impl Into<String>) -> Refusal {
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
