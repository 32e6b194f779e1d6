//! The network: ports that are not granted, ways past the rules for ports, and sockets that are no TCP.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

use super::{Attempt, Outcome, always, unless};
use crate::probe::facts::Facts;
use crate::sys::attempt::{Arg, address, call};
use crate::sys::descriptors;

const PORTS: &str = "Landlock: the port is not granted";
const FILTER: &str = "the filter";
const SCOPE: &str = "the filter, and Landlock's scope";

const UNIX: i32 = libc::AF_UNIX;
const INET: i32 = libc::AF_INET;
const INET6: i32 = libc::AF_INET6;
const STREAM: i32 = libc::SOCK_STREAM;
const DGRAM: i32 = libc::SOCK_DGRAM;
const RAW: i32 = libc::SOCK_RAW;

pub const ATTEMPTS: &[Attempt] = &[
    unless("network", "connect to a TCP port that is not granted", PORTS, no_tcp, |f| {
        connect(&tcp()?, &mut v4(f.closed))
    }),
    unless("network", "the same by IPv6", PORTS, no_v6, |f| {
        connect(&socket(INET6, STREAM, 0)?, &mut v6(f.closed_v6, false))
    }),
    unless("network", "the same by IPv4 in IPv6", PORTS, no_v6, |f| {
        connect(&socket(INET6, STREAM, 0)?, &mut v6(f.closed, true))
    }),
    always("network", "send with MSG_FASTOPEN by sendto", FILTER, |f| fastopen(&tcp()?, f.closed)),
    always("network", "send with MSG_FASTOPEN by sendmsg", FILTER, |f| sendmsg(&tcp()?, f.closed)),
    always("network", "connect later by TCP_FASTOPEN_CONNECT", FILTER, |_| option(&tcp()?, libc::IPPROTO_TCP as u64)),
    always("network", "the same with a bit that the kernel does not read", FILTER, |_| {
        option(&tcp()?, 1 << 32 | libc::IPPROTO_TCP as u64)
    }),
    always("network", "connect by MPTCP", FILTER, |f| {
        connect(&socket(INET, STREAM, libc::IPPROTO_MPTCP)?, &mut v4(f.closed))
    }),
    always("network", "connect by SCTP", FILTER, |_| socket(INET, STREAM, libc::IPPROTO_SCTP).map(drop)),
    unless("network", "send by UDP", FILTER, dns, |f| connect(&socket(INET, DGRAM, 0)?, &mut v4(f.udp_port))),
    unless("network", "send by UDP over IPv6", FILTER, dns, |_| socket(INET6, DGRAM, 0).map(drop)),
    always("network", "reach a unix socket by its path", FILTER, by_path),
    always("network", "reach an abstract unix socket", SCOPE, by_name),
    always("network", "a family with a bit that the kernel does not read", FILTER, |_| {
        call(libc::SYS_socket, &mut [Arg::Number(1 << 32 | UNIX as u64), Arg::Number(STREAM as u64), Arg::Number(0)])
            .map(drop)
    }),
    always("network", "a pair of sockets that reaches any path", FILTER, |_| pair(DGRAM)),
    unless("network", "listen at a port that is not granted", PORTS, no_tcp, |f| bind(&tcp()?, &mut v4(f.free))),
    unless("network", "listen without a bind", FILTER, listens, |_| {
        call(libc::SYS_listen, &mut [fd(&tcp()?), Arg::Number(1)]).map(drop)
    }),
    always("network", "netlink: list addresses", FILTER, |_| socket(libc::AF_NETLINK, RAW, 0).map(drop)),
    always("network", "netlink: list everybody's sockets", FILTER, |_| socket(libc::AF_NETLINK, RAW, 4).map(drop)),
    always("network", "raw IP", FILTER, |_| socket(INET, RAW, libc::IPPROTO_ICMP).map(drop)),
    always("network", "raw frames", FILTER, |_| socket(libc::AF_PACKET, RAW, 0).map(drop)),
    always("network", "the virtual machine's host (vsock)", FILTER, |_| socket(libc::AF_VSOCK, STREAM, 0).map(drop)),
    always("network", "the kernel's cryptography (AF_ALG)", FILTER, |_| {
        socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0).map(drop)
    }),
    always("network", "io_uring, whose calls no filter sees", FILTER, |_| {
        let mut params = [0u8; 120];
        call(libc::SYS_io_uring_setup, &mut [Arg::Number(4), Arg::Bytes(&mut params)]).map(drop)
    }),
];

fn no_tcp(f: &Facts) -> Option<&'static str> {
    f.tcp_optional.then_some("confine.optional accepts that this kernel cannot restrict TCP ports")
}

fn no_v6(f: &Facts) -> Option<&'static str> {
    no_tcp(f).or_else(|| (f.closed_v6 == 0).then_some("this host has no IPv6"))
}

fn dns(f: &Facts) -> Option<&'static str> {
    f.udp.then_some("confine.dns = true allows UDP")
}

fn listens(f: &Facts) -> Option<&'static str> {
    f.listens.then_some("confine.bind allows listening")
}

fn fd(socket: &OwnedFd) -> Arg<'static> {
    Arg::Number(socket.as_raw_fd() as u64)
}

fn socket(family: i32, kind: i32, protocol: i32) -> Result<OwnedFd, Errno> {
    let mut args = [family, kind | libc::SOCK_CLOEXEC, protocol].map(|n| Arg::Number(n as u64));
    call(libc::SYS_socket, &mut args).map(|fd| descriptors::received(fd as i32))
}

fn tcp() -> Result<OwnedFd, Errno> {
    socket(INET, STREAM, 0)
}

/// struct sockaddr_in of ip(7), on loopback.
fn v4(port: u16) -> Vec<u8> {
    [&(INET as u16).to_ne_bytes()[..], &port.to_be_bytes(), &[127, 0, 0, 1], &[0; 8]].concat()
}

/// struct sockaddr_in6 of ipv6(7), on loopback.
fn v6(port: u16, mapped: bool) -> Vec<u8> {
    let host: [u8; 16] = if mapped {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1]
    } else {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    };
    [&(INET6 as u16).to_ne_bytes()[..], &port.to_be_bytes(), &[0; 4], &host, &[0; 4]].concat()
}

fn connect(socket: &OwnedFd, to: &mut [u8]) -> Outcome {
    let length = to.len() as u64;
    call(libc::SYS_connect, &mut [fd(socket), Arg::Bytes(to), Arg::Number(length)]).map(drop)
}

fn bind(socket: &OwnedFd, to: &mut [u8]) -> Outcome {
    let length = to.len() as u64;
    call(libc::SYS_bind, &mut [fd(socket), Arg::Bytes(to), Arg::Number(length)]).map(drop)
}

fn fastopen(socket: &OwnedFd, port: u16) -> Outcome {
    let (mut byte, mut to) = (*b"x", v4(port));
    let (flags, length) = (Arg::Number(libc::MSG_FASTOPEN as u64), Arg::Number(to.len() as u64));
    call(libc::SYS_sendto, &mut [fd(socket), Arg::Bytes(&mut byte), Arg::Number(1), flags, Arg::Bytes(&mut to), length])
        .map(drop)
}

fn sendmsg(socket: &OwnedFd, port: u16) -> Outcome {
    let (byte, to) = (*b"x", v4(port));
    let part: Vec<u8> = [address(&byte), 1].iter().flat_map(|word| word.to_ne_bytes()).collect();
    // struct msghdr of sendmsg(2): name, its length, parts, their number, no control data.
    let words = [address(&to), to.len() as u64, address(&part), 1, 0, 0, 0];
    let mut message: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    call(libc::SYS_sendmsg, &mut [fd(socket), Arg::Bytes(&mut message), Arg::Number(libc::MSG_FASTOPEN as u64)])
        .map(drop)
}

fn option(socket: &OwnedFd, level: u64) -> Outcome {
    let mut on = 1i32.to_ne_bytes();
    let name = Arg::Number(libc::TCP_FASTOPEN_CONNECT as u64);
    call(libc::SYS_setsockopt, &mut [fd(socket), Arg::Number(level), name, Arg::Bytes(&mut on), Arg::Number(4)])
        .map(drop)
}

/// struct sockaddr_un of unix(7): a path, or a name after a NUL.
fn named(name: &[u8]) -> Vec<u8> {
    [&(UNIX as u16).to_ne_bytes()[..], name].concat()
}

fn by_path(f: &Facts) -> Outcome {
    let socket = socket(UNIX, STREAM, 0)?;
    // Where there is no place for one, being given a unix socket is the finding.
    let Some(dir) = &f.outside else { return Ok(()) };
    connect(&socket, &mut named(&[dir.join("socket").as_os_str().as_bytes(), &[0]].concat()))
}

fn by_name(f: &Facts) -> Outcome {
    connect(&socket(UNIX, STREAM, 0)?, &mut named(&[&[0], f.abstract_name.as_bytes()].concat()))
}

fn pair(kind: i32) -> Outcome {
    let mut both = [0u8; 8];
    let mut args = [Arg::Number(UNIX as u64), Arg::Number(kind as u64), Arg::Number(0), Arg::Bytes(&mut both)];
    call(libc::SYS_socketpair, &mut args).map(drop)
}
