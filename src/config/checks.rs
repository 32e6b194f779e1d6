//! What no single value can be judged for: the checks that look at several keys of a config, and at nothing else.
//!
//! No host, no file: only what would be wrong on every machine. The first fault found is the one refused.

mod confine;
mod exec;
mod secrets;
mod variables;
mod vault;
mod workload;

pub use secrets::delivered_by;
pub use vault::{fill_from_environment, mount_of};

use super::Config;
use super::fault::Fault;

type Check = Result<(), Fault>;

/// All of them, in the order of the config's tables.
pub fn all(config: &Config) -> Check {
    workload::check(config)?;
    secrets::check(config)?;
    secrets::check_deliveries(config)?;
    variables::check(config)?;
    vault::check(config)?;
    exec::check(config)?;
    confine::check(config)
}
