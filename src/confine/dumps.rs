//! Dumps: neither a core file nor another process of the same user may read this one (PR_SET_DUMPABLE of prctl(2)).
//!
//! Lost at every exec and at every change of ids: whoever does either says it again.

use super::{failed, limits, not_held};
use crate::refusal::Refusal;

/// Makes this process undumpable, without core files, and reads it back.
pub fn forbid() -> Result<(), Refusal> {
    limits::no_core()?;
    nix::sys::prctl::set_dumpable(false).map_err(|errno| failed("becoming undumpable", errno))?;
    match nix::sys::prctl::get_dumpable() {
        Ok(false) => Ok(()),
        other => Err(not_held(format!("this process stays dumpable: {other:?}"))),
    }
}
