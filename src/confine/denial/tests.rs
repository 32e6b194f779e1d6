//! Every call that can be denied has a name, a reason and, where there is one, the line that allows it.

use super::*;

fn notified(call: i64, args: [u64; 6]) -> Notified {
    Notified { id: 1, pid: 1, call: call as i32, args }
}

fn said(call: i64, args: [u64; 6]) -> String {
    explain(&notified(call, args), Profile::Default).call
}

#[test]
fn arguments_are_words() {
    let first = |call, value| said(call, [value, 0, 0, 0, 0, 0]);
    let second = |call, value| said(call, [0, value, 0, 0, 0, 0]);
    assert_eq!(first(libc::SYS_ptrace, 16), "ptrace(PTRACE_ATTACH)");
    assert_eq!(first(libc::SYS_ptrace, 7), "ptrace(0x7)");
    assert_eq!(first(libc::SYS_clone, 0x1000_0011), "clone(CLONE_NEWUSER)");
    assert_eq!(first(libc::SYS_unshare, 0x5002_0000), "unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET)");
    assert_eq!(second(libc::SYS_setns, 0), "setns");
    assert_eq!(said(libc::SYS_socket, [38, 5 | 0o2_000_000, 0, 0, 0, 0]), "socket(AF_ALG)");
    assert_eq!(said(libc::SYS_socket, [2, 1, 262, 0, 0, 0]), "socket(AF_INET, stream, MPTCP)");
    assert_eq!(said(libc::SYS_socket, [1 << 32 | 1, 1, 0, 0, 0, 0]), "socket(AF_UNIX, stream)");
    assert_eq!(said(libc::SYS_socket, [99, 1, 0, 0, 0, 0]), "socket(family 99)");
    assert_eq!(second(libc::SYS_ioctl, 1 << 32 | 0x5412), "ioctl(TIOCSTI)");
    assert_eq!(first(libc::SYS_prctl, 4), "prctl(PR_SET_DUMPABLE)");
    assert_eq!(first(libc::SYS_personality, 0x0040_0000), "personality(READ_IMPLIES_EXEC)");
    assert_eq!(said(libc::SYS_mknodat, [0, 0, 0o020_600, 0, 0, 0]), "mknodat(a device)");
    assert_eq!(first(libc::SYS_prlimit64, 7), "prlimit64(another process)");
    assert_eq!(said(libc::SYS_prlimit64, [0, 4, 1, 0, 0, 0]), "prlimit64(RLIMIT_CORE)");
    assert_eq!(said(libc::SYS_execveat, [0; 6]), "execveat");
}

#[test]
fn the_line_that_would_allow_it_is_named_where_there_is_one() {
    let line = |call, args, profile| explain(&notified(call, args), profile).line;
    let udp = [10, 2, 0, 0, 0, 0];
    assert_eq!(line(libc::SYS_socket, udp, Profile::Default), Some("confine.dns = true"));
    assert_eq!(line(libc::SYS_socket, udp, Profile::Strict), BY_PROFILE);
    assert_eq!(line(libc::SYS_listen, [0; 6], Profile::Default), Some("confine.bind = [PORT]"));
    assert_eq!(line(libc::SYS_fchmodat, [0; 6], Profile::Default), Some("confine.write = [DIRECTORY]"));
    assert_eq!(line(libc::SYS_execve, [0; 6], Profile::Strict), BY_PROFILE);
    assert_eq!(line(libc::SYS_ptrace, [0; 6], Profile::Strict), None);
    let text = explain(&notified(libc::SYS_ptrace, [0; 6]), Profile::Default).to_string();
    assert!(text.ends_with("; nothing in the config allows it"), "{text}");
}

#[test]
fn every_call_that_can_be_denied_is_named_and_has_a_reason_of_its_own() {
    let groups = DANGEROUS.iter().chain(METADATA).flat_map(|group| group.calls).chain([&LISTEN, &EXEC_BY_DESCRIPTOR]);
    let conditions = ALLOWED_IF.iter().map(|conditional| &conditional.call);
    for (name, number) in groups.chain(conditions) {
        let denial = explain(&notified(*number, [u64::MAX; 6]), Profile::Default);
        assert!(denial.call.starts_with(name.trim_start_matches("SYS_")), "{name}: {denial:?}");
        assert!(!denial.why.contains("its arguments are outside"), "{name}: {denial:?}");
    }
    let strict =
        strict::WITHHELD.iter().flat_map(|group| group.calls).chain(strict::ALLOWED_IF.iter().map(|c| &c.call));
    for (name, number) in strict {
        assert_eq!(explain(&notified(*number, [0; 6]), Profile::Strict).line, BY_PROFILE, "{name}");
    }
}
