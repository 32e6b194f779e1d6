//! The filters as the kernel would run them: a small interpreter of classic BPF asks each about every call.

use super::*;
use crate::config::model::Dns;

/// struct seccomp_data, as far as filters read it: call, architecture, arguments.
struct Data {
    call: u32,
    arch: u32,
    args: [u64; 6],
}

const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
const AUDIT_ARCH_I386: u32 = 0x4000_0003;
const X32_BIT: u32 = 0x4000_0000;

fn word(data: &Data, offset: u32) -> u32 {
    match offset {
        0 => data.call,
        4 => data.arch,
        16..64 => {
            let arg = data.args[(offset as usize - 16) / 8];
            if offset.is_multiple_of(8) { arg as u32 } else { (arg >> 32) as u32 }
        }
        other => panic!("a load from {other}"),
    }
}

fn answer(program: &[Instruction], data: &Data) -> u32 {
    let (mut at, mut a) = (0, 0u32);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let mut branch = |taken: bool| at += usize::from(if taken { jt } else { jf });
        match code {
            0x20 => a = word(data, k),
            0x54 => a &= k,
            0x05 => at += k as usize,
            0x15 => branch(a == k),
            0x25 => branch(a > k),
            0x35 => branch(a >= k),
            0x06 => return k,
            other => panic!("instruction {other:#x}"),
        }
    }
}

fn plan(dns: Dns, explained: bool) -> SyscallPlan {
    SyscallPlan {
        profile: Profile::Default,
        deny_write_execute: false,
        dns,
        listen: false,
        metadata: true,
        explained,
        explanation_optional: false,
        notify: false,
        exec_by_descriptor: !explained,
        explain_files: false,
    }
}

fn ask(filter: &Filter, call: i64, args: [u64; 6]) -> u32 {
    answer(filter.instructions(), &Data { call: call as u32, arch: AUDIT_ARCH_X86_64, args })
}

const ENOSYS: u32 = RET_ERRNO | Errno::ENOSYS as u32;
const EPERM: u32 = RET_ERRNO | Errno::EPERM as u32;

#[test]
fn every_plain_rule_allows_and_every_dangerous_call_is_notified() {
    let filter = workload(&plan(Dns::Off, true)).unwrap();
    for (name, call) in default::ALLOWED.iter().flat_map(|group| group.calls) {
        assert_eq!(ask(&filter, *call, [u64::MAX; 6]), RET_ALLOW, "{name}");
    }
    for (name, call) in default::DANGEROUS.iter().flat_map(|group| group.calls) {
        assert_eq!(ask(&filter, *call, [0; 6]), RET_USER_NOTIF, "{name}");
    }
    assert_eq!(ask(&filter, libc::SYS_execveat, [0; 6]), RET_USER_NOTIF);
}

#[test]
fn what_is_unknown_is_not_there() {
    let filter = workload(&plan(Dns::Off, true)).unwrap();
    for call in [libc::SYS_clone3, libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_shmget, 460, 100_000] {
        assert_eq!(ask(&filter, call, [0; 6]), ENOSYS, "{call}");
    }
}

#[test]
fn x32_is_not_there_and_a_foreign_architecture_kills() {
    let filter = workload(&plan(Dns::Off, true)).unwrap();
    for call in 0..512 {
        let x32 = Data { call: call | X32_BIT, arch: AUDIT_ARCH_X86_64, args: [0; 6] };
        assert_eq!(answer(filter.instructions(), &x32), ENOSYS, "{call}");
        let i386 = Data { call, arch: AUDIT_ARCH_I386, args: [0; 6] };
        assert_eq!(answer(filter.instructions(), &i386), RET_KILL_PROCESS, "{call}");
    }
}

#[test]
fn conditional_calls_follow_their_arguments_and_high_bits_do_not_help() {
    let off = workload(&plan(Dns::Off, true)).unwrap();
    let udp = workload(&plan(Dns::Udp, true)).unwrap();
    let socket = |filter, family, kind, protocol| ask(filter, libc::SYS_socket, [family, kind, protocol, 0, 0, 0]);
    let flags = (libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) as u64;
    for family in [2, 10] {
        for protocol in [0, 6] {
            assert_eq!(socket(&off, family, 1 | flags, protocol), RET_ALLOW);
        }
        assert_eq!(socket(&off, family, 2 | flags, 0), RET_USER_NOTIF, "UDP without dns");
        assert_eq!(socket(&udp, family, 2 | flags, 17), RET_ALLOW, "UDP with dns");
        assert_eq!(socket(&udp, family, 1, 262), RET_USER_NOTIF, "MPTCP");
        assert_eq!(socket(&udp, family, 3, 0), RET_USER_NOTIF, "raw");
    }
    assert_eq!(socket(&off, 1, 1, 0), RET_USER_NOTIF, "unix");
    assert_eq!(socket(&off, 38, 5, 0), RET_USER_NOTIF, "AF_ALG");
    assert_eq!(socket(&off, 16, 3, 0), RET_ERRNO | Errno::EAFNOSUPPORT as u32, "netlink, quietly");
    assert_eq!(socket(&off, 1 | 1 << 32, 1, 0), RET_USER_NOTIF, "the kernel reads 32 bits");
    let pair = |kind| ask(&off, libc::SYS_socketpair, [1, kind | flags, 0, 0, 0, 0]);
    assert_eq!((pair(1), pair(5)), (RET_ALLOW, RET_ALLOW));
    assert_eq!((pair(2), pair(3)), (RET_USER_NOTIF, RET_USER_NOTIF), "a datagram pair reaches any path");
    assert_eq!(ask(&off, libc::SYS_listen, [3, 1, 0, 0, 0, 0]), RET_USER_NOTIF);
    let listening = workload(&SyscallPlan { listen: true, ..plan(Dns::Off, true) }).unwrap();
    assert_eq!(ask(&listening, libc::SYS_listen, [3, 1, 0, 0, 0, 0]), RET_ALLOW);
    let second = |call, value| ask(&off, call, [0, value, 0, 0, 0, 0]);
    for request in [0x5412u64, 0x541c, 0x541d, 0x5423] {
        assert_eq!(second(libc::SYS_ioctl, request), RET_USER_NOTIF);
        assert_eq!(second(libc::SYS_ioctl, request | 1 << 32), RET_USER_NOTIF, "compared as 32 bits");
    }
    assert_eq!(second(libc::SYS_ioctl, 0x5401), RET_ALLOW);
    assert_eq!(second(libc::SYS_ioctl, 0x4008_6602), RET_USER_NOTIF, "a file's flags");
    assert_eq!(second(libc::SYS_ioctl, 0x8008_6601), RET_ALLOW, "asking for a file's flags");
    let node = |mode| ask(&off, libc::SYS_mknodat, [0, 0, mode, 0, 0, 0]);
    assert_eq!((node(0o010_600), node(0o020_600), node(0o140_600)), (RET_ALLOW, RET_USER_NOTIF, RET_USER_NOTIF));
    assert_eq!(second(libc::SYS_memfd_create, 1), RET_USER_NOTIF);
    assert_eq!(second(libc::SYS_memfd_create, 8 | 1), RET_ALLOW);
    let first = |call, value| ask(&off, call, [value, 0, 0, 0, 0, 0]);
    for bit in [17, 25, 26, 27, 28, 29, 30] {
        assert_eq!(first(libc::SYS_clone, 1 << bit | 0x11), RET_USER_NOTIF, "clone flag 1 << {bit}");
    }
    assert_eq!(first(libc::SYS_clone, 0x3d0f00), RET_ALLOW, "a thread of glibc");
    assert_eq!(first(libc::SYS_prlimit64, 0), RET_ALLOW);
    assert_eq!(first(libc::SYS_prlimit64, 1), RET_USER_NOTIF);
    let prlimit = |resource, new| ask(&off, libc::SYS_prlimit64, [0, resource, new, 0, 0, 0]);
    assert_eq!((prlimit(4, 0), prlimit(7, 1)), (RET_ALLOW, RET_ALLOW));
    assert_eq!((prlimit(4, 1), prlimit(4, 1 << 32)), (RET_USER_NOTIF, RET_USER_NOTIF), "core stays at 1");
    assert_eq!(first(libc::SYS_sched_setaffinity, 0), RET_ALLOW);
    assert_eq!(first(libc::SYS_sched_setaffinity, 1), RET_USER_NOTIF, "another process");
    assert_eq!(second(libc::SYS_setpriority, 1), RET_USER_NOTIF, "another process");
    for option in [libc::PR_SET_DUMPABLE, libc::PR_SET_PTRACER, libc::PR_SET_SECCOMP] {
        assert_eq!(first(libc::SYS_prctl, option as u64), RET_USER_NOTIF);
    }
    assert_eq!(ask(&off, libc::SYS_sendto, [0, 0, 0, 0x2000_4000, 0, 0]), RET_USER_NOTIF);
    assert_eq!(ask(&off, libc::SYS_sendto, [0, 0, 0, 0x4000, 0, 0]), RET_ALLOW);
    assert_eq!(ask(&off, libc::SYS_setsockopt, [0, 6, 30, 0, 0, 0]), RET_USER_NOTIF);
    assert_eq!(ask(&off, libc::SYS_setsockopt, [0, 6, 1, 0, 0, 0]), RET_ALLOW);
    assert_eq!(ask(&off, libc::SYS_setsockopt, [0, 1, 30, 0, 0, 0]), RET_ALLOW);
}

/// Each call of the strict profile with what it permits, and the same with one bit more.
#[test]
fn strict_makes_no_code_and_starts_nothing() {
    let filter = workload(&SyscallPlan { profile: Profile::Strict, ..plan(Dns::Off, true) }).unwrap();
    let protection = |call, bits| ask(&filter, call, [0, 4096, bits, 0, 0, 0]);
    let (read, write, exec) = (1, 2, 4);
    for (bits, answer) in
        [(0, RET_ALLOW), (read | write, RET_ALLOW), (read | exec, RET_ALLOW), (write | exec, RET_USER_NOTIF)]
    {
        assert_eq!(protection(libc::SYS_mmap, bits), answer, "mmap {bits}");
        assert_eq!(protection(libc::SYS_mmap, bits | 1 << 33), answer, "mmap {bits} and a high bit");
    }
    for call in [libc::SYS_mprotect, libc::SYS_pkey_mprotect] {
        for (bits, answer) in [(read | write, RET_ALLOW), (read | exec, RET_USER_NOTIF), (exec, RET_USER_NOTIF)] {
            assert_eq!(protection(call, bits), answer, "{call} {bits}");
        }
    }
    for (name, call) in strict::WITHHELD.iter().flat_map(|group| group.calls) {
        assert_eq!(ask(&filter, *call, [0; 6]), RET_USER_NOTIF, "{name}");
    }
    for call in [libc::SYS_read, libc::SYS_futex, libc::SYS_epoll_wait, libc::SYS_fork, libc::SYS_exit_group] {
        assert_eq!(ask(&filter, call, [0; 6]), RET_ALLOW, "{call}");
    }
}

#[test]
fn metadata_is_changed_only_where_something_may_be_written() {
    let with = workload(&plan(Dns::Off, true)).unwrap();
    let without = workload(&SyscallPlan { metadata: false, ..plan(Dns::Off, true) }).unwrap();
    for (name, call) in files::METADATA.iter().flat_map(|group| group.calls) {
        assert_eq!((ask(&with, *call, [0; 6]), ask(&without, *call, [0; 6])), (RET_ALLOW, RET_USER_NOTIF), "{name}");
    }
}

/// Whoever lets a call go on skips the filter: only what it allows anyhow may be asked about.
#[test]
fn what_is_asked_about_and_goes_on_is_allowed_without_condition() {
    let asking = workload(&SyscallPlan { explain_files: true, ..plan(Dns::Off, true) }).unwrap();
    let plain: Vec<i64> = default::ALLOWED.iter().flat_map(|group| group.calls).map(|(_, call)| *call).collect();
    for (name, call) in files::ABOUT_FILES.iter().flat_map(|group| group.calls) {
        assert!(plain.contains(call), "{name}");
        assert_eq!(ask(&asking, *call, [0; 6]), RET_USER_NOTIF, "{name}");
    }
}

#[test]
fn without_a_supervisor_dangerous_calls_get_an_errno_and_exec_by_descriptor_goes() {
    let filter = workload(&plan(Dns::Off, false)).unwrap();
    for (name, call) in default::DANGEROUS.iter().flat_map(|group| group.calls) {
        assert_eq!(ask(&filter, *call, [0; 6]), EPERM, "{name}");
    }
    assert_eq!(ask(&filter, libc::SYS_execveat, [0; 6]), RET_ALLOW);
    assert_eq!(ask(&filter, libc::SYS_socket, [38, 5, 0, 0, 0, 0]), EPERM);
}

#[test]
fn hot_calls_carry_no_condition() {
    let conditional: Vec<i64> = default::ALLOWED_IF.iter().chain(strict::ALLOWED_IF).map(|c| c.call.1).collect();
    for call in [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_futex,
        libc::SYS_epoll_wait,
        libc::SYS_epoll_pwait,
        libc::SYS_poll,
        libc::SYS_clock_gettime,
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
    ] {
        assert!(!conditional.contains(&call), "{call}");
    }
}

#[test]
fn the_roles_filters_allow_their_own_and_nothing_that_starts_or_opens_the_world() {
    let (quiet, network, init) =
        (fetcher(false, false).unwrap(), fetcher(true, false).unwrap(), init(false, false).unwrap());
    for filter in [&quiet, &network, &init] {
        for call in
            [libc::SYS_execve, libc::SYS_execveat, libc::SYS_fork, libc::SYS_clone, libc::SYS_ptrace, libc::SYS_bpf]
        {
            assert_eq!(ask(filter, call, [0; 6]), ENOSYS, "{call}");
        }
        assert_eq!(ask(filter, libc::SYS_read, [0; 6]), RET_ALLOW);
    }
    assert_eq!(ask(&quiet, libc::SYS_socket, [2, 1, 0, 0, 0, 0]), ENOSYS);
    assert_eq!(ask(&network, libc::SYS_socket, [2, 1, 0, 0, 0, 0]), RET_ALLOW);
    assert_eq!(ask(&network, libc::SYS_socket, [2, 2, 0, 0, 0, 0]), ENOSYS, "no name, no UDP");
    assert_eq!(ask(&fetcher(true, true).unwrap(), libc::SYS_socket, [2, 2, 0, 0, 0, 0]), RET_ALLOW);
    assert_eq!(ask(&network, libc::SYS_sendto, [0, 0, 0, 0x2000_0000, 0, 0]), ENOSYS, "FASTOPEN");
    assert_eq!(ask(&network, libc::SYS_setsockopt, [0, 6, 30, 0, 0, 0]), ENOSYS, "FASTOPEN_CONNECT");
    assert_eq!(ask(&init, libc::SYS_socket, [2, 1, 0, 0, 0, 0]), ENOSYS);
}

#[test]
fn unix_datagrams_are_for_a_program_that_notifies_and_nothing_else_comes_with_them() {
    let (unix, stream, datagram) = (libc::AF_UNIX as u64, libc::SOCK_STREAM as u64, libc::SOCK_DGRAM as u64);
    for (notify, answered) in [(false, RET_USER_NOTIF), (true, RET_ALLOW)] {
        let filter = workload(&SyscallPlan { notify, ..plan(Dns::Off, true) }).unwrap();
        let socket = |family, kind| ask(&filter, libc::SYS_socket, [family, kind, 0, 0, 0, 0]);
        assert_eq!(socket(unix, datagram), answered);
        assert_eq!(socket(unix, datagram | libc::SOCK_CLOEXEC as u64), answered);
        assert_eq!(socket(unix, stream), RET_USER_NOTIF);
        assert_eq!(socket(libc::AF_INET as u64, datagram), RET_USER_NOTIF);
    }
}

#[test]
fn the_keeper_may_fork_and_nothing_else_that_its_renewers_may_not() {
    let keeper = keeper(false).unwrap();
    let fork = (libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID | libc::SIGCHLD) as u64;
    assert_eq!(ask(&keeper, libc::SYS_clone, [fork, 0, 0, 0, 0, 0]), RET_ALLOW);
    for flag in [libc::CLONE_NEWUSER, libc::CLONE_NEWNS, libc::CLONE_VM, libc::CLONE_THREAD, libc::CLONE_PARENT] {
        assert_eq!(ask(&keeper, libc::SYS_clone, [fork | flag as u64, 0, 0, 0, 0, 0]), ENOSYS, "{flag:x}");
    }
    for call in [libc::SYS_execve, libc::SYS_execveat, libc::SYS_ptrace, libc::SYS_clone3, libc::SYS_setresuid] {
        assert_eq!(ask(&keeper, call, [0; 6]), ENOSYS, "{call}");
    }
    assert_eq!(ask(&keeper, libc::SYS_socket, [2, 1, 0, 0, 0, 0]), RET_ALLOW, "for its renewers");
    assert_eq!(ask(&keeper, libc::SYS_socket, [2, 2, 0, 0, 0, 0]), ENOSYS);
    assert_eq!(ask(&init(true, false).unwrap(), libc::SYS_recvmsg, [0; 6]), RET_ALLOW);
    assert_eq!(ask(&init(false, false).unwrap(), libc::SYS_recvmsg, [0; 6]), ENOSYS);
}
