//! The cage on kernels that are not at hand: each Landlock ABI as a value, with and without what a config lets it lack.

use std::time::Duration;

use nix::errno::Errno;

use super::*;
use crate::config::{Loaded, Origin};
use crate::host::users::Users;
use crate::host::{Kernel, Process, Started};
use crate::plan::{self, Plan};
use crate::refusal::Exit;

const TCP: Optional = Optional::LandlockTcp;
const SCOPES: Optional = Optional::LandlockScopes;
const EXPLAINED: Optional = Optional::ExplainedDenials;

fn plain_process() -> Process {
    Process {
        pid: 7,
        uid: 65532,
        gid: 65532,
        groups: Vec::new(),
        can_setuid: false,
        can_setgid: false,
        can_setpcap: false,
        can_kill: false,
        can_ptrace: false,
        seizable: true,
        core: 1,
        bounding: Default::default(),
    }
}

fn host_on(landlock: Result<u32, Errno>, seccomp: Result<(), Errno>) -> Host {
    let kernel = Kernel {
        release: "6.1.0".to_owned(),
        landlock,
        seccomp,
        suid_dumpable: Some(0),
        memfd_noexec: Some(0),
        root_read_only: false,
        deny_write_execute: Ok(()),
    };
    Host { kernel, process: plain_process(), users: Users::from_texts("", ""), base: paths::Base::survey() }
}

fn loaded(optional: &[Optional]) -> Loaded {
    let mut config = Config::default();
    config.confine.optional = optional.to_vec();
    Loaded {
        config,
        command: vec!["/bin/true".into()],
        folder: "/".into(),
        text: String::new(),
        origin: Origin::CommandLine,
        explain_files: false,
    }
}

/// A plain user's start of `/bin/true` on a host with this Landlock and this seccomp.
fn on(landlock: Result<u32, Errno>, seccomp: Result<(), Errno>, optional: &[Optional]) -> Result<Plan, Refusal> {
    let started = Started { workdir: "/".into(), ..Started::default() };
    plan::decide(&loaded(optional), &host_on(landlock, seccomp), &started)
}

fn abi(abi: u32, optional: &[Optional]) -> Result<Plan, Refusal> {
    on(Ok(abi), Ok(()), optional)
}

fn missing(plan: &Plan) -> Vec<&str> {
    plan.notes.iter().filter_map(|note| note.strip_prefix("MISSING, as confine.optional allows: ")).collect()
}

#[test]
fn what_a_kernel_lacks_is_refused_by_name() {
    for (version, optional, lacks) in [
        (1, &[][..], "too old to protect files"),
        (2, &[], "too old to protect files"),
        // No protection of files is no option.
        (1, &[TCP, SCOPES, EXPLAINED], "too old to protect files"),
        (2, &[TCP, SCOPES, EXPLAINED], "too old to protect files"),
        (3, &[], "cannot restrict TCP ports (ABI 4 is needed)"),
        (3, &[SCOPES], "cannot restrict TCP ports (ABI 4 is needed)"),
        (3, &[TCP], "cannot restrict signals and abstract unix sockets (ABI 6 is needed)"),
        (4, &[], "cannot restrict signals and abstract unix sockets (ABI 6 is needed)"),
        (4, &[TCP, EXPLAINED], "cannot restrict signals and abstract unix sockets (ABI 6 is needed)"),
        (5, &[], "cannot restrict signals and abstract unix sockets (ABI 6 is needed)"),
        (5, &[TCP], "cannot restrict signals and abstract unix sockets (ABI 6 is needed)"),
    ] {
        let refusal = abi(version, optional).unwrap_err();
        assert_eq!(refusal.exit, Exit::HostCannot, "ABI {version}, {optional:?}");
        assert!(refusal.what.contains(&format!("ABI {version}")), "{refusal}");
        assert!(refusal.what.contains(lacks), "ABI {version}, {optional:?}: {refusal}");
    }
}

#[test]
fn the_hint_is_the_line_that_would_accept_it() {
    for (version, given, wanted) in
        [(3, &[][..], "landlock-tcp"), (3, &[TCP], "landlock-scopes"), (5, &[], "landlock-scopes")]
    {
        let refusal = abi(version, given).unwrap_err();
        assert!(refusal.hint.contains(&format!("confine.optional = [\"{wanted}\"]")), "{refusal}");
    }
}

#[test]
fn what_is_optional_is_left_out_of_the_plan_and_told() {
    const TCP_NOTE: &str = "TCP ports (Landlock ABI ";
    const SCOPES_NOTE: &str = "signals and abstract unix sockets (Landlock ABI ";
    for (version, optional, notes) in [
        (3, &[TCP, SCOPES][..], &[TCP_NOTE, SCOPES_NOTE][..]),
        (4, &[SCOPES], &[SCOPES_NOTE]),
        (4, &[TCP, SCOPES], &[SCOPES_NOTE]),
        (5, &[SCOPES], &[SCOPES_NOTE]),
    ] {
        let plan = abi(version, optional).unwrap();
        let expected: Vec<String> = notes.iter().map(|note| format!("{note}{version})")).collect();
        assert_eq!(missing(&plan), expected, "ABI {version}, {optional:?}");
        assert_eq!(plan.cage.landlock.connect.is_none(), version < TCP_ABI);
        assert_eq!(plan.cage.landlock.bind.is_none(), version < TCP_ABI);
        assert!(!plan.cage.landlock.scopes);
        for note in expected {
            let line = plan::summary(&plan, Duration::ZERO, true);
            assert!(line.contains(&format!("MISSING, as confine.optional allows: {note}")), "{line}");
        }
    }
}

#[test]
fn a_kernel_that_can_gives_everything_whatever_is_optional() {
    for version in 6..=10 {
        for optional in [&[][..], &[TCP, SCOPES, EXPLAINED]] {
            let plan = abi(version, optional).unwrap();
            assert_eq!(missing(&plan), [""; 0], "ABI {version}, {optional:?}");
            assert_eq!(plan.cage.landlock.connect, Some(Vec::new()), "ABI {version}");
            assert_eq!(plan.cage.landlock.bind, Some(Vec::new()), "ABI {version}");
            assert!(plan.cage.landlock.scopes && plan.cage.landlock.abi == version);
        }
    }
}

#[test]
fn landlock_or_seccomp_withheld_is_refused_whatever_is_optional() {
    for optional in [&[][..], &[TCP, SCOPES, EXPLAINED]] {
        for errno in [Errno::ENOSYS, Errno::EOPNOTSUPP, Errno::EPERM] {
            let refusal = on(Err(errno), Ok(()), optional).unwrap_err();
            assert_eq!(refusal.exit, Exit::HostCannot, "{errno}");
            assert!(
                refusal.what.contains("Landlock is not available") && refusal.what.contains(errno.desc()),
                "{refusal}"
            );
            let refusal = on(Ok(7), Err(errno), optional).unwrap_err();
            assert_eq!(refusal.exit, Exit::HostCannot, "{errno}");
            assert!(
                refusal.what.contains("withholds seccomp filters") && refusal.what.contains(errno.desc()),
                "{refusal}"
            );
        }
    }
}

/// Started as root, on a host where root may or may not look into others.
fn explained(can_ptrace: bool, shield: crate::config::model::Shield) -> Result<Plan, Refusal> {
    let process = Process { uid: 0, can_setuid: true, can_setgid: true, can_kill: true, can_ptrace, ..plain_process() };
    let host = Host { process, ..host_on(Ok(7), Ok(())) };
    let mut loaded = loaded(&[]);
    loaded.explain_files = true;
    loaded.config.workload.shield = shield;
    loaded.config.workload.user = Some("65532:65532".parse().unwrap());
    plan::decide(&loaded, &host, &Started { workdir: "/".into(), ..Started::default() })
}

#[test]
fn files_are_explained_where_somebody_can_look_and_without_a_shield() {
    use crate::config::model::Shield;
    let plan = explained(true, Shield::Auto).unwrap();
    assert!(plan.cage.syscalls.explain_files);
    assert_eq!(plan.launch.image, crate::plan::Image::Direct);
    assert!(explained(false, Shield::Auto).unwrap_err().what.contains("CAP_SYS_PTRACE is missing"));
    assert!(explained(true, Shield::Program).unwrap_err().what.contains("workload.shield"));
}

#[test]
fn strict_needs_the_kernels_part_or_says_that_it_is_missing() {
    use crate::config::model::Profile;
    let strict = |known, optional: &[Optional]| {
        let mut host = host_on(Ok(7), Ok(()));
        host.kernel.deny_write_execute = known;
        let mut loaded = loaded(optional);
        loaded.config.confine.profile = Profile::Strict;
        plan::decide(&loaded, &host, &Started { workdir: "/".into(), ..Started::default() })
    };
    let refusal = strict(Err(Errno::EINVAL), &[]).unwrap_err();
    assert!(refusal.what.contains("PR_SET_MDWE") && refusal.hint.contains("write-xor-execute"), "{refusal}");
    let plan = strict(Err(Errno::EINVAL), &[Optional::WriteXorExecute]).unwrap();
    assert_eq!((plan.cage.syscalls.deny_write_execute, missing(&plan).len()), (false, 1));
    let plan = strict(Ok(()), &[]).unwrap();
    assert!(plan.cage.syscalls.deny_write_execute);
    let executable = plan.cage.landlock.grants.iter().filter(|grant| grant.kind == GrantKind::Execute);
    let executable: Vec<_> = executable.map(|grant| (grant.from, grant.directory)).collect();
    assert_eq!(executable, [("the command", false), ("the loader", false)], "nothing but the command");
}
