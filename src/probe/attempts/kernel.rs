//! The kernel's own surfaces: namespaces, mounts, tracing of the machine, keys, and calls by other doors.

use nix::errno::Errno;

use super::{Attempt, Outcome, always, must};
use crate::sys::attempt::{Arg, call};

const FILTER: &str = "the filter";

const USER: u64 = libc::CLONE_NEWUSER as u64;

pub const ATTEMPTS: &[Attempt] = &[
    always("namespaces", "a user namespace", FILTER, |_| unshare(0)),
    always("namespaces", "a mount namespace", FILTER, |_| unshare(libc::CLONE_NEWNS)),
    always("namespaces", "a network namespace", FILTER, |_| unshare(libc::CLONE_NEWNET)),
    always("namespaces", "a process namespace", FILTER, |_| unshare(libc::CLONE_NEWPID)),
    always("namespaces", "an IPC namespace", FILTER, |_| unshare(libc::CLONE_NEWIPC)),
    always("namespaces", "a namespace of names", FILTER, |_| unshare(libc::CLONE_NEWUTS)),
    always("namespaces", "a cgroup namespace", FILTER, |_| unshare(libc::CLONE_NEWCGROUP)),
    always("namespaces", "a user namespace by clone", FILTER, |_| cloned(USER | libc::SIGCHLD as u64)),
    always("namespaces", "the same with a bit that the kernel does not read", FILTER, |_| {
        cloned(1 << 32 | USER | libc::SIGCHLD as u64)
    }),
    always("namespaces", "a user namespace by clone3", FILTER, |_| {
        let mut args = [0u8; 64];
        args[..8].copy_from_slice(&USER.to_ne_bytes());
        // exit_signal, the fifth field of struct clone_args (clone(2)).
        args[32..40].copy_from_slice(&(libc::SIGCHLD as u64).to_ne_bytes());
        child_ends(call(libc::SYS_clone3, &mut [Arg::Bytes(&mut args), Arg::Number(64)])?)
    }),
    always("namespaces", "another namespace by setns", FILTER, |_| {
        let pidfd = call(libc::SYS_pidfd_open, &mut [Arg::Number(std::process::id().into()), Arg::Number(0)])?;
        // Its own user namespace: past the filter the kernel says EINVAL.
        past(call(libc::SYS_setns, &mut [Arg::Number(pidfd as u64), Arg::Number(USER)]), Errno::EINVAL)
    }),
    always("mounts", "a file system of its own", FILTER, |_| {
        own_world()?;
        mount(c"/proc")
    }),
    always("mounts", "a new file system by fsopen", FILTER, |_| {
        own_world()?;
        call(libc::SYS_fsopen, &mut [Arg::Text(c"tmpfs"), Arg::Number(0)]).map(drop)
    }),
    always("mounts", "a detached tree", FILTER, |_| {
        own_world()?;
        const OPEN_TREE_CLONE: u64 = 1;
        let at = Arg::Number(libc::AT_FDCWD as u64);
        call(libc::SYS_open_tree, &mut [at, Arg::Text(c"/proc"), Arg::Number(OPEN_TREE_CLONE)]).map(drop)
    }),
    always("mounts", "a mount taken away", FILTER, |_| {
        own_world()?;
        mount(c"/proc")?;
        call(libc::SYS_umount2, &mut [Arg::Text(c"/proc"), Arg::Number(libc::MNT_DETACH as u64)]).map(drop)
    }),
    always("mounts", "another root by chroot", FILTER, |_| {
        own_world()?;
        call(libc::SYS_chroot, &mut [Arg::Text(c"/proc")]).map(drop)
    }),
    always("mounts", "another host name", FILTER, |_| {
        own_world()?;
        let mut name = *b"probe";
        call(libc::SYS_sethostname, &mut [Arg::Bytes(&mut name), Arg::Number(5)]).map(drop)
    }),
    always("kernel", "a program in the kernel (bpf)", FILTER, |_| {
        let mut map = [0u8; 72];
        // BPF_MAP_CREATE of an array of one (bpf(2)): type 2, key 4, value 4, entries 1.
        for (at, value) in [2u32, 4, 4, 1].into_iter().enumerate() {
            map[at * 4..at * 4 + 4].copy_from_slice(&value.to_ne_bytes());
        }
        call(libc::SYS_bpf, &mut [Arg::Number(0), Arg::Bytes(&mut map), Arg::Number(72)]).map(drop)
    }),
    always("kernel", "measure by perf_event_open", FILTER, |_| {
        let mut event = [0u8; 112];
        // A software event (type 1, size 112, the task's clock), the kernel left out (perf_event_open(2)).
        event[0] = 1;
        event[4] = 112;
        event[8] = 1;
        event[40] = 0x20;
        let none = u64::MAX;
        call(
            libc::SYS_perf_event_open,
            &mut [Arg::Bytes(&mut event), Arg::Number(0), Arg::Number(none), Arg::Number(none), Arg::Number(0)],
        )
        .map(drop)
    }),
    always("kernel", "handle page faults by userfaultfd", FILTER, |_| {
        const UFFD_USER_MODE_ONLY: u64 = 1;
        call(libc::SYS_userfaultfd, &mut [Arg::Number(UFFD_USER_MODE_ONLY)]).map(drop)
    }),
    always("kernel", "a key by add_key", FILTER, |_| {
        let mut value = *b"x";
        // KEY_SPEC_PROCESS_KEYRING (keyctl(2)) ends with this process.
        let ring = Arg::Number(-2i64 as u64);
        call(
            libc::SYS_add_key,
            &mut [Arg::Text(c"user"), Arg::Text(c"probe"), Arg::Bytes(&mut value), Arg::Number(1), ring],
        )
        .map(drop)
    }),
    always("kernel", "the keyrings by keyctl", FILTER, |_| {
        call(libc::SYS_keyctl, &mut [Arg::Number(0), Arg::Number(-2i64 as u64), Arg::Number(1)]).map(drop)
    }),
    always("kernel", "a filter of its own by seccomp", FILTER, |_| {
        // SECCOMP_GET_ACTION_AVAIL of RET_ALLOW: answers wherever the call is let through.
        let mut action = 0x7fff_0000u32.to_ne_bytes();
        call(libc::SYS_seccomp, &mut [Arg::Number(2), Arg::Number(0), Arg::Bytes(&mut action)]).map(drop)
    }),
    always("kernel", "a filter of its own by prctl", FILTER, |_| {
        // Without a filter at the address: past ours the kernel says EFAULT.
        past(
            call(libc::SYS_prctl, &mut [Arg::Number(libc::PR_SET_SECCOMP as u64), Arg::Number(2), Arg::Number(0)]),
            Errno::EFAULT,
        )
    }),
    always("kernel", "memory that is executable when it is readable", FILTER, |_| {
        const READ_IMPLIES_EXEC: u64 = 0x0040_0000;
        call(libc::SYS_personality, &mut [Arg::Number(READ_IMPLIES_EXEC)]).map(drop)
    }),
    always("kernel", "addresses that are not random", FILTER, |_| {
        const ADDR_NO_RANDOMIZE: u64 = 0x0004_0000;
        call(libc::SYS_personality, &mut [Arg::Number(ADDR_NO_RANDOMIZE)]).map(drop)
    }),
    #[cfg(target_arch = "x86_64")]
    always("kernel", "a segment of its own (modify_ldt)", FILTER, |_| {
        let mut table = [0u8; 64];
        call(libc::SYS_modify_ldt, &mut [Arg::Number(0), Arg::Bytes(&mut table), Arg::Number(64)]).map(drop)
    }),
    #[cfg(target_arch = "x86_64")]
    always("kernel", "the calls of i386 by their own door", "the filter kills", |_| {
        const GETPID: i32 = 20;
        must(crate::sys::attempt::call_i386(GETPID) == std::process::id() as i32, Errno::ENOSYS)
    }),
    #[cfg(target_arch = "x86_64")]
    always("kernel", "the calls of x32", FILTER, |_| {
        const X32: i64 = 0x4000_0000;
        call(X32 | libc::SYS_getpid, &mut []).map(drop)
    }),
    always("kernel", "a call that no filter knows yet", FILTER, |_| call(1000, &mut []).map(drop)),
];

/// Whether a call that cannot succeed was let through: the kernel's own errno says so.
fn past(came: Result<i64, Errno>, kernels: Errno) -> Outcome {
    match came {
        Err(errno) if errno == kernels => Ok(()),
        other => other.map(drop),
    }
}

fn unshare(flag: libc::c_int) -> Outcome {
    call(libc::SYS_unshare, &mut [Arg::Number(USER | flag as u64)]).map(drop)
}

/// Root of a user namespace, with mounts and names of its own that end with this process.
fn own_world() -> Outcome {
    unshare(libc::CLONE_NEWNS | libc::CLONE_NEWUTS)
}

fn mount(at: &std::ffi::CStr) -> Outcome {
    // SAFETY of the machine: own_world came first, so this is seen by nobody else and ends with this process.
    call(
        libc::SYS_mount,
        &mut [Arg::Text(c"probe"), Arg::Text(at), Arg::Text(c"tmpfs"), Arg::Number(0), Arg::Number(0)],
    )
    .map(drop)
}

fn cloned(flags: u64) -> Outcome {
    child_ends(call(libc::SYS_clone, &mut [Arg::Number(flags)])?)
}

/// The child of a successful clone has nothing to do.
fn child_ends(pid: i64) -> Outcome {
    if pid == 0 {
        crate::sys::process::exit_now(0);
    }
    Ok(())
}
