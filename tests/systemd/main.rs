//! The unit template on a real systemd, as the first process of a machine of its own: start, stop, reload, kill, restart, the
//! journal, credentials, sandboxing, readiness, watchdog, sockets.
//!
//! Ignored in a plain `cargo test`, since each case needs the machine that `tests/systemd/with-machine` boots out of what
//! `tests/prepare homes` made: `tests/run homes` does both.

mod journal;
mod lives;
mod machine;
mod manager;
mod page;
mod sandbox;

use page::install;
