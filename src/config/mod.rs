//! Bytes and flags to [`Config`]: strict, bounded, and every error with its line, its column and what to write instead.
//!
//! Nothing here may look at the host beyond the config file itself, and nothing here knows what a start does.

#![forbid(unsafe_code)]

pub mod model;
pub mod reference;
mod shapes;
pub mod values;

pub use model::Config;
