//! Preparing: the launcher builds its cage while the fetcher talks to the store; init hears both and trusts neither.
//!
//! Ends with [`Prepared`]: a caged launcher that waits for one word, and a bundle that waits in its pipe. Any other end is
//! a refusal, after which nothing that was started is left.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::unistd::Pid;

use super::commands::Running;
use super::denials::Denials;
use super::heard::broke;
use super::keeping::Keeping;
use super::{ignore, wait};
use crate::console::Console;
use crate::launch::bundle::BundleEnds;
use crate::launch::open::Removable;
use crate::launch::roles::{self, Fetcher, Launcher, Role};
use crate::launch::tty;
use crate::plan::Plan;
use crate::refusal::{Exit, Refusal, cause};
use crate::secret::Vouched;
use crate::sys::process::Ended;
use crate::sys::signals::{self, Arrived};
use crate::sys::{descriptors, memory};
use crate::wire::Allowance;
use crate::wire::slice::Kept;

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
    pub notes: Vec<Vouched>,
    /// Where there are leases to keep.
    pub keeping: Option<Keeping>,
}

/// Starts the roles and hears them out. `launcher` is false in `mode = "replace"`, where init itself is confined later.
pub fn prepare(plan: &Plan, console: &Console, end: Instant, launcher: bool) -> Result<Prepared, Stopped> {
    let mut preparation = Preparation::begin(plan, *console, end, launcher, Some(Errand::Start))?;
    let done = preparation.hear_out();
    preparation.finish(done)
}

/// For `check`: builds the cage, fetches if asked to, and ends both roles again.
pub fn rehearse(plan: &Plan, console: &Console, end: Instant, fetch: bool) -> Result<Vec<Vouched>, Stopped> {
    let mut preparation = Preparation::begin(plan, *console, end, true, fetch.then_some(Errand::Check))?;
    let done = preparation.hear_out();
    preparation.end_all();
    done.map(|()| preparation.notes)
}

/// What is fetched for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Errand {
    Start,
    Check,
}

/// The fetcher's part, while it lives.
pub(super) struct Fetching {
    pub(super) role: Role,
    pub(super) gifts: Vec<OwnedFd>,
    /// The gifts were sent: it hears of commands from then on.
    pub(super) given: bool,
    pub(super) single_use: Option<Removable>,
    pub(super) region: Option<OwnedFd>,
    pub(super) allowance: Allowance,
    pub(super) bundle: Option<[u64; 3]>,
    pub(super) ended: Option<Ended>,
    /// It closed its end: only its death is still to come.
    pub(super) closed: bool,
}

pub(super) struct Launching {
    pub(super) launcher: Launcher,
    pub(super) allowance: Allowance,
    pub(super) caged: bool,
    pub(super) ended: Option<Ended>,
    pub(super) closed: bool,
}

pub(super) struct Preparation<'a> {
    pub(super) plan: &'a Plan,
    pub(super) console: Console,
    pub(super) end: Instant,
    pub(super) signals: OwnedFd,
    pub(super) launching: Option<Launching>,
    pub(super) fetching: Option<Fetching>,
    pub(super) commands: Vec<Running>,
    pub(super) denials: Option<Denials>,
    pub(super) ends: BundleEnds,
    pub(super) held: Vec<Arrived>,
    pub(super) notes: Vec<Vouched>,
    /// What lives as long as somebody renews it.
    pub(super) kept: Vec<Kept>,
    pub(super) keeping: Option<Keeping>,
}

/// Without signals there is no supervision.
fn unheard(why: &str) -> Refusal {
    Refusal::host(
        format!("signals cannot be received (signalfd): {why}"),
        "an outer sandbox may forbid it, or the limit on open files is reached (ulimit -n)",
    )
}

/// A held signal is one that nobody can hear yet: a storm of ten thousand fits, in 400 KB that are given back afterwards.
pub(super) const MOST_HELD: usize = 16_384;

/// What became readable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Signals,
    Launcher,
    LauncherLog,
    Fetcher,
    FetcherLog,
    Command,
    Keeper,
}

impl<'a> Preparation<'a> {
    fn begin(
        plan: &'a Plan,
        console: Console,
        end: Instant,
        launcher: bool,
        fetch: Option<Errand>,
    ) -> Result<Self, Refusal> {
        let signals = signals::descriptor(signals::ALL).map_err(|errno| unheard(&cause(errno)))?;
        // In `mode = "replace"` the workload would inherit it, and be left with orphans that it does not know.
        let odd = |why: &str| {
            Refusal::host(
                format!("becoming a subreaper failed: {why}"),
                "an outer sandbox forbids it; allow prctl there",
            )
        };
        nix::sys::prctl::set_child_subreaper(launcher).map_err(|errno| odd(&cause(errno)))?;
        if nix::sys::prctl::get_child_subreaper() != Ok(launcher) {
            return Err(odd("the kernel says that this process is none"));
        }
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
            commands: Vec::new(),
            denials: None,
            ends,
            held: Vec::new(),
            notes: Vec::new(),
            kept: Vec::new(),
            keeping: None,
        };
        if let Some(errand) = fetch
            && let Err(refusal) = preparation.start_fetcher(errand)
        {
            preparation.end_all();
            return Err(refusal);
        }
        Ok(preparation)
    }

    fn start_fetcher(&mut self, errand: Errand) -> Result<(), Refusal> {
        let secrets = self.plan.fetch.as_ref().map_or(0, |fetch| fetch.secrets.len());
        let commands = self.start_commands()?;
        let started = roles::start_fetcher(self.plan, &mut self.ends, commands, self.end, errand == Errand::Check)?;
        self.fetching = started.map(|Fetcher { role, gifts, single_use, region }| Fetching {
            role,
            gifts,
            given: false,
            single_use,
            region,
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
            keeping: self.keeping,
        })
    }

    fn hear_out(&mut self) -> Result<(), Stopped> {
        while !self.is_complete()? {
            if Instant::now() >= self.end {
                return Err(self.too_late().into());
            }
            self.start_keeper()?;
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
                Ok(self.kept.is_empty() || self.keeping.as_ref().is_some_and(Keeping::is_ready))
            }
            Some(_) => Ok(false),
        }
    }

    /// Once the fetcher is gone, and where there is something to keep.
    fn start_keeper(&mut self) -> Result<(), Refusal> {
        let Some(Fetching { ended: Some(Ended::Exited(0)), region, .. }) = &mut self.fetching else { return Ok(()) };
        if self.kept.is_empty() || self.keeping.is_some() {
            return Ok(());
        }
        let region = region.take().ok_or_else(|| broke("the fetcher kept what it was given no place for"))?;
        self.keeping = Some(Keeping::start(self.plan, &self.kept, region, &self.notes)?);
        Ok(())
    }

    /// The bytes in each pipe must be what the fetcher said, and each file must be sealed.
    fn count(&self, sizes: [u64; 3]) -> Result<(), Refusal> {
        for (ends, size) in [&self.ends.pipe, &self.ends.stdin, &self.ends.env].into_iter().zip(sizes) {
            let waiting = match &ends.reader {
                Some(reader) => descriptors::bytes_waiting(reader.as_fd())
                    .map_err(|errno| Refusal::internal(format!("counting the bundle: {errno}")))?,
                None => 0,
            };
            if ends.reader.is_some() && size == 0 {
                return Err(broke("the fetcher reported an empty bundle"));
            }
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
        if let Some(refusal) = self.command_too_late() {
            return refusal;
        }
        const LOADED: &str = "see what else loads this host, or raise `deadline`";
        let (waiting, hint) = match (&self.launching, &self.fetching) {
            (_, Some(Fetching { ended: None, .. })) => {
                ("the secrets to be fetched", "see whether the secret store answers in time, or raise `deadline`")
            }
            (Some(Launching { caged: false, .. }), _) => ("the cage to be built", LOADED),
            _ if self.keeping.is_some() => ("the keeper to be confined", LOADED),
            _ => ("the roles to end", LOADED),
        };
        Refusal::new(
            Exit::Deadline,
            format!("the deadline of {:?} passed while waiting for {waiting}", self.plan.deadline),
            hint,
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
        let logs = [Source::LauncherLog, Source::FetcherLog, Source::Command];
        let frames = [Source::Launcher, Source::Fetcher, Source::Keeper, Source::Signals];
        for source in logs.into_iter().chain(frames) {
            if ready.contains(&source) {
                self.hear(source)?;
            }
        }
        Ok(self.tell_of_commands()?)
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
        sources.extend(self.command_errors().map(|fd| (Source::Command, fd)));
        sources.extend(self.keeping.iter().flat_map(Keeping::descriptors).map(|fd| (Source::Keeper, fd)));
        sources
    }

    /// Ends what was started and waits for it: nothing is left behind. Both roles die of KILL at once, so this is short.
    fn end_all(&mut self) {
        self.end_commands();
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
            tty::take_back_from(launching.launcher.role.pid);
        }
        self.print_logs();
        self.give_up();
    }
}

impl Preparation<'_> {
    /// What the fetcher minted and left to a keeper is given up, by the keeper: it is started for that alone if need be.
    fn give_up(&mut self) {
        let region = self.fetching.as_mut().and_then(|fetching| fetching.region.take());
        if let (None, false, Some(region)) = (&self.keeping, self.kept.is_empty(), region) {
            match Keeping::start(self.plan, &self.kept, region, &self.notes) {
                Ok(keeping) => self.keeping = Some(keeping),
                Err(refusal) => {
                    self.console.say("leases", &format!("warning: leases were not revoked: {}", refusal.what))
                }
            }
        }
        if let Some(keeping) = self.keeping.take() {
            keeping.give_up(&self.console);
        }
    }
}

#[cfg(test)]
mod tests;
