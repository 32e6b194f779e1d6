//! Arguments of denied calls as words: a socket family, a namespace, an option, never a bare number where there is a name.
//!
//! Register values alone are read, and those as the kernel reads them: `int` arguments as 32 bits.

/// The telling argument of a call, if it has one: `ptrace` has a request, `sync` has none.
pub fn argument(number: i64, args: [u64; 6]) -> Option<String> {
    let first = args[0] as u32;
    let second = args[1] as u32;
    let text = match number {
        libc::SYS_socket | libc::SYS_socketpair => socket(first as i32, (second & 0xf) as i32, args[2] as i32),
        libc::SYS_clone | libc::SYS_unshare => namespaces(args[0])?,
        libc::SYS_setns => namespaces(args[1])?,
        libc::SYS_prctl => named(&PRCTL, first),
        libc::SYS_ioctl => named(&IOCTL, second),
        libc::SYS_ptrace => named(&PTRACE, first),
        libc::SYS_setsockopt => "TCP_FASTOPEN_CONNECT".to_owned(),
        libc::SYS_sendto | libc::SYS_sendmsg | libc::SYS_sendmmsg => "MSG_FASTOPEN".to_owned(),
        libc::SYS_memfd_create => "without MFD_NOEXEC_SEAL".to_owned(),
        libc::SYS_personality => named(&PERSONALITY, first),
        libc::SYS_prlimit64 if first != 0 => "another process".to_owned(),
        libc::SYS_prlimit64 | libc::SYS_setrlimit => "RLIMIT_CORE".to_owned(),
        libc::SYS_setpriority | libc::SYS_sched_setaffinity => "another process".to_owned(),
        libc::SYS_mknodat => node(args[2] as u32),
        libc::SYS_mmap => "writable and executable".to_owned(),
        libc::SYS_mprotect | libc::SYS_pkey_mprotect => "executable".to_owned(),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_mknod => node(second),
        _ => return None,
    };
    Some(text)
}

type Names<const N: usize> = [(u32, &'static str); N];

fn known<const N: usize>(names: &Names<N>, value: u32) -> Option<&'static str> {
    names.iter().find(|(number, _)| *number == value).map(|(_, name)| *name)
}

fn named<const N: usize>(names: &Names<N>, value: u32) -> String {
    known(names, value).map_or_else(|| format!("{value:#x}"), str::to_owned)
}

const FAMILY: Names<16> = [
    (libc::AF_UNIX as u32, "AF_UNIX"),
    (libc::AF_INET as u32, "AF_INET"),
    (libc::AF_INET6 as u32, "AF_INET6"),
    (libc::AF_KEY as u32, "AF_KEY"),
    (libc::AF_NETLINK as u32, "AF_NETLINK"),
    (libc::AF_PACKET as u32, "AF_PACKET"),
    (libc::AF_RDS as u32, "AF_RDS"),
    (libc::AF_CAN as u32, "AF_CAN"),
    (libc::AF_TIPC as u32, "AF_TIPC"),
    (libc::AF_BLUETOOTH as u32, "AF_BLUETOOTH"),
    (libc::AF_ALG as u32, "AF_ALG"),
    (libc::AF_NFC as u32, "AF_NFC"),
    (libc::AF_VSOCK as u32, "AF_VSOCK"),
    (41, "AF_KCM"),
    (43, "AF_SMC"),
    (libc::AF_XDP as u32, "AF_XDP"),
];

const KIND: Names<6> = [
    (libc::SOCK_STREAM as u32, "stream"),
    (libc::SOCK_DGRAM as u32, "datagram"),
    (libc::SOCK_RAW as u32, "raw"),
    (libc::SOCK_RDM as u32, "reliable datagram"),
    (libc::SOCK_SEQPACKET as u32, "seqpacket"),
    (libc::SOCK_DCCP as u32, "DCCP"),
];

const PROTOCOL: Names<8> = [
    (libc::IPPROTO_ICMP as u32, "ICMP"),
    (libc::IPPROTO_TCP as u32, "TCP"),
    (libc::IPPROTO_UDP as u32, "UDP"),
    (libc::IPPROTO_DCCP as u32, "DCCP"),
    (libc::IPPROTO_ICMPV6 as u32, "ICMPv6"),
    (libc::IPPROTO_SCTP as u32, "SCTP"),
    (libc::IPPROTO_UDPLITE as u32, "UDP-Lite"),
    (libc::IPPROTO_MPTCP as u32, "MPTCP"),
];

/// The family; the type where a family has types; the protocol where it is not the usual one.
fn socket(family: i32, kind: i32, protocol: i32) -> String {
    let name = known(&FAMILY, family as u32).map_or_else(|| format!("family {family}"), str::to_owned);
    if !matches!(family, libc::AF_UNIX | libc::AF_INET | libc::AF_INET6) {
        return name;
    }
    let kind = known(&KIND, kind as u32).map_or_else(|| format!("type {kind}"), str::to_owned);
    if protocol == 0 {
        return format!("{name}, {kind}");
    }
    let protocol = known(&PROTOCOL, protocol as u32).map_or_else(|| format!("protocol {protocol}"), str::to_owned);
    format!("{name}, {kind}, {protocol}")
}

const NAMESPACES: Names<8> = [
    (libc::CLONE_NEWUSER as u32, "CLONE_NEWUSER"),
    (libc::CLONE_NEWNS as u32, "CLONE_NEWNS"),
    (libc::CLONE_NEWNET as u32, "CLONE_NEWNET"),
    (libc::CLONE_NEWPID as u32, "CLONE_NEWPID"),
    (libc::CLONE_NEWUTS as u32, "CLONE_NEWUTS"),
    (libc::CLONE_NEWIPC as u32, "CLONE_NEWIPC"),
    (libc::CLONE_NEWCGROUP as u32, "CLONE_NEWCGROUP"),
    (0x80, "CLONE_NEWTIME"),
];

/// clone(2) has the exit signal in its lowest bits, which no signal fills up to that of CLONE_NEWTIME.
fn namespaces(flags: u64) -> Option<String> {
    let flags = flags as u32;
    let set: Vec<&str> = NAMESPACES.iter().filter(|(bit, _)| flags & bit == *bit).map(|(_, name)| *name).collect();
    (!set.is_empty()).then(|| set.join(" | "))
}

const PRCTL: Names<3> = [
    (libc::PR_SET_DUMPABLE as u32, "PR_SET_DUMPABLE"),
    (libc::PR_SET_PTRACER as u32, "PR_SET_PTRACER"),
    (libc::PR_SET_SECCOMP as u32, "PR_SET_SECCOMP"),
];

const IOCTL: Names<11> = [
    (0x5412, "TIOCSTI"),
    (0x541c, "TIOCLINUX"),
    (0x541d, "TIOCCONS"),
    (0x5423, "TIOCSETD"),
    (0x540a, "TCXONC"),
    (0x540c, "TIOCEXCL"),
    (0x4008_6602, "FS_IOC_SETFLAGS"),
    (0x401c_5820, "FS_IOC_FSSETXATTR"),
    (0x4008_7602, "FS_IOC_SETVERSION"),
    (0x4080_6685, "FS_IOC_ENABLE_VERITY"),
    (0x800c_6613, "FS_IOC_SET_ENCRYPTION_POLICY"),
];

const PTRACE: Names<3> = [
    (libc::PTRACE_TRACEME, "PTRACE_TRACEME"),
    (libc::PTRACE_ATTACH, "PTRACE_ATTACH"),
    (libc::PTRACE_SEIZE, "PTRACE_SEIZE"),
];

const PERSONALITY: Names<3> =
    [(0x0004_0000, "ADDR_NO_RANDOMIZE"), (0x0040_0000, "READ_IMPLIES_EXEC"), (8, "PER_LINUX32")];

fn node(mode: u32) -> String {
    match mode & libc::S_IFMT {
        libc::S_IFCHR | libc::S_IFBLK => "a device",
        libc::S_IFSOCK => "a socket's name",
        _ => "a file",
    }
    .to_owned()
}
