//! What was given up for good: root, capabilities, limits, the shield; and terminals.

use nix::errno::Errno;

use super::{Attempt, Outcome, always, must};
use crate::probe::facts::Facts;
use crate::sys::attempt::{Arg, call};

const FILTER: &str = "the filter";

/// Without the cage it is not given either: what counts is that it stays so.
const fn given_up(tries: &'static str, held_by: &'static str, act: fn(&Facts) -> Outcome) -> Attempt {
    Attempt { compared: false, ..always("rights", tries, held_by, act) }
}

pub const ATTEMPTS: &[Attempt] = &[
    given_up("become root", "the kernel: five empty capability sets", |_| {
        call(libc::SYS_setresuid, &mut [Arg::Number(0), Arg::Number(0), Arg::Number(0)]).map(drop)
    }),
    given_up("join root's group", "the kernel: five empty capability sets", |_| {
        call(libc::SYS_setgroups, &mut [Arg::Number(1), Arg::Bytes(&mut [0; 4])]).map(drop)
    }),
    given_up("find a capability", "the kernel: five empty capability sets", |_| status("CapPrm", &"0".repeat(16))),
    given_up("find an ambient capability", "the kernel: five empty capability sets", |_| {
        status("CapAmb", &"0".repeat(16))
    }),
    Attempt {
        pointless: |f| (!f.bounding).then_some("no CAP_SETPCAP here: it stays as found, inert under no_new_privs"),
        ..given_up("find something in the bounding set", "the bounding set is empty", |_| {
            status("CapBnd", &"0".repeat(16))
        })
    },
    given_up("gain rights by a program with a set-id bit", "no_new_privs", |_| status("NoNewPrivs", "1")),
    given_up("make a device", "the filter, and the kernel", |f| {
        let path = f.write.clone().unwrap_or_else(|| "/".into()).join(".portcullis-probe-device");
        let path = std::ffi::CString::new(std::os::unix::ffi::OsStringExt::into_vec(path.into_os_string()))
            .map_err(|_| Errno::EINVAL)?;
        let mode = u64::from(libc::S_IFCHR | 0o600);
        call(
            libc::SYS_mknodat,
            &mut [Arg::Number(libc::AT_FDCWD as u64), Arg::Text(&path), Arg::Number(mode), Arg::Number(0x103)],
        )
        .map(drop)
    }),
    given_up("allow core files again", "the core limit of 1", |_| core()),
    always("rights", "be dumpable again", FILTER, |_| {
        call(libc::SYS_prctl, &mut [Arg::Number(libc::PR_SET_DUMPABLE as u64), Arg::Number(1)]).map(drop)
    }),
    always("rights", "admit a tracer", FILTER, |_| {
        let any = Arg::Number(u64::MAX);
        match call(libc::SYS_prctl, &mut [Arg::Number(libc::PR_SET_PTRACER as u64), any]) {
            // The call was let through to a kernel without Yama.
            Err(Errno::EINVAL) => Ok(()),
            other => other.map(drop),
        }
    }),
    always("terminals", "type into a terminal (TIOCSTI)", FILTER, |_| ioctl(0x5412)),
    always("terminals", "the same with a bit that the kernel does not read", FILTER, |_| ioctl(1 << 32 | 0x5412)),
    always("terminals", "copy a console (TIOCLINUX)", FILTER, |_| ioctl(0x541c)),
    always("terminals", "change the line discipline (TIOCSETD)", FILTER, |_| ioctl(0x5423)),
    always("terminals", "lock the terminal (TIOCEXCL)", FILTER, |_| ioctl(0x540c)),
    always("terminals", "change the flags of a file opened to read", FILTER, |_| ioctl(0x4008_6602)),
];

/// Done where the line of /proc/self/status says something else: then there is something to be had.
fn status(line: &str, empty: &str) -> Outcome {
    let text = std::fs::read_to_string("/proc/self/status").map_err(super::errno)?;
    let found = text.lines().find_map(|l| l.strip_prefix(line)).map(|rest| rest.trim_start_matches(':').trim());
    match found {
        Some(found) if found == empty => Err(Errno::EPERM),
        _ => Ok(()),
    }
}

fn core() -> Outcome {
    let mut most: Vec<u8> = [1u64 << 20, 1 << 20].iter().flat_map(|word| word.to_ne_bytes()).collect();
    call(libc::SYS_prlimit64, &mut [Arg::Number(0), Arg::Number(4), Arg::Bytes(&mut most), Arg::Number(0)])?;
    must(
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_CORE) == Ok((1 << 20, 1 << 20)),
        Errno::EPERM,
    )
}

/// On descriptor 0, whatever it is: past the filter the kernel says ENOTTY where there is no terminal, which is no cage.
fn ioctl(request: u64) -> Outcome {
    let mut room = [0u8; 64];
    match call(libc::SYS_ioctl, &mut [Arg::Number(0), Arg::Number(request), Arg::Bytes(&mut room)]) {
        Err(Errno::ENOTTY | Errno::EIO | Errno::EINVAL | Errno::EFAULT | Errno::EOPNOTSUPP) => Ok(()),
        other => other.map(drop),
    }
}
