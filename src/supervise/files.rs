//! `run --explain-files`: what a call that opens, changes, executes or connects is about, and whether the plan grants it.
//!
//! Landlock is and stays the judge: the call always goes on. What is read here is the caller's own memory, which it may
//! change meanwhile: a race can blur a line, and grant nothing.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::IoSliceMut;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use crate::plan::{GrantKind, Plan};
use crate::sys::process::descriptor_of;
use crate::sys::seccomp::Notified;

/// What a line of the config would have to grant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    Path { key: &'static str, path: PathBuf },
    Port { key: &'static str, port: u16 },
}

impl Lack {
    fn key(&self) -> &'static str {
        match self {
            Lack::Path { key, .. } | Lack::Port { key, .. } => key,
        }
    }

    /// The value as TOML: JSON's strings are TOML's.
    fn value(&self) -> String {
        match self {
            Lack::Path { path, .. } => serde_json::Value::from(path.to_string_lossy()).to_string(),
            Lack::Port { port, .. } => port.to_string(),
        }
    }

    /// The line of the config.
    pub fn line(&self) -> String {
        format!("confine.{} = [{}]", self.key(), self.value())
    }
}

/// The block to paste: one key, one list.
pub fn block(lacks: &BTreeSet<Lack>) -> String {
    let mut text = String::from("[confine]\n");
    for key in ["read", "write", "execute", "connect", "bind"] {
        let values: Vec<String> = lacks.iter().filter(|lack| lack.key() == key).map(Lack::value).collect();
        if !values.is_empty() {
            text.push_str(&format!("{key} = [{}]\n", values.join(", ")));
        }
    }
    text
}

/// What the plan lacks for this call; `None` where it is granted, or where it would fail or succeed whatever is granted.
pub fn lack(notified: &Notified, plan: &Plan) -> Option<Lack> {
    let caller = Caller(notified.pid);
    let [a, b, c, d, ..] = notified.args;
    let here = libc::AT_FDCWD as u64;
    match i64::from(notified.call) {
        libc::SYS_openat => opened(plan, caller.path(a, b)?, c, caller),
        libc::SYS_openat2 => opened(plan, caller.path(a, b)?, caller.word(c)?, caller),
        libc::SYS_execve => wanted(plan, caller.path(here, a)?.existing(caller)?, GrantKind::Execute),
        libc::SYS_truncate => wanted(plan, caller.path(here, a)?.existing(caller)?, GrantKind::Write),
        libc::SYS_mkdirat | libc::SYS_unlinkat => changed(plan, caller.path(a, b)?, caller),
        libc::SYS_symlinkat => changed(plan, caller.path(b, c)?, caller),
        libc::SYS_renameat | libc::SYS_renameat2 | libc::SYS_linkat => {
            changed(plan, caller.path(a, b)?, caller).or_else(|| changed(plan, caller.path(c, d)?, caller))
        }
        libc::SYS_connect => port(plan.cage.landlock.connect.as_deref()?, caller.port(b, c)?, "connect"),
        libc::SYS_bind => port(plan.cage.landlock.bind.as_deref()?, caller.port(b, c)?, "bind"),
        #[cfg(target_arch = "x86_64")]
        older => self::older(older, notified.args, plan, caller),
        #[cfg(not(target_arch = "x86_64"))]
        _ => None,
    }
}

#[cfg(target_arch = "x86_64")]
fn older(call: i64, [a, b, ..]: [u64; 6], plan: &Plan, caller: Caller) -> Option<Lack> {
    let here = libc::AT_FDCWD as u64;
    match call {
        libc::SYS_open => opened(plan, caller.path(here, a)?, b, caller),
        libc::SYS_creat => changed(plan, caller.path(here, a)?, caller),
        libc::SYS_mkdir | libc::SYS_rmdir | libc::SYS_unlink => changed(plan, caller.path(here, a)?, caller),
        libc::SYS_symlink => changed(plan, caller.path(here, b)?, caller),
        libc::SYS_rename | libc::SYS_link => {
            changed(plan, caller.path(here, a)?, caller).or_else(|| changed(plan, caller.path(here, b)?, caller))
        }
        _ => None,
    }
}

fn opened(plan: &Plan, path: Named, flags: u64, caller: Caller) -> Option<Lack> {
    let flags = flags as i32;
    if flags & libc::O_PATH == libc::O_PATH {
        return None;
    }
    let write = flags & libc::O_ACCMODE != libc::O_RDONLY || flags & libc::O_TRUNC != 0;
    match path.existing(caller) {
        Some(real) => wanted(plan, real, if write { GrantKind::Write } else { GrantKind::Read }),
        None if flags & libc::O_CREAT != 0 => changed(plan, path, caller),
        None => None,
    }
}

/// A name made or taken away is a change of the directory that holds it.
fn changed(plan: &Plan, path: Named, caller: Caller) -> Option<Lack> {
    let parent = Named(path.0.parent()?.to_owned());
    wanted(plan, parent.existing(caller)?, GrantKind::Write)
}

fn wanted(plan: &Plan, path: PathBuf, kind: GrantKind) -> Option<Lack> {
    let enough = |granted: GrantKind| match kind {
        GrantKind::Read => true,
        GrantKind::Write => matches!(granted, GrantKind::Write | GrantKind::Device),
        GrantKind::Execute | GrantKind::Device => granted == kind,
    };
    if plan.cage.landlock.grants.iter().any(|grant| enough(grant.kind) && path.starts_with(&grant.path)) {
        return None;
    }
    let key = match kind {
        GrantKind::Execute => "execute",
        GrantKind::Write => "write",
        GrantKind::Read | GrantKind::Device => "read",
    };
    Some(Lack::Path { key, path })
}

fn port(granted: &[u16], port: u16, key: &'static str) -> Option<Lack> {
    (port != 0 && !granted.contains(&port)).then_some(Lack::Port { key, port })
}

/// A path as the caller named it, absolute.
struct Named(PathBuf);

impl Named {
    /// What it really is, if it is there at all: a missing file is missing whatever is granted.
    fn existing(&self, caller: Caller) -> Option<PathBuf> {
        // `self` is whoever looks: here it has to be the caller.
        let own = match self.0.strip_prefix("/proc/self").or_else(|_| self.0.strip_prefix("/proc/thread-self")) {
            Ok(rest) => Path::new("/proc").join(caller.0.to_string()).join(rest),
            Err(_) => self.0.clone(),
        };
        match own.canonicalize() {
            Ok(real) => Some(real),
            // A directory on the way is closed to init: the caller's own name for it is told, links and all.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Some(own),
            Err(_) => None,
        }
    }
}

/// The thread that made the call.
#[derive(Clone, Copy)]
struct Caller(u32);

/// PATH_MAX of limits.h.
const LONGEST: usize = 4096;
const PAGE: u64 = 4096;

impl Caller {
    /// The path at an address, made absolute by the directory that it is relative to.
    fn path(self, directory: u64, address: u64) -> Option<Named> {
        let text = self.text(address)?;
        let path = Path::new(OsStr::from_bytes(&text));
        if text.is_empty() || path.is_absolute() {
            return (!text.is_empty()).then(|| Named(path.to_owned()));
        }
        Some(Named(self.directory(directory as i32)?.join(path)))
    }

    /// What a directory's descriptor leads to. Its link in /proc would ask for the owner.
    fn directory(self, fd: i32) -> Option<PathBuf> {
        if fd == libc::AT_FDCWD {
            return std::fs::read_link(format!("/proc/{}/cwd", self.0)).ok();
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0)).ok()?;
        let pid = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()?;
        let copy = descriptor_of(Pid::from_raw(pid), fd).ok()?;
        std::fs::read_link(format!("/proc/self/fd/{}", copy.as_raw_fd())).ok()
    }

    /// By process_vm_readv(2), which asks for the right to trace alone: the files of /proc ask for their owner as well.
    fn read(self, address: u64, bytes: &mut [u8]) -> Option<usize> {
        let remote = [RemoteIoVec { base: usize::try_from(address).ok()?, len: bytes.len() }];
        let pid = Pid::from_raw(i32::try_from(self.0).ok()?);
        process_vm_readv(pid, &mut [IoSliceMut::new(bytes)], &remote).ok().filter(|length| *length > 0)
    }

    /// A text up to its NUL byte, page by page: the next page may not be there.
    fn text(self, address: u64) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        while text.len() < LONGEST {
            let at = address + text.len() as u64;
            let mut part = vec![0; (PAGE - at % PAGE) as usize];
            let length = self.read(at, &mut part)?;
            match part[..length].iter().position(|byte| *byte == 0) {
                Some(end) => {
                    text.extend_from_slice(&part[..end]);
                    return Some(text);
                }
                None => text.extend_from_slice(&part[..length]),
            }
        }
        None
    }

    fn word(self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes).filter(|length| *length == 8)?;
        Some(u64::from_ne_bytes(bytes))
    }

    /// The TCP port of a socket's address (struct sockaddr_in and sockaddr_in6: family, then the port).
    fn port(self, address: u64, length: u64) -> Option<u16> {
        let mut bytes = [0; 4];
        if length < 8 {
            return None;
        }
        self.read(address, &mut bytes).filter(|length| *length == 4)?;
        let family = i32::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
        matches!(family, libc::AF_INET | libc::AF_INET6).then(|| u16::from_be_bytes([bytes[2], bytes[3]]))
    }
}
