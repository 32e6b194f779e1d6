//! Landlock: files, TCP ports and scopes, each a hard requirement, and read back by attempts that must fail.
//!
//! The crate is best-effort by default; here every part says HardRequirement and FullyEnforced alone is accepted.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, UnixAddr, bind, connect, getsockname, listen, socket,
};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, getppid};

use super::{failed, not_held};
use crate::plan::{Grant, GrantKind, LandlockPlan};
use crate::refusal::{Refusal, cause};
use crate::sys;

/// Enters the domain and verifies it. There is no way back for this process and its descendants.
pub fn enforce(plan: &LandlockPlan) -> Result<(), Refusal> {
    let tripwire = Tripwire::lay(plan)?;
    let mut ruleset = create(plan).map_err(|error| failed("the Landlock ruleset", error))?;
    for grant in &plan.grants {
        ruleset = add(ruleset, grant, abi(plan))?;
    }
    for (ports, access) in [(&plan.connect, AccessNet::ConnectTcp), (&plan.bind, AccessNet::BindTcp)] {
        for port in ports.iter().flatten() {
            ruleset =
                ruleset.add_rule(NetPort::new(*port, access)).map_err(|error| failed("a TCP port's rule", error))?;
        }
    }
    let status = ruleset.restrict_self().map_err(|error| not_entered(&error))?;
    if status.ruleset != RulesetStatus::FullyEnforced || !status.no_new_privs {
        return Err(not_held(format!("Landlock is {:?}", status.ruleset)));
    }
    tripwire.must_hold(plan)
}

/// The kernel stacks 16 domains at most (landlock_restrict_self(2), E2BIG).
fn not_entered(error: &landlock::RulesetError) -> Refusal {
    let text = cause(error);
    if text.contains(Errno::E2BIG.desc()) {
        return Refusal::host(
            "16 sandboxes already stand around this one by Landlock, and the kernel takes no 17th",
            "start it outside of some of them: each program that confines itself by Landlock, and each that it starts, adds one",
        );
    }
    failed("entering the Landlock domain", text)
}

/// The rights that are handled: those of the kernel, as far as this program knows them.
fn abi(plan: &LandlockPlan) -> ABI {
    match plan.abi {
        0..=3 => ABI::V3,
        4 => ABI::V4,
        5 => ABI::V5,
        6 => ABI::V6,
        _ => ABI::V7,
    }
}

fn create(plan: &LandlockPlan) -> Result<RulesetCreated, landlock::RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(abi(plan)))?;
    if plan.connect.is_some() {
        ruleset = ruleset.handle_access(AccessNet::ConnectTcp)?;
    }
    if plan.bind.is_some() {
        ruleset = ruleset.handle_access(AccessNet::BindTcp)?;
    }
    if plan.scopes {
        ruleset = ruleset.scope(Scope::Signal | Scope::AbstractUnixSocket)?;
    }
    ruleset.create()
}

fn add(ruleset: RulesetCreated, grant: &Grant, abi: ABI) -> Result<RulesetCreated, Refusal> {
    let path = grant.path.display();
    readable(grant)?;
    let file = PathFd::new(&grant.path).map_err(|error| unreachable(grant, &cause(error)))?;
    let mut access = rights(grant.kind, abi);
    if !grant.directory {
        access &= AccessFs::from_file(abi);
    }
    ruleset.add_rule(PathBeneath::new(file, access)).map_err(|error| failed(&format!("the rule for `{path}`"), error))
}

/// What the config names must be readable by the workload's user: this runs after the ids changed.
fn readable(grant: &Grant) -> Result<(), Refusal> {
    if !grant.from.starts_with("confine.") || grant.kind == GrantKind::Device {
        return Ok(());
    }
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    match open(&grant.path, flags, Mode::empty()) {
        // A socket or a device without a driver cannot be opened at all; a rule for it can still be made.
        Ok(_) | Err(Errno::ENXIO) => Ok(()),
        Err(errno) => Err(unreachable(grant, errno.desc())),
    }
}

fn unreachable(grant: &Grant, why: &str) -> Refusal {
    Refusal::config(
        format!("{}: the workload's user cannot open `{}`: {why}", grant.from, grant.path.display()),
        "give that user access to it and to the directories above it, or leave it out",
    )
}

fn rights(kind: GrantKind, abi: ABI) -> BitFlags<AccessFs> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    match kind {
        GrantKind::Read => read,
        GrantKind::Execute => read | AccessFs::Execute,
        GrantKind::Device => {
            let ioctl = AccessFs::from_all(abi) & AccessFs::IoctlDev;
            AccessFs::ReadFile | AccessFs::WriteFile | ioctl
        }
        GrantKind::Write => {
            let never = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock;
            (AccessFs::from_all(abi) & !never) & !BitFlags::from(AccessFs::IoctlDev)
        }
    }
}

/// Attempts that succeed, or fail otherwise, before the domain, and must fail with Landlock's errno inside it.
struct Tripwire {
    /// A port that no rule grants.
    port: Option<u16>,
    /// An abstract socket that was made outside the domain: from inside it is out of scope, whatever the ids are.
    outside: Option<(OwnedFd, UnixAddr)>,
}

impl Tripwire {
    fn lay(plan: &LandlockPlan) -> Result<Self, Refusal> {
        if let Err(errno) = list_root() {
            return Err(failed(
                "the check of Landlock by listing /",
                format!("it failed already before: {errno}", errno = cause(errno)),
            ));
        }
        let port = plan.connect.as_ref().and_then(|granted| (1..1024).find(|port| !granted.contains(port)));
        let outside = plan.scopes.then(listen_outside).transpose();
        let outside = outside.map_err(|errno| failed("the check of Landlock's scopes by an abstract socket", errno))?;
        Ok(Tripwire { port, outside })
    }

    fn must_hold(self, plan: &LandlockPlan) -> Result<(), Refusal> {
        denied("listing /", list_root(), Errno::EACCES)?;
        if let Some(port) = self.port {
            denied(&format!("connecting to the TCP port {port}"), try_connect(port), Errno::EACCES)?;
        }
        if let Some((_listener, address)) = &self.outside {
            denied("connecting to an abstract socket outside", try_abstract(address), Errno::EPERM)?;
        }
        // A parent with pid 0 lies outside our pid namespace and cannot be named.
        if plan.scopes && getppid() > Pid::from_raw(0) {
            denied("signalling init", sys::signals::send(getppid(), 0), Errno::EPERM)?;
        }
        Ok(())
    }
}

fn denied(what: &str, attempt: Result<(), Errno>, expected: Errno) -> Result<(), Refusal> {
    match attempt {
        Err(errno) if errno == expected => Ok(()),
        Err(errno) => Err(not_held(format!("{what} failed with {errno} instead of {expected}"))),
        Ok(()) => Err(not_held(format!("{what} worked inside the Landlock domain"))),
    }
}

fn list_root() -> Result<(), Errno> {
    open(Path::new("/"), OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).map(drop)
}

/// The kernel chooses the name (autobind of unix(7)).
fn listen_outside() -> Result<(OwnedFd, UnixAddr), Errno> {
    let listener = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(listener.as_raw_fd(), &UnixAddr::new_unnamed())?;
    listen(&listener, Backlog::new(1)?)?;
    let address = getsockname(listener.as_raw_fd())?;
    Ok((listener, address))
}

fn try_abstract(address: &UnixAddr) -> Result<(), Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let probe = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(probe.as_raw_fd(), address)
}

/// Landlock decides before the network does: no packet leaves when it denies.
fn try_connect(port: u16) -> Result<(), Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let probe = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
    connect(probe.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)))
}
