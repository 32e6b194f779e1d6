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

/// A plain user's start of `/bin/true` on a host with this Landlock and this seccomp.
fn on(landlock: Result<u32, Errno>, seccomp: Result<(), Errno>, optional: &[Optional]) -> Result<Plan, Refusal> {
    let process = Process {
        pid: 7,
        uid: 65532,
        gid: 65532,
        groups: Vec::new(),
        can_setuid: false,
        can_setgid: false,
        can_setpcap: false,
        can_kill: false,
        seizable: true,
        core: 1,
        bounding: Default::default(),
    };
    let kernel = Kernel {
        release: "6.1.0".to_owned(),
        landlock,
        seccomp,
        suid_dumpable: Some(0),
        memfd_noexec: Some(0),
        root_read_only: false,
        deny_write_execute: Ok(()),
    };
    let host = Host { kernel, process, users: Users::from_texts("", ""), base: paths::Base::survey() };
    let mut config = Config::default();
    config.confine.optional = optional.to_vec();
    let loaded = Loaded {
        config,
        command: vec!["/bin/true".into()],
        folder: "/".into(),
        text: String::new(),
        origin: Origin::CommandLine,
    };
    plan::decide(&loaded, &host, &Started { workdir: "/".into(), ..Started::default() })
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
