//! What a denied call is told, and what its operator is told: an errno and a line. The answer is always no.
//!
//! Decided by the call's number and register values alone: nothing here reads memory that the workload can change.

mod words;

use nix::errno::Errno;

use super::profiles::default::{ALLOWED_IF, DANGEROUS, EXEC_BY_DESCRIPTOR, LISTEN};
use super::profiles::files::METADATA;
use super::profiles::{Conditional, Group, strict};
use crate::config::model::Profile;
use crate::sys::seccomp::Notified;

/// What is said about one denied call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denial {
    /// The call with its telling argument, such as `socket(AF_ALG)`.
    pub call: String,
    /// Why it is denied.
    pub why: &'static str,
    /// The line of the config that would allow it; `None` where nothing can.
    pub line: Option<&'static str>,
}

impl std::fmt::Display for Denial {
    /// The reason, and what to do about it: all but the call and who made it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}; allowed by {line}", self.why),
            None => write!(f, "{}; nothing in the config allows it", self.why),
        }
    }
}

/// The errno that makes libraries fall back or give up cleanly.
pub fn errno(call: i32) -> Errno {
    match i64::from(call) {
        libc::SYS_socket | libc::SYS_socketpair | libc::SYS_memfd_create => Errno::EACCES,
        libc::SYS_setsockopt | libc::SYS_sendto | libc::SYS_sendmsg | libc::SYS_sendmmsg => Errno::EOPNOTSUPP,
        libc::SYS_mmap | libc::SYS_mprotect | libc::SYS_pkey_mprotect | libc::SYS_execve => Errno::EACCES,
        // fexecve(3) then goes by /proc/self/fd, where Landlock decides.
        libc::SYS_execveat => Errno::ENOSYS,
        _ => Errno::EPERM,
    }
}

/// Names the call, and says why; `profile` is the one whose filter denied it.
pub fn explain(notified: &Notified, profile: Profile) -> Denial {
    let number = i64::from(notified.call);
    let (name, why, line) = reason(number, notified.args, profile);
    let name = name.strip_prefix("SYS_").unwrap_or(name);
    let call = match words::argument(number, notified.args) {
        Some(argument) => format!("{name}({argument})"),
        None => name.to_owned(),
    };
    Denial { call, why, line }
}

type Reason = (&'static str, &'static str, Option<&'static str>);

const BY_PROFILE: Option<&str> = Some("confine.profile = \"default\"");

fn reason(number: i64, args: [u64; 6], profile: Profile) -> Reason {
    if number == libc::SYS_socket || number == libc::SYS_socketpair {
        return socket(number, args, profile);
    }
    if number == LISTEN.1 {
        return ("SYS_listen", "no port is granted to listen on", Some("confine.bind = [PORT]"));
    }
    if profile == Profile::Strict
        && let Some((name, why)) = in_groups(strict::WITHHELD, number).or(in_conditions(strict::ALLOWED_IF, number))
    {
        return (name, why, BY_PROFILE);
    }
    if let Some((name, why)) = in_groups(METADATA, number) {
        return (name, why, Some("confine.write = [DIRECTORY]"));
    }
    let found =
        in_groups(DANGEROUS, number).or_else(|| in_conditions(ALLOWED_IF, number).map(|(n, _)| (n, condition(n))));
    let (name, why) = found.unwrap_or((EXEC_BY_DESCRIPTOR.0, "executes a file without a path, past the grants"));
    (name, why, None)
}

fn in_groups(groups: &'static [Group], number: i64) -> Option<(&'static str, &'static str)> {
    groups
        .iter()
        .find_map(|group| group.calls.iter().find(|(_, known)| *known == number).map(|(name, _)| (*name, group.why)))
}

fn in_conditions(conditionals: &'static [Conditional], number: i64) -> Option<(&'static str, &'static str)> {
    conditionals.iter().find(|c| c.call.1 == number).map(|c| (c.call.0, c.why))
}

/// What is wrong with a call whose condition did not hold: the condition itself says what is right.
fn condition(name: &'static str) -> &'static str {
    match name {
        "SYS_clone" => "a namespace of its own would be a new world",
        "SYS_sendto" | "SYS_sendmsg" | "SYS_sendmmsg" | "SYS_setsockopt" => {
            "connects before a port's grant is looked at; libraries go on without"
        }
        "SYS_ioctl" => "types into, takes over, stops or locks a terminal, or changes a file that was opened to read",
        "SYS_prctl" => "would undo the shield of its memory, admit a tracer or set a filter",
        "SYS_prlimit64" | "SYS_setrlimit" => "core files stay forbidden, and other processes' limits are not its own",
        "SYS_setpriority" | "SYS_sched_setaffinity" => "other processes' time is not its own",
        "SYS_personality" => "would weaken the protection of its memory",
        "SYS_mknodat" | "SYS_mknod" => "devices and sockets' names are no files",
        "SYS_memfd_create" => {
            "memory that can be executed would pass by the grants; a file there can be had with the flag"
        }
        _ => "its arguments are outside what the profile allows",
    }
}

fn socket(number: i64, args: [u64; 6], profile: Profile) -> Reason {
    let (family, kind, protocol) = (args[0] as i32, (args[1] & 0xf) as i32, args[2] as i32);
    let name = if number == libc::SYS_socket { "SYS_socket" } else { "SYS_socketpair" };
    let udp = matches!(family, libc::AF_INET | libc::AF_INET6)
        && kind == libc::SOCK_DGRAM
        && matches!(protocol, 0 | libc::IPPROTO_UDP);
    match (udp, profile) {
        (true, Profile::Default) => (name, "UDP is closed, but for resolving names", Some("confine.dns = true")),
        (true, Profile::Strict) => {
            (name, "strict is TCP alone; names are resolved by it with confine.dns = \"tcp\"", BY_PROFILE)
        }
        (false, _) if (number, family, kind) == (libc::SYS_socket, libc::AF_UNIX, libc::SOCK_DGRAM) => {
            (name, "unix sockets reach services outside the grants", Some("workload.notify = \"pass\""))
        }
        (false, _) if family == libc::AF_UNIX => {
            (name, "unix sockets reach services outside the grants; glibc tries one for nscd and goes on without", None)
        }
        (false, _) => (name, "only TCP is a socket that the grants of ports cover", None),
    }
}

#[cfg(test)]
mod tests;
