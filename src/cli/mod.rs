//! The command line, and the commands that start nothing.
//!
//! Nothing here decides what a start does: flags become `config::Flags`, and the config's room judges them.

#![forbid(unsafe_code)]

pub mod args;
pub mod check;
mod health;
mod install;
mod lazily;
mod man;
pub mod probe;
pub mod scaffold;
pub mod seal;
pub mod usage;

use std::ffi::OsString;
use std::io::Write;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::{CommandFactory, Parser, Subcommand};

use crate::console::Console;
use crate::host::Started;
use crate::launch::sanitise;
use crate::refusal::{Exit, Refusal};
use crate::{config, init};
use args::StartArgs;
use lazily::Lazily;
use usage::NotRun;

/// The gate in front of a program that holds dangerous credentials.
///
/// Fetches the secrets into memory, builds and verifies the cage, hands the credentials over a pipe and executes the
/// program. If any step falls short it starts nothing and says why.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the program in its cage, with its credentials; what an ENTRYPOINT calls
    Run(Lazily<Box<StartArgs>>),
    /// Show the whole plan, resolved against this host, and build its cage once; starts nothing
    Check(Lazily<Box<check::CheckArgs>>),
    /// Build the cage, attack it from inside, and report what held; exits with 1 if anything was open
    Probe(Lazily<Box<probe::ProbeArgs>>),
    /// Make and change a sealed secrets file; no plaintext ever reaches the disk
    #[command(subcommand)]
    Seal(Lazily<seal::SealCommand>),
    /// Scaffold a key, a sealed file, a config and a sample bot that runs at once
    Init(Lazily<scaffold::InitArgs>),
    /// Say whether the init that supervises here is well, by exit code 0 or 1; for HEALTHCHECK and probes
    Health(Lazily<health::HealthArgs>),
    /// Copy this binary, for an image that has no cp
    Install(Lazily<install::InstallArgs>),
    /// Print the JSON Schema of the config
    Schema,
    /// Print a completion script
    Completions { shell: clap_complete::Shell },
    /// Print the manual page
    Man,
}

/// Runs one command line and returns the exit code; every refusal is printed here.
pub fn run(arguments: Vec<OsString>, started: &Started, begun: Instant) -> u8 {
    let plain = Console::new(config::model::LogFormat::Text);
    let cli = match Cli::try_parse_from(arguments).map_err(NotRun::from) {
        Ok(cli) => cli,
        Err(NotRun::Printed(text)) => return print(&plain, &text),
        Err(NotRun::Refused(refusal)) => return refuse(&plain, &refusal),
    };
    if let Command::Run(Lazily(args)) = cli.command {
        return init::run(*args, started, begun).unwrap_or_else(|(refusal, console)| refuse(&console, &refusal));
    }
    if let Command::Check(Lazily(args)) = cli.command {
        return check::run(*args, started, begun)
            .map_or_else(|refusal| refuse(&plain, &refusal), |text| print(&plain, &text));
    }
    if let Command::Health(Lazily(args)) = &cli.command {
        let (text, code) = health::run(args);
        return print(&plain, &text).max(code);
    }
    if let Command::Probe(Lazily(args)) = cli.command {
        return probe::run(*args, started)
            .map_or_else(|refusal| refuse(&plain, &refusal), |(text, open)| print(&plain, &text).max(u8::from(open)));
    }
    match sanitise::relax(started).and_then(|()| other(cli.command)) {
        Ok(text) => print(&plain, &text),
        Err(refusal) => refuse(&plain, &refusal),
    }
}

/// The commands that need nothing of a start.
fn other(command: Command) -> Result<String, Refusal> {
    match command {
        Command::Seal(Lazily(command)) => seal::run(command).map(|()| String::new()),
        Command::Init(Lazily(args)) => scaffold::run(&args).map(|()| String::new()),
        Command::Schema => Ok(config::schema::SCHEMA.to_owned()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "portcullis", &mut script);
            Ok(String::from_utf8_lossy(&script).into_owned())
        }
        Command::Man => Ok(man::page(Cli::command())),
        Command::Install(Lazily(args)) => install::run(&args).map(|()| String::new()),
        Command::Run(_) | Command::Check(_) | Command::Health(_) | Command::Probe(_) => {
            Err(Refusal::internal("a start took the way of other commands"))
        }
    }
}

/// Seconds since 1970 UTC; a clock before that reads as 1970.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

fn refuse(console: &Console, refusal: &Refusal) -> u8 {
    console.refused(refusal);
    refusal.exit.code()
}

/// Standard output may be a closed pipe (`| head`): that ends the output and is no failure; a full disk is one.
fn print(console: &Console, text: &str) -> u8 {
    match std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush()) {
        Ok(()) => 0,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => 0,
        Err(error) => refuse(
            console,
            &Refusal::new(
                Exit::Internal,
                format!("standard output cannot be written: {error}"),
                "free space, or redirect it elsewhere",
            ),
        ),
    }
}
