//! The program, decided: which file is executed, with which arguments, environment and directory.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Host;
use super::model::{Ids, Image, Launch};
use super::notify;
use crate::config::Loaded;
use crate::config::model::{Config, Dns, Shield};
use crate::host::Started;
use crate::host::program::{self, Program};
use crate::refusal::Refusal;

/// Where programs are looked for, unless the config sets PATH: the environment may not choose the program.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runtimes that find themselves by `/proc/self/exe`, which would name the copy: Node re-executes it, Java looks for its
/// libraries beside it.
const FIND_THEMSELVES: [&str; 5] = ["node", "nodejs", "java", "deno", "bun"];

pub fn decide(
    loaded: &Loaded,
    host: &Host,
    started: &Started,
    ids: &Ids,
    notes: &mut Vec<String>,
) -> Result<Launch, Refusal> {
    let config = &loaded.config;
    let env = environment(config, host, started, ids);
    let path = env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone()).unwrap_or_default();
    let workdir = match &config.workload.workdir {
        Some(dir) => directory(dir.as_path())?,
        None => started.workdir.clone(),
    };
    let Some((command, args)) = loaded.command.split_first() else {
        return Err(Refusal::config("no command is given", "set workload.command, or write it after `--`"));
    };
    let program = program::find(command, &path, &workdir)?;
    let shield = shield(loaded)?;
    let image = image(shield, host, &program, notes)?;
    let mut argv = vec![program.argv0.clone()];
    argv.extend(program.before_args.iter().cloned());
    argv.extend(args.iter().cloned());
    let sockets = if config.workload.sockets { started.listen_fds } else { 0 };
    if config.workload.sockets && sockets == 0 {
        return Err(Refusal::config(
            "workload.sockets is set, and no socket was passed to this start",
            "start it from a socket unit that sets LISTEN_FDS and LISTEN_PID, or leave workload.sockets out",
        ));
    }
    let socket_names = started.env.get(std::ffi::OsStr::new("LISTEN_FDNAMES")).cloned();
    // Each was read on the way to the program; one that is gone since then is refused where its rule is made.
    let scripts =
        program.scripts.iter().map(|script| script.canonicalize().unwrap_or_else(|_| script.clone())).collect();
    let notify = notify::decide(config, started, host.process.pid, notes)?;
    let (loader, program, umask) = (program.loader, program.path, started.umask);
    Ok(Launch { program, image, loader, scripts, argv, env, workdir, umask, sockets, socket_names, notify })
}

fn directory(path: &Path) -> Result<PathBuf, Refusal> {
    if path.is_dir() {
        return Ok(path.to_owned());
    }
    Err(Refusal::config(
        format!("workload.workdir: `{}` is not a directory here", path.display()),
        "create it, or correct the path",
    ))
}

/// PATH and HOME, then what the config passes on, then what it sets. Everything else is scrubbed.
fn environment(config: &Config, host: &Host, started: &Started, ids: &Ids) -> Vec<(String, OsString)> {
    let home = host.users.by_uid(ids.uid).and_then(|user| user.home).filter(|home| home.starts_with('/'));
    let mut env: Vec<(String, OsString)> =
        vec![("PATH".to_owned(), PATH.into()), ("HOME".to_owned(), home.unwrap_or_else(|| "/".to_owned()).into())];
    if config.confine.dns == Dns::Tcp {
        // resolv.conf(5): glibc then asks by TCP only.
        env.push(("RES_OPTIONS".to_owned(), "use-vc".into()));
    }
    let mut put = |name: &str, value: OsString| match env.iter_mut().find(|(known, _)| known == name) {
        Some(entry) => entry.1 = value,
        None => env.push((name.to_owned(), value)),
    };
    for name in &config.workload.env.pass {
        if let Some(value) = started.env.get(std::ffi::OsStr::new(name.as_str())) {
            put(name.as_str(), value.clone());
        }
    }
    for (name, value) in &config.workload.env.set {
        put(name.as_str(), value.into());
    }
    env
}

/// Nobody can look into an undumpable program: `--explain-files` goes without, and not where the config insists.
fn shield(loaded: &Loaded) -> Result<Shield, Refusal> {
    match loaded.config.workload.shield {
        shield if !loaded.explain_files => Ok(shield),
        Shield::Auto | Shield::Off => Ok(Shield::Off),
        Shield::Program | Shield::Loader => Err(Refusal::config(
            "--explain-files looks into the program, and workload.shield keeps everybody out of it",
            "leave shield out, or set it to \"auto\", while the config is being written",
        )),
    }
}

/// How the workload becomes undumpable.
fn image(shield: Shield, host: &Host, program: &Program, notes: &mut Vec<String>) -> Result<Image, Refusal> {
    let image = match (shield, &program.loader) {
        (Shield::Off, _) => {
            notes.push("shield = \"off\": the workload is dumpable, its memory is open to its own user".to_owned());
            return Ok(Image::Direct);
        }
        (Shield::Auto, _) if finds_itself(program) => {
            notes.push(format!(
                "no shield: `{}` looks for itself by /proc/self/exe, so its memory is open to its own user",
                program.path.display()
            ));
            return Ok(Image::Direct);
        }
        (Shield::Program, _) | (Shield::Auto, None) => Image::ProgramCopy,
        (Shield::Auto, Some(loader)) if !takes_argv0(loader) => Image::ProgramCopy,
        (Shield::Auto | Shield::Loader, Some(loader)) => Image::LoaderCopy(loader.clone()),
        (Shield::Loader, None) => {
            return Err(Refusal::config(
                format!("shield = \"loader\", but `{}` is static and has no loader", program.path.display()),
                "use shield = \"auto\" or \"program\"",
            ));
        }
    };
    shield_holds(host)?;
    Ok(image)
}

fn finds_itself(program: &Program) -> bool {
    let name = program.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    FIND_THEMSELVES.contains(&name)
}

/// Whether this loader knows `--argv0` (glibc 2.33, musl 1.2.2): without it the program would see the wrong name.
fn takes_argv0(loader: &Path) -> bool {
    const MOST: u64 = 16 << 20;
    let needle = b"argv0";
    let small = std::fs::metadata(loader).is_ok_and(|found| found.is_file() && (1..=MOST).contains(&found.len()));
    small && std::fs::read(loader).is_ok_and(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
}

/// The two sysctls that would undo the shield.
fn shield_holds(host: &Host) -> Result<(), Refusal> {
    if host.kernel.suid_dumpable == Some(1) {
        return Err(Refusal::host(
            "fs.suid_dumpable is 1 on this host: an unreadable program would be dumpable after all",
            "sysctl fs.suid_dumpable=0 on the host, or accept it: workload.shield = \"off\"",
        ));
    }
    if host.kernel.suid_dumpable.is_none() {
        return Err(Refusal::host(
            "/proc/sys/fs/suid_dumpable cannot be read, so nothing says whether an unreadable program is undumpable here",
            "mount /proc in full, or accept a dumpable program: workload.shield = \"off\"",
        ));
    }
    if host.kernel.memfd_noexec == Some(2) {
        return Err(Refusal::host(
            "vm.memfd_noexec is 2 on this host: no program can be executed from memory",
            "sysctl vm.memfd_noexec=1 on the host, or accept it: workload.shield = \"off\"",
        ));
    }
    Ok(())
}
