//! Sanitise, start the roles, become the workload.
//!
//! [`sanitise`] runs before anything is parsed, [`roles`] makes pipes and forks, [`launcher`] is the story of the process
//! that becomes the workload. Nothing here waits for another process: init's one loop is in `supervise`.

#![forbid(unsafe_code)]

pub mod bundle;
mod command;
pub mod image;
pub mod launcher;
pub mod manager;
pub mod open;
pub mod printer;
pub mod roles;
pub mod sanitise;
mod slice;
pub mod tty;
mod volume;

use std::ffi::CString;

use crate::refusal::{Refusal, cause};

/// A C string from bytes without NUL.
fn c_string(bytes: impl Into<Vec<u8>>, what: &str) -> Result<CString, Refusal> {
    CString::new(bytes).map_err(|_| Refusal::config(format!("{what} contains a NUL byte"), "remove it"))
}

/// What the kernel did not give: withheld by an outer sandbox, or exhausted.
fn short_of(what: &str, error: impl std::fmt::Display) -> Refusal {
    let cause = cause(error);
    let hint = match cause.as_str() {
        "Operation not permitted" | "Function not implemented" => "an outer sandbox may forbid it; allow it there",
        _ => "raise the limit that is exhausted (ulimit -a, pids cgroup)",
    };
    Refusal::host(format!("the kernel did not give {what}: {cause}"), hint)
}
