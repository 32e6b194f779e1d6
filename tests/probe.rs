//! The probe is honest: a whole cage holds, and each protection that is broken is found, by name and no other.
//!
//! A broken cage is a plan with another value, built by the launcher as any other, or the filter with one rule in front of
//! it that lets a call through; neither can be asked for by a config. The test runs itself for each: what enters a cage does
//! not come back. It is a program with one thread, for the probe forks.

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use portcullis::cli::args::StartArgs;
use portcullis::confine::{capabilities, dumps, filter, ids, landlock, limits};
use portcullis::launch::sanitise;
use portcullis::plan::{Grant, GrantKind, Plan, SyscallPlan};
use portcullis::probe::facts::Facts;
use portcullis::probe::{self, ROLE_ATTACKER, Report};
use portcullis::refusal::Refusal;
use portcullis::sys::process::exit_now;
use portcullis::sys::seccomp::{self, Instruction};
use support::start::{Place, UID, is_root, user_line};

/// What is broken in the plan.
type Breakage = fn(&mut Plan);

fn grant(path: &str, kind: GrantKind) -> Grant {
    Grant { path: path.into(), directory: true, kind, from: "the test" }
}

const READS: [&str; 7] = [
    "files: read a file outside the grants",
    "files: read it by openat2",
    "files: read it through /proc/self/root",
    "files: read it by an O_PATH descriptor opened anew",
    "files: read it through a link in a writable directory",
    "files: read it by a relative path after chdir",
    "files: list the directory",
];
const WRITES: [&str; 12] = [
    "files: write to a file outside the grants",
    "files: truncate it",
    "files: make a file",
    "files: make a directory",
    "files: make a symbolic link",
    "files: make a second name",
    "files: make a fifo",
    "files: rename a file",
    "files: remove a file",
    "files: remove a directory",
    "files: read it by a second name in a writable directory",
    "files: write to a file that may be read",
];
const CONNECTS: [&str; 3] = [
    "network: connect to a TCP port that is not granted",
    "network: the same by IPv6",
    "network: the same by IPv4 in IPv6",
];
const SIGNALS: [&str; 4] =
    ["signals: kill another of the same user", "signals: tgkill", "signals: tkill", "signals: a signal by pidfd"];

/// Each protection of the plan, broken in turn, and what the probe has to find.
fn plans() -> Vec<(&'static str, Breakage, Vec<&'static str>)> {
    vec![
        ("read", |plan| plan.cage.landlock.grants.push(grant("/tmp", GrantKind::Read)), READS.to_vec()),
        (
            "write",
            |plan| plan.cage.landlock.grants.push(grant("/tmp", GrantKind::Write)),
            [&READS[..], &WRITES].concat(),
        ),
        (
            "execute",
            |plan| plan.cage.landlock.grants.push(grant("/tmp", GrantKind::Execute)),
            [
                &READS[..],
                &[
                    "execution: execute a program outside the grants",
                    "execution: execute a program that it wrote itself",
                ],
            ]
            .concat(),
        ),
        ("connect", |plan| plan.cage.landlock.connect = None, CONNECTS.to_vec()),
        ("bind", |plan| plan.cage.landlock.bind = None, vec!["network: listen at a port that is not granted"]),
        ("scopes", |plan| plan.cage.landlock.scopes = false, SIGNALS.to_vec()),
        (
            "udp",
            |plan| plan.cage.syscalls.dns = portcullis::config::model::Dns::Udp,
            vec!["network: send by UDP", "network: send by UDP over IPv6"],
        ),
        ("listen", |plan| plan.cage.syscalls.listen = true, vec!["network: listen without a bind"]),
        (
            "bounding",
            |plan| plan.cage.bounding = false,
            if is_root() { vec!["rights: find something in the bounding set"] } else { Vec::new() },
        ),
    ]
}

/// Each rule of the filter, opened in turn: the calls that are let through, and what the probe has to find.
fn rules() -> Vec<(&'static str, Vec<i64>, Vec<&'static str>)> {
    let socket = vec![
        "network: connect by MPTCP",
        "network: send by UDP",
        "network: send by UDP over IPv6",
        "network: reach a unix socket by its path",
        "network: a family with a bit that the kernel does not read",
        "network: netlink: list addresses",
        "network: netlink: list everybody's sockets",
        "network: the virtual machine's host (vsock)",
    ];
    let unshare = vec![
        "namespaces: a user namespace",
        "namespaces: a mount namespace",
        "namespaces: a network namespace",
        "namespaces: a process namespace",
        "namespaces: an IPC namespace",
        "namespaces: a namespace of names",
        "namespaces: a cgroup namespace",
    ];
    let clone =
        vec!["namespaces: a user namespace by clone", "namespaces: the same with a bit that the kernel does not read"];
    let fastopen_connect = vec![
        "network: connect later by TCP_FASTOPEN_CONNECT",
        "network: the same with a bit that the kernel does not read",
    ];
    let prctl = vec!["kernel: a filter of its own by prctl", "rights: be dumpable again", "rights: admit a tracer"];
    let ioctl = vec![
        "terminals: type into a terminal (TIOCSTI)",
        "terminals: the same with a bit that the kernel does not read",
        "terminals: copy a console (TIOCLINUX)",
        "terminals: change the line discipline (TIOCSETD)",
        "terminals: lock the terminal (TIOCEXCL)",
        "terminals: change the flags of a file opened to read",
    ];
    let personality =
        vec!["kernel: memory that is executable when it is readable", "kernel: addresses that are not random"];
    vec![
        ("socket", vec![libc::SYS_socket], socket),
        ("socketpair", vec![libc::SYS_socketpair], vec!["network: a pair of sockets that reaches any path"]),
        ("sendto", vec![libc::SYS_sendto], vec!["network: send with MSG_FASTOPEN by sendto"]),
        ("sendmsg", vec![libc::SYS_sendmsg], vec!["network: send with MSG_FASTOPEN by sendmsg"]),
        ("setsockopt", vec![libc::SYS_setsockopt], fastopen_connect),
        ("io_uring", vec![libc::SYS_io_uring_setup], vec!["network: io_uring, whose calls no filter sees"]),
        ("unshare", vec![libc::SYS_unshare], unshare),
        ("clone", vec![libc::SYS_clone], clone),
        ("clone3", vec![libc::SYS_clone3], vec!["namespaces: a user namespace by clone3"]),
        ("setns", vec![libc::SYS_setns], vec!["namespaces: another namespace by setns"]),
        ("ioctl", vec![libc::SYS_ioctl], ioctl),
        ("prctl", vec![libc::SYS_prctl], prctl),
        ("personality", vec![libc::SYS_personality], personality),
        ("modify_ldt", vec![libc::SYS_modify_ldt], vec!["kernel: a segment of its own (modify_ldt)"]),
        ("memfd_create", vec![libc::SYS_memfd_create], vec!["execution: make a file in memory that can be executed"]),
        (
            "memfd_create and execveat",
            vec![libc::SYS_memfd_create, libc::SYS_execveat],
            vec!["execution: make a file in memory that can be executed", "execution: execute a program in memory"],
        ),
        ("perf_event_open", vec![libc::SYS_perf_event_open], vec!["kernel: measure by perf_event_open"]),
        ("userfaultfd", vec![libc::SYS_userfaultfd], vec!["kernel: handle page faults by userfaultfd"]),
        ("add_key", vec![libc::SYS_add_key], vec!["kernel: a key by add_key"]),
        ("keyctl", vec![libc::SYS_keyctl], vec!["kernel: the keyrings by keyctl"]),
        ("seccomp", vec![libc::SYS_seccomp], vec!["kernel: a filter of its own by seccomp"]),
        ("setpriority", vec![libc::SYS_setpriority], vec!["scheduling: change another's priority"]),
        ("sched_setaffinity", vec![libc::SYS_sched_setaffinity], vec!["scheduling: change another's processors"]),
        ("sched_setscheduler", vec![libc::SYS_sched_setscheduler], vec!["scheduling: change another's policy"]),
        ("ioprio_set", vec![libc::SYS_ioprio_set], vec!["scheduling: change another's priority on disks"]),
        ("shmget", vec![libc::SYS_shmget, libc::SYS_shmctl], vec!["shared memory: a System V segment"]),
        ("msgget", vec![libc::SYS_msgget, libc::SYS_msgctl], vec!["shared memory: a System V queue"]),
        ("semget", vec![libc::SYS_semget, libc::SYS_semctl], vec!["shared memory: a System V semaphore"]),
        // Landlock holds it as well.
        ("mq_open", vec![libc::SYS_mq_open, libc::SYS_mq_unlink], vec![]),
        ("fanotify", vec![libc::SYS_fanotify_init], vec!["metadata: watch the directory by fanotify"]),
        ("handles", vec![libc::SYS_name_to_handle_at], vec!["metadata: take a handle of a file outside"]),
        ("setxattr", vec![libc::SYS_setxattr], vec!["metadata: change its attributes"]),
        ("i386", vec![FOREIGN], vec!["kernel: the calls of i386 by their own door"]),
    ]
}

/// Stands for the other architecture, which has no number.
const FOREIGN: i64 = -1;

/// The same filter behind rules that let these calls through.
fn opened(calls: &[i64], program: &[Instruction]) -> Vec<Instruction> {
    const LOAD: u16 = 0x20;
    const EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const ALLOW: u32 = 0x7fff_0000;
    const I386: u32 = 0x4000_0003;
    let mut front = Vec::new();
    for call in calls {
        let (offset, value) = if *call == FOREIGN { (4, I386) } else { (0, *call as u32) };
        front.push(Instruction { code: LOAD, jt: 0, jf: 0, k: offset });
        front.push(Instruction { code: EQUAL, jt: 0, jf: 1, k: value });
        front.push(Instruction { code: RETURN, jt: 0, jf: 0, k: ALLOW });
    }
    front.extend_from_slice(program);
    front
}

/// What the launcher builds, from the same pieces, with another filter at its end.
fn cage_of_pieces(plan: &Plan, facts: &Facts, calls: &[i64]) -> Result<u8, Refusal> {
    let odd = |errno: nix::errno::Errno| Refusal::internal(errno.desc());
    let cage = &plan.cage;
    nix::sys::prctl::set_no_new_privs().map_err(odd)?;
    limits::apply(&cage.limits)?;
    if cage.bounding {
        capabilities::close_bounding_set()?;
    }
    if cage.ids.change {
        ids::change(cage.ids.uid, cage.ids.gid, &cage.ids.groups)?;
    }
    capabilities::drop_all()?;
    dumps::forbid()?;
    let silent = SyscallPlan { explained: false, exec_by_descriptor: false, ..cage.syscalls.clone() };
    let filter = filter::workload(&silent)?;
    landlock::enforce(&cage.landlock)?;
    seccomp::install(&opened(calls, filter.instructions()), false).map_err(odd)?;
    probe::attacker::attack(facts).map(|()| 0).map_err(odd)
}

/// This program again, for one breakage: prints the report.
fn broken(name: &str, config: &str) -> Result<Report, Refusal> {
    let started = sanitise::hold_signals().and_then(sanitise::sanitise)?;
    let args = StartArgs { config: Some(config.into()), ..StartArgs::default() };
    let (plan, _) = portcullis::init::decide(args, &started)?;
    if let Some((_, breakage, _)) = plans().into_iter().find(|(known, ..)| *known == name) {
        let mut other = plan.clone();
        breakage(&mut other);
        return probe::attack(&plan, &|facts| probe::launched(&other, facts));
    }
    let Some((_, calls, _)) = rules().into_iter().find(|(known, ..)| *known == name) else {
        return probe::attack(&plan, &|facts| cage_of_pieces(&plan, facts, &[]));
    };
    probe::attack(&plan, &|facts| cage_of_pieces(&plan, facts, &calls))
}

struct Stage {
    place: Place,
    program: PathBuf,
    config: PathBuf,
}

impl Stage {
    fn new() -> Stage {
        let place = Place::new();
        let program = place.path("app/probe-test");
        std::fs::copy("/proc/self/exe", &program).expect("this program");
        let data = place.path("data");
        std::fs::create_dir(&data).expect("a directory");
        let read = place.write("read.txt", "untouched", 0o666);
        if is_root() {
            for path in [&data, &read] {
                std::os::unix::fs::chown(path, Some(UID), Some(UID)).expect("an owner");
            }
        }
        let text = format!(
            "[workload]\ncommand = [\"/bin/true\"]\n{}\n[confine]\nread = [{read:?}]\nwrite = [{data:?}]\nconnect = [1]\n",
            user_line()
        );
        let config = place.write("portcullis.toml", text, 0o644);
        Stage { place, program, config }
    }

    /// The open attempts of a broken cage, as `group: tries`.
    fn open(&self, name: &str) -> BTreeSet<String> {
        let output =
            Command::new(&self.program).arg("broken").arg(name).arg(&self.config).output().expect("this program");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {errors}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        open(&report)
    }
}

fn open(report: &serde_json::Value) -> BTreeSet<String> {
    let attempts = report["attempts"].as_array().expect("attempts");
    let of = |attempt: &serde_json::Value, key: &str| attempt[key].as_str().expect("a text").to_owned();
    let open = attempts.iter().filter(|attempt| attempt["verdict"] == "open");
    open.map(|attempt| format!("{}: {}", of(attempt, "group"), of(attempt, "tried"))).collect()
}

fn found(stage: &Stage, name: &str, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|text| (*text).to_owned()).collect();
    assert_eq!(stage.open(name), expected, "with {name} broken");
}

/// The command itself, on the whole cage, in words and in JSON.
fn a_whole_cage_holds(stage: &Stage) {
    let config = stage.config.to_str().expect("a path");
    let output = stage.place.run(&["probe", "-c", config, "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!(open(&report), BTreeSet::new());
    let held = report["held"].as_u64().expect("a number");
    assert!(held >= 60, "{held} held");
    let text = stage.place.run(&["probe", "-c", config]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.ends_with(" not applicable here\n") && text.contains(" 0 open, "), "{text}");
    assert!(left_over().is_empty(), "left behind: {:?}", left_over());
}

fn left_over() -> Vec<PathBuf> {
    let all = ["/tmp", "/var/tmp", "/dev/shm", "/run"].into_iter().flat_map(std::fs::read_dir).flatten().flatten();
    let ours = all.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let pid = name.strip_prefix("portcullis-probe-").and_then(|rest| rest.split('-').next().map(str::to_owned));
        pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
    });
    ours.collect()
}

/// What an operator grants is no finding, and says so.
fn what_is_granted_is_not_applicable(stage: &Stage) {
    let config = stage.config.to_str().expect("a path");
    let output = stage.place.run(&["probe", "-c", config, "--json", "--dns"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let udp = report["attempts"].as_array().expect("attempts").iter().find(|a| a["tried"] == "send by UDP");
    let udp = udp.expect("the attempt");
    assert_eq!((&udp["verdict"], &udp["why"]), (&"not applicable".into(), &"confine.dns = true allows UDP".into()));
}

fn a_refusal_is_passed_on(stage: &Stage) {
    let output = stage.place.run(&["probe", "-c", "/nowhere/portcullis.toml"]);
    assert_eq!(output.status.code(), Some(78));
}

fn every_broken_plan_is_found(stage: &Stage) {
    plans().into_iter().for_each(|(name, _, expected)| found(stage, name, &expected));
}

fn every_opened_rule_is_found(stage: &Stage) {
    found(stage, "nothing", &[]);
    rules().into_iter().for_each(|(name, _, expected)| found(stage, name, &expected));
}

type Check = fn(&Stage);

const CHECKS: [(&str, Check); 5] = [
    ("a_whole_cage_holds", a_whole_cage_holds),
    ("what_is_granted_is_not_applicable", what_is_granted_is_not_applicable),
    ("a_refusal_is_passed_on", a_refusal_is_passed_on),
    ("every_broken_plan_is_found", every_broken_plan_is_found),
    ("every_opened_rule_is_found", every_opened_rule_is_found),
];

fn main() -> ExitCode {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if arguments.first().is_some_and(|name| name == ROLE_ATTACKER) {
        return probe::attacker::main(arguments.get(1));
    }
    if let [_, role, name, config] = &arguments[..]
        && role == "broken"
    {
        let text = |word: &std::ffi::OsString| word.to_string_lossy().into_owned();
        return match broken(&text(name), &text(config)) {
            Ok(report) => {
                print!("{}", report.json());
                ExitCode::SUCCESS
            }
            Err(refusal) => {
                eprintln!("{refusal}");
                exit_now(refusal.exit.code())
            }
        };
    }
    checks(&arguments)
}

/// As the standard harness prints it: one line each, and a result that `tests/run` counts.
fn checks(arguments: &[std::ffi::OsString]) -> ExitCode {
    let wanted = arguments.iter().skip(1).map(|a| a.to_string_lossy()).find(|a| !a.starts_with('-'));
    let stage = Stage::new();
    let (mut passed, mut failed) = (0, 0);
    for (name, check) in CHECKS.iter().filter(|(name, _)| wanted.as_ref().is_none_or(|w| name.contains(&**w))) {
        let ok = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&stage))).is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        if ok { passed += 1 } else { failed += 1 }
    }
    let result = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {result}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out");
    drop(stage);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
