//! Bytes and flags to [`Config`]: strict, bounded, and every error with its line, its column and what to write instead.
//!
//! Nothing here may look at the host beyond the config file itself, and nothing here knows what a start does or how flags
//! are parsed. The way through: `load` finds and reads, `tree` and `shapes` deserialise, `flags` lays the command line over
//! it, `checks` judges the whole, `errors` finds the words for what is wrong.

#![forbid(unsafe_code)]

mod checks;
mod errors;
mod fault;
pub mod flags;
pub mod lease_end;
pub mod load;
pub mod model;
pub mod reference;
pub mod schema;
mod shapes;
pub mod signal;
pub mod source;
mod text;
mod tree;
pub mod values;

pub use checks::{delivered_by, mount_of};
pub use errors::Origin;
pub use flags::Flags;
pub use load::{Environment, Loaded, Request, load};
pub use model::Config;
pub use tree::parse_word;
