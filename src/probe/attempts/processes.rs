//! Other processes of the same user: their memory, their descriptors, their signals, their limits; and shared memory.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use nix::errno::Errno;
use nix::unistd::getppid;

use super::{Attempt, Outcome, always, errno, must, unless};
use crate::probe::facts::{Facts, MARK};
use crate::sys::attempt::{Arg, address, call};

const DOMAIN: &str = "Landlock's domain";
const SCOPE: &str = "Landlock's scope for signals";
const FILTER: &str = "the filter";

pub const ATTEMPTS: &[Attempt] = &[
    always("memory", "read another's memory by /proc/PID/mem", DOMAIN, |f| {
        let mut bytes = [0; MARK.len()];
        let mut file = File::open(format!("/proc/{}/mem", f.target)).map_err(errno)?;
        file.seek(SeekFrom::Start(f.address)).and_then(|_| file.read_exact(&mut bytes)).map_err(errno)?;
        must(&bytes == MARK, Errno::EIO)
    }),
    always("memory", "read another's environment", DOMAIN, |f| open(&format!("/proc/{}/environ", f.target))),
    always("memory", "read another's memory map", DOMAIN, |f| open(&format!("/proc/{}/maps", f.target))),
    always("memory", "read where another works", DOMAIN, |f| {
        std::fs::read_link(format!("/proc/{}/cwd", f.target)).map(drop).map_err(errno)
    }),
    Attempt {
        compared: false,
        ..always("memory", "list init's descriptors", "init is undumpable", |_| {
            std::fs::read_dir(format!("/proc/{}/fd", init()?)).map(drop).map_err(errno)
        })
    },
    Attempt {
        compared: false,
        ..always("memory", "read init's memory map", "init is undumpable", |_| open(&format!("/proc/{}/maps", init()?)))
    },
    always("memory", "trace another by ptrace", FILTER, |f| {
        const PTRACE_SEIZE: u64 = 0x4206;
        call(libc::SYS_ptrace, &mut [Arg::Number(PTRACE_SEIZE), target(f), Arg::Number(0), Arg::Number(0)]).map(drop)
    }),
    always("memory", "read another's memory by process_vm_readv", FILTER, |f| vm(f, libc::SYS_process_vm_readv)),
    always("memory", "write another's memory by process_vm_writev", FILTER, |f| vm(f, libc::SYS_process_vm_writev)),
    always("memory", "take another's descriptor by pidfd_getfd", FILTER, |f| {
        let pidfd = pidfd(f)?;
        call(libc::SYS_pidfd_getfd, &mut [Arg::Number(pidfd), Arg::Number(0), Arg::Number(0)]).map(drop)
    }),
    always("memory", "compare others by kcmp", FILTER, |f| {
        call(libc::SYS_kcmp, &mut [target(f), target(f), Arg::Number(2), Arg::Number(0), Arg::Number(0)]).map(drop)
    }),
    unless("signals", "kill another of the same user", SCOPE, unscoped, |f| {
        call(libc::SYS_kill, &mut [target(f), Arg::Number(0)]).map(drop)
    }),
    unless("signals", "tgkill", SCOPE, unscoped, |f| {
        call(libc::SYS_tgkill, &mut [target(f), target(f), Arg::Number(0)]).map(drop)
    }),
    unless("signals", "tkill", SCOPE, unscoped, |f| call(libc::SYS_tkill, &mut [target(f), Arg::Number(0)]).map(drop)),
    unless("signals", "a signal by pidfd", SCOPE, unscoped, |f| {
        let pidfd = pidfd(f)?;
        call(libc::SYS_pidfd_send_signal, &mut [Arg::Number(pidfd), Arg::Number(0), Arg::Number(0), Arg::Number(0)])
            .map(drop)
    }),
    unless("signals", "signal init", SCOPE, unscoped, |_| {
        call(libc::SYS_kill, &mut [Arg::Number(init()? as u64), Arg::Number(0)]).map(drop)
    }),
    always("scheduling", "change another's priority", FILTER, |f| {
        call(libc::SYS_setpriority, &mut [Arg::Number(0), target(f), Arg::Number(1)]).map(drop)
    }),
    always("scheduling", "change another's processors", FILTER, |f| {
        let mut all = [0xff; 128];
        call(libc::SYS_sched_setaffinity, &mut [target(f), Arg::Number(128), Arg::Bytes(&mut all)]).map(drop)
    }),
    always("scheduling", "change another's policy", FILTER, |f| {
        let mut priority = [0; 4];
        call(libc::SYS_sched_setscheduler, &mut [target(f), Arg::Number(0), Arg::Bytes(&mut priority)]).map(drop)
    }),
    always("scheduling", "change another's priority on disks", FILTER, |f| {
        const IDLE: u64 = 3 << 13;
        call(libc::SYS_ioprio_set, &mut [Arg::Number(1), target(f), Arg::Number(IDLE)]).map(drop)
    }),
    always("scheduling", "read another's limits", FILTER, |f| {
        let mut limit = [0; 16];
        call(libc::SYS_prlimit64, &mut [target(f), Arg::Number(7), Arg::Number(0), Arg::Bytes(&mut limit)]).map(drop)
    }),
    always("shared memory", "a System V segment", FILTER, |_| ipc(libc::SYS_shmget, &[4096], libc::SYS_shmctl, &[0])),
    always("shared memory", "a System V queue", FILTER, |_| ipc(libc::SYS_msgget, &[], libc::SYS_msgctl, &[0])),
    always("shared memory", "a System V semaphore", FILTER, |_| ipc(libc::SYS_semget, &[1], libc::SYS_semctl, &[0, 0])),
    always("shared memory", "a POSIX queue", "the filter, and Landlock", |_| {
        let name =
            std::ffi::CString::new(format!("portcullis-probe-{}", std::process::id())).map_err(|_| Errno::EINVAL)?;
        let flags = Arg::Number((libc::O_CREAT | libc::O_EXCL | libc::O_RDWR) as u64);
        call(libc::SYS_mq_open, &mut [Arg::Text(&name), flags, Arg::Number(0o600), Arg::Number(0)])?;
        call(libc::SYS_mq_unlink, &mut [Arg::Text(&name)]).map(drop)
    }),
];

fn unscoped(f: &Facts) -> Option<&'static str> {
    f.scopes_optional.then_some("confine.optional accepts that this kernel cannot scope signals")
}

fn target(f: &Facts) -> Arg<'static> {
    Arg::Number(f.target as u64)
}

fn open(path: &str) -> Outcome {
    File::open(path).map(drop).map_err(errno)
}

/// The attacker's parent: an attempt runs in a child of the attacker.
fn init() -> Result<i32, Errno> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", getppid())).map_err(errno)?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).ok_or(Errno::ESRCH)?;
    line.trim().parse().map_err(|_| Errno::ESRCH)
}

fn pidfd(f: &Facts) -> Result<u64, Errno> {
    call(libc::SYS_pidfd_open, &mut [target(f), Arg::Number(0)]).map(|fd| fd as u64)
}

/// Both calls take the same arguments: own bytes, their bytes (struct iovec of readv(2)). What is written is what is there.
fn vm(f: &Facts, number: i64) -> Outcome {
    let bytes = *MARK;
    let pair = |at: u64| -> Vec<u8> { [at, bytes.len() as u64].iter().flat_map(|word| word.to_ne_bytes()).collect() };
    let (mut own, mut theirs) = (pair(address(&bytes)), pair(f.address));
    let mut args =
        [target(f), Arg::Bytes(&mut own), Arg::Number(1), Arg::Bytes(&mut theirs), Arg::Number(1), Arg::Number(0)];
    call(number, &mut args).map(drop)
}

/// Makes one and takes it away again, for it would outlive this process.
fn ipc(get: i64, size: &[u64], control: i64, between: &[u64]) -> Outcome {
    let numbers = |list: Vec<u64>| list.into_iter().map(Arg::Number).collect::<Vec<_>>();
    let private = [&[0][..], size, &[0o600]].concat();
    let id = call(get, &mut numbers(private))?;
    // IPC_RMID is 0 for all three kinds (linux/ipc.h).
    call(control, &mut numbers([&[id as u64][..], between].concat())).map(drop)
}
