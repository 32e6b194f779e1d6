//! A command that prints secrets: forked from init as the launcher is, caged by the same steps, and executed beside the fetcher.
//!
//! It is the leader of a process group that its filter keeps everything in, so that one signal ends it with all it started.
//! What it prints goes to the fetcher alone, over a pipe of which init keeps no end.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, pipe2, setpgid};

use super::bundle::Ends;
use super::{c_string, image, launcher, short_of};
use crate::confine::verify::Status;
use crate::confine::{filter, landlock, limits};
use crate::deliver;
use crate::plan::{self, ExecPlan};
use crate::refusal::{Exit, Refusal};
use crate::sys::{descriptors, exec, process, seccomp, signals};
use crate::wire::{ForeignLines, LogLines, write_refusal};

/// A command that runs.
pub struct Command {
    pub pid: Pid,
    /// What it says on standard error.
    pub said: ForeignLines,
    /// Why it was not executed; closed by the exec.
    pub report: LogLines,
    pub ends: Option<CommandEnds>,
}

/// The fetcher's ends of a command's pipes.
pub struct CommandEnds {
    /// To read.
    pub output: OwnedFd,
    /// To write.
    pub credentials: Option<OwnedFd>,
    pub stdin: Option<OwnedFd>,
}

/// The command's own ends, and what it reports by.
struct Kit {
    output: OwnedFd,
    error: OwnedFd,
    report: OwnedFd,
    credentials: Option<OwnedFd>,
    stdin: OwnedFd,
}

/// Starts a command. In the child this never returns.
pub fn start(command: &ExecPlan) -> Result<Command, Refusal> {
    let (output, output_writer) = pipe()?;
    let (error, error_writer) = pipe()?;
    let (report, report_writer) = pipe()?;
    for reader in [&error, &report] {
        fcntl(reader.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(|errno| short_of("a pipe", errno))?;
    }
    let mut credentials = Ends::pipe(!command.inputs.is_empty())?;
    let mut stdin = Ends::pipe(command.stdin.is_some())?;
    let ends = CommandEnds { output, credentials: credentials.take_writer(), stdin: stdin.take_writer() };
    let nothing = File::open("/dev/null").map(OwnedFd::from).map_err(|error| short_of("/dev/null", error))?;
    let kit = Kit {
        output: output_writer,
        error: error_writer,
        report: report_writer,
        credentials: credentials.reader,
        stdin: stdin.reader.unwrap_or(nothing),
    };
    let init = Pid::this();
    let child = process::fork().map_err(|errno| short_of("a process", errno))?;
    let Some(pid) = child else {
        drop((ends, error, report));
        become_command(command, kit, init)
    };
    // Both do it, for either may be the first. EACCES: it has executed already, and has done it itself.
    match setpgid(pid, pid) {
        Ok(()) | Err(Errno::EACCES | Errno::ESRCH) => {}
        Err(errno) => return Err(short_of("a process group", errno)),
    }
    let said = ForeignLines::new(format!("exec.{}", command.name), error);
    Ok(Command { pid, said, report: LogLines::new("command", report), ends: Some(ends) })
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Refusal> {
    pipe2(OFlag::O_CLOEXEC).map_err(|errno| short_of("a pipe", errno))
}

/// Ends a command with everything that it started, by its group, whose number is its own while it is not reaped.
pub fn end(pid: Pid) -> Result<(), Errno> {
    for target in [Pid::from_raw(-pid.as_raw()), pid] {
        match signals::send(target, libc::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Above everything that the command gets.
const FLOOR: i32 = 16;

fn become_command(command: &ExecPlan, kit: Kit, init: Pid) -> ! {
    let Ok(report) = descriptors::move_above(kit.report.as_fd(), FLOOR) else {
        process::exit_now(Exit::Internal.code())
    };
    let Err(refusal) = cage_and_exec(command, kit, init);
    let refusal = plan::of_command(&command.name, refusal);
    let told = write_refusal(report.as_fd(), &refusal);
    process::exit_now(if told.is_ok() { refusal.exit.code() } else { Exit::Internal.code() })
}

/// The launcher's steps, in its order, for a program that nobody supervises.
fn cage_and_exec(command: &ExecPlan, kit: Kit, init: Pid) -> Result<Infallible, Refusal> {
    let (launch, cage) = (&command.launch, &command.cage);
    launcher::die_with(Some(init))?;
    setpgid(Pid::from_raw(0), Pid::from_raw(0)).map_err(|errno| launcher::cannot("making a process group", errno))?;
    let image = launcher::raise(image::prepare(launch)?, FLOOR)?;
    nix::sys::prctl::set_no_new_privs().map_err(|errno| launcher::cannot("setting no_new_privs", errno))?;
    limits::apply(&cage.limits)?;
    launcher::become_the_user(cage)?;
    launcher::die_with(Some(init))?;
    let status = Status::at(launcher::raise(Status::open()?, FLOOR)?);
    let filters = status.filters()? + 1;
    let program = filter::command(&cage.syscalls)?;
    umask(Mode::from_bits_truncate(0o077));
    launcher::enter(&launch.workdir)?;
    launcher::may_execute(launch)?;
    landlock::enforce(&cage.landlock)?;
    let env = arrange_descriptors(command, kit)?;
    launcher::default_actions()?;
    seccomp::install(program.instructions(), false)
        .map_err(|errno| launcher::cannot("installing the seccomp filter", errno))?;
    status.must_say(&launcher::expected(cage, filters))?;
    let (argv, envp) = (exec::Strings::new(launcher::argv(launch)?), exec::Strings::new(env));
    signals::set_mask(0).map_err(|errno| launcher::cannot("unblocking signals", errno))?;
    exec::exec_descriptor(image.as_fd(), &argv, &envp).map_err(|errno| launcher::exec_refusal_of(launch, errno))
}

/// 0 to 2 are its own, 3 is what it logs in with; everything else is closed by the exec. Returns the environment.
fn arrange_descriptors(command: &ExecPlan, kit: Kit) -> Result<Vec<CString>, Refusal> {
    const CREDENTIALS: i32 = 3;
    let mut env = launcher::variables_of(&command.launch)?;
    let up = |fd: OwnedFd| launcher::raise(fd, FLOOR);
    let mut placed = vec![(up(kit.stdin)?, 0), (up(kit.output)?, 1), (up(kit.error)?, 2)];
    if let Some(credentials) = kit.credentials {
        placed.push((up(credentials)?, CREDENTIALS));
        env.push(c_string(format!("{}={CREDENTIALS}", deliver::DESCRIPTOR_VARIABLE), "the environment")?);
    }
    descriptors::cloexec_from(3).map_err(|errno| launcher::cannot("closing descriptors", errno))?;
    for (fd, at) in &placed {
        descriptors::place(fd.as_fd(), *at).map_err(|errno| launcher::cannot("placing a descriptor", errno))?;
    }
    Ok(env)
}
