//! The filters of portcullis' own processes: what each still does after it confined itself, and nothing else.

use super::{Conditional, Group, Test, calls, on};

/// The fetcher, whatever its source: descriptors it was given, memory, and its end.
pub const FETCHER: &[Group] = &[
    Group {
        who: "fetcher",
        why: "read the files it was given, write the bundle, report",
        calls: calls![
            SYS_read SYS_readv SYS_pread64 SYS_write SYS_writev SYS_lseek SYS_close SYS_fstat SYS_statx SYS_newfstatat
            SYS_fcntl SYS_recvmsg SYS_recvfrom
        ],
    },
    Group {
        who: "fetcher",
        why: "memory, time, randomness, the end",
        calls: calls![
            SYS_mmap SYS_munmap SYS_mremap SYS_mprotect SYS_brk SYS_madvise SYS_clock_gettime SYS_clock_nanosleep
            SYS_nanosleep SYS_getrandom SYS_futex SYS_sched_yield SYS_sched_getaffinity SYS_rt_sigprocmask
            SYS_rt_sigaction SYS_rt_sigreturn SYS_sigaltstack SYS_restart_syscall SYS_getpid SYS_gettid SYS_tgkill
            SYS_exit SYS_exit_group SYS_membarrier
        ],
    },
];

/// The fetcher with a store on the network: TCP to the port that Landlock grants.
pub const FETCHER_NETWORK: &[Group] = &[
    Group {
        who: "fetcher",
        why: "tokio's loop and one connection",
        calls: calls![
            SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_ppoll SYS_eventfd2 SYS_connect
            SYS_getsockopt SYS_getsockname SYS_getpeername SYS_shutdown SYS_uname SYS_timerfd_create
            SYS_timerfd_settime SYS_pipe2
        ],
    },
    Group {
        who: "fetcher",
        why: "resolve the store's name: Landlock grants resolv.conf and its like",
        calls: calls![SYS_openat SYS_bind SYS_ioctl SYS_recvmmsg SYS_getuid],
    },
    #[cfg(target_arch = "x86_64")]
    Group { who: "fetcher", why: "older forms", calls: calls![SYS_epoll_wait SYS_poll SYS_open SYS_stat] },
];

const STREAM: u32 = libc::SOCK_STREAM as u32;
const DGRAM: u32 = libc::SOCK_DGRAM as u32;
const TCP: u32 = libc::IPPROTO_TCP as u32;
const UDP: u32 = libc::IPPROTO_UDP as u32;
const INET: u32 = libc::AF_INET as u32;
const INET6: u32 = libc::AF_INET6 as u32;

/// The sockets of a fetcher with a store on the network.
pub const FETCHER_SOCKETS: Conditional = Conditional {
    call: ("SYS_socket", libc::SYS_socket),
    who: "fetcher",
    why: "TCP to the store",
    sets: &[
        &[on(0, Test::Is(INET)), on(1, Test::Masked(0xf, STREAM)), on(2, Test::Is(0))],
        &[on(0, Test::Is(INET)), on(1, Test::Masked(0xf, STREAM)), on(2, Test::Is(TCP))],
        &[on(0, Test::Is(INET6)), on(1, Test::Masked(0xf, STREAM)), on(2, Test::Is(0))],
        &[on(0, Test::Is(INET6)), on(1, Test::Masked(0xf, STREAM)), on(2, Test::Is(TCP))],
    ],
};

/// And where its store has a name: UDP to the resolver.
pub const FETCHER_RESOLVER: Conditional = Conditional {
    call: ("SYS_socket", libc::SYS_socket),
    who: "fetcher",
    why: "resolve the store's name",
    sets: &[
        &[on(0, Test::Is(INET)), on(1, Test::Masked(0xf, DGRAM)), on(2, Test::Is(0))],
        &[on(0, Test::Is(INET)), on(1, Test::Masked(0xf, DGRAM)), on(2, Test::Is(UDP))],
        &[on(0, Test::Is(INET6)), on(1, Test::Masked(0xf, DGRAM)), on(2, Test::Is(0))],
        &[on(0, Test::Is(INET6)), on(1, Test::Masked(0xf, DGRAM)), on(2, Test::Is(UDP))],
    ],
};

/// What a command that prints secrets is refused, beside what every program is.
pub const COMMAND_NEVER: &[Group] = &[Group {
    who: "nobody",
    why: "leaves the process group by which the command is ended with all that it started",
    calls: calls![SYS_setpgid SYS_setsid],
}];
/// And with `run --explain-files`: paths as the program names them.
pub const INIT_LOOKS: &[Group] = &[
    Group {
        who: "init",
        why: "follow links of the program's paths",
        calls: calls![SYS_process_vm_readv SYS_readlinkat SYS_pidfd_open SYS_pidfd_getfd],
    },
    #[cfg(target_arch = "x86_64")]
    Group { who: "init", why: "older forms", calls: calls![SYS_readlink SYS_lstat] },
];

/// The keeper beside what its renewers need: wait for the next time, start a renewer, hear it, end it.
pub const KEEPER: &[Group] = &[
    Group {
        who: "keeper",
        why: "wait, and talk to init and to a renewer",
        calls: calls![SYS_ppoll SYS_socketpair SYS_wait4 SYS_kill SYS_getppid],
    },
    Group {
        who: "renewer",
        why: "its first steps after the fork: die with the keeper, take the fetcher's filter",
        calls: calls![SYS_set_robust_list SYS_rseq SYS_prctl SYS_seccomp],
    },
    #[cfg(target_arch = "x86_64")]
    Group { who: "keeper", why: "older forms", calls: calls![SYS_poll] },
];

/// What a fork asks for (glibc's `fork`): a child that ends with SIGCHLD, in no namespace of its own, sharing nothing.
pub const KEEPER_FORK: Conditional = Conditional {
    call: ("SYS_clone", libc::SYS_clone),
    who: "keeper",
    why: "one renewer at a time",
    sets: &[&[on(0, Test::WideMasked(!FORK, 0))]],
};

const FORK: u64 = (libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID | 0xff) as u64;

/// Init with a keeper: its frames.
pub const INIT_WITH_KEEPER: &[Group] =
    &[Group { who: "init", why: "hear the keeper, and tell it to give up", calls: calls![SYS_recvmsg SYS_sendmsg] }];

/// Init once the workload runs: wait, forward, reap, answer, tell, end.
pub const INIT: &[Group] = &[
    Group {
        who: "init",
        why: "the loop: wait for signals and denials, read them, answer, print",
        calls: calls![SYS_ppoll SYS_read SYS_write SYS_ioctl SYS_close SYS_clock_gettime SYS_restart_syscall],
    },
    Group {
        who: "init",
        why: "children: reap, signal, find what remains at the end",
        calls: calls![
            SYS_wait4 SYS_kill SYS_tgkill SYS_rt_sigqueueinfo SYS_getpid SYS_getuid SYS_gettid SYS_openat SYS_getdents64
            SYS_fstat SYS_newfstatat SYS_statx SYS_lseek SYS_pread64
        ],
    },
    Group {
        who: "init",
        why: "memory and the end",
        calls: calls![
            SYS_mmap SYS_munmap SYS_mremap SYS_mprotect SYS_brk SYS_madvise SYS_futex SYS_rt_sigprocmask
            SYS_rt_sigaction SYS_rt_sigreturn SYS_sigaltstack SYS_exit SYS_exit_group SYS_setpgid SYS_getpgid
        ],
    },
    Group { who: "init", why: "stop and go on together with its workload", calls: calls![SYS_rt_sigpending] },
    #[cfg(target_arch = "x86_64")]
    Group { who: "init", why: "older forms", calls: calls![SYS_poll SYS_open SYS_getpgrp] },
];
