//! An init, judged: the same cases as PID 1 and under another one, against tini, which is the oracle, and against portcullis,
//! which must pass all.
//!
//! A case that tini passes must stay passed by tini: so the case itself is proven. Where tini fails, the table says why, and
//! that it still fails is checked too. `probe.c` is the workload of all of them, `keeper.c` whoever starts an init that is not
//! PID 1. Each case runs in a pid namespace of its own, which needs root.

#[path = "../support/mod.rs"]
mod support;

mod codes;
mod commands;
mod orphans;
mod own;
mod shutdown;
mod signals;
mod spawn;
mod stage;
mod start;
mod streams;
mod table;
mod terminal;
