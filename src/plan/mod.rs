//! What this start will do, decided completely before anything is done.
//!
//! `decide` turns a config and what the host has into a [`Plan`], or refuses. No step may be taken here; the files that are
//! looked at are only looked at. What is not in the plan does not happen.

#![forbid(unsafe_code)]

mod cage;
mod delivery;
mod fetch;
mod handover;
mod identity;
mod keep;
mod launch;
mod model;
mod notify;
mod readers;
mod show;

pub use fetch::exec::of_command;
pub use model::{
    AwsLoginPlan, AwsPlan, Cage, ClientFiles, Delivery, EnvDelivery, ExecPlan, FetchPlan, FileOut, Grant, GrantKind,
    IdentityFile, Ids, Image, KeepPlan, Key, LandlockPlan, Launch, LoginPlan, Notify, Plan, Rewrite, SecretPlan, Stop,
    StorePlan, SyscallPlan,
};
pub use show::{json, summary, text};

use crate::config::model::{Mode, Optional, Workload};
use crate::config::{Loaded, Origin};
use crate::host::aliases::Mounts;
use crate::host::{self, Kernel, Process, Started, users::Users};
use crate::refusal::Refusal;

/// What the plan is decided on, beside the config.
pub struct Host {
    pub kernel: Kernel,
    pub process: Process,
    pub users: Users,
    pub base: host::paths::Base,
}

impl Host {
    pub fn survey() -> Result<Host, Refusal> {
        Ok(Host {
            kernel: host::kernel::survey(),
            process: host::process::survey()?,
            users: Users::read(),
            base: host::paths::Base::survey(),
        })
    }
}

/// Decides everything.
pub fn decide(loaded: &Loaded, host: &Host, started: &Started) -> Result<Plan, Refusal> {
    let config = &loaded.config;
    let mut notes = Vec::new();
    let ids = cage::ids(config, host, &mut notes)?;
    let launch = launch::decide(loaded, host, started, &ids, &mut notes)?;
    let cage = cage::decide(loaded, host, ids, &launch, &mut notes)?;
    let delivery = delivery::decide(loaded, &mut notes)?;
    let fetch = fetch::decide(loaded, host, started, cage.ids.uid, &mut notes)?;
    let mounts = Mounts::read()?;
    identity::keep_out_of_reach(fetch.as_ref(), &cage, &mounts, &mut notes)?;
    handover::gives_no_identity(fetch.as_ref(), &delivery, &launch)?;
    let file = match &loaded.origin {
        Origin::File(path) => Some(started.workdir.join(path)),
        Origin::CommandLine => None,
    };
    identity::keep_out_of_change(file.as_deref(), &cage, &mounts)?;
    identity::keep_commands_out_of_change(fetch.as_ref(), &cage, &mounts)?;
    let plan = Plan {
        deadline: config.deadline.duration(),
        stop: stop(&config.workload),
        rewrite: config.workload.rewrite.iter().map(|(from, to)| (from.number(), to.number())).collect(),
        mode: config.mode,
        launch,
        cage,
        delivery,
        fetch,
        pid1: host.process.pid == 1,
        kernel: host.kernel.release.clone(),
        notes,
    };
    mode_fits(&plan)?;
    Ok(plan)
}

fn stop(workload: &Workload) -> Stop {
    Stop {
        signal: workload.stop_signal.number(),
        before: workload.stop_before.iter().map(|step| (step.signal.number(), step.wait.duration())).collect(),
        timeout: workload.stop_timeout.duration(),
    }
}

/// `replace` leaves no resident process: it cannot be PID 1 and cannot hold the listener.
fn mode_fits(plan: &Plan) -> Result<(), Refusal> {
    if plan.mode == Mode::Replace && plan.pid1 {
        return Err(Refusal::config(
            "mode = \"replace\" cannot be PID 1: the kernel drops TERM for a PID 1 without a handler",
            "use mode = \"supervise\", or run under an init (docker run --init)",
        ));
    }
    Ok(())
}

/// Whether the config lets the host lack a protection.
fn is_optional(config: &crate::config::Config, protection: Optional) -> bool {
    config.confine.optional.contains(&protection)
}
