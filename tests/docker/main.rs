//! A bot behind the gate in a real Docker Engine: from scratch and Debian images, as a plain user and as root with four
//! capabilities, as PID 1 and not, on the embedded store and on OpenBao.
//!
//! Ignored in a plain `cargo test`, since each case needs the engine that `tests/docker/with-engine` starts and what
//! `tests/prepare docker` installs: `tests/run docker` does both.

mod cases;
mod compose;
mod engine;
mod images;
mod outsider;
mod secrets;
