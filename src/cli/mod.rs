//! The command line, and the commands that start nothing.

#![forbid(unsafe_code)]

pub mod scaffold;
pub mod seal;

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970 UTC; a clock before that reads as 1970.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}
