//! A sandbox around the start, as a weaker kernel or a container's profile would be: calls that answer an errno.

use portcullis::sys::seccomp::{self, Instruction};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

pub struct Outer {
    program: Vec<Instruction>,
    listener: bool,
}

/// What a case may take away, by name.
fn calls(name: &str) -> Option<&'static [i64]> {
    Some(match name {
        "landlock" => {
            &[libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self]
        }
        "landlock_restrict" => &[libc::SYS_landlock_restrict_self],
        "seccomp" => &[libc::SYS_seccomp],
        "memfd" => &[libc::SYS_memfd_create],
        "close_range" => &[libc::SYS_close_range],
        "setresuid" => &[libc::SYS_setresuid],
        "setgroups" => &[libc::SYS_setgroups],
        "capset" => &[libc::SYS_capset],
        "execveat" => &[libc::SYS_execveat],
        "rlimit" => &[libc::SYS_prlimit64, libc::SYS_setrlimit],
        "prctl" => &[libc::SYS_prctl],
        "listener" => &[libc::SYS_ustat],
        _ => return None,
    })
}

/// `NAME=ERRNO`, or `listener` alone.
pub fn compile(text: &str) -> Result<Outer, String> {
    let (name, errno) = text.split_once('=').unwrap_or((text, "EPERM"));
    let errno = match errno {
        "ENOSYS" => libc::ENOSYS,
        "EPERM" => libc::EPERM,
        other => return Err(format!("unknown errno {other}")),
    };
    let rules = calls(name).ok_or(format!("unknown call {name}"))?.iter().map(|call| (*call, Vec::new())).collect();
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
