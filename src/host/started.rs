//! The state in which this process was started, as sanitise found it: kept for those who hand it on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// The state in which the process was started, as far as it is handed on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Started {
    pub env: BTreeMap<OsString, OsString>,
    pub workdir: PathBuf,
    pub umask: u32,
    /// The signal mask as found: for commands that start nothing.
    pub mask: u64,
    /// How many descriptors from 3 on a service manager passed by contract (sd_listen_fds(3)).
    pub listen_fds: u32,
}
