//! A role's slice of the plan: what it needs to know, and nothing secret. It travels as JSON in a sealed memfd.
//!
//! Descriptors are named by their place in the one message that gives them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::model::{FileFormat, Leases, MountKind, TlsVersion};
use crate::config::reference::Reference;

/// Where in the message of descriptors a file is.
pub type Place = usize;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// `check --live`: what is minted is given up again, and what the identity may do is looked at.
    pub check: bool,
    /// What is left of the deadline when the fetcher starts, in milliseconds.
    pub deadline_ms: u64,
    pub secrets: Vec<Wanted>,
    pub age: Option<AgeKey>,
    pub vault: Option<VaultStore>,
    pub aws: Option<AwsStore>,
    pub exec: Vec<ExecOutput>,
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
    /// To be handed on in base64.
    pub base64: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum AgeKey {
    Identity { path: String, file: Place },
    Passphrase { path: String, file: Place },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VaultStore {
    pub addresses: Vec<String>,
    pub namespace: Option<String>,
    pub ca: Place,
    /// A client certificate and its key.
    pub client: Option<(Place, Place)>,
    pub min_tls: TlsVersion,
    pub mounts: BTreeMap<String, MountKind>,
    pub writes: BTreeMap<String, BTreeMap<String, String>>,
    pub leases: Leases,
    /// The hidden region that what is kept goes into, where a keeper can follow.
    pub region: Option<Place>,
    pub login: VaultLogin,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum VaultLogin {
    AppRole { mount: String, role_id: String, secret_id: Credential },
    Kubernetes { mount: String, role: String, token: Place, audience: Option<String> },
    Jwt { mount: String, role: String, token: Place, audience: Option<String> },
    Cert { mount: String, role: Option<String> },
    Token { token: Credential },
}

/// A file with a credential in it, or with a wrapping token for one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Credential {
    pub file: Place,
    pub wrapped: bool,
    pub wrapped_path: Option<String>,
    /// Init waits to hear that it was used, and removes the file.
    pub single_use: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AwsStore {
    pub region: String,
    /// `https://host[:port]`, as is the security token service's.
    pub endpoint: String,
    pub sts: String,
    pub ca: Place,
    pub min_tls: TlsVersion,
    pub login: AwsLogin,
    /// A role to take on, and the external id that it asks for.
    pub assume: Option<(String, Option<String>)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum AwsLogin {
    WebIdentity { role_arn: String, token: Place },
    Container { uri: String, token: Option<Place> },
    Instance { endpoint: String },
    Profile { file: Place, profile: String },
    Keys { access_key_id: String, secret: Place },
}

/// A command that runs beside the fetcher: what it prints, and what it is given to log in with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecOutput {
    /// `NAME` of `[exec.NAME]`.
    pub name: String,
    /// Whether it prints one value as it is, or fields.
    pub raw: bool,
    /// What it prints: the read end.
    pub output: Place,
    pub inputs: Vec<Wanted>,
    /// Where all inputs go, as JSON.
    pub credentials: Option<Place>,
    /// Where one of the inputs goes, as it is.
    pub stdin: Option<(usize, Place)>,
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
    /// The store's ports; none where no network is needed.
    pub connect: Vec<u16>,
    /// Whether a host name has to be resolved.
    pub resolve: bool,
    /// Landlock ABI rights that this host may lack, as the config says.
    pub landlock_abi: u32,
}

/// The keeper's slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeeperSlice {
    pub store: KeptStore,
    /// The hidden region, filled by the fetcher.
    pub region: Place,
    pub kept: Vec<Kept>,
    /// How long before an end that nothing can change it is told, in milliseconds.
    pub ahead_ms: u64,
    pub cage: FetcherCage,
}

/// How to talk to the store once the login is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptStore {
    pub addresses: Vec<String>,
    pub namespace: Option<String>,
    pub ca: Place,
    pub client: Option<(Place, Place)>,
    pub min_tls: TlsVersion,
}

/// One thing that is kept alive: the token first, then leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// `None` if it has no end.
    pub seconds: Option<u64>,
    pub renewable: bool,
}
