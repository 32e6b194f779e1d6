//! What no single value can be judged for: the checks that look at several keys of a config, and at nothing else.
//!
//! No host, no file: only what would be wrong on every machine. The first fault found is the one refused.

mod aws;
mod confine;
mod exec;
mod secrets;
mod variables;
mod vault;
mod workload;

pub use secrets::delivered_by;
pub use vault::mount_of;

use std::path::Path;

use super::Config;
use super::fault::Fault;
use super::load::Environment;
use crate::refusal::Refusal;

type Check = Result<(), Fault>;

/// What stands in the environment by a store's own convention, for keys that are not given.
pub fn fill_from_environment(config: &mut Config, environment: &Environment, cwd: &Path) -> Result<(), Refusal> {
    vault::fill_from_environment(config, environment, cwd)?;
    aws::fill_from_environment(config, environment, cwd)
}

/// All of them, in the order of the config's tables.
pub fn all(config: &Config) -> Check {
    workload::check(config)?;
    secrets::check(config)?;
    secrets::check_deliveries(config)?;
    variables::check(config)?;
    vault::check(config)?;
    aws::check(config)?;
    exec::check(config)?;
    confine::check(config)
}
