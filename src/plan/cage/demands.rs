//! What a config asks of the host beyond Landlock: required protections, the kernel's part of `strict`, and somebody who may
//! look into the program.

use super::super::model::Ids;
use super::super::{Host, is_optional};
use crate::config::Config;
use crate::config::model::{Mode, Optional, Profile, Require};
use crate::refusal::{Refusal, cause};

/// Whether the kernel can hold it beside the filter, or may lack it.
pub(super) fn write_xor_execute(config: &Config, host: &Host, notes: &mut Vec<String>) -> Result<bool, Refusal> {
    let Err(errno) = host.kernel.deny_write_execute else { return Ok(true) };
    if !is_optional(config, Optional::WriteXorExecute) {
        return Err(Refusal::host(
            format!("this kernel cannot hold memory from becoming executable (PR_SET_MDWE: {})", cause(errno)),
            "use Linux 6.3 or newer, or leave it to the filter alone: confine.optional = [\"write-xor-execute\"]",
        ));
    }
    notes.push("MISSING, as confine.optional allows: write-xor-execute is held by the filter alone".to_owned());
    Ok(false)
}

/// The supervisor must be there, and must be able to look into the program.
pub(super) fn explainable(config: &Config, host: &Host, ids: &Ids) -> Result<(), Refusal> {
    if config.mode == Mode::Replace || config.confine.profile == Profile::Strict {
        return Err(Refusal::config(
            "--explain-files needs the supervisor and a profile that executes programs",
            "set mode = \"supervise\" and confine.profile = \"default\" while the config is being written",
        ));
    }
    if ids.change && !host.process.can_ptrace {
        return Err(Refusal::host(
            "--explain-files has to look into a program of another user, and CAP_SYS_PTRACE is missing",
            "start as that user (docker run --user), or add the capability SYS_PTRACE while the config is being written",
        ));
    }
    Ok(())
}

pub(super) fn required(config: &Config, host: &Host) -> Result<(), Refusal> {
    let missing = |what: &str, hint: &str| Err(Refusal::host(what, hint));
    for require in &config.confine.require {
        match require {
            Require::BoundingSet if !host.process.can_setpcap => {
                return missing(
                    "the bounding set is required to be empty, and CAP_SETPCAP is missing",
                    "start as root with the capability SETPCAP, or leave \"bounding-set\" out of confine.require",
                );
            }
            Require::ReadOnlyRoot if !host.kernel.root_read_only => {
                return missing(
                    "a read-only root is required, and / is mounted read-write",
                    "docker run --read-only, readOnlyRootFilesystem: true, or leave \"read-only-root\" out of confine.require",
                );
            }
            Require::BoundingSet | Require::ReadOnlyRoot => {}
        }
    }
    Ok(())
}
