//! Picks the role: fetcher, keeper and the probe's attacker by their names, everybody else by the command line.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Instant;

use portcullis::launch::sanitise;

fn main() -> ExitCode {
    let mask = sanitise::hold_signals();
    let begun = Instant::now();
    portcullis::internal_errors_are_refusals();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.first().is_some_and(|name| name == portcullis::wire::ROLE_FETCHER) {
        portcullis::log::start();
        portcullis::fetch::main();
    }
    if arguments.first().is_some_and(|name| name == portcullis::wire::ROLE_KEEPER) {
        portcullis::log::start();
        portcullis::keep::main();
    }
    if arguments.first().is_some_and(|name| name == portcullis::probe::ROLE_ATTACKER) {
        return portcullis::probe::attacker::main(arguments.get(1));
    }
    let code = match mask.and_then(sanitise::sanitise) {
        Ok(started) => {
            portcullis::log::start();
            portcullis::cli::run(arguments, &started, begun)
        }
        Err(refusal) => {
            portcullis::console::refuse_plainly(&refusal);
            refusal.exit.code()
        }
    };
    ExitCode::from(code)
}
