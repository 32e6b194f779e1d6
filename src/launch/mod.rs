//! Sanitise, start the roles, become the workload.
//!
//! [`sanitise`] runs before anything is parsed, [`roles`] makes pipes and forks, [`launcher`] is the story of the process
//! that becomes the workload. Nothing here waits for another process: init's one loop is in `supervise`.

#![forbid(unsafe_code)]

pub mod fetcher;
pub mod image;
pub mod launcher;
pub mod roles;
pub mod sanitise;
mod slice;
pub mod tty;

pub use sanitise::Started;
