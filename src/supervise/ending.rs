//! The order of an end, as times: what the workload is sent first, when everybody else is asked, when it is over.
//!
//! A value with a clock that is handed in. Nothing here signals or waits.

use std::collections::VecDeque;
use std::time::Instant;

use crate::plan::Stop;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The workload gets this one: what comes before the stop signal, or that itself.
    Send(i32),
    /// Everybody but the workload gets TERM.
    AskTheRest,
    Kill,
}

/// What is still to come, in the order of time.
#[derive(Debug, PartialEq, Eq)]
pub struct Ending {
    steps: VecDeque<(Instant, Step)>,
}

impl Ending {
    /// From the first TERM on: the signals before the stop signal, each with its wait, then that. If the workload is there
    /// after three quarters of the time, the rest does not wait for it any longer: it needs time, too.
    pub fn asked_for(stop: &Stop, now: Instant) -> Ending {
        let mut steps = VecDeque::new();
        let mut at = now;
        for (signal, wait) in &stop.before {
            steps.push_back((at, Step::Send(*signal)));
            at += *wait;
        }
        steps.push_back((at, Step::Send(stop.signal)));
        steps.push_back((now + stop.timeout * 3 / 4, Step::AskTheRest));
        steps.push_back((now + stop.timeout, Step::Kill));
        // Waits may be longer than three quarters.
        steps.make_contiguous().sort_by_key(|(at, _)| *at);
        Ending { steps }
    }

    /// The workload has ended by itself: the rest is asked now.
    pub fn by_itself(stop: &Stop, now: Instant) -> Ending {
        Ending { steps: [(now, Step::AskTheRest), (now + stop.timeout, Step::Kill)].into() }
    }

    /// Another TERM: no more waiting for what comes before the stop signal, the rest is asked now, and what is left of the
    /// time is halved. So whoever is impatient is served, and a TERM sent twice by mistake still leaves time.
    pub fn hurry(&mut self, stop: &Stop, now: Instant) {
        let Some(kill_at) = self.kill_at() else { return };
        let rest = self.steps.iter().any(|(_, step)| *step == Step::AskTheRest);
        self.steps = [(now, Step::Send(stop.signal))].into();
        self.steps.extend(rest.then_some((now, Step::AskTheRest)));
        self.steps.push_back((now + kill_at.saturating_duration_since(now) / 2, Step::Kill));
    }

    /// There is nobody to send anything to: the rest is asked now.
    pub fn workload_is_gone(&mut self, now: Instant) {
        let rest = self.steps.iter().any(|(_, step)| *step == Step::AskTheRest);
        let kill_at = self.kill_at();
        self.steps = rest.then_some((now, Step::AskTheRest)).into_iter().collect();
        self.steps.extend(kill_at.map(|at| (at, Step::Kill)));
    }

    /// When the next step is due; `None` when nothing is left to do but wait.
    pub fn next(&self) -> Option<Instant> {
        self.steps.front().map(|(at, _)| *at)
    }

    /// Takes the next step if it is due.
    pub fn due(&mut self, now: Instant) -> Option<Step> {
        self.next().filter(|at| *at <= now)?;
        self.steps.pop_front().map(|(_, step)| step)
    }

    fn kill_at(&self) -> Option<Instant> {
        self.steps.iter().find(|(_, step)| *step == Step::Kill).map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn stop(before: &[(i32, u64)]) -> Stop {
        Stop {
            signal: libc::SIGINT,
            before: before.iter().map(|(signal, wait)| (*signal, secs(*wait))).collect(),
            timeout: secs(20),
        }
    }

    /// Everything that comes, with the seconds after which it does.
    fn course(mut ending: Ending, begun: Instant) -> Vec<(u64, Step)> {
        let mut all = Vec::new();
        while let Some(at) = ending.next() {
            assert_eq!(ending.due(at - Duration::from_nanos(1)), None);
            all.extend(ending.due(at).map(|step| ((at - begun).as_secs(), step)));
        }
        all
    }

    #[test]
    fn each_has_its_time() {
        let now = Instant::now();
        let plain = course(Ending::asked_for(&stop(&[]), now), now);
        assert_eq!(plain, [(0, Step::Send(2)), (15, Step::AskTheRest), (20, Step::Kill)]);
        let long = course(Ending::asked_for(&stop(&[(10, 3), (12, 14)]), now), now);
        let wanted =
            [(0, Step::Send(10)), (3, Step::Send(12)), (15, Step::AskTheRest), (17, Step::Send(2)), (20, Step::Kill)];
        assert_eq!(long, wanted);
        assert_eq!(course(Ending::by_itself(&stop(&[]), now), now), [(0, Step::AskTheRest), (20, Step::Kill)]);
    }

    #[test]
    fn each_further_term_halves_what_is_left_and_waits_for_nothing() {
        let now = Instant::now();
        let stop = stop(&[(10, 9)]);
        let mut ending = Ending::asked_for(&stop, now);
        assert_eq!(ending.due(now), Some(Step::Send(10)));
        ending.hurry(&stop, now + secs(4));
        assert_eq!(ending.due(now + secs(4)), Some(Step::Send(2)));
        assert_eq!(ending.due(now + secs(4)), Some(Step::AskTheRest));
        assert_eq!(ending.next(), Some(now + secs(12)));
        ending.hurry(&stop, now + secs(4));
        assert_eq!(course(ending, now), [(4, Step::Send(2)), (8, Step::Kill)]);
    }

    #[test]
    fn a_workload_that_is_gone_is_sent_nothing() {
        let now = Instant::now();
        let mut ending = Ending::asked_for(&stop(&[(10, 9)]), now);
        ending.workload_is_gone(now + secs(1));
        assert_eq!(course(ending, now), [(1, Step::AskTheRest), (20, Step::Kill)]);
    }

    #[test]
    fn after_the_kill_there_is_nothing_to_hurry() {
        let now = Instant::now();
        let mut ending = Ending { steps: VecDeque::new() };
        ending.hurry(&stop(&[]), now);
        assert_eq!((ending.next(), ending.due(now + secs(99))), (None, None));
    }
}
