//! Between init and its roles: fixed-size frames, the descriptors that travel with them, and the slice of the plan.
//!
//! A role is not trusted: tags are a closed set, each allowed a fixed number of times, a frame has one size, and text
//! comes on a separate pipe, capped and escaped. Nothing here decides what a frame means for the start.

#![forbid(unsafe_code)]

mod channel;
mod foreign;
mod frame;
mod report;
pub mod slice;

pub use channel::{Channel, MOST_DESCRIPTORS, WireError, pair};
pub use foreign::ForeignLines;
pub use frame::{Allowance, Frame, NO_END, NO_TIME, Reason, Tag};
pub use report::{LogLines, Reporter, write_refusal};

/// A re-executed role's descriptors, by contract: its socket, and its slice of the plan. Standard error is its log pipe.
pub const ROLE_SOCKET: i32 = 3;
pub const ROLE_SLICE: i32 = 4;

/// The argument that makes the binary a role rather than a command line.
pub const ROLE_FETCHER: &str = "portcullis-role-fetcher";
pub const ROLE_KEEPER: &str = "portcullis-role-keeper";
