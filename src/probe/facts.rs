//! What the attacker is told: where the targets are, and what the config grants, so that a granted thing is no finding.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Handed to the attacker as its one argument, in JSON. No secret is in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// A directory outside every grant, the workload's own: `secret`, `file`, `program`, `socket` and `empty` are in it.
    pub outside: Option<PathBuf>,
    /// The first directory that the config lets the workload write.
    pub write: Option<PathBuf>,
    /// The first file that it may read and not write.
    pub read: Option<PathBuf>,
    /// Files that fetched the secrets, and the config: never the workload's.
    pub identities: Vec<PathBuf>,
    /// A listener's TCP port that is not granted, on IPv4 and on IPv6 (0: there is no IPv6).
    pub closed: u16,
    pub closed_v6: u16,
    /// A UDP port.
    pub udp_port: u16,
    /// A free TCP port that is not granted to listen on.
    pub free: u16,
    /// An abstract socket's name, without the leading NUL.
    pub abstract_name: String,
    /// A process of the same user outside the cage, and where its memory holds [`MARK`].
    pub target: i32,
    pub address: u64,
    /// What the config grants, by its keys.
    pub udp: bool,
    pub listens: bool,
    /// What this host cannot give and `confine.optional` accepts.
    pub tcp_optional: bool,
    pub scopes_optional: bool,
    /// Whether the bounding set is emptied here.
    pub bounding: bool,
}

/// What stands in the target's memory and in the file that may not be read.
pub const MARK: &[u8; 32] = b"portcullis-probe-mark-0123456789";
