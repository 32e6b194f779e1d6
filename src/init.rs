//! The story of a start. Every line is a room; every `?` is a refusal, after which nothing that was started is left.

#![forbid(unsafe_code)]

use std::time::Instant;

use crate::cli::args::StartArgs;
use crate::config::model::Mode;
use crate::config::{self, Request};
use crate::console::Console;
use crate::host::Started;
use crate::launch::launcher;
use crate::launch::manager::Manager;
use crate::plan::{self, Host, Plan};
use crate::refusal::Refusal;
use crate::supervise::{self, Stopped};

/// `portcullis run`: returns the exit code of the workload, or 128 + signal where one ended the start.
pub fn run(args: StartArgs, started: &Started, begun: Instant) -> Result<u8, (Refusal, Console)> {
    let plain = Console::new(args.log_format.unwrap_or_default());
    let (plan, console) = decide(args, started).map_err(|refusal| (refusal, plain))?;
    match start(&plan, &console, begun) {
        Ok(code) => Ok(code),
        Err(Stopped::Refused(refusal)) => Err((refusal, console)),
        Err(Stopped::Signalled(signal)) => {
            console.say("stopped", "stopped by a signal before the program was started");
            Ok(128u8.saturating_add(signal as u8))
        }
    }
}

/// Config and host to plan: nothing has been done yet.
pub fn decide(args: StartArgs, started: &Started) -> Result<(Plan, Console), Refusal> {
    let host = Host::survey()?;
    let (file, flags) = args.into_parts();
    let as_root = host.process.uid == 0;
    let request = Request { file, flags, environment: started.env.clone(), cwd: started.workdir.clone(), as_root };
    let loaded = config::load(&request)?;
    let console = Console::new(loaded.config.log_format);
    Ok((plan::decide(&loaded, &host, started)?, console))
}

/// Roles, fetch, cage, hand-over, exec, supervision.
fn start(plan: &Plan, console: &Console, begun: Instant) -> Result<u8, Stopped> {
    let end = begun + plan.deadline;
    tracing::debug!(micros = begun.elapsed().as_micros() as u64, "the plan is decided");
    let manager = Manager::reach(plan)?;
    let supervised = plan.mode == Mode::Supervise;
    let prepared = supervise::prepare(plan, console, end, supervised)?;
    tracing::debug!(micros = begun.elapsed().as_micros() as u64, "both roles have done their part");
    if supervised {
        return supervise::supervise(plan, prepared, console, end, |console, explained| {
            started(&plan::summary(plan, begun.elapsed(), explained), console, manager)
        });
    }
    let told = || started(&plan::summary(plan, begun.elapsed(), false), console, manager);
    supervise::raise_again(&prepared.held)?;
    match launcher::become_workload(plan, launcher::Kit::of(prepared.ends), told)? {}
}

/// Tells the log and the service manager, if one waits.
fn started(line: &str, console: &Console, manager: Manager) -> Result<(), Refusal> {
    console.say("started", line);
    manager.ready(line)
}
