//! Debug lines for operators: `PORTCULLIS_LOG=debug`. Off unless asked for, and for our own targets alone.
//!
//! Libraries log what they send: their targets are never enabled (a response body, a header, a token). Nothing that is
//! logged here may be derived from a secret's value. A line goes the console's way: a reader that stalls costs lines, never
//! the start.

use std::io;
use std::str::FromStr;

use tracing::Level;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

use crate::console;

pub const VARIABLE: &str = "PORTCULLIS_LOG";

/// Starts logging to standard error if the variable asks for it; an unknown level is `debug`, for somebody wants to see.
pub fn start() {
    let Some(level) = std::env::var_os(VARIABLE).filter(|level| !level.is_empty() && level != "off") else { return };
    let level = level.to_str().and_then(|level| Level::from_str(level).ok()).unwrap_or(Level::DEBUG);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| Lines)
        .with_ansi(false)
        .without_time()
        .with_filter(Targets::new().with_target("portcullis", level));
    // A subscriber that is set already is ours: there is one call a process.
    drop(tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines)));
}

/// What the formatter writes to: one call a line.
struct Lines;

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        console::pass_through(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
