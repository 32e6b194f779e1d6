//! `portcullis check`: the plan for this host, and whether its cage can be built: a launcher builds it once and is ended.
//!
//! `--live` also fetches, into pipes that nobody reads, and tells version and age of each secret; no value.

use std::time::Instant;

use clap::Args;

use super::args::StartArgs;
use crate::host::Started;
use crate::init;
use crate::plan;
use crate::refusal::{Exit, Refusal};
use crate::secret::Vouched;
use crate::supervise::{self, Stopped};

#[derive(Debug, Clone, Default, Args)]
pub struct CheckArgs {
    /// Also fetch the secrets, and show version and age of each; no value
    #[arg(long)]
    pub live: bool,

    /// Print the plan as JSON
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub start: StartArgs,
}

/// The text to print.
pub fn run(args: CheckArgs, started: &Started, begun: Instant) -> Result<String, Refusal> {
    let (plan, console) = init::decide(args.start, started)?;
    let notes = match supervise::rehearse(&plan, &console, begun + plan.deadline, args.live) {
        Ok(notes) => notes,
        Err(Stopped::Refused(refusal)) => return Err(refusal),
        Err(Stopped::Signalled(signal)) => {
            return Err(Refusal::new(Exit::Deadline, format!("stopped by signal {signal}"), "start the check again"));
        }
    };
    let live: Option<&[Vouched]> = args.live.then_some(&notes);
    let now = super::now();
    Ok(if args.json { plan::json(&plan, live, now) } else { plan::text(&plan, live, now) })
}
