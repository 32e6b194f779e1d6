//! What the workload really gets: every form of the bundle, read in the real runtimes by a program that portcullis started,
//! as root and as a plain user; and every source that needs no server.

#[path = "../support/mod.rs"]
mod support;

use support::sealing;

mod contract;
mod files;
mod programs;
mod readers;
mod sources;
mod stage;
mod values;
