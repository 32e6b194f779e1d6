//! What a denied call is told, and what its operator is told: an errno and a line. The answer is always no.
//!
//! Decided by the call's number and register values alone: nothing here reads memory that the workload can change.

use nix::errno::Errno;

use super::profiles::default::{ALLOWED_IF, DANGEROUS, EXEC_BY_DESCRIPTOR, LISTEN, METADATA};
use crate::sys::seccomp::Notified;

/// What is said about one denied call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denial {
    /// The call with its telling argument, such as `socket(AF_UNIX)`.
    pub call: String,
    /// Why it is denied, or what would allow it.
    pub why: &'static str,
}

/// The errno that makes libraries fall back or give up cleanly.
pub fn errno(call: i32) -> Errno {
    match i64::from(call) {
        libc::SYS_socket | libc::SYS_socketpair | libc::SYS_memfd_create => Errno::EACCES,
        libc::SYS_setsockopt | libc::SYS_sendto | libc::SYS_sendmsg | libc::SYS_sendmmsg => Errno::EOPNOTSUPP,
        // fexecve(3) then goes by /proc/self/fd, where Landlock decides.
        libc::SYS_execveat => Errno::ENOSYS,
        _ => Errno::EPERM,
    }
}

/// Names the call, and says why.
pub fn explain(notified: &Notified) -> Denial {
    let number = i64::from(notified.call);
    if number == libc::SYS_socket || number == libc::SYS_socketpair {
        return socket(number, notified.args);
    }
    if number == LISTEN.1 {
        return Denial { call: "listen".to_owned(), why: "no port is granted to listen on; confine.bind names them" };
    }
    let by_group = DANGEROUS
        .iter()
        .chain(METADATA)
        .find_map(|group| group.calls.iter().find(|(_, known)| *known == number).map(|(name, _)| (*name, group.why)));
    let by_condition = || ALLOWED_IF.iter().find(|c| c.call.1 == number).map(|c| (c.call.0, c.why));
    let by_descriptor = (EXEC_BY_DESCRIPTOR.0, "executes a file without a path, past the grants");
    let (name, why) = by_group.or_else(by_condition).unwrap_or(by_descriptor);
    Denial { call: plain_name(name).to_owned(), why }
}

fn plain_name(name: &str) -> &str {
    name.strip_prefix("SYS_").unwrap_or(name)
}

fn socket(number: i64, args: [u64; 6]) -> Denial {
    let (family, kind, protocol) = (args[0] as i32, (args[1] & 0xf) as i32, args[2] as i32);
    let name = if number == libc::SYS_socket { "socket" } else { "socketpair" };
    let udp = matches!(family, libc::AF_INET | libc::AF_INET6)
        && kind == libc::SOCK_DGRAM
        && matches!(protocol, 0 | libc::IPPROTO_UDP);
    let why = if udp {
        "UDP is closed; confine.dns = true allows it, for name resolution"
    } else if family == libc::AF_UNIX {
        "unix sockets reach services outside the grants; glibc tries one for nscd and goes on without"
    } else {
        "only TCP is allowed; nothing in the config allows this"
    };
    Denial { call: format!("{name}({}, {}, {})", family_name(family), kind_name(kind), protocol_name(protocol)), why }
}

fn family_name(family: i32) -> String {
    let known = match family {
        libc::AF_UNIX => "AF_UNIX",
        libc::AF_INET => "AF_INET",
        libc::AF_INET6 => "AF_INET6",
        libc::AF_NETLINK => "AF_NETLINK",
        libc::AF_PACKET => "AF_PACKET",
        libc::AF_ALG => "AF_ALG",
        libc::AF_VSOCK => "AF_VSOCK",
        libc::AF_BLUETOOTH => "AF_BLUETOOTH",
        libc::AF_CAN => "AF_CAN",
        libc::AF_TIPC => "AF_TIPC",
        other => return format!("family {other}"),
    };
    known.to_owned()
}

fn kind_name(kind: i32) -> &'static str {
    match kind {
        libc::SOCK_STREAM => "stream",
        libc::SOCK_DGRAM => "datagram",
        libc::SOCK_RAW => "raw",
        libc::SOCK_SEQPACKET => "seqpacket",
        _ => "other",
    }
}

fn protocol_name(protocol: i32) -> String {
    match protocol {
        0 => "default".to_owned(),
        libc::IPPROTO_TCP => "TCP".to_owned(),
        libc::IPPROTO_UDP => "UDP".to_owned(),
        libc::IPPROTO_ICMP => "ICMP".to_owned(),
        libc::IPPROTO_SCTP => "SCTP".to_owned(),
        libc::IPPROTO_MPTCP => "MPTCP".to_owned(),
        other => format!("protocol {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notified(call: i64, args: [u64; 6]) -> Notified {
        Notified { id: 1, pid: 1, call: call as i32, args }
    }

    #[test]
    fn calls_are_named_in_words() {
        let said = |call, args| explain(&notified(call, args)).call;
        assert_eq!(said(libc::SYS_ptrace, [0; 6]), "ptrace");
        assert_eq!(said(libc::SYS_clone, [0; 6]), "clone");
        assert_eq!(said(libc::SYS_execveat, [0; 6]), "execveat");
        assert_eq!(said(libc::SYS_socket, [38, 5 | 0o2000000, 0, 0, 0, 0]), "socket(AF_ALG, seqpacket, default)");
        assert_eq!(said(libc::SYS_socket, [2, 1, 262, 0, 0, 0]), "socket(AF_INET, stream, MPTCP)");
    }

    #[test]
    fn udp_names_the_line_that_would_allow_it() {
        assert!(explain(&notified(libc::SYS_socket, [10, 2, 0, 0, 0, 0])).why.contains("confine.dns"));
    }
}
