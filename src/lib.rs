//! # portcullis: the map
//!
//! A minimal init that holds the gate in front of a program with dangerous credentials. Read [`init`] first: it is the
//! story, and each room below is one of its steps.
//!
//! | room | what happens there |
//! |---|---|
//! | [`cli`] | the command line, and the commands that start nothing |
//! | [`config`] | bytes and flags to `Config`, strictly |
//! | [`host`] | what this kernel and this container can give |
//! | [`plan`] | `Config` + host to `Plan`, before anything is done |
//! | [`fetch`] | the fetcher: the only role that talks to a secret store |
//! | [`keep`] | the keeper: renews leases as long as the program lives, only where there are leases |
//! | [`seal`] | the format of a sealed file, for `age:` and for `portcullis seal` |
//! | [`deliver`] | the bundle's forms: pipe, stdin, file, environment |
//! | [`confine`] | the cage: ids, capabilities, limits, Landlock, seccomp, each read back |
//! | [`launch`] | sanitise, start the roles, become the workload |
//! | [`supervise`] | the one poll loop: signals, children, denials, shutdown |
//! | [`probe`] | the attacker in the cage, and what held |
//! | [`wire`] | frames and descriptors between init and its roles |
//! | [`sys`] | the only room with `unsafe` |
//! | [`refusal`] | the only way to fail |
//! | [`secret`] | the type of a secret value |
//!
//! The allowed imports between rooms are listed in `tests/rooms.rs`, which fails on a new one.

#![deny(unsafe_code)]

pub mod cli;
pub mod config;
pub mod confine;
pub mod console;
pub mod deliver;
pub mod fetch;
pub mod host;
pub mod init;
pub mod keep;
pub mod launch;
pub mod log;
pub mod plan;
pub mod probe;
pub mod refusal;
pub mod seal;
pub mod secret;
pub mod supervise;
pub mod sys;
pub mod wire;

/// A panic is a bug: it ends the process as a refusal, by its place alone. The message could hold anything.
pub fn internal_errors_are_refusals() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
        let refusal = refusal::Refusal::internal(format!("internal error{place}"));
        console::refuse_plainly(&refusal);
        sys::process::exit_now(refusal.exit.code());
    }));
}
