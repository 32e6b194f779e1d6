//! Init's side of the keeper: starting it, hearing it, and what the end of a lease does to the workload.
//!
//! The keeper is trusted with nothing but its own business: frames of a closed set, lines limited in rate.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::heard::broke;
use super::{ignore, wait};
use crate::console::Console;
use crate::launch::roles::{self, Role};
use crate::plan::Plan;
use crate::refusal::Refusal;
use crate::secret::Vouched;
use crate::wire::slice::Kept;
use crate::wire::{Allowance, Frame, Reason, Tag, WireError};

/// How long the end waits for the keeper to give up what was minted: the keeper's own bound, and a little.
const GIVE_UP: Duration = Duration::from_millis(3500);
/// The most lines of the keeper in a minute.
const MOST_LINES: u32 = 30;
/// The most frames of it that are heard in one turn of the loop.
const MOST_FRAMES: u32 = 64;

/// A keeper, and what it keeps.
pub struct Keeping {
    role: Role,
    /// Given once it has reported itself confined.
    gifts: Vec<OwnedFd>,
    allowance: Allowance,
    ready: bool,
    closed: bool,
    /// For each kept thing what it is to people.
    names: Vec<String>,
    said: (Instant, u32),
    /// It was told to give up what was minted; nothing it says before that is an answer to it.
    told: bool,
    given_up: bool,
}

/// A lease, or the token, cannot be lengthened any more.
pub struct Over {
    pub what: String,
    pub left: Duration,
    pub why: &'static str,
}

impl Keeping {
    /// Starts the keeper of these things; `notes` say which secrets live by which.
    pub fn start(plan: &Plan, kept: &[Kept], region: OwnedFd, notes: &[Vouched]) -> Result<Keeping, Refusal> {
        let (role, gifts) = roles::start_keeper(plan, kept, region)?;
        Ok(Keeping {
            role,
            gifts,
            allowance: Allowance::keeper(kept.len()),
            ready: false,
            closed: false,
            names: names(plan, kept.len(), notes),
            said: (Instant::now(), 0),
            told: false,
            given_up: false,
        })
    }

    pub fn pid(&self) -> Pid {
        self.role.pid
    }

    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// What to poll: its frames and its log.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let channel = (!self.closed).then(|| self.role.channel.as_fd());
        channel.into_iter().chain(self.role.log.as_fd())
    }

    /// Hears what waits, and says what is to be said. Ends are for the caller to act on. Whoever floods is heard by turns.
    pub fn hear(&mut self, console: &Console) -> Result<Vec<Over>, Refusal> {
        for line in self.role.log.drain() {
            console.pass_on(&line);
        }
        let mut over = Vec::new();
        for _ in 0..MOST_FRAMES {
            let Some(frame) = self.frame()? else { break };
            match frame.tag {
                Tag::Ready => self.give()?,
                Tag::Refused => return Err(self.role.log.refusal(frame.a)),
                Tag::GivenUp if self.told => self.gave_up(frame, console),
                Tag::Late | Tag::Healed => self.say(frame, console)?,
                Tag::Over => over.push(self.over(frame)?),
                _ => return Err(broke("the keeper sent what is not its to say")),
            }
        }
        Ok(over)
    }

    fn frame(&mut self) -> Result<Option<Frame>, Refusal> {
        match self.role.channel.receive() {
            Ok(None) => Ok(None),
            Err(WireError::Closed) => {
                self.closed = true;
                Ok(None)
            }
            Ok(Some((frame, descriptors))) if descriptors.is_empty() && self.allowance.take(frame.tag) => {
                Ok(Some(frame))
            }
            Ok(Some((frame, _))) => Err(broke(format!("the keeper sent {:?} when it may not", frame.tag))),
            Err(error) => Err(broke(format!("the keeper {error}"))),
        }
    }

    fn give(&mut self) -> Result<(), Refusal> {
        let gifts = std::mem::take(&mut self.gifts);
        let borrowed: Vec<BorrowedFd<'_>> = gifts.iter().map(AsFd::as_fd).collect();
        let give = Frame::new(Tag::Give, gifts.len() as u64, 0, 0);
        self.role.channel.send(give, &borrowed).map_err(|error| broke(format!("the keeper {error}")))?;
        self.ready = true;
        Ok(())
    }

    fn name(&self, number: u64) -> Result<String, Refusal> {
        let name = usize::try_from(number).ok().and_then(|number| self.names.get(number));
        name.cloned().ok_or_else(|| broke("the keeper spoke of what it does not keep"))
    }

    fn over(&self, frame: Frame) -> Result<Over, Refusal> {
        let why = reason(frame.c)?;
        Ok(Over { what: self.name(frame.a)?, left: Duration::from_millis(frame.b), why })
    }

    /// Trouble that may pass, and that it has passed.
    fn say(&mut self, frame: Frame, console: &Console) -> Result<(), Refusal> {
        let name = self.name(frame.a)?;
        let line = match frame.tag {
            Tag::Healed => format!("{name} is renewed again"),
            _ => format!(
                "{name} could not be renewed: {}; it lasts for {} s, and is tried again",
                reason(frame.c)?,
                frame.b
            ),
        };
        if self.said.0.elapsed() > Duration::from_secs(60) {
            self.said = (Instant::now(), 0);
        }
        self.said.1 += 1;
        if self.said.1 <= MOST_LINES {
            console.say("leases", &line);
        }
        Ok(())
    }

    fn gave_up(&mut self, frame: Frame, console: &Console) {
        self.given_up = true;
        if let Some(why) = Reason::from_number(frame.a).map(words) {
            console.say(
                "leases",
                &format!("warning: the store's token and leases could not be revoked: {why}; they end by themselves"),
            );
        }
    }

    /// The end: has what was minted given up, within a bound, and sees the keeper out.
    pub fn give_up(mut self, console: &Console) {
        let end = Instant::now() + GIVE_UP;
        while !self.given_up && !self.closed && Instant::now() < end {
            // One that was not ready when the end came gets its tools first.
            if self.ready && !self.told {
                self.told = true;
                if self.role.channel.send(Frame::new(Tag::GiveUp, 0, 0, 0), &[]).is_err() {
                    break;
                }
            }
            let waited = wait(&self.descriptors().collect::<Vec<_>>(), Some(end));
            if waited.is_err() || self.hear(console).is_err() {
                break;
            }
        }
        if !self.given_up {
            console.say(
                "leases",
                "warning: the store's token and leases were not revoked in time; they end by themselves",
            );
        }
        self.kill();
    }

    /// Ends it and waits for that.
    pub fn kill(self) {
        if roles::kill(self.role.pid).is_ok() {
            // ECHILD: it was reaped already.
            ignore(nix::sys::wait::waitpid(self.role.pid, None));
        }
    }
}

/// The token, then each lease by the secrets that live by it.
fn names(plan: &Plan, kept: usize, notes: &[Vouched]) -> Vec<String> {
    let mut by_number: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    let secrets = plan.fetch.iter().flat_map(|fetch| &fetch.secrets);
    for (secret, note) in secrets.zip(notes) {
        if let Some(number) = note.lease.and_then(|lease| lease.kept) {
            by_number.entry(number).or_default().push(&secret.name);
        }
    }
    let name = |number: usize| match (number, by_number.get(&number)) {
        (0, _) => "the store's token".to_owned(),
        (_, Some(secrets)) => format!("the lease of {}", secrets.join(", ")),
        (number, None) => format!("lease {number}"),
    };
    (0..kept).map(name).collect()
}

fn reason(number: u64) -> Result<&'static str, Refusal> {
    Reason::from_number(number).map(words).ok_or_else(|| broke("the keeper gave a reason that is none"))
}

fn words(reason: Reason) -> &'static str {
    match reason {
        Reason::Unreachable => "the store cannot be reached",
        Reason::Unavailable => "the store is sealed, a standby, or busy",
        Reason::Denied => "the store says that the token may not, or no longer",
        Reason::Lost => "the store does not know it any more: it was revoked, or is over",
        Reason::AtMaximum => "the store's maximum is reached",
        Reason::NotRenewable => "the store does not renew it",
        Reason::Broken => "the renewer died",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::LogFormat;
    use crate::wire::{Channel, LogLines, NO_END};

    /// A keeper of a token and one lease, played by the test.
    fn played() -> (Keeping, Channel) {
        let (ours, theirs) = crate::wire::pair().unwrap();
        let (log, _) = nix::unistd::pipe().unwrap();
        let role = Role { pid: Pid::from_raw(i32::MAX), channel: ours, log: LogLines::new("keeper", log) };
        let names = ["the store's token", "the lease of user"].map(str::to_owned).to_vec();
        let (allowance, said) = (Allowance::keeper(2), (Instant::now(), 0));
        let (gifts, ready, closed, told, given_up) = (Vec::new(), true, false, false, false);
        (Keeping { role, gifts, allowance, ready, closed, names, said, told, given_up }, theirs)
    }

    fn hear(keeping: &mut Keeping) -> Result<Vec<Over>, Refusal> {
        keeping.hear(&Console::new(LogFormat::Text))
    }

    #[test]
    fn what_is_not_its_to_say_is_a_broken_keeper() {
        let frames = [
            Frame::new(Tag::GivenUp, 0, 0, 0),
            Frame::new(Tag::Renewed, 0, 60, 1),
            Frame::new(Tag::Over, 2, 0, Reason::Lost as u64),
            Frame::new(Tag::Over, 1, 0, 99),
            Frame::new(Tag::Late, 1, NO_END, 0),
        ];
        for frame in frames {
            let (mut keeping, keeper) = played();
            keeper.send(frame, &[]).unwrap();
            assert!(hear(&mut keeping).is_err(), "{frame:?}");
            assert!(!keeping.given_up, "{frame:?}");
        }
    }

    #[test]
    fn an_end_is_told_once_by_its_name() {
        let (mut keeping, keeper) = played();
        keeper.send(Frame::new(Tag::Over, 1, 1500, Reason::AtMaximum as u64), &[]).unwrap();
        let over = hear(&mut keeping).unwrap_or_else(|refusal| panic!("{refusal}"));
        assert_eq!((over[0].what.as_str(), over[0].left), ("the lease of user", Duration::from_millis(1500)));
        assert!(hear(&mut keeping).is_ok_and(|over| over.is_empty()));
    }

    #[test]
    fn a_flood_is_heard_by_turns() {
        let (mut keeping, keeper) = played();
        for _ in 0..MOST_FRAMES + 1 {
            keeper.send(Frame::new(Tag::Healed, 1, 0, 0), &[]).unwrap();
        }
        assert!(hear(&mut keeping).is_ok());
        assert!(keeping.frame().is_ok_and(|left| left.is_some()), "the last one waits for the next turn");
    }
}
