//! What this kernel and this container can give, and what the config's names mean here: users, paths, the program.
//!
//! Looks, never touches: everything here is read-only and needs no privilege. Judging what it means is the plan's work.

#![forbid(unsafe_code)]

pub mod aliases;
pub mod kernel;
pub mod paths;
pub mod process;
pub mod program;
pub mod started;
pub mod users;

pub use kernel::Kernel;
pub use process::Process;
pub use started::Started;
