//! `[confine]`: no grant that undoes the cage by what it says alone.

use super::Check;
use crate::config::Config;
use crate::config::fault::{Fault, place};
use crate::config::model::{Dns, Profile};
use crate::config::values::AbsPath;

pub fn check(config: &Config) -> Check {
    let confine = &config.confine;
    strict_is_strict(config)?;
    for (key, list) in [
        ("read", &confine.read),
        ("write", &confine.write),
        ("execute", &confine.execute),
        ("devices", &confine.devices),
    ] {
        if let Some(index) = list.iter().position(|path| path.as_path().parent().is_none()) {
            return Err(Fault::said(
                place!["confine", key, index],
                format!("`/` in {key} is no cage: it is everything"),
                "name the directories that the program needs; the system's own libraries need no mention",
            ));
        }
    }
    confine.write.iter().enumerate().try_for_each(|(index, write)| not_executable(index, write, &confine.execute))
}

/// What `strict` takes away cannot be granted beside it.
fn strict_is_strict(config: &Config) -> Check {
    let confine = &config.confine;
    if confine.profile != Profile::Strict {
        return Ok(());
    }
    if !confine.execute.is_empty() {
        return Err(Fault::said(
            place!["confine", "execute"],
            "the strict profile executes no program but the command",
            "leave execute out, or set profile = \"default\"",
        ));
    }
    if confine.dns == Dns::Udp {
        return Err(Fault::said(
            place!["confine", "dns"],
            "dns = true means UDP, and the strict profile has no sockets but TCP",
            "set dns = \"tcp\", or profile = \"default\"",
        ));
    }
    Ok(())
}

/// What the workload writes must never be what it may run: a foothold that survives a restart starts there.
fn not_executable(index: usize, write: &AbsPath, execute: &[AbsPath]) -> Check {
    let overlaps =
        |run: &&AbsPath| write.as_path().starts_with(run.as_path()) || run.as_path().starts_with(write.as_path());
    match execute.iter().find(overlaps) {
        Some(run) => Err(Fault::said(
            place!["confine", "write", index],
            format!("`{write}` may be written and `{run}` executed, and one holds the other"),
            "keep programs and data in separate directories",
        )),
        None => Ok(()),
    }
}
