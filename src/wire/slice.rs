//! The fetcher's slice of the plan: what it needs to know, and nothing secret. It travels as JSON in a sealed memfd.
//!
//! Descriptors are named by their place in the one message that gives them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::model::{FileFormat, MountKind, TlsVersion};
use crate::config::reference::Reference;

/// Where in the message of descriptors a file is.
pub type Place = usize;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// What is left of the deadline when the fetcher starts, in milliseconds.
    pub deadline_ms: u64,
    pub secrets: Vec<Wanted>,
    pub age: Option<AgeKey>,
    pub vault: Option<VaultStore>,
    pub outputs: Outputs,
    /// Texts in which no fetched value may stand: the config, the command, the environment.
    pub must_not_contain: Vec<String>,
    pub cage: FetcherCage,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    pub name: String,
    pub from: Reference,
    /// The opened file, for `age:` and `file:`.
    pub file: Option<Place>,
    pub max_age_secs: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum AgeKey {
    Identity { path: String, file: Place },
    Passphrase { path: String, file: Place },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VaultStore {
    pub address: String,
    pub namespace: Option<String>,
    pub ca: Place,
    pub min_tls: TlsVersion,
    pub mounts: BTreeMap<String, MountKind>,
    pub login: VaultLogin,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum VaultLogin {
    AppRole { mount: String, role_id: String, secret_id: Place },
    Token { token: Place },
}

/// Where the bundle goes. Each place is the write end of a pipe, or a memfd to fill and seal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Outputs {
    pub pipe: Option<Place>,
    pub stdin: Option<Place>,
    /// The pipe to the launcher, and which variable takes which secret.
    pub env: Option<(Place, Vec<(String, String)>)>,
    pub files: Vec<OutputFile>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputFile {
    pub var: String,
    pub file: Place,
    pub format: FileFormat,
    /// The template's opened file.
    pub template: Option<Place>,
    pub secrets: Vec<String>,
}

/// How the fetcher confines itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FetcherCage {
    /// Ids to change to, when started as root.
    pub ids: Option<(u32, u32)>,
    /// RLIMIT_AS in bytes.
    pub address_space: u64,
    /// The store's port; none where no network is needed.
    pub connect: Option<u16>,
    /// Whether a host name has to be resolved.
    pub resolve: bool,
    /// Landlock ABI rights that this host may lack, as the config says.
    pub landlock_abi: u32,
}
