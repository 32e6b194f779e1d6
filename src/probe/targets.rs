//! What stands outside the cage while it is attacked: a process of the same user, listeners, a directory with a secret.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::facts::{Facts, MARK};
use crate::confine::ids;
use crate::launch::roles;
use crate::plan::{Grant, GrantKind, Plan};
use crate::refusal::{Refusal, cause};
use crate::sys::process;

/// Alive as long as this value; then everything is taken away.
pub struct Targets {
    facts: Facts,
    process: Option<Pid>,
    _listeners: (TcpListener, Option<TcpListener>, UdpSocket, UnixListener, Option<UnixListener>),
    /// Its address is the same in the process that was forked with it.
    _mark: Box<[u8; 32]>,
}

/// Where a directory may be made, if the workload is not granted it.
const PLACES: [&str; 4] = ["/tmp", "/var/tmp", "/dev/shm", "/run"];

impl Targets {
    pub fn set_up(plan: &Plan) -> Result<Targets, Refusal> {
        let failed = |error: std::io::Error| missing(&cause(error));
        let closed = ungranted(plan, plan.cage.landlock.connect.as_deref())?;
        let closed_v6 = TcpListener::bind("[::1]:0").ok();
        let udp = UdpSocket::bind("127.0.0.1:0").map_err(failed)?;
        let free = ungranted(plan, plan.cage.landlock.bind.as_deref())?;
        let name = format!("portcullis-probe-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).map_err(failed)?;
        let named = UnixListener::bind_addr(&address).map_err(failed)?;
        let outside = place(plan);
        let socket =
            outside.as_deref().map(|dir| UnixListener::bind(dir.join("socket"))).transpose().map_err(failed)?;
        let mark = Box::new(*MARK);
        let facts = Facts {
            outside,
            write: granted(plan, |grant| grant.kind == GrantKind::Write && grant.directory),
            read: granted(plan, |grant| grant.from == "confine.read" && !grant.directory),
            identities: identities(plan),
            closed: port(&closed).map_err(failed)?,
            closed_v6: closed_v6.as_ref().and_then(|listener| port(listener).ok()).unwrap_or(0),
            udp_port: udp.local_addr().map_err(failed)?.port(),
            free: port(&free).map_err(failed)?,
            abstract_name: name,
            target: 0,
            address: mark.as_ptr() as u64,
            udp: plan.cage.syscalls.dns == crate::config::model::Dns::Udp,
            listens: plan.cage.syscalls.listen,
            tcp_optional: plan.cage.landlock.connect.is_none(),
            scopes_optional: !plan.cage.landlock.scopes,
            bounding: plan.cage.bounding,
        };
        // The free port is free from here on.
        drop(free);
        let mut targets =
            Targets { facts, process: None, _listeners: (closed, closed_v6, udp, named, socket), _mark: mark };
        if let Some(dir) = &targets.facts.outside {
            furnish(dir, plan).map_err(failed)?;
        }
        let target = start(plan)?;
        targets.process = Some(target);
        targets.facts.target = target.as_raw();
        Ok(targets)
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }
}

impl Drop for Targets {
    fn drop(&mut self) {
        if let Some(pid) = self.process {
            // Gone already is as good.
            roles::kill(pid).ok();
            process::wait_for(pid).ok();
        }
        if let Some(dir) = &self.facts.outside {
            // What an escape put there goes as well; a left-over is no failure of the cage.
            fs::remove_dir_all(dir).ok();
        }
    }
}

fn missing(why: &str) -> Refusal {
    Refusal::host(
        format!("the probe's targets could not be set up: {why}"),
        "run it where loopback and /tmp are to be had",
    )
}

fn port(listener: &TcpListener) -> std::io::Result<u16> {
    Ok(listener.local_addr()?.port())
}

/// The kernel's choice of a port may be a granted one: another is asked for.
fn ungranted(plan: &Plan, granted: Option<&[u16]>) -> Result<TcpListener, Refusal> {
    let mut refused = Vec::new();
    for _ in 0..32 {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| missing(&cause(error)))?;
        let port = port(&listener).map_err(|error| missing(&cause(error)))?;
        if !granted.is_some_and(|ports| ports.contains(&port))
            && plan.cage.landlock.bind.as_deref().is_none_or(|b| !b.contains(&port))
        {
            return Ok(listener);
        }
        refused.push(listener);
    }
    Err(missing("every port that the kernel offered is granted"))
}

fn granted(plan: &Plan, wanted: impl Fn(&Grant) -> bool) -> Option<PathBuf> {
    plan.cage.landlock.grants.iter().find(|grant| wanted(grant)).map(|grant| grant.path.clone())
}

fn identities(plan: &Plan) -> Vec<PathBuf> {
    let Some(fetch) = &plan.fetch else { return Vec::new() };
    let age = fetch.age.iter().map(|key| key.path().clone());
    let store = fetch.vault.iter().flat_map(|store| store.identity_files()).cloned();
    let files = fetch.secrets.iter().filter(|secret| secret.from.source == crate::config::reference::Source::File);
    age.chain(store).chain(files.filter_map(|secret| secret.file.clone())).collect()
}

/// A directory of its own, in the first place that may be written and that no grant covers.
fn place(plan: &Plan) -> Option<PathBuf> {
    let uncovered = |path: &Path| !plan.cage.landlock.grants.iter().any(|grant| path.starts_with(&grant.path));
    PLACES.iter().filter_map(|place| Path::new(place).canonicalize().ok()).find_map(|place| {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let turn = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = place.join(format!("portcullis-probe-{}-{turn}", std::process::id()));
        (uncovered(&dir) && fs::DirBuilder::new().mode(0o700).create(&dir).is_ok()).then_some(dir)
    })
}

fn furnish(dir: &Path, plan: &Plan) -> std::io::Result<()> {
    fs::write(dir.join("secret"), MARK)?;
    for name in ["file", "rename", "remove"] {
        fs::write(dir.join(name), "untouched")?;
    }
    fs::write(dir.join("program"), "#!/bin/sh\nexit 0\n")?;
    fs::set_permissions(dir.join("program"), fs::Permissions::from_mode(0o755))?;
    fs::create_dir(dir.join("empty"))?;
    if plan.cage.ids.change {
        let ids = &plan.cage.ids;
        for name in ["", "secret", "file", "rename", "remove", "program", "socket", "empty"] {
            chown(dir.join(name), Some(ids.uid), Some(ids.gid))?;
        }
    }
    Ok(())
}

/// A process of the workload's user that does nothing, and can be read by its like.
fn start(plan: &Plan) -> Result<Pid, Refusal> {
    let odd = |errno: nix::errno::Errno| missing(errno.desc());
    let (ready, told) = nix::unistd::pipe().map_err(odd)?;
    if let Some(pid) = process::fork().map_err(odd)? {
        drop(told);
        let mut byte = [0];
        // Its end closes when it is as it should be, or gone: then the attempts without a cage say so.
        nix::unistd::read(&ready, &mut byte).map_err(odd)?;
        return Ok(pid);
    }
    let ids = &plan.cage.ids;
    let changed = if ids.change { ids::change(ids.uid, ids.gid, &ids.groups) } else { Ok(()) };
    let visible = nix::sys::prctl::set_dumpable(true).and(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL));
    if changed.is_err() || visible.is_err() {
        process::exit_now(1);
    }
    drop(told);
    loop {
        nix::unistd::pause();
    }
}
