//! The command line, and the commands that start nothing.

#![forbid(unsafe_code)]

pub mod seal;
