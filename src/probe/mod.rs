//! `portcullis probe`: the very cage of the config, with an attacker in it instead of the program.
//!
//! The attacker is a role of this binary. What it tries is data (`attempts`); each attempt is made twice, in the cage and,
//! as the same user, without one: what fails without a cage as well proves nothing about it. No secret is fetched: there is
//! nothing to steal but what the probe put there itself (`targets`).

#![forbid(unsafe_code)]

pub mod attacker;
pub mod attempts;
pub mod facts;
mod report;
mod rounds;
mod targets;

pub use report::{Finding, Report, Verdict};
pub use rounds::{Cage, launched};
pub use targets::Targets;

use crate::plan::Plan;
use crate::refusal::Refusal;

/// The name by which this binary becomes the attacker.
pub const ROLE_ATTACKER: &str = "portcullis-attacker";

/// Attacks the cage of a plan, as the launcher builds it.
pub fn run(plan: &Plan) -> Result<Report, Refusal> {
    attack(plan, &|facts| launched(plan, facts))
}

/// Attacks whatever `cage` puts the attacker into, and judges by what `plan` grants.
pub fn attack(plan: &Plan, cage: Cage<'_>) -> Result<Report, Refusal> {
    let inside = {
        let targets = Targets::set_up(plan)?;
        rounds::results(&|| cage(targets.facts()))?
    };
    let targets = Targets::set_up(plan)?;
    let free = rounds::results(&|| rounds::without_a_cage(plan, targets.facts()))?;
    Ok(Report::of(targets.facts(), &inside, &free))
}
