//! The format of a sealed file: an age file with a dotenv or JSON document inside, for `age:` and for `portcullis seal`.
//!
//! The way in is [`keys`] (what opens a file), [`open`] (bytes to [`document::Document`]) and [`pick`] (one value out of
//! it); the way out is [`mod@write`] (a document to ciphertext) and [`mod@file`] (ciphertext to its place, whole or not at all).
//! Every file that the `age` tool makes for X25519 recipients or a passphrase opens here, and the reverse.
//!
//! Nothing here may read a clock, an environment variable or a terminal, look at a config, or know a step of the start.
//! Plaintext stays in memory that is wiped; only ciphertext is ever written.

#![forbid(unsafe_code)]

pub mod document;
pub mod dotenv;
pub mod file;
pub mod header;
pub mod json;
pub mod keys;
pub mod open;
pub mod pick;
pub mod stamp;
pub mod syntax;
pub mod write;
