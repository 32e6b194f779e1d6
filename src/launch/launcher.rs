//! The launcher: the process that confines itself, verifies the cage from inside, and becomes the workload.
//!
//! Read `cage` for the order. Forked before any secret exists in a process that it descends from. In `mode = "replace"`
//! init itself takes this way, once the fetcher is gone.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{AccessFlags, Pid, faccessat, getppid};
use zeroize::Zeroizing;

use super::bundle::BundleEnds;
use super::c_string;
use super::{image, tty};
use crate::confine::verify::{Expected, Status};
use crate::confine::{capabilities, dumps, filter, ids, landlock, limits};
use crate::deliver::{self, environment};
use crate::plan::{Cage, Image, Launch, Notify, Plan, SyscallPlan};
use crate::refusal::{Exit, Refusal, cause};
use crate::sys::{NOT_DONE, descriptors, exec, process, seccomp, signals};
use crate::wire::{Frame, Reporter, Tag};

/// What the launcher holds of the bundle: read ends and files, no write end.
pub struct Kit {
    pipe: Option<OwnedFd>,
    stdin: Option<OwnedFd>,
    env: Option<OwnedFd>,
    files: Vec<OwnedFd>,
}

impl Kit {
    /// Takes the read ends and drops the write ends: a stray one would keep the workload from ever seeing the end of its
    /// credentials.
    pub fn of(ends: BundleEnds) -> Kit {
        Kit { pipe: ends.pipe.reader, stdin: ends.stdin.reader, env: ends.env.reader, files: ends.files }
    }

    fn raised(self, floor: RawFd) -> Result<Kit, Refusal> {
        let up = |fd: Option<OwnedFd>| fd.map(|fd| raise(fd, floor)).transpose();
        Ok(Kit {
            pipe: up(self.pipe)?,
            stdin: up(self.stdin)?,
            env: up(self.env)?,
            files: self.files.into_iter().map(|fd| raise(fd, floor)).collect::<Result<_, _>>()?,
        })
    }
}

/// The launcher's whole life. Never returns: the workload runs, or init hears why not.
pub fn run(plan: &Plan, kit: Kit, exec_result: OwnedFd, reporter: Reporter, init: Pid) -> ! {
    let raised = reporter.raised(floor(plan)).map_err(|errno| cannot("moving a descriptor", errno));
    let (Ok(reporter), Ok(exec_result)) = (raised, raise(exec_result, floor(plan))) else {
        process::exit_now(Exit::Internal.code())
    };
    match cage(plan, kit, Some(init)).and_then(|caged| caged.report_and_wait(&reporter)) {
        Ok(ready) => {
            drop(reporter);
            let Err(errno) = ready.exec();
            // Whoever reads this is init; if it is gone, this process was killed with it.
            let told = File::from(exec_result).write_all(&(errno as i32).to_le_bytes());
            process::exit_now(if told.is_ok() { Exit::NotExecutable.code() } else { Exit::Internal.code() })
        }
        Err(refusal) => {
            let told = reporter.refuse(&refusal);
            process::exit_now(if told.is_ok() { refusal.exit.code() } else { Exit::Internal.code() })
        }
    }
}

/// `mode = "replace"`: this process takes the launcher's way itself; returns only to refuse.
///
/// `verified` is called once the cage stands, right before the exec: nobody is left to say it afterwards.
pub fn become_workload(
    plan: &Plan,
    kit: Kit,
    verified: impl FnOnce() -> Result<(), Refusal>,
) -> Result<Infallible, Refusal> {
    let ready = cage(plan, kit, None)?.ready()?;
    verified()?;
    ready.exec().map_err(|errno| exec_refusal(plan, errno))
}

/// Every protection, in the order that was measured to work for a plain user. Each is read back where it is applied; the
/// status is read once more at the end, when nothing is left to do but the exec.
fn cage(plan: &Plan, kit: Kit, init: Option<Pid>) -> Result<Caged, Refusal> {
    die_with(init)?;
    let mut kit = kit.raised(floor(plan))?;
    let image = raise(image::prepare(&plan.launch)?, floor(plan))?;
    nix::sys::prctl::set_no_new_privs().map_err(|errno| cannot("setting no_new_privs", errno))?;
    limits::apply(&plan.cage.limits)?;
    become_the_user(&plan.cage)?;
    die_with(init)?;
    let status = Status::at(raise(Status::open()?, floor(plan))?);
    let program = compiled(&plan.cage.syscalls)?;
    enter_the_workdir(&plan.launch)?;
    may_execute(&plan.launch)?;
    landlock::enforce(&plan.cage.landlock)?;
    let values = kit.env.take();
    let env = arrange_descriptors(plan, kit)?;
    default_actions()?;
    if plan.cage.syscalls.deny_write_execute {
        process::deny_write_execute().map_err(|errno| cannot("holding memory from becoming executable", errno))?;
    }
    let found = status.filters()?;
    let listener = install_filter(&plan.cage.syscalls, program)?;
    status.must_say(&expected(&plan.cage, found + 1))?;
    Ok(Caged { listener, image, values, argv: argv(&plan.launch)?, env, variables: variables(plan) })
}

/// Ids and capabilities; then the attempt to get them back.
pub(super) fn become_the_user(cage: &Cage) -> Result<(), Refusal> {
    if cage.bounding {
        capabilities::close_bounding_set()?;
    }
    if cage.ids.change {
        ids::change(cage.ids.uid, cage.ids.gid, &cage.ids.groups)?;
        // The change made the dumpable flag follow fs.suid_dumpable.
        dumps::forbid()?;
    }
    capabilities::drop_all()?;
    ids::try_to_undo()
}

/// Dies when init does; asked twice, for changing the user id clears it (prctl(2), PR_SET_PDEATHSIG).
pub(super) fn die_with(init: Option<Pid>) -> Result<(), Refusal> {
    let Some(init) = init else { return Ok(()) };
    process::die_with_parent().map_err(|errno| cannot("setting the parent-death signal", errno))?;
    if getppid() == init {
        return Ok(());
    }
    Err(Refusal::internal("init died while the cage was built"))
}

fn enter_the_workdir(launch: &Launch) -> Result<(), Refusal> {
    umask(Mode::from_bits_truncate(launch.umask));
    enter(&launch.workdir)
}

pub(super) fn enter(workdir: &Path) -> Result<(), Refusal> {
    std::env::set_current_dir(workdir).map_err(|error| {
        Refusal::config(
            format!("the workload's user cannot enter `{}`: {}", workdir.display(), cause(error)),
            "set workload.workdir to a directory which that user may enter",
        )
    })
}

/// The copy that will be executed is everybody's; the program itself may not be.
pub(super) fn may_execute(launch: &Launch) -> Result<(), Refusal> {
    allowed(&launch.program, AccessFlags::X_OK, "execute")?;
    // The kernel asks for the right to execute a script, and its interpreter reads it.
    launch.scripts.iter().try_for_each(|script| {
        allowed(script, AccessFlags::X_OK, "execute")?;
        allowed(script, AccessFlags::R_OK, "read")
    })
}

fn allowed(path: &Path, access: AccessFlags, verb: &str) -> Result<(), Refusal> {
    faccessat(AT_FDCWD, path, access, AtFlags::AT_EACCESS).map_err(|errno| {
        Refusal::new(
            Exit::NotExecutable,
            format!("the workload's user may not {verb} `{}`: {}", path.display(), errno.desc()),
            format!("give that user {verb} permission on it, and on the directories above it"),
        )
    })
}

/// Default actions, as a fresh process has them: an ignored signal survives execve(2). The mask is opened by `ready`.
pub(super) fn default_actions() -> Result<(), Refusal> {
    let unchangeable = [libc::SIGKILL, libc::SIGSTOP];
    for signal in (1..=64).filter(|signal| !unchangeable.contains(signal)) {
        signals::reset_to_default(signal).map_err(|errno| cannot(&format!("resetting signal {signal}"), errno))?;
    }
    Ok(())
}

/// Both forms of the filter: explained, and with errnos alone where another sandbox holds the only listener.
struct Compiled {
    wanted: filter::Filter,
    silent: Option<filter::Filter>,
}

fn compiled(plan: &SyscallPlan) -> Result<Compiled, Refusal> {
    let silent = SyscallPlan { explained: false, exec_by_descriptor: true, ..plan.clone() };
    let fallback = (plan.explained && plan.explanation_optional).then(|| filter::workload(&silent)).transpose()?;
    Ok(Compiled { wanted: filter::workload(plan)?, silent: fallback })
}

fn install_filter(plan: &SyscallPlan, compiled: Compiled) -> Result<Option<OwnedFd>, Refusal> {
    match (seccomp::install(compiled.wanted.instructions(), plan.explained), compiled.silent) {
        (Ok(listener), _) => Ok(listener),
        (Err(Errno::EBUSY), Some(silent)) => {
            seccomp::install(silent.instructions(), false).map_err(|errno| cannot("installing the filter", errno))
        }
        (Err(Errno::EBUSY), None) => Err(Refusal::host(
            "an outer sandbox already answers denied calls, so this one cannot explain them",
            "run outside of it, or accept silent denials: confine.optional = [\"explained-denials\"]",
        )),
        (Err(errno), _) => Err(cannot("installing the seccomp filter", errno)),
    }
}

pub(super) fn expected(cage: &Cage, filters: u64) -> Expected {
    let ids = &cage.ids;
    Expected { uid: ids.uid, gid: ids.gid, groups: ids.groups.clone(), bounding_empty: cage.bounding, filters }
}

/// The first number above everything that the workload gets. Whatever this process keeps for itself must lie there before
/// `arrange_descriptors` fills the numbers below.
///
/// The contract: 0 to 2 as found (0 is the bundle if `deliver.stdin`), 3 and on the service manager's sockets, then the
/// pipe, then the files in the order of the config.
pub(super) fn floor(plan: &Plan) -> RawFd {
    3 + plan.launch.sockets as RawFd + 1 + plan.delivery.files.len() as RawFd
}

pub(super) fn raise(fd: OwnedFd, floor: RawFd) -> Result<OwnedFd, Refusal> {
    descriptors::move_above(fd.as_fd(), floor).map_err(|errno| cannot("moving a descriptor", errno))
}

/// Puts what the workload gets at its numbers, and everything else where exec closes it. Returns the environment, which
/// names the numbers.
fn arrange_descriptors(plan: &Plan, kit: Kit) -> Result<Vec<CString>, Refusal> {
    let place =
        |fd: &OwnedFd, at| descriptors::place(fd.as_fd(), at).map_err(|errno| cannot("placing a descriptor", errno));
    let mut env = environment_texts(plan)?;
    descriptors::cloexec_from(3).map_err(|errno| cannot("closing descriptors", errno))?;
    let mut next = 3 + plan.launch.sockets as RawFd;
    for at in 3..next {
        descriptors::inherit(at).map_err(|errno| cannot("handing on a socket", errno))?;
    }
    if let Some(stdin) = &kit.stdin {
        place(stdin, 0)?;
    }
    if let Some(pipe) = &kit.pipe {
        place(pipe, next)?;
        env.push(c_string(format!("{}={next}", deliver::DESCRIPTOR_VARIABLE), "the environment")?);
        next += 1;
    }
    for (file, out) in kit.files.iter().zip(&plan.delivery.files) {
        place(file, next)?;
        env.push(c_string(format!("{}=/proc/self/fd/{next}", out.var), "the environment")?);
        next += 1;
    }
    Ok(env)
}

/// The planned variables, without what a delivery adds.
pub(super) fn variables_of(launch: &Launch) -> Result<Vec<CString>, Refusal> {
    let texts = launch.env.iter().map(|(name, value)| c_string(variable(name, value).into_vec(), "the environment"));
    texts.collect()
}

fn environment_texts(plan: &Plan) -> Result<Vec<CString>, Refusal> {
    let mut texts: Vec<OsString> = Vec::new();
    if plan.launch.sockets > 0 {
        texts.push(format!("LISTEN_FDS={}", plan.launch.sockets).into());
        texts.push(format!("LISTEN_PID={}", Pid::this()).into());
        texts.extend(plan.launch.socket_names.as_ref().map(|names| variable("LISTEN_FDNAMES", names)));
    }
    if let Some(Notify::Pass { socket, watchdog }) = &plan.launch.notify {
        texts.push(variable("NOTIFY_SOCKET", socket));
        if let Some(micros) = watchdog {
            texts.push(variable("WATCHDOG_USEC", micros));
            texts.push(format!("WATCHDOG_PID={}", Pid::this()).into());
        }
    }
    let sockets = texts.into_iter().map(|text| c_string(text.into_vec(), "the environment"));
    variables_of(&plan.launch)?.into_iter().map(Ok).chain(sockets).collect()
}

fn variable(name: &str, value: &OsStr) -> OsString {
    let mut text = OsString::from(format!("{name}="));
    text.push(value);
    text
}

/// The arguments of the exec: the loader's own come first where the loader is the image.
pub(super) fn argv(launch: &Launch) -> Result<Vec<CString>, Refusal> {
    let own = launch.argv.iter().cloned();
    let all: Vec<OsString> = match (&launch.image, launch.argv.split_first()) {
        (Image::LoaderCopy(loader), Some((name, rest))) => {
            let program = launch.program.clone().into_os_string();
            let front = [loader.clone().into_os_string(), "--argv0".into(), name.clone(), program];
            front.into_iter().chain(rest.iter().cloned()).collect()
        }
        _ => own.collect(),
    };
    all.into_iter().map(|arg| c_string(arg.into_vec(), "the command")).collect()
}

fn variables(plan: &Plan) -> Vec<String> {
    plan.delivery.env.iter().map(|delivery| delivery.var.clone()).collect()
}

/// A process inside its cage: all that is left is to hear that the bundle is complete.
struct Caged {
    listener: Option<OwnedFd>,
    image: OwnedFd,
    /// The pipe of the variables that carry values.
    values: Option<OwnedFd>,
    argv: Vec<CString>,
    env: Vec<CString>,
    variables: Vec<String>,
}

impl Caged {
    fn report_and_wait(mut self, reporter: &Reporter) -> Result<Ready, Refusal> {
        let listener = self.listener.take();
        let descriptors: Vec<_> = listener.iter().map(AsFd::as_fd).collect();
        let broken = |error| Refusal::internal(format!("the launcher lost init: init {error}"));
        let caged = Frame::new(Tag::Caged, descriptors.len() as u64, 0, 0);
        reporter.channel.send(caged, &descriptors).map_err(broken)?;
        match reporter.channel.receive().map_err(broken)? {
            Some((Frame { tag: Tag::Go, .. }, _)) => {
                // Until now a terminal's signals were init's: the start was its, and it may have been ended by them.
                tty::own_group()?;
                self.ready()
            }
            _ => Err(Refusal::internal("init said something else than go")),
        }
    }

    /// Adds the variables that carry values, if there are any: the one moment in which this process reads plaintext.
    fn ready(mut self) -> Result<Ready, Refusal> {
        if let Some(pipe) = self.values.take() {
            let mut bytes = Zeroizing::new(Vec::with_capacity(deliver::MOST));
            let broken = |error| Refusal::internal(format!("reading the environment's values: {error}"));
            File::from(pipe).take(deliver::MOST as u64 + 1).read_to_end(&mut bytes).map_err(broken)?;
            let values = environment::decode(&bytes, &self.variables)
                .ok_or_else(|| Refusal::internal("the environment's values are not what was planned"))?;
            self.env.extend(values);
        }
        signals::set_mask(0).map_err(|errno| cannot("unblocking signals", errno))?;
        let (argv, envp) = (exec::Strings::new(self.argv), exec::Strings::new(self.env));
        Ok(Ready { image: self.image, argv, envp })
    }
}

/// Everything is in place.
struct Ready {
    image: OwnedFd,
    argv: exec::Strings,
    envp: exec::Strings,
}

impl Ready {
    fn exec(self) -> Result<Infallible, Errno> {
        exec::exec_descriptor(self.image.as_fd(), &self.argv, &self.envp)
    }
}

/// What a failed exec means to an operator.
pub fn exec_refusal(plan: &Plan, errno: Errno) -> Refusal {
    exec_refusal_of(&plan.launch, errno)
}

pub(super) fn exec_refusal_of(launch: &Launch, errno: Errno) -> Refusal {
    let program = launch.program.display();
    let hint = match errno {
        Errno::EACCES => "check execute permission on it and its loader; a mount with noexec forbids it too",
        Errno::EAGAIN => "the user has too many processes: RLIMIT_NPROC counts all of that uid on this machine",
        Errno::ENOMEM => "raise the memory limit",
        Errno::E2BIG => "the arguments and environment are too long together",
        _ => "run `portcullis check` to see which file is executed",
    };
    // EPERM, too: everything that execve(2) lists for it (a tracer, capabilities of the file) is ruled out by now.
    if matches!(errno, Errno::ENOSYS | Errno::EPERM | NOT_DONE) {
        return Refusal::host(
            "this kernel or an outer sandbox withholds execveat, by which the program is started",
            "allow execveat in the container's own seccomp profile",
        );
    }
    let exit = if errno == Errno::ENOENT { Exit::NotFound } else { Exit::NotExecutable };
    Refusal::new(exit, format!("`{program}` could not be executed: {}", errno.desc()), hint)
}

pub(super) fn cannot(what: &str, errno: Errno) -> Refusal {
    Refusal::host(
        format!("{what} failed: {}", errno.desc()),
        "an outer sandbox may forbid it; `portcullis check` shows what this host can give",
    )
}
