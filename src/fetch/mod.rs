//! The fetcher: the only role that talks to a secret store, one folder or file a source.
//!
//! Sources turn references into values and say what their store vouches for. They read no environment and no config;
//! what they need is handed in. The async runtime and the HTTP stack may be named below this room alone.

#![forbid(unsafe_code)]

mod age;
mod ask_aws;
mod aws;
pub mod cage;
mod exec;
mod file;
pub mod given;
mod judge;
mod local;
mod output;
pub mod role;
pub mod vault;

pub use role::main;
