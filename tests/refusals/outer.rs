//! A sandbox around the start, as a weaker kernel or a container's profile would be: calls that answer an errno.

use portcullis::sys::seccomp::{self, Instruction};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

pub struct Outer {
    program: Vec<Instruction>,
    listener: bool,
}

/// What a case may take away, by name: calls, or calls whose first argument is this one.
fn calls(name: &str) -> Option<(&'static [i64], Option<i32>)> {
    let prctl = |option| Some((&[libc::SYS_prctl][..], Some(option)));
    let whole: &[i64] = match name {
        "landlock" => {
            &[libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self]
        }
        "landlock_add_rule" => &[libc::SYS_landlock_add_rule],
        "landlock_restrict" => &[libc::SYS_landlock_restrict_self],
        "seccomp" => &[libc::SYS_seccomp],
        // The question whether filters are known is answered; installing one is not.
        "seccomp_filter" => return Some((&[libc::SYS_seccomp], Some(libc::SECCOMP_SET_MODE_FILTER as i32))),
        "memfd_secret" => &[libc::SYS_memfd_secret],
        "memfd" => &[libc::SYS_memfd_create],
        "close_range" => &[libc::SYS_close_range],
        "setresuid" => &[libc::SYS_setresuid],
        "setgroups" => &[libc::SYS_setgroups],
        "capset" => &[libc::SYS_capset],
        "capget" => &[libc::SYS_capget],
        "execveat" => &[libc::SYS_execveat],
        "rlimit" => &[libc::SYS_prlimit64, libc::SYS_setrlimit],
        "signalfd" => &[libc::SYS_signalfd4],
        "socketpair" => &[libc::SYS_socketpair],
        "pipe" => &[libc::SYS_pipe2],
        "prctl" => &[libc::SYS_prctl],
        "no_new_privs" => return prctl(libc::PR_SET_NO_NEW_PRIVS),
        "death_signal" => return prctl(libc::PR_SET_PDEATHSIG),
        "subreaper" => return prctl(libc::PR_SET_CHILD_SUBREAPER),
        "bounding_set" => return prctl(libc::PR_CAPBSET_DROP),
        "securebits" => return prctl(libc::PR_SET_SECUREBITS),
        "listener" => &[libc::SYS_ustat],
        _ => return None,
    };
    Some((whole, None))
}

/// `NAME=ERRNO`, or `listener` alone.
pub fn compile(text: &str) -> Result<Outer, String> {
    let (name, errno) = text.split_once('=').unwrap_or((text, "EPERM"));
    let errno = match errno {
        "ENOSYS" => libc::ENOSYS,
        "EPERM" => libc::EPERM,
        // A success that is none: nothing is done, and the caller is told that it was.
        "OK" => 0,
        other => return Err(format!("unknown errno {other}")),
    };
    let (calls, argument) = calls(name).ok_or(format!("unknown call {name}"))?;
    let rule = |argument: i32| {
        let same = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, argument as u64)?;
        SeccompRule::new(vec![same])
    };
    let rules = argument.map(rule).transpose().map_err(|error| error.to_string())?;
    let rules = calls.iter().map(|call| (*call, rules.iter().cloned().collect())).collect();
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno as u32), arch);
    let program = filter.and_then(BpfProgram::try_from).map_err(|error| error.to_string())?;
    let program = program.iter().map(|i| Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect();
    Ok(Outer { program, listener: name == "listener" })
}

impl Outer {
    /// In the child, before the exec. A listener is held by a process of its own, as a container's supervisor would: it dies
    /// with its parent.
    pub fn install(&self) -> std::io::Result<()> {
        // A plain user may install a filter under no_new_privs alone (seccomp(2)), as containers set it too.
        if !nix::unistd::geteuid().is_root() {
            nix::sys::prctl::set_no_new_privs()?;
        }
        let Some(_listener) = seccomp::install(&self.program, self.listener)? else { return Ok(()) };
        let parent = nix::unistd::getpid();
        // SAFETY: the forked child calls async-signal-safe functions alone, and never returns.
        if let nix::unistd::ForkResult::Child = unsafe { nix::unistd::fork() }? {
            nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).ok();
            for fd in 0..3 {
                nix::unistd::close(fd).ok();
            }
            while nix::unistd::getppid() == parent {
                nix::unistd::pause();
            }
            portcullis::sys::process::exit_now(0);
        }
        Ok(())
    }
}
