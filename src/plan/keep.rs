//! Whether leases are kept, and where the token that they hang on is kept meanwhile.

use crate::config::Config;
use crate::config::model::{Leases, Mode, MountKind, Optional, Vault};
use crate::host;
use crate::refusal::Refusal;

use super::is_optional;
use super::model::KeepPlan;

/// What the fetcher does with a lease, and who keeps it. No KV engine grants one: where there is no other, nothing is needed.
pub fn decide(config: &Config, vault: &Vault, notes: &mut Vec<String>) -> Result<(Leases, Option<KeepPlan>), Refusal> {
    let may_lease = !vault.write.is_empty() || vault.mounts.values().any(|kind| *kind == MountKind::Read);
    if vault.leases != Leases::Keep {
        return Ok((vault.leases, None));
    }
    if !may_lease || config.mode == Mode::Replace {
        return Ok((Leases::Refuse, None));
    }
    let hidden = hidden(config, notes)?;
    Ok((Leases::Keep, Some(KeepPlan { on_lease_end: vault.on_lease_end, hidden })))
}

fn hidden(config: &Config, notes: &mut Vec<String>) -> Result<bool, Refusal> {
    let Err(errno) = host::kernel::hidden_memory() else { return Ok(true) };
    if is_optional(config, Optional::MemfdSecret) {
        notes.push(format!(
            "MISSING, as confine.optional allows: memfd_secret ({}), so root could read the store's token in the keeper's memory, and it can be swapped",
            errno.desc()
        ));
        return Ok(false);
    }
    Err(Refusal::host(
        format!(
            "leases are to be kept, and this kernel gives no hidden memory for their token (memfd_secret): {}",
            errno.desc()
        ),
        "boot with secretmem.enable=1 (Linux 6.5 has it on), raise the limit on locked memory (ulimit -l), or accept ordinary memory: confine.optional = [\"memfd-secret\"]",
    ))
}
