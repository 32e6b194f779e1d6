//! When to renew what, and when it is over: times in, decisions out. No clock, no store, no process in here.
//!
//! A thing is renewed when two thirds of its life are over, a little earlier or later by chance, so that a fleet does not
//! come in step. A renewal that fails is tried again after pauses that double, until the life is over: an outage shorter
//! than that changes nothing. A renewal that adds no time shows that the store's maximum is reached.

use std::time::{Duration, Instant};

use crate::wire::Reason;

/// One thing that the workload's credentials live by: the token, or a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// From when it was granted; `None` if it has no end.
    pub lasts: Option<Duration>,
    pub renewable: bool,
}

/// What a thing wants now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    Nothing,
    Renewal,
    /// That it be told: it is over, now or in so long, and nothing can change that.
    End {
        left: Duration,
        why: Reason,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be renewed at that time; how often in row that failed, and why the last time.
    Due { at: Instant, failed: u32, why: Reason },
    /// Nothing can lengthen it.
    Last(Reason),
    /// Its end was told, or it has none.
    Settled,
}

/// The life of one thing, as it is known now.
#[derive(Debug, Clone)]
pub struct Kept {
    granted: Instant,
    /// `None` if it has no end.
    ends: Option<Instant>,
    state: State,
    /// How long before an end that nothing can change it is told: what is stopped then may need its credentials to stop well.
    ahead: Duration,
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl Kept {
    /// `ahead` counts up to a quarter of the life, so that a short one is not over as soon as it begins. `chance` is any byte.
    pub fn new(life: Life, ahead: Duration, now: Instant, chance: u8) -> Kept {
        let mut kept = Kept { granted: now, ends: None, state: State::Settled, ahead };
        kept.begin(life, now, chance);
        kept
    }

    fn begin(&mut self, life: Life, now: Instant, chance: u8) {
        self.granted = now;
        self.ends = life.lasts.map(|lasts| now + lasts);
        self.ahead = life.lasts.map_or(self.ahead, |lasts| self.ahead.min(lasts / 4));
        self.state = match life.lasts {
            None => State::Settled,
            Some(_) if !life.renewable => State::Last(Reason::NotRenewable),
            Some(lasts) => State::Due { at: now + fraction(lasts, chance), failed: 0, why: Reason::Unreachable },
        };
    }

    /// When to look again; `None` if never.
    pub fn next(&self) -> Option<Instant> {
        let ends = self.ends?;
        match self.state {
            State::Settled => None,
            State::Due { at, .. } => Some(at.min(self.told_at(ends))),
            State::Last(_) => Some(self.told_at(ends)),
        }
    }

    /// When its end comes to be told, if nothing lengthens it before; `None` if never.
    pub fn end_is_told(&self) -> Option<Instant> {
        self.ends.filter(|_| self.state != State::Settled).map(|ends| self.told_at(ends))
    }

    /// When its end is told, if it comes to that: ahead, where nothing but a change at the store could avert it; at the very
    /// end, where an outage may be over any moment.
    fn told_at(&self, ends: Instant) -> Instant {
        match self.state {
            State::Last(_) | State::Due { why: Reason::Denied, .. } => ends.checked_sub(self.ahead).unwrap_or(ends),
            _ => ends,
        }
    }

    pub fn wants(&self, now: Instant) -> Wants {
        let Some(ends) = self.ends else { return Wants::Nothing };
        let left = ends.saturating_duration_since(now);
        match self.state {
            State::Due { why, .. } | State::Last(why) if self.told_at(ends) <= now => Wants::End { left, why },
            State::Due { at, .. } if at <= now => Wants::Renewal,
            _ => Wants::Nothing,
        }
    }

    /// Its end was told.
    pub fn settle(&mut self) {
        self.state = State::Settled;
    }

    /// The store says that from now on it lasts so long. True if renewals had failed before.
    pub fn renewed(&mut self, life: Life, now: Instant, chance: u8) -> bool {
        let healed = self.has_failed();
        let gained = match (life.lasts, self.ends) {
            (Some(lasts), Some(ends)) => (now + lasts).saturating_duration_since(ends),
            _ => Duration::MAX,
        };
        // In full, a renewal gives back all the time that went by since the grant.
        let in_vain = gained < (now - self.granted) / 2;
        self.begin(life, now, chance);
        if in_vain {
            self.state = State::Last(Reason::AtMaximum);
        }
        healed
    }

    /// A try failed. True if it is the first in row.
    pub fn failed(&mut self, why: Reason, now: Instant, chance: u8) -> bool {
        let State::Due { failed, .. } = self.state else { return false };
        if matches!(why, Reason::Lost | Reason::NotRenewable) {
            // What the store does not know any more is over; what it does not renew lasts as long as it was granted.
            self.ends = if why == Reason::Lost { Some(now) } else { self.ends };
            self.state = State::Last(why);
            return failed == 0;
        }
        let pause = SHORTEST_PAUSE.saturating_mul(1 << failed.min(10)).min(LONGEST_PAUSE);
        // Half of it is chance: many that lost one store come back one by one.
        let pause = pause / 2 + (pause / 2).mul_f64(f64::from(chance) / 255.0);
        self.state = State::Due { at: now + pause, failed: failed + 1, why };
        failed == 0
    }

    fn has_failed(&self) -> bool {
        matches!(self.state, State::Due { failed: 1.., .. })
    }

    /// How long it still lasts.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        self.ends.map(|ends| ends.saturating_duration_since(now))
    }
}

/// Two thirds of a life, and a twelfth of chance around it.
fn fraction(lasts: Duration, chance: u8) -> Duration {
    lasts.mul_f64(0.625 + f64::from(chance) / 255.0 / 12.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(seconds: u64) -> Life {
        Life { lasts: Some(Duration::from_secs(seconds)), renewable: true }
    }

    fn after(start: Instant, seconds: f64) -> Instant {
        start + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn it_is_renewed_at_two_thirds_by_chance() {
        let now = Instant::now();
        let at = |chance| Kept::new(life(1200), Duration::ZERO, now, chance).next().unwrap() - now;
        assert_eq!(at(0), Duration::from_secs(750));
        assert!(at(255) > Duration::from_secs(849) && at(255) <= Duration::from_secs(850));
        let kept = Kept::new(life(1200), Duration::ZERO, now, 0);
        assert_eq!(kept.wants(after(now, 749.0)), Wants::Nothing);
        assert_eq!(kept.wants(after(now, 750.0)), Wants::Renewal);
    }

    #[test]
    fn an_outage_of_less_than_the_life_changes_nothing() {
        let begun = Instant::now();
        let mut kept = Kept::new(life(60), Duration::from_secs(25), begun, 0);
        let mut now = kept.next().unwrap();
        let mut tries = 0;
        while now < after(begun, 59.9) {
            assert_eq!(kept.wants(now), Wants::Renewal, "after {:?}", now - begun);
            assert_eq!(kept.failed(Reason::Unreachable, now, 128), tries == 0);
            tries += 1;
            now = kept.next().unwrap();
        }
        assert!((4..10).contains(&tries), "{tries} tries in 22 s");
        let mut late = kept.clone();
        assert!(kept.renewed(life(60), after(begun, 59.9), 0), "it healed");
        assert_eq!(kept.next(), Some(after(begun, 59.9 + 37.5)));
        let end = Wants::End { left: Duration::ZERO, why: Reason::Unreachable };
        assert_eq!(late.wants(after(begun, 60.0)), end);
        late.settle();
        assert_eq!((late.wants(after(begun, 61.0)), late.next()), (Wants::Nothing, None), "it is told once");
    }

    #[test]
    fn the_maximum_shows_in_a_renewal_that_adds_nothing_and_is_told_ahead() {
        let begun = Instant::now();
        let mut kept = Kept::new(life(60), Duration::from_secs(10), begun, 0);
        assert!(!kept.renewed(life(60), after(begun, 40.0), 0));
        // 20 s are left, and the store has no more than 21.
        kept.renewed(life(21), after(begun, 80.0), 0);
        assert_eq!(kept.wants(after(begun, 90.0)), Wants::Nothing, "no tries that cannot help");
        assert_eq!(kept.next(), Some(after(begun, 101.0 - 5.25)), "a quarter of what was left at most");
        let left = Duration::from_secs_f64(5.25);
        assert_eq!(kept.wants(after(begun, 95.75)), Wants::End { left, why: Reason::AtMaximum });
    }

    #[test]
    fn short_lives_are_renewed_too() {
        let begun = Instant::now();
        let mut kept = Kept::new(life(3), Duration::from_secs(25), begun, 0);
        kept.renewed(life(3), after(begun, 2.0), 0);
        assert_eq!(kept.wants(after(begun, 4.0)), Wants::Renewal);
    }

    #[test]
    fn what_cannot_be_renewed_is_told_ahead_of_its_end() {
        let begun = Instant::now();
        let kept = Kept::new(Life { renewable: false, ..life(600) }, Duration::from_secs(25), begun, 0);
        assert_eq!(kept.next(), Some(after(begun, 575.0)));
        assert_eq!(kept.wants(after(begun, 574.0)), Wants::Nothing);
        let left = Duration::from_secs(25);
        assert_eq!(kept.wants(after(begun, 575.0)), Wants::End { left, why: Reason::NotRenewable });
    }

    #[test]
    fn what_has_no_end_wants_nothing_ever() {
        let now = Instant::now();
        let kept = Kept::new(Life { lasts: None, renewable: true }, Duration::ZERO, now, 0);
        assert_eq!((kept.next(), kept.wants(after(now, 1e9))), (None, Wants::Nothing));
    }

    #[test]
    fn a_lost_lease_is_over_at_once() {
        let now = Instant::now();
        let mut lost = Kept::new(life(60), Duration::from_secs(9), now, 0);
        lost.failed(Reason::Lost, after(now, 40.0), 0);
        assert_eq!(lost.wants(after(now, 40.0)), Wants::End { left: Duration::ZERO, why: Reason::Lost });
    }

    #[test]
    fn a_no_is_asked_again_and_told_ahead_of_the_end() {
        let begun = Instant::now();
        let mut denied = Kept::new(life(60), Duration::from_secs(9), begun, 0);
        denied.failed(Reason::Denied, after(begun, 40.0), 0);
        assert_eq!(denied.wants(after(begun, 41.0)), Wants::Renewal, "a policy may be mended");
        let mut healed = denied.clone();
        assert!(healed.renewed(life(60), after(begun, 41.0), 0));
        denied.failed(Reason::Denied, after(begun, 50.9), 255);
        let left = Duration::from_secs(9);
        assert_eq!(denied.wants(after(begun, 51.0)), Wants::End { left, why: Reason::Denied });
    }
}
