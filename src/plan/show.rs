//! The plan in words: one screen for a person, JSON for a program, one line for the log of a start.

mod exec;

use std::time::Duration;

use serde_json::json;

use super::cage::SYSTEM;
use super::model::{Delivery, GrantKind, Image, Notify, Plan};
use crate::config::model::{Dns, Mode, Profile};
use crate::config::signal::SignalName;
use crate::secret::Vouched;

/// The line of a start: what holds, and what is missing.
///
/// `explained` is whether denied calls are answered by this process.
pub fn summary(plan: &Plan, took: Duration, explained: bool) -> String {
    let cage = &plan.cage;
    let secrets = match &plan.fetch {
        None => "no secrets".to_owned(),
        Some(fetch) => {
            let each = fetch.secrets.iter().map(|secret| format!("{} from {}", secret.name, secret.from.source.name()));
            format!("secrets {}", each.collect::<Vec<_>>().join(", "))
        }
    };
    let silent = match (plan.cage.syscalls.explained, explained) {
        (true, false) => "; MISSING, as confine.optional allows: denials are not explained",
        _ => "",
    };
    let missing: String =
        plan.notes.iter().filter(|note| note.starts_with("MISSING")).map(|note| format!("; {note}")).collect();
    format!(
        "started {} as {}:{}, no capabilities, no_new_privs, seccomp {} profile, landlock abi {}, {}, {secrets}, verified, in {} ms{missing}{silent}",
        plan.launch.program.display(),
        cage.ids.uid,
        cage.ids.gid,
        profile(cage.syscalls.profile),
        cage.landlock.abi,
        shield(&plan.launch.image),
        took.as_millis(),
    )
}

fn profile(profile: Profile) -> &'static str {
    match profile {
        Profile::Default => "default",
        Profile::Strict => "strict",
    }
}

fn shield(image: &Image) -> &'static str {
    match image {
        Image::Direct => "not shielded",
        Image::ProgramCopy | Image::LoaderCopy(_) => "undumpable",
    }
}

const NOTE: &str = "note";

/// One screen. `live` adds what the stores said of each secret; `now` is in seconds since 1970.
pub fn text(plan: &Plan, live: Option<&[Vouched]>, now: i64) -> String {
    let mut out = Screen::default();
    let launch = &plan.launch;
    let argv: Vec<String> = launch.argv.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    out.line("program", &format!("{} ({})", launch.program.display(), argv.join(" ")));
    out.line("image", &image(&launch.image));
    out.line("workdir", &launch.workdir.display().to_string());
    let names: Vec<&str> = launch.env.iter().map(|(name, _)| name.as_str()).collect();
    out.line("environment", &names.join(" "));
    out.line("user", &user(plan));
    out.line(
        "capabilities",
        if plan.cage.bounding { "none, bounding set empty, securebits locked" } else { "none, bounding set as found" },
    );
    out.line("syscalls", &syscalls(plan));
    grants(plan, &mut out);
    out.line("connect", &ports(plan.cage.landlock.connect.as_deref()));
    out.line("bind", &ports(plan.cage.landlock.bind.as_deref()));
    out.line(
        "scopes",
        if plan.cage.landlock.scopes { "signals and abstract unix sockets stay inside" } else { "NOT RESTRICTED" },
    );
    out.line("limits", &limits(plan));
    secrets(plan, live, now, &mut out);
    for command in plan.fetch.iter().flat_map(|fetch| &fetch.exec) {
        out.line("commands", &exec::text(command));
    }
    out.line("delivery", &delivery(&plan.delivery));
    out.line(
        "mode",
        &format!("{}, deadline {:?}, stop timeout {:?}", mode(plan.mode), plan.deadline, plan.stop.timeout),
    );
    if let Some(notify) = &plan.launch.notify {
        out.line("service", &service(notify));
    }
    signals(plan, &mut out);
    out.line("host", &format!("Linux {}, landlock abi {}", plan.kernel, plan.cage.landlock.abi));
    for note in &plan.notes {
        out.line(NOTE, note);
    }
    out.line("verified", "the cage was built on this host and read back");
    out.0
}

/// Lines of a name and a text; a name that repeats is written once, but for notes: each is found by its word.
#[derive(Default)]
struct Screen(String, &'static str);

impl Screen {
    fn line(&mut self, name: &'static str, text: &str) {
        let shown = if self.1 == name && name != NOTE { "" } else { name };
        self.1 = name;
        self.0.push_str(&format!("{shown:<13} {}\n", crate::refusal::escape(text)));
    }
}

fn image(image: &Image) -> String {
    match image {
        Image::Direct => "the program itself: dumpable".to_owned(),
        Image::ProgramCopy => "a sealed copy of the program: undumpable".to_owned(),
        Image::LoaderCopy(loader) => format!("a sealed copy of its loader {}: undumpable", loader.display()),
    }
}

fn user(plan: &Plan) -> String {
    let ids = &plan.cage.ids;
    let groups: Vec<String> = ids.groups.iter().map(u32::to_string).collect();
    let groups = if groups.is_empty() { "none".to_owned() } else { groups.join(",") };
    let how = if ids.change { "changed to" } else { "as started" };
    format!("{}:{}, supplementary groups {groups} ({how})", ids.uid, ids.gid)
}

fn syscalls(plan: &Plan) -> String {
    let syscalls = &plan.cage.syscalls;
    let sockets = match (syscalls.dns == Dns::Udp, syscalls.notify) {
        (false, false) => "TCP sockets only",
        (true, false) => "TCP and UDP sockets",
        (false, true) => "TCP and unix datagram sockets",
        (true, true) => "TCP, UDP and unix datagram sockets",
    };
    let told = if syscalls.explained { "denials explained" } else { "denials silent" };
    let profile = profile(syscalls.profile);
    let code = if syscalls.deny_write_execute {
        ", memory is writable or executable and no program but the command"
    } else {
        ""
    };
    format!("{profile} profile, {sockets}, {told}{code}")
}

fn grants(plan: &Plan, out: &mut Screen) {
    for (kind, name) in [
        (GrantKind::Read, "read"),
        (GrantKind::Execute, "execute"),
        (GrantKind::Write, "write"),
        (GrantKind::Device, "devices"),
    ] {
        let of_kind = plan.cage.landlock.grants.iter().filter(|grant| grant.kind == kind);
        let (own, base): (Vec<_>, Vec<_>) = of_kind.partition(|grant| grant.from != SYSTEM);
        let list = |grants: &[&super::Grant]| {
            grants.iter().map(|g| g.path.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        let (runtimes, own): (Vec<_>, Vec<_>) = own.into_iter().partition(|grant| grant.from.ends_with("'s own"));
        if !own.is_empty() {
            out.line(name, &list(&own));
        }
        for runtime in runtimes {
            out.line(name, &format!("{} ({})", runtime.path.display(), runtime.from));
        }
        match base.len() {
            0 => {}
            1..=4 => out.line(name, &format!("{} (the system's own)", list(&base))),
            many => out.line(
                name,
                &format!("{many} paths of the system: names, certificates, time zones, /proc (--json lists them)"),
            ),
        }
    }
}

fn ports(ports: Option<&[u16]>) -> String {
    match ports {
        None => "NOT RESTRICTED: any TCP port".to_owned(),
        Some([]) => "no TCP port".to_owned(),
        Some(ports) => format!("TCP {} on any address", ports.iter().map(u16::to_string).collect::<Vec<_>>().join(" ")),
    }
}

fn limits(plan: &Plan) -> String {
    let own = plan.cage.limits.iter().map(|(limit, value)| format!(" {} {value}", format!("{limit:?}").to_lowercase()));
    format!("core {}{}", plan.cage.core, own.collect::<String>())
}

fn secrets(plan: &Plan, live: Option<&[Vouched]>, now: i64, out: &mut Screen) {
    let Some(fetch) = &plan.fetch else { return out.line("secrets", "none") };
    for (index, secret) in fetch.secrets.iter().enumerate() {
        let most =
            secret.max_age.map(|most| format!(", at most {} old", age(most.as_secs() as i64))).unwrap_or_default();
        let found = match live.and_then(|notes| notes.get(index)) {
            None => String::new(),
            Some(note) => found(note, now),
        };
        out.line("secrets", &format!("{} from {}{most}{found}", secret.name, secret.from));
        let beyond = live.and_then(|notes| notes.get(index)?.beyond).unwrap_or_default().words();
        if !beyond.is_empty() {
            out.line(
                "warning",
                &format!(
                    "the identity may do more at {} than this start needs: {}; take it out of its policy",
                    secret.from.path,
                    beyond.join(", ")
                ),
            );
        }
    }
}

/// Version, age and lease, as the store has them.
fn found(note: &Vouched, now: i64) -> String {
    let version = note.version.map(|version| format!(", version {version}")).unwrap_or_default();
    let set = match (note.set_at, note.lease) {
        (Some(at), _) => format!(", set {} ago", age((now - at).max(0))),
        (None, None) => ", no time known".to_owned(),
        (None, Some(_)) => String::new(),
    };
    let lease = note.lease.map(|lease| {
        let renewable = if lease.renewable { "renewable" } else { "not renewable" };
        format!(", leased for {}, {renewable}, given back", age(i64::try_from(lease.seconds).unwrap_or(i64::MAX)))
    });
    format!(": fetched{version}{set}{}", lease.unwrap_or_default())
}

fn age(seconds: i64) -> String {
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn delivery(delivery: &Delivery) -> String {
    let mut ways = Vec::new();
    if delivery.pipe {
        ways.push("a pipe (PORTCULLIS_CREDENTIALS_FD)".to_owned());
    }
    if delivery.stdin {
        ways.push("standard input".to_owned());
    }
    ways.extend(
        delivery.files.iter().map(|file| format!("a sealed file ({}, {:?})", file.var, file.format).to_lowercase()),
    );
    ways.extend(delivery.env.iter().map(|env| format!("the variable {} (last resort)", env.var)));
    if ways.is_empty() { "nothing".to_owned() } else { ways.join(", ") }
}

fn service(notify: &Notify) -> String {
    match notify {
        Notify::Ready { .. } => "portcullis says READY=1 once the program runs".to_owned(),
        Notify::Pass { watchdog: None, .. } => "the program says READY=1 itself".to_owned(),
        Notify::Pass { watchdog: Some(micros), .. } => {
            format!("the program says READY=1 itself, and WATCHDOG=1 every {} us", micros.display())
        }
    }
}

/// Only where it is not as usual: TERM is TERM, and every other signal itself.
fn signals(plan: &Plan, out: &mut Screen) {
    let stop = &plan.stop;
    if stop.signal != SignalName::TERM.number() || !stop.before.is_empty() {
        let before = stop.before.iter().map(|(signal, wait)| format!("{}, {wait:?} later ", SignalName::of(*signal)));
        out.line("stop", &format!("{}{}", before.collect::<String>(), SignalName::of(stop.signal)));
    }
    for (from, to) in &plan.rewrite {
        let to = to.map_or("nothing".to_owned(), |to| SignalName::of(to).to_string());
        out.line("rewrite", &format!("{} is taken for {to}", SignalName::of(*from)));
    }
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Supervise => "supervise",
        Mode::Replace => "replace",
    }
}

/// The same for programs; keys only grow.
pub fn json(plan: &Plan, live: Option<&[Vouched]>, now: i64) -> String {
    let cage = &plan.cage;
    let grants: Vec<_> = cage
        .landlock
        .grants
        .iter()
        .map(|g| json!({ "path": g.path.to_string_lossy(), "access": format!("{:?}", g.kind).to_lowercase(), "from": g.from }))
        .collect();
    let secrets = plan.fetch.iter().flat_map(|fetch| fetch.secrets.iter().enumerate()).map(|(index, secret)| {
        let note = live.and_then(|notes| notes.get(index));
        json!({
            "name": secret.name,
            "from": secret.from.to_string(),
            "max_age_seconds": secret.max_age.map(|most| most.as_secs()),
            "fetched": note.is_some(),
            "version": note.and_then(|note| note.version),
            "age_seconds": note.and_then(|note| note.set_at).map(|at| (now - at).max(0)),
            "lease_seconds": note.and_then(|note| note.lease).map(|lease| lease.seconds),
            "renewable": note.and_then(|note| note.lease).map(|lease| lease.renewable),
            "allowed_beyond": note.and_then(|note| note.beyond).map(|beyond| beyond.words()),
        })
    });
    let value = json!({
        "program": plan.launch.program.to_string_lossy(),
        "argv": plan.launch.argv.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>(),
        "undumpable": plan.launch.image != Image::Direct,
        "image": image(&plan.launch.image),
        "workdir": plan.launch.workdir.to_string_lossy(),
        "environment": plan.launch.env.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "user": { "uid": cage.ids.uid, "gid": cage.ids.gid, "groups": cage.ids.groups, "changed": cage.ids.change },
        "capabilities": { "bounding_set_empty": cage.bounding },
        "landlock": {
            "abi": cage.landlock.abi,
            "grants": grants,
            "connect": cage.landlock.connect,
            "bind": cage.landlock.bind,
            "scopes": cage.landlock.scopes,
        },
        "syscalls": { "profile": profile(cage.syscalls.profile), "explained": cage.syscalls.explained, "udp": cage.syscalls.dns == Dns::Udp, "unix_datagram": cage.syscalls.notify },
        "notify": plan.launch.notify.as_ref().map(|notify| match notify {
            Notify::Ready { .. } => "ready",
            Notify::Pass { .. } => "pass",
        }),
        "secrets": secrets.collect::<Vec<_>>(),
        "commands": plan.fetch.iter().flat_map(|fetch| &fetch.exec).map(exec::json).collect::<Vec<_>>(),
        "delivery": {
            "pipe": plan.delivery.pipe,
            "stdin": plan.delivery.stdin,
            "files": plan.delivery.files.iter().map(|file| &file.var).collect::<Vec<_>>(),
            "env": plan.delivery.env.iter().map(|env| &env.var).collect::<Vec<_>>(),
        },
        "mode": mode(plan.mode),
        "deadline_ms": plan.deadline.as_millis() as u64,
        "stop_timeout_ms": plan.stop.timeout.as_millis() as u64,
        "stop_signal": plan.stop.signal,
        "stop_before": plan.stop.before.iter().map(|(signal, wait)| json!({ "signal": signal, "wait_ms": wait.as_millis() as u64 })).collect::<Vec<_>>(),
        "rewrite": plan.rewrite.iter().map(|(from, to)| json!({ "from": from, "to": to })).collect::<Vec<_>>(),
        "kernel": plan.kernel,
        "notes": plan.notes,
        "verified": true,
    });
    format!("{value:#}\n")
}
