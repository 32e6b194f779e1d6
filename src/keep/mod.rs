//! The keeper: the resident role that keeps leases alive, only where there are leases.
//!
//! A timer with a descriptor. Token and lease ids stand in hidden memory that this process never maps: for each renewal it
//! forks a renewer, which maps the region, renews and dies. Nothing here may read the region outside of `renewer`.

#![forbid(unsafe_code)]

mod renewer;
mod schedule;

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::confine::{dumps, filter};
use crate::console;
use crate::fetch::cage;
use crate::fetch::given::Given;
use crate::refusal::{Exit, Refusal};
use crate::sys::{descriptors, memory, process};
use crate::wire::slice::{KeeperSlice, Kept as Granted};
use crate::wire::{Channel, Frame, NO_END, ROLE_SLICE, ROLE_SOCKET, Reason, Reporter, Tag, WireError};

use renewer::{Heard, Renewer, Tools};
use schedule::{Kept, Life, Wants};

/// The keeper's `main`. Its descriptors are a contract: see `wire`.
pub fn main() -> ! {
    let (Some(socket), Some(slice)) = (descriptors::take_contract(ROLE_SOCKET), descriptors::take_contract(ROLE_SLICE))
    else {
        console::note("this is a role of portcullis and is not started by hand");
        process::exit_now(Exit::Usage.code());
    };
    let Ok(log) = descriptors::standard(2).try_clone_to_owned() else { process::exit_now(Exit::Internal.code()) };
    let reporter = Reporter::new(Channel::from_contract(socket), log);
    let code = match run(&reporter, File::from(slice)) {
        Ok(()) => 0,
        Err(refusal) => match reporter.refuse(&refusal) {
            Ok(()) => refusal.exit.code(),
            Err(_) => Exit::RoleBroke.code(),
        },
    };
    process::exit_now(code)
}

fn run(reporter: &Reporter, mut file: File) -> Result<(), Refusal> {
    dumps::forbid()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| Refusal::internal(format!("reading the slice: {error}")))?;
    let slice: KeeperSlice = serde_json::from_slice(&bytes)
        .map_err(|error| Refusal::internal(format!("the keeper's slice is unreadable: {error}")))?;
    cage::enter(&slice.cage, &filter::keeper(slice.cage.resolve)?)?;
    let tell = |frame| reporter.channel.send(frame, &[]).map_err(lost_init);
    tell(Frame::new(Tag::Ready, 0, 0, 0))?;
    let tools = Tools::take(&slice, &mut Given::receive(&reporter.channel)?)?;
    let kept = begin(&slice.kept, Duration::from_millis(slice.ahead_ms));
    memory::trim_heap();
    // No protection, only thrift: a kernel that keeps the pages costs memory and nothing else.
    memory::drop_own_text().ok();
    Keeper { init: &reporter.channel, tools, kept, renewer: None, giving_up: false }.live()
}

fn begin(granted: &[Granted], ahead: Duration) -> Vec<Kept> {
    let now = Instant::now();
    granted.iter().map(|one| Kept::new(life(one.seconds, one.renewable), ahead, now, chance())).collect()
}

fn life(seconds: Option<u64>, renewable: bool) -> Life {
    /// A clock cannot count to the end of all numbers.
    const TEN_YEARS: u64 = 10 * 366 * 24 * 60 * 60;
    Life { lasts: seconds.map(|seconds| Duration::from_secs(seconds.min(TEN_YEARS))), renewable }
}

/// Any byte. The hasher's keys are the only chance needed.
fn chance() -> u8 {
    RandomState::new().hash_one(0u8) as u8
}

fn lost_init(error: WireError) -> Refusal {
    Refusal::new(Exit::RoleBroke, format!("the keeper lost init: init {error}"), "start again")
}

struct Keeper<'a> {
    init: &'a Channel,
    tools: Tools,
    kept: Vec<Kept>,
    renewer: Option<Renewer>,
    /// Init has asked for the end: renewals are over.
    giving_up: bool,
}

impl Keeper<'_> {
    fn live(mut self) -> Result<(), Refusal> {
        loop {
            self.look()?;
            let (init, renewer) = self.wait()?;
            if renewer {
                self.hear_renewer()?;
            }
            if init && !self.hear_init()? {
                return Ok(());
            }
            if self.giving_up && self.renewer.is_none() {
                return Ok(());
            }
        }
    }

    /// Does what is due.
    fn look(&mut self) -> Result<(), Refusal> {
        let now = Instant::now();
        if self.renewer.as_ref().is_some_and(|renewer| renewer.until <= now) {
            self.end_renewer()?;
        }
        if self.giving_up {
            return Ok(());
        }
        let mut due = Vec::new();
        for (number, kept) in self.kept.iter_mut().enumerate() {
            match kept.wants(now) {
                Wants::Nothing => {}
                Wants::Renewal => due.push(number),
                Wants::End { left, why } => {
                    kept.settle();
                    let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
                    self.init.send(Frame::new(Tag::Over, number as u64, left, why as u64), &[]).map_err(lost_init)?;
                }
            }
        }
        if !due.is_empty() && self.renewer.is_none() {
            let left = due.iter().filter_map(|number| self.kept[*number].left(now)).min().unwrap_or_default();
            self.renewer = Some(self.tools.renew(&due, left / 3)?);
        }
        Ok(())
    }

    /// Waits for init, a renewer, or the next time. Says which of the two has something to say.
    fn wait(&self) -> Result<(bool, bool), Refusal> {
        let mut fds = vec![PollFd::new(self.init.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.renewer.as_ref().map(|renewer| PollFd::new(renewer.channel.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, timeout(self.next())) {
            Ok(_) => {
                let ready = |at: usize| fds.get(at).and_then(PollFd::any).unwrap_or(false);
                Ok((ready(0), ready(1)))
            }
            Err(Errno::EINTR) => Ok((false, false)),
            Err(errno) => Err(Refusal::internal(format!("the keeper's poll: {errno}"))),
        }
    }

    /// One wake-up between renewals. While a renewer is at work, no other is started, but an end is told in time.
    fn next(&self) -> Option<Instant> {
        match &self.renewer {
            Some(renewer) => self.kept.iter().filter_map(Kept::end_is_told).chain([renewer.until]).min(),
            None => self.kept.iter().filter_map(Kept::next).min(),
        }
    }

    /// False when init is gone.
    fn hear_init(&mut self) -> Result<bool, Refusal> {
        match self.init.receive() {
            Ok(Some((Frame { tag: Tag::GiveUp, .. }, _))) if !self.giving_up => {
                self.giving_up = true;
                if self.renewer.is_some() {
                    self.end_renewer()?;
                }
                self.renewer = Some(self.tools.give_up()?);
                Ok(true)
            }
            Err(WireError::Closed) => Ok(false),
            _ => Err(Refusal::internal("init told the keeper something else than the end")),
        }
    }

    fn hear_renewer(&mut self) -> Result<(), Refusal> {
        let Some(renewer) = &mut self.renewer else { return Ok(()) };
        match renewer.hear() {
            Heard::Frame(frame) => self.take(frame),
            Heard::Nothing => Ok(()),
            Heard::End => self.end_renewer(),
        }
    }

    fn take(&mut self, frame: Frame) -> Result<(), Refusal> {
        let now = Instant::now();
        let reason = Reason::from_number(frame.b).unwrap_or(Reason::Broken);
        let kept = usize::try_from(frame.a).ok().and_then(|number| self.kept.get_mut(number));
        let told = match (frame.tag, kept) {
            (Tag::GivenUp, _) => Some(frame),
            (Tag::Renewed, Some(kept)) => {
                let seconds = (frame.b != NO_END).then_some(frame.b);
                let healed = kept.renewed(life(seconds, frame.c == 1), now, chance());
                healed.then(|| Frame::new(Tag::Healed, frame.a, 0, 0))
            }
            (Tag::Unrenewed, Some(kept)) => late(kept, frame.a, reason, now),
            _ => None,
        };
        told.map_or(Ok(()), |frame| self.init.send(frame, &[]).map_err(lost_init))
    }

    /// The renewer is over, one way or another. What it did not answer for counts as failed.
    fn end_renewer(&mut self) -> Result<(), Refusal> {
        let Some(renewer) = self.renewer.take() else { return Ok(()) };
        let (left, timed_out) = (renewer.unanswered(), renewer.until <= Instant::now());
        renewer.end()?;
        // One that was stopped by its time has met a store that does not answer.
        let reason = if timed_out { Reason::Unreachable } else { Reason::Broken };
        for number in left {
            let now = Instant::now();
            let told = self.kept.get_mut(number).and_then(|kept| late(kept, number as u64, reason, now));
            told.map_or(Ok(()), |frame| self.init.send(frame, &[]).map_err(lost_init))?;
        }
        Ok(())
    }
}

/// The first failure in row is told.
fn late(kept: &mut Kept, number: u64, reason: Reason, now: Instant) -> Option<Frame> {
    let left = kept.left(now).unwrap_or_default().as_secs();
    kept.failed(reason, now, chance()).then(|| Frame::new(Tag::Late, number, left, reason as u64))
}

/// Rounded up to the next millisecond: waking early would spin. A far time is waited for in pieces.
fn timeout(until: Option<Instant>) -> PollTimeout {
    let Some(until) = until else { return PollTimeout::NONE };
    let left = until.saturating_duration_since(Instant::now());
    let millis = left.as_millis() + u128::from(!left.is_zero());
    PollTimeout::try_from(millis.min(i32::MAX as u128) as i32).unwrap_or(PollTimeout::MAX)
}
