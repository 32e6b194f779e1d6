//! The cage, decided: who the workload is, what it may touch, and what this host can enforce of it.

mod demands;

use demands::{explainable, required, write_xor_execute};

use super::model::{Cage, Grant, GrantKind, Ids, LandlockPlan, Launch, Notify, SyscallPlan};
use super::{Host, is_optional};
use crate::config::model::{Dns, Mode, Optional, Profile};
use crate::config::values::AbsPath;
use crate::config::{Config, Loaded};
use crate::host::aliases;
use crate::host::paths::{self, Found};
use crate::refusal::{Refusal, cause};

/// Landlock ABI 3 (Linux 6.2): below it a file outside the grants could still be truncated.
const OLDEST_ABI: u32 = 3;
const TCP_ABI: u32 = 4;
const SCOPES_ABI: u32 = 6;

/// Who the workload will be. Started as root, the config must say; started as somebody, it can only be that one.
pub fn ids(config: &Config, host: &Host, notes: &mut Vec<String>) -> Result<Ids, Refusal> {
    let process = &host.process;
    let named = config.workload.user.as_ref().map(|spec| host.users.resolve(spec, "workload.user")).transpose()?;
    let mut groups = config
        .workload
        .groups
        .iter()
        .map(|group| host.users.resolve_group(group, "workload.groups"))
        .collect::<Result<Vec<u32>, Refusal>>()?;
    groups.sort_unstable();
    groups.dedup();
    let (uid, gid) = match (&named, process.uid) {
        (Some(user), _) => (user.uid, user.gid),
        (None, 0) => return Err(root_needs_a_user()),
        (None, uid) => (uid, process.gid),
    };
    if uid == 0 {
        return Err(root_is_refused("the workload would be root"));
    }
    if process.uid != 0 {
        return as_found(host, uid, gid, groups, notes);
    }
    if gid == 0 || groups.contains(&0) {
        return Err(root_is_refused("the workload would be in root's group"));
    }
    if !(process.can_setuid && process.can_setgid) {
        return Err(Refusal::host(
            format!("this container's root may not become uid {uid}: CAP_SETUID or CAP_SETGID is missing"),
            "start it as that user (docker run --user), or add the capabilities SETUID and SETGID",
        ));
    }
    if !process.can_kill {
        return Err(Refusal::host(
            format!("this container's root may not signal uid {uid}: CAP_KILL is missing, so it could not be stopped"),
            "add the capability KILL, or start as that user (docker run --user)",
        ));
    }
    Ok(Ids { uid, gid, groups, change: true })
}

fn root_needs_a_user() -> Refusal {
    Refusal::config(
        "started as root, and no user is named for the workload",
        "set workload.user, such as \"65532:65532\" (or --user), or start as a plain user",
    )
}

fn root_is_refused(what: &str) -> Refusal {
    Refusal::config(what, "name a plain user and group in workload.user, such as \"65532:65532\"")
}

/// A plain user cannot change ids: what the config says must be what is there.
fn as_found(host: &Host, uid: u32, gid: u32, groups: Vec<u32>, notes: &mut Vec<String>) -> Result<Ids, Refusal> {
    let process = &host.process;
    if (uid, gid) != (process.uid, process.gid) {
        return Err(Refusal::host(
            format!("started as {}:{}, which may not become {uid}:{gid}", process.uid, process.gid),
            "start as root or as that user, or leave workload.user out",
        ));
    }
    if !groups.is_empty() && groups != process.groups {
        return Err(Refusal::host(
            format!("started with the groups {:?}, which a plain user may not change to {groups:?}", process.groups),
            "start with those groups, or leave workload.groups out",
        ));
    }
    if process.gid == 0 || process.groups.contains(&0) {
        // `docker run --user UID` without a group, and OpenShift, start like this.
        notes.push("the workload is in root's group (0), as it was started: a file of that group is within its reach where a grant covers it".to_owned());
    }
    Ok(Ids { uid, gid, groups: process.groups.clone(), change: false })
}

pub fn decide(
    loaded: &Loaded,
    host: &Host,
    ids: Ids,
    launch: &Launch,
    notes: &mut Vec<String>,
) -> Result<Cage, Refusal> {
    let (config, explain_files) = (&loaded.config, loaded.explain_files);
    if explain_files {
        explainable(config, host, &ids)?;
        notes.push("every call about files and ports is looked at: for writing a config, not for service".to_owned());
    }
    required(config, host)?;
    let abi = landlock_abi(host)?;
    if let Err(errno) = host.kernel.seccomp {
        return Err(Refusal::host(
            format!("this kernel or an outer sandbox withholds seccomp filters ({errno})", errno = cause(errno)),
            "allow the seccomp system call in the container's own profile, or use Linux 5.0 or newer",
        ));
    }
    if !host.process.can_setpcap {
        notes.push(format!(
            "the bounding set ({}) and securebits stay as found, inert under no_new_privs: no CAP_SETPCAP here",
            if host.process.bounding.is_empty() { "empty".to_owned() } else { host.process.bounding.len().to_string() }
        ));
    }
    let landlock = landlock(config, host, abi, launch, notes)?;
    let limits = config.workload.limits.iter().map(|(limit, size)| (*limit, size.get())).collect();
    let syscalls = SyscallPlan {
        profile: config.confine.profile,
        deny_write_execute: config.confine.profile == Profile::Strict && write_xor_execute(config, host, notes)?,
        dns: config.confine.dns,
        listen: !config.confine.bind.is_empty(),
        metadata: !config.confine.write.is_empty(),
        explained: config.mode == Mode::Supervise,
        explanation_optional: is_optional(config, Optional::ExplainedDenials),
        notify: matches!(launch.notify, Some(Notify::Pass { .. })),
        exec_by_descriptor: config.mode == Mode::Replace,
        explain_files,
    };
    if !config.confine.bind.is_empty() {
        notes.push("confine.bind lets the program call listen(), and the kernel chooses any port for a socket that was bound to none: Landlock covers bind alone".to_owned());
    }
    if syscalls.metadata {
        notes.push("with a place to write, modes, owners and times of files of the same user can be changed outside it too (contents cannot)".to_owned());
    }
    if config.confine.dns == Dns::Udp {
        notes.push("dns = true lets UDP leave to any address and port (dns = \"tcp\" does not)".to_owned());
    }
    Ok(Cage { ids, bounding: host.process.can_setpcap, limits, core: host.process.core, landlock, syscalls })
}

fn landlock_abi(host: &Host) -> Result<u32, Refusal> {
    let hint = "use Linux 6.2 or newer with Landlock enabled (boot parameter lsm=...,landlock), and allow the landlock_* calls in the container's seccomp profile";
    match host.kernel.landlock {
        Ok(abi) if abi >= OLDEST_ABI => Ok(abi),
        Ok(abi) => Err(Refusal::host(
            format!("Landlock here is ABI {abi}, too old to protect files (ABI {OLDEST_ABI} is needed)"),
            hint,
        )),
        Err(errno) => Err(Refusal::host(
            format!("Landlock is not available: the kernel or an outer sandbox says {errno}", errno = cause(errno)),
            hint,
        )),
    }
}

fn landlock(
    config: &Config,
    host: &Host,
    abi: u32,
    launch: &Launch,
    notes: &mut Vec<String>,
) -> Result<LandlockPlan, Refusal> {
    let mut lacks = |protection, needs: u32, name: &str, linux: &str| {
        if abi >= needs {
            return Ok(false);
        }
        if !is_optional(config, protection) {
            return Err(Refusal::host(
                format!("Landlock here is ABI {abi} and cannot restrict {name} (ABI {needs} is needed)"),
                format!("use Linux {linux} or newer, or accept it: confine.optional = [\"{}\"]", kebab(protection)),
            ));
        }
        notes.push(format!("MISSING, as confine.optional allows: {name} (Landlock ABI {abi})"));
        Ok(true)
    };
    let no_tcp = lacks(Optional::LandlockTcp, TCP_ABI, "TCP ports", "6.7")?;
    let no_scopes = lacks(Optional::LandlockScopes, SCOPES_ABI, "signals and abstract unix sockets", "6.12")?;
    let mut connect: Vec<u16> = config.confine.connect.iter().map(|port| port.get()).collect();
    if config.confine.dns != Dns::Off && !connect.contains(&53) {
        connect.push(53);
    }
    let bind = config.confine.bind.iter().map(|port| port.get()).collect();
    Ok(LandlockPlan {
        abi,
        grants: grants(config, host, launch, notes)?,
        connect: (!no_tcp).then_some(connect),
        bind: (!no_tcp).then_some(bind),
        scopes: !no_scopes,
    })
}

fn kebab(protection: Optional) -> String {
    serde_json::to_value(protection).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn grants(config: &Config, host: &Host, launch: &Launch, notes: &mut Vec<String>) -> Result<Vec<Grant>, Refusal> {
    let confine = &config.confine;
    let mut grants = base_grants(host, confine.profile);
    listed(&confine.read, GrantKind::Read, "confine.read", &mut grants)?;
    listed(&confine.execute, GrantKind::Execute, "confine.execute", &mut grants)?;
    let writes = listed(&confine.write, GrantKind::Write, "confine.write", &mut grants)?;
    for found in writes.iter().filter(|found| !found.noexec) {
        notes.push(format!(
            "`{}` is writable and not mounted noexec: nothing in it can be executed, but a loader could map it",
            found.path.display()
        ));
    }
    for found in listed(&confine.devices, GrantKind::Device, "confine.devices", &mut grants)? {
        devices_are_devices(&found)?;
    }
    nowhere_the_workload_may_lead_it(&confine.devices, "confine.devices", &writes)?;
    nowhere_the_workload_may_lead_it(&confine.read, "confine.read", &writes)?;
    nowhere_the_workload_may_lead_it(&confine.execute, "confine.execute", &writes)?;
    nowhere_the_workload_may_lead_it(&confine.write, "confine.write", &writes)?;
    own_program(launch, &mut grants)?;
    never_writable_and_executable(&grants)?;
    arguments_that_can_be_written(launch, &writes, notes);
    Ok(grants)
}

/// A script that is named as an argument is run anew at the next start, with whatever the last one wrote into it.
fn arguments_that_can_be_written(launch: &Launch, writes: &[Found], notes: &mut Vec<String>) {
    for argument in launch.argv.iter().skip(1) {
        // What is no path of a file is no script.
        let Ok(file) = launch.workdir.join(argument).canonicalize() else { continue };
        let write = writes.iter().find(|write| file.starts_with(&write.path)).filter(|_| file.is_file());
        notes.extend(write.map(|write| {
            format!(
                "the argument `{}` is a file in `{}`, which the program may write: the next start runs what this one leaves there",
                argument.to_string_lossy(),
                write.path.display()
            )
        }));
    }
}

/// Where the base's grants are from, beside the runtimes'.
pub const SYSTEM: &str = "the system's own";

/// Under `strict` the system's programs can be read, for their libraries are among them, and none can be executed.
fn base_grants(host: &Host, profile: Profile) -> Vec<Grant> {
    let execute = if profile == Profile::Strict { GrantKind::Read } else { GrantKind::Execute };
    let of = |paths: &[std::path::PathBuf], kind| {
        let grant =
            move |path: &std::path::PathBuf| Grant { directory: path.is_dir(), path: path.clone(), kind, from: SYSTEM };
        paths.iter().map(grant).collect::<Vec<_>>()
    };
    let base = &host.base;
    let runtimes = base.runtimes.iter().map(|runtime| Grant {
        directory: true,
        path: runtime.path.clone(),
        kind: if runtime.execute { execute } else { GrantKind::Read },
        from: runtime.from,
    });
    [of(&base.execute, execute), of(&base.read, GrantKind::Read), of(&base.devices, GrantKind::Device)]
        .concat()
        .into_iter()
        .chain(runtimes)
        .collect()
}

fn listed(
    paths: &[AbsPath],
    kind: GrantKind,
    from: &'static str,
    grants: &mut Vec<Grant>,
) -> Result<Vec<Found>, Refusal> {
    let mut all = Vec::new();
    for path in paths {
        let found = paths::find(path.as_path(), from)?;
        if found.path == std::path::Path::new("/") {
            return Err(Refusal::config(
                format!(
                    "{from}: `{}` is the root directory, and a grant of everything is no cage",
                    path.as_path().display()
                ),
                "name the directories that the program needs",
            ));
        }
        grants.push(Grant { path: found.path.clone(), directory: found.directory, kind, from });
        all.push(found);
    }
    Ok(all)
}

/// A directory or a file there would be written past what `confine.write` says of it.
fn devices_are_devices(found: &Found) -> Result<(), Refusal> {
    let path = found.path.display();
    if found.device {
        return Ok(());
    }
    Err(Refusal::config(
        format!("confine.devices: `{path}` is no device"),
        "name devices one by one, such as /dev/nvidia0; files and directories belong to read and write",
    ))
}

/// A grant beneath a writable one could be replaced by a link: at the next start it would be a grant of somewhere else.
fn nowhere_the_workload_may_lead_it(paths: &[AbsPath], from: &str, writes: &[Found]) -> Result<(), Refusal> {
    for path in paths {
        let written = path.as_path().to_owned();
        let names = [aliases::links(&written), vec![written]].concat();
        let beneath = |write: &&Found| names.iter().any(|name| name.starts_with(&write.path) && *name != write.path);
        if let Some(write) = writes.iter().find(beneath) {
            return Err(Refusal::config(
                format!(
                    "{from}: `{}` lies in `{}`, which the workload may write: it could lead it elsewhere for the next start",
                    path.as_path().display(),
                    write.path.display()
                ),
                "leave it out, for what may be written may be read; or move it out of there",
            ));
        }
    }
    Ok(())
}

/// The command's own file, its scripts and its loader, where no other grant covers them.
fn own_program(launch: &Launch, grants: &mut Vec<Grant>) -> Result<(), Refusal> {
    let covered = |grants: &[Grant], path: &std::path::Path, kinds: &[GrantKind]| {
        grants.iter().any(|g| kinds.contains(&g.kind) && path.starts_with(&g.path))
    };
    if !covered(grants, &launch.program, &[GrantKind::Execute]) {
        grants.push(Grant {
            path: launch.program.clone(),
            directory: false,
            kind: GrantKind::Execute,
            from: "the command",
        });
    }
    for script in &launch.scripts {
        if !covered(grants, script, &[GrantKind::Execute]) {
            let path = script.clone();
            grants.push(Grant { path, directory: false, kind: GrantKind::Execute, from: "the command" });
        }
    }
    if let Some(loader) = &launch.loader {
        let loader = paths::find(loader, "the program's loader")?.path;
        if !covered(grants, &loader, &[GrantKind::Execute]) {
            grants.push(Grant { path: loader, directory: false, kind: GrantKind::Execute, from: "the loader" });
        }
    }
    Ok(())
}

/// Landlock adds rights up: a writable path beneath an executable one would be executable too, and the reverse.
fn never_writable_and_executable(grants: &[Grant]) -> Result<(), Refusal> {
    let of = |kind| grants.iter().filter(move |g| g.kind == kind);
    for write in of(GrantKind::Write) {
        let clash = of(GrantKind::Execute).find(|e| e.path.starts_with(&write.path) || write.path.starts_with(&e.path));
        if let Some(execute) = clash {
            return Err(Refusal::config(
                format!(
                    "`{}` ({}) would be writable and executable: `{}` ({}) overlaps it",
                    write.path.display(),
                    write.from,
                    execute.path.display(),
                    execute.from
                ),
                "keep what the program writes apart from what is executed",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
