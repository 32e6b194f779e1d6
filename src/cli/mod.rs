//! The command line, and the commands that start nothing.
//!
//! Nothing here decides what a start does: flags become `config::Flags`, and the config's room judges them.

#![forbid(unsafe_code)]

pub mod args;
pub mod usage;
