//! The cage: one file a protection, each applied by the process that it confines, and each read back.
//!
//! Order is the launcher's business (`launch/launcher.rs`); here each protection stands alone. Nothing here may fetch,
//! deliver or fork, and nothing may succeed in part: what the kernel did not do completely is a refusal.

#![forbid(unsafe_code)]

pub mod capabilities;
pub mod denial;
pub mod dumps;
pub mod filter;
pub mod ids;
pub mod landlock;
pub mod limits;
pub mod profiles;
pub mod verify;

use crate::refusal::{Refusal, cause};

/// A protection that was decided on and that the kernel then refused.
fn failed(what: &str, error: impl std::fmt::Display) -> Refusal {
    Refusal::host(
        format!("{what} failed: {error}", error = cause(error)),
        "an outer sandbox may forbid it; `portcullis check` shows what this host can give",
    )
}

/// A protection that the kernel reported as applied and that does not hold.
fn not_held(what: impl std::fmt::Display) -> Refusal {
    Refusal::host(
        format!("verification failed: {what}"),
        "this kernel does not enforce what it promises; do not run the program on this host, and report it",
    )
}
