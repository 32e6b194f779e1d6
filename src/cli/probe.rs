//! `portcullis probe`: attacks the cage of a config from inside, and tells what held.

use clap::Args;

use super::args::StartArgs;
use crate::host::Started;
use crate::launch::sanitise;
use crate::refusal::Refusal;
use crate::{init, probe};

#[derive(Debug, Clone, Default, Args)]
pub struct ProbeArgs {
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub start: StartArgs,
}

/// The text to print, and whether anything was open. Nothing is fetched, and the program is not started.
pub fn run(args: ProbeArgs, started: &Started) -> Result<(String, bool), Refusal> {
    let (plan, _) = init::decide(args.start, started)?;
    sanitise::relax(started)?;
    let report = probe::run(&plan)?;
    Ok((if args.json { report.json() } else { report.text() }, report.is_open()))
}
