//! The judgement: held, open, or not applicable here with the reason; in words and in JSON.

use nix::errno::Errno;
use serde_json::json;

use super::attacker::{Came, Line};
use super::attempts::{self, Attempt};
use super::facts::Facts;

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Held,
    Open,
    NotApplicable(String),
}

/// One attempt, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub group: &'static str,
    pub tries: &'static str,
    /// What came back in the cage, in words.
    pub came_back: String,
    /// What should have: who holds it.
    pub should: &'static str,
    pub verdict: Verdict,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report(pub Vec<Finding>);

impl Report {
    pub fn of(facts: &Facts, inside: &[Line], free: &[Line]) -> Report {
        Report(attempts::all().map(|attempt| judge(attempt, facts, inside, free)).collect())
    }

    fn count(&self, wanted: impl Fn(&Verdict) -> bool) -> usize {
        self.0.iter().filter(|finding| wanted(&finding.verdict)).count()
    }

    /// Whether anything was open.
    pub fn is_open(&self) -> bool {
        self.count(|verdict| *verdict == Verdict::Open) > 0
    }

    fn numbers(&self) -> [usize; 3] {
        let held = self.count(|verdict| *verdict == Verdict::Held);
        let open = self.count(|verdict| *verdict == Verdict::Open);
        [held, open, self.0.len() - held - open]
    }

    /// A line each, by groups, and one for all.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut group = "";
        for finding in &self.0 {
            if finding.group != group {
                group = finding.group;
                text.push_str(&format!("{group}\n"));
            }
            text.push_str(&format!("  {}\n", finding.line()));
        }
        let [held, open, pointless] = self.numbers();
        text.push_str(&format!("{held} held, {open} open, {pointless} not applicable here\n"));
        text
    }

    /// The same for programs; keys only grow.
    pub fn json(&self) -> String {
        let attempts: Vec<_> = self.0.iter().map(Finding::json).collect();
        let [held, open, pointless] = self.numbers();
        let value = json!({ "attempts": attempts, "held": held, "open": open, "not_applicable": pointless });
        format!("{value:#}\n")
    }
}

impl Finding {
    fn line(&self) -> String {
        match &self.verdict {
            Verdict::Held => format!("held  {}: {} ({})", self.tries, self.came_back, self.should),
            Verdict::Open => format!("OPEN  {}: {}, and should be held by {}", self.tries, self.came_back, self.should),
            Verdict::NotApplicable(why) => format!("n/a   {}: {why}", self.tries),
        }
    }

    fn json(&self) -> serde_json::Value {
        let (verdict, why) = match &self.verdict {
            Verdict::Held => ("held", None),
            Verdict::Open => ("open", None),
            Verdict::NotApplicable(why) => ("not applicable", Some(why)),
        };
        json!({
            "group": self.group, "tried": self.tries, "came_back": self.came_back, "held_by": self.should,
            "verdict": verdict, "why": why,
        })
    }
}

fn judge(attempt: &'static Attempt, facts: &Facts, inside: &[Line], free: &[Line]) -> Finding {
    let came = |lines: &[Line]| {
        let line = lines.iter().find(|line| line.group == attempt.group && line.tries == attempt.tries);
        line.map(|line| line.came.clone())
    };
    let (caged, uncaged) = (came(inside), came(free));
    let verdict = match ((attempt.pointless)(facts), &caged, &uncaged) {
        (Some(why), ..) => Verdict::NotApplicable(why.to_owned()),
        // An attempt that did not come to its end is not held: nobody knows.
        (None, Some(Came::Done) | None, _) => Verdict::Open,
        (None, Some(_), Some(Came::Done)) => Verdict::Held,
        (None, Some(_), other) if attempt.compared => {
            Verdict::NotApplicable(format!("without the cage it fails here as well: {}", words(other.as_ref())))
        }
        (None, Some(_), _) => Verdict::Held,
    };
    let came_back = words(caged.as_ref());
    Finding { group: attempt.group, tries: attempt.tries, came_back, should: attempt.held_by, verdict }
}

fn words(came: Option<&Came>) -> String {
    match came {
        None => "not tried".to_owned(),
        Some(Came::Done) => "it worked".to_owned(),
        Some(Came::Errno(number)) => Errno::from_raw(*number).desc().to_lowercase(),
        Some(Came::Signal(signal)) if *signal == libc::SIGSYS => "killed by the filter".to_owned(),
        Some(Came::Signal(signal)) => format!("ended by signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(attempt: &Attempt, came: Came) -> Line {
        Line { group: attempt.group.to_owned(), tries: attempt.tries.to_owned(), came }
    }

    fn verdict(inside: Option<Came>, free: Option<Came>) -> Verdict {
        let attempt = attempts::all().find(|a| a.group == "kernel" && a.compared).unwrap();
        let facts: Facts = serde_json::from_value(serde_json::json!({
            "outside": null, "write": null, "read": null, "identities": [], "closed": 1, "closed_v6": 0, "udp_port": 1,
            "free": 1, "abstract_name": "", "target": 1, "address": 0, "udp": false, "listens": false,
            "tcp_optional": false, "scopes_optional": false, "bounding": true,
        }))
        .unwrap();
        let lines = |came: Option<Came>| came.map(|came| line(attempt, came)).into_iter().collect::<Vec<_>>();
        judge(attempt, &facts, &lines(inside), &lines(free)).verdict
    }

    #[test]
    fn only_what_works_without_the_cage_and_fails_in_it_is_held() {
        assert_eq!(verdict(Some(Came::Errno(1)), Some(Came::Done)), Verdict::Held);
        assert_eq!(verdict(Some(Came::Signal(31)), Some(Came::Done)), Verdict::Held);
        assert_eq!(verdict(Some(Came::Done), Some(Came::Done)), Verdict::Open);
        assert_eq!(verdict(Some(Came::Done), Some(Came::Errno(1))), Verdict::Open);
        assert_eq!(verdict(None, Some(Came::Done)), Verdict::Open);
        assert!(matches!(verdict(Some(Came::Errno(1)), Some(Came::Errno(1))), Verdict::NotApplicable(_)));
    }
}
