//! The default profile: Python, Node, Java, Go, Rust and shells, under which nothing that widens a cage is allowed.
//!
//! Hot calls (read, write, futex, epoll, poll, clocks, recv) carry no condition, so that the kernel's bitmap answers them.

use super::{Call, Conditional, Group, If, Test, calls, on};

/// Calls that are allowed whatever their arguments.
pub const ALLOWED: &[Group] = &[
    Group {
        who: "every program",
        why: "read and write what is open",
        calls: calls![
            SYS_read SYS_write SYS_readv SYS_writev SYS_pread64 SYS_pwrite64 SYS_preadv SYS_pwritev SYS_preadv2
            SYS_pwritev2 SYS_close SYS_close_range SYS_lseek SYS_dup SYS_dup3 SYS_fcntl SYS_pipe2 SYS_fsync
            SYS_fdatasync SYS_ftruncate SYS_fallocate SYS_fadvise64 SYS_flock SYS_sendfile SYS_splice SYS_tee
            SYS_copy_file_range SYS_sync SYS_syncfs
        ],
    },
    Group {
        who: "every program",
        why: "open, list and change files: Landlock decides which",
        calls: calls![
            SYS_openat SYS_openat2 SYS_newfstatat SYS_fstat SYS_statx SYS_statfs SYS_fstatfs SYS_faccessat
            SYS_faccessat2 SYS_readlinkat SYS_getdents64 SYS_getcwd SYS_chdir SYS_fchdir SYS_mkdirat SYS_unlinkat
            SYS_renameat SYS_renameat2 SYS_linkat SYS_symlinkat SYS_truncate SYS_umask
            SYS_getxattr SYS_lgetxattr SYS_fgetxattr SYS_listxattr
            SYS_llistxattr SYS_flistxattr
        ],
    },
    Group {
        who: "every program",
        why: "memory",
        calls: calls![
            SYS_mmap SYS_munmap SYS_mprotect SYS_mremap SYS_brk SYS_madvise SYS_msync SYS_mincore SYS_mlock SYS_mlock2
            SYS_munlock SYS_membarrier
        ],
    },
    Group {
        who: "every program",
        why: "threads and their locks",
        calls: calls![
            SYS_futex SYS_set_robust_list SYS_set_tid_address SYS_rseq SYS_gettid SYS_getpid
            SYS_sched_yield SYS_sched_getaffinity SYS_sched_getparam SYS_sched_getscheduler
            SYS_sched_get_priority_max SYS_sched_get_priority_min SYS_getcpu
        ],
    },
    Group {
        who: "every program",
        why: "signals: Landlock's scope decides to whom",
        calls: calls![
            SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_rt_sigpending SYS_rt_sigtimedwait
            SYS_rt_sigsuspend SYS_rt_sigqueueinfo SYS_rt_tgsigqueueinfo SYS_sigaltstack SYS_kill SYS_tkill SYS_tgkill
            SYS_restart_syscall SYS_signalfd4 SYS_pidfd_open SYS_pidfd_send_signal
        ],
    },
    Group {
        who: "every program",
        why: "time",
        calls: calls![
            SYS_clock_gettime SYS_clock_getres SYS_clock_nanosleep SYS_nanosleep SYS_gettimeofday SYS_times
            SYS_getitimer SYS_setitimer SYS_timer_create SYS_timer_settime SYS_timer_gettime SYS_timer_getoverrun
            SYS_timer_delete SYS_timerfd_create SYS_timerfd_settime SYS_timerfd_gettime
        ],
    },
    Group {
        who: "Node, Java, Go, tokio, asyncio",
        why: "wait for many things at once",
        calls: calls![
            SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2 SYS_ppoll SYS_pselect6 SYS_eventfd2
            SYS_inotify_init1 SYS_inotify_add_watch SYS_inotify_rm_watch
        ],
    },
    Group {
        who: "shells, Python subprocess, Node child processes",
        why: "start programs and wait for them: Landlock decides which",
        calls: calls![
            SYS_execve SYS_exit SYS_exit_group SYS_wait4 SYS_waitid SYS_getppid SYS_setpgid SYS_getpgid SYS_getsid
            SYS_setsid
        ],
    },
    Group {
        who: "every program",
        why: "who and what it is, and what it may use",
        calls: calls![
            SYS_getuid SYS_geteuid SYS_getgid SYS_getegid SYS_getresuid SYS_getresgid SYS_getgroups SYS_capget
            SYS_uname SYS_sysinfo SYS_getrusage SYS_getrlimit SYS_getpriority
            SYS_getrandom
        ],
    },
    Group {
        who: "programs that give up rights themselves",
        why: "without capabilities these can only give up",
        calls: calls![
            SYS_setuid SYS_setgid SYS_setreuid SYS_setregid SYS_setresuid SYS_setresgid SYS_setgroups SYS_capset
        ],
    },
    Group {
        who: "every program with a network",
        why: "sockets that exist: which may be made is conditional, where they may connect is Landlock's",
        calls: calls![
            SYS_connect SYS_bind SYS_accept SYS_accept4 SYS_getsockname SYS_getpeername SYS_getsockopt
            SYS_recvfrom SYS_recvmsg SYS_recvmmsg SYS_shutdown
        ],
    },
    Group { who: "Java, numpy", why: "ask about memory nodes", calls: calls![SYS_get_mempolicy] },
    Group {
        who: "Node",
        why: "V8 guards its code pages with memory keys",
        calls: calls![SYS_pkey_alloc SYS_pkey_free SYS_pkey_mprotect],
    },
    #[cfg(target_arch = "x86_64")]
    Group {
        who: "every program of x86_64",
        why: "older forms of the calls above, which libraries still use",
        calls: calls![
            SYS_open SYS_creat SYS_stat SYS_lstat SYS_access SYS_readlink SYS_getdents SYS_mkdir SYS_rmdir SYS_unlink
            SYS_rename SYS_link SYS_symlink SYS_dup2
            SYS_pipe SYS_poll SYS_select SYS_epoll_create SYS_epoll_wait SYS_eventfd SYS_signalfd SYS_inotify_init
            SYS_fork SYS_vfork SYS_getpgrp SYS_alarm SYS_pause SYS_time SYS_arch_prctl
        ],
    },
];

const AF_UNIX: u32 = libc::AF_UNIX as u32;
const AF_INET: u32 = libc::AF_INET as u32;
const AF_INET6: u32 = libc::AF_INET6 as u32;
/// The type without SOCK_CLOEXEC and SOCK_NONBLOCK: SOCK_TYPE_MASK of linux/net.h.
const TYPE: u32 = 0xf;
const STREAM: u32 = libc::SOCK_STREAM as u32;
const DGRAM: u32 = libc::SOCK_DGRAM as u32;
const SEQPACKET: u32 = libc::SOCK_SEQPACKET as u32;
const TCP: u32 = libc::IPPROTO_TCP as u32;
const UDP: u32 = libc::IPPROTO_UDP as u32;
const FASTOPEN: u32 = libc::MSG_FASTOPEN as u32;

/// The namespace flags of clone(2), all together.
const NAMESPACES: u64 = 0x7e02_0000;

const fn family(f: u32) -> If {
    on(0, Test::Is(f))
}
const fn kind(k: u32) -> If {
    on(1, Test::Masked(TYPE, k))
}
const fn protocol(p: u32) -> If {
    on(2, Test::Is(p))
}

/// Calls that are allowed under conditions.
pub const ALLOWED_IF: &[Conditional] = &[
    Conditional {
        call: ("SYS_socket", libc::SYS_socket),
        who: "every program with a network",
        why: "TCP alone: MPTCP and other protocols pass by Landlock's port rules",
        sets: &[
            &[family(AF_INET), kind(STREAM), protocol(0)],
            &[family(AF_INET), kind(STREAM), protocol(TCP)],
            &[family(AF_INET6), kind(STREAM), protocol(0)],
            &[family(AF_INET6), kind(STREAM), protocol(TCP)],
        ],
    },
    Conditional {
        call: ("SYS_socketpair", libc::SYS_socketpair),
        who: "Node, asyncio, multiprocessing",
        why: "pipes between own processes; connected for good, where a datagram pair could be sent to any path",
        sets: &[&[on(0, Test::Is(AF_UNIX)), kind(STREAM)], &[on(0, Test::Is(AF_UNIX)), kind(SEQPACKET)]],
    },
    Conditional {
        call: ("SYS_clone", libc::SYS_clone),
        who: "every program",
        why: "threads and processes, without new namespaces",
        sets: &[&[on(0, Test::WideMasked(NAMESPACES, 0))]],
    },
    Conditional {
        call: ("SYS_sendto", libc::SYS_sendto),
        who: "every program with a network",
        why: "without MSG_FASTOPEN, which connects past Landlock's port rules",
        sets: &[&[on(3, Test::Masked(FASTOPEN, 0))]],
    },
    Conditional {
        call: ("SYS_sendmsg", libc::SYS_sendmsg),
        who: "every program with a network",
        why: "without MSG_FASTOPEN",
        sets: &[&[on(2, Test::Masked(FASTOPEN, 0))]],
    },
    Conditional {
        call: ("SYS_sendmmsg", libc::SYS_sendmmsg),
        who: "the resolver of glibc",
        why: "without MSG_FASTOPEN",
        sets: &[&[on(3, Test::Masked(FASTOPEN, 0))]],
    },
    Conditional {
        call: ("SYS_setsockopt", libc::SYS_setsockopt),
        who: "every program with a network",
        why: "without TCP_FASTOPEN_CONNECT, which sends before Landlock sees a connect",
        sets: &[&[on(1, Test::IsNot(TCP))], &[on(2, Test::IsNot(libc::TCP_FASTOPEN_CONNECT as u32))]],
    },
    Conditional {
        call: ("SYS_ioctl", libc::SYS_ioctl),
        who: "every program",
        why: "without those that type into, copy, take over, stop or lock a terminal, or change a file that was opened to read",
        sets: &[&[
            on(1, Test::IsNot(TIOCSTI)),
            on(1, Test::IsNot(TIOCLINUX)),
            on(1, Test::IsNot(TIOCCONS)),
            on(1, Test::IsNot(TIOCSETD)),
            on(1, Test::IsNot(TCXONC)),
            on(1, Test::IsNot(TIOCEXCL)),
            on(1, Test::IsNot(FS_IOC_SETFLAGS)),
            on(1, Test::IsNot(FS_IOC_FSSETXATTR)),
            on(1, Test::IsNot(FS_IOC_SETVERSION)),
            on(1, Test::IsNot(FS_IOC_ENABLE_VERITY)),
            on(1, Test::IsNot(FS_IOC_SET_ENCRYPTION_POLICY)),
        ]],
    },
    Conditional {
        call: ("SYS_prctl", libc::SYS_prctl),
        who: "every program",
        why: "without undoing the shield or admitting a tracer",
        sets: &[&[
            on(0, Test::IsNot(libc::PR_SET_DUMPABLE as u32)),
            on(0, Test::IsNot(libc::PR_SET_PTRACER as u32)),
            on(0, Test::IsNot(libc::PR_SET_SECCOMP as u32)),
        ]],
    },
    Conditional {
        call: ("SYS_prlimit64", libc::SYS_prlimit64),
        who: "every program",
        why: "its own limits, 0 is the caller; core stays at 1, for a piped core_pattern ignores 0",
        sets: &[
            &[on(0, Test::Is(0)), on(1, Test::IsNot(RLIMIT_CORE))],
            &[on(0, Test::Is(0)), on(2, Test::WideMasked(u64::MAX, 0))],
        ],
    },
    Conditional {
        call: ("SYS_setrlimit", libc::SYS_setrlimit),
        who: "older libraries",
        why: "core stays at 1, for a piped core_pattern ignores 0",
        sets: &[&[on(0, Test::IsNot(RLIMIT_CORE))]],
    },
    Conditional {
        call: ("SYS_setpriority", libc::SYS_setpriority),
        who: "nice, Java, Node's os.setPriority",
        why: "its own priority: no scope of Landlock covers others'",
        sets: &[&[on(0, Test::Is(PRIO_PROCESS)), on(1, Test::Is(0))]],
    },
    Conditional {
        call: ("SYS_sched_setaffinity", libc::SYS_sched_setaffinity),
        who: "numpy, Java, Go",
        why: "its own thread's processors: no scope of Landlock covers others'",
        sets: &[&[on(0, Test::Is(0))]],
    },
    Conditional {
        call: ("SYS_personality", libc::SYS_personality),
        who: "Java, debuggers asking",
        why: "ask, or set what is set already",
        sets: &[&[on(0, Test::Is(u32::MAX))], &[on(0, Test::Is(0))]],
    },
    Conditional {
        call: ("SYS_mknodat", libc::SYS_mknodat),
        who: "mkfifo, shells' process substitution",
        why: "fifos, where Landlock lets them be made; no devices and no sockets' names",
        sets: &[&[on(2, Test::Masked(S_IFMT, S_IFIFO))]],
    },
    #[cfg(target_arch = "x86_64")]
    Conditional {
        call: ("SYS_mknod", libc::SYS_mknod),
        who: "mkfifo of older libraries",
        why: "fifos, where Landlock lets them be made; no devices and no sockets' names",
        sets: &[&[on(1, Test::Masked(S_IFMT, S_IFIFO))]],
    },
    Conditional {
        call: ("SYS_memfd_create", libc::SYS_memfd_create),
        who: "Python, tests, media libraries",
        why: "with MFD_NOEXEC_SEAL: memory that cannot be executed past Landlock",
        sets: &[&[on(1, Test::Masked(MFD_NOEXEC_SEAL, MFD_NOEXEC_SEAL))]],
    },
];

/// UDP for name resolution, where `confine.dns` is true.
pub const UDP_SOCKETS: Conditional = Conditional {
    call: ("SYS_socket", libc::SYS_socket),
    who: "every resolver",
    why: "confine.dns = true",
    sets: &[
        &[family(AF_INET), kind(DGRAM), protocol(0)],
        &[family(AF_INET), kind(DGRAM), protocol(UDP)],
        &[family(AF_INET6), kind(DGRAM), protocol(0)],
        &[family(AF_INET6), kind(DGRAM), protocol(UDP)],
    ],
};

/// For a program that tells its service manager itself, where `workload.notify` is `pass`. Landlock before ABI 9 cannot say to
/// whom: every datagram socket that its user may write to is in reach, the journal's among them.
pub const NOTIFY_SOCKETS: Conditional = Conditional {
    call: ("SYS_socket", libc::SYS_socket),
    who: "sd_notify of every language",
    why: "workload.notify = \"pass\"",
    sets: &[&[family(AF_UNIX), kind(DGRAM), protocol(0)]],
};

const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;
const TIOCCONS: u32 = 0x541d;
const TIOCSETD: u32 = 0x5423;
/// tcflow(3) with TCOOFF would hold up what init prints.
const TCXONC: u32 = 0x540a;
const TIOCEXCL: u32 = 0x540c;
// Of linux/fs.h and linux/fsverity.h: each needs only the file's owner and a descriptor to read.
const FS_IOC_SETFLAGS: u32 = 0x4008_6602;
const FS_IOC_FSSETXATTR: u32 = 0x401c_5820;
const FS_IOC_SETVERSION: u32 = 0x4008_7602;
const FS_IOC_ENABLE_VERITY: u32 = 0x4080_6685;
const FS_IOC_SET_ENCRYPTION_POLICY: u32 = 0x800c_6613;
const PRIO_PROCESS: u32 = libc::PRIO_PROCESS;
const RLIMIT_CORE: u32 = libc::RLIMIT_CORE;
const MFD_NOEXEC_SEAL: u32 = 8;
const S_IFMT: u32 = libc::S_IFMT;
const S_IFIFO: u32 = libc::S_IFIFO;

/// Allowed where `confine.bind` names a port: listen(2) on an unbound socket opens one that Landlock never sees.
pub const LISTEN: Call = ("SYS_listen", libc::SYS_listen);

/// The call that the launcher itself needs once, for the shielded image; afterwards it is answered like the dangerous ones.
pub const EXEC_BY_DESCRIPTOR: Call = ("SYS_execveat", libc::SYS_execveat);

/// Calls that are dangerous whatever their arguments, beside the conditional ones above when no set holds. What is in
/// neither list the build does not know: ENOSYS.
pub const DANGEROUS: &[Group] = &[
    Group {
        who: "nobody",
        why: "reads or changes another process",
        calls: calls![SYS_ptrace SYS_process_vm_readv SYS_process_vm_writev SYS_pidfd_getfd SYS_kcmp SYS_process_madvise],
    },
    Group {
        who: "nobody",
        why: "kernel keyrings; CVE-2024-42318 undid Landlock through one",
        calls: calls![SYS_keyctl SYS_add_key SYS_request_key],
    },
    Group {
        who: "nobody",
        why: "namespaces and mounts: a new root would be a new world",
        calls: calls![
            SYS_unshare SYS_setns SYS_mount SYS_umount2 SYS_pivot_root SYS_chroot SYS_move_mount SYS_open_tree SYS_fsopen
            SYS_fsconfig SYS_fsmount SYS_fspick SYS_mount_setattr
        ],
    },
    Group {
        who: "nobody",
        why: "kernel surfaces with a history of privilege escalation",
        calls: calls![
            SYS_bpf SYS_userfaultfd SYS_perf_event_open SYS_seccomp SYS_fanotify_init SYS_open_by_handle_at
            SYS_name_to_handle_at
        ],
    },
    Group {
        who: "nobody",
        why: "changes the machine",
        calls: calls![
            SYS_init_module SYS_finit_module SYS_delete_module SYS_kexec_load SYS_reboot SYS_swapon
            SYS_swapoff SYS_acct SYS_settimeofday SYS_clock_settime SYS_adjtimex SYS_clock_adjtime SYS_sethostname
            SYS_setdomainname SYS_quotactl SYS_syslog SYS_vhangup
        ],
    },
    #[cfg(target_arch = "x86_64")]
    Group {
        who: "nobody",
        why: "hardware and segments of x86_64",
        calls: calls![SYS_iopl SYS_ioperm SYS_modify_ldt SYS_kexec_file_load SYS_uselib SYS_ustat SYS_sysfs],
    },
];

/// Families that programs ask for as a matter of course and do without: a quiet EAFNOSUPPORT, no line for anybody.
pub const QUIET_FAMILIES: Conditional = Conditional {
    call: ("SYS_socket", libc::SYS_socket),
    who: "glibc's resolver, Go, Java",
    why: "netlink, to list addresses: they go on without",
    sets: &[&[family(libc::AF_NETLINK as u32)]],
};
