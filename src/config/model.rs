//! What a config says, after parsing and before it meets a host. One struct a TOML table; unknown keys are refused.
//!
//! No logic but defaults. Types that accept two shapes (a text or a table) say so in `shapes.rs`.

use std::collections::BTreeMap;

use serde::Deserialize;

mod exec;

pub use exec::{Exec, Output};

use super::reference::Reference;
use super::values::{AbsPath, EnvName, Id, Port, SecretName, Size, Span, TableName, UserSpec};

/// The whole config: `portcullis.toml`, or flags, or both.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// For everything before the workload's first instruction.
    pub deadline: Span,
    pub mode: Mode,
    /// How messages are printed; `auto` is JSON lines when standard error is no terminal.
    pub log_format: LogFormat,
    pub workload: Workload,
    pub secrets: BTreeMap<SecretName, Secret>,
    /// The forms in which the program gets its secrets.
    pub deliver: Deliver,
    pub age: Age,
    pub vault: Option<Vault>,
    /// Commands that print secrets, each under the name that `exec:` references have.
    pub exec: BTreeMap<TableName, Exec>,
    pub fetch: Fetch,
    pub confine: Confine,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            deadline: Span::from_secs(30),
            mode: Mode::default(),
            log_format: LogFormat::default(),
            workload: Workload::default(),
            secrets: BTreeMap::new(),
            deliver: Deliver::default(),
            age: Age::default(),
            vault: None,
            exec: BTreeMap::new(),
            fetch: Fetch::default(),
            confine: Confine::default(),
        }
    }
}

/// Whether init stays (and forwards signals, reaps, explains denials) or becomes the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Supervise,
    Replace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
    Auto,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Workload {
    /// Program and arguments; a bare name is looked up in PATH.
    pub command: Vec<String>,
    /// Required when started as root.
    pub user: Option<UserSpec>,
    /// Supplementary groups; none unless listed.
    pub groups: Vec<Id>,
    /// The directory that portcullis was started in, if not given.
    pub workdir: Option<AbsPath>,
    pub env: Env,
    /// From the first TERM to the KILL of what remains.
    pub stop_timeout: Span,
    pub shield: Shield,
    /// Hand on the sockets of a service manager (`LISTEN_FDS`).
    pub sockets: bool,
    /// rlimits by name; `core` is always 1.
    pub limits: BTreeMap<Limit, Size>,
}

impl Default for Workload {
    fn default() -> Self {
        Workload {
            command: Vec::new(),
            user: None,
            groups: Vec::new(),
            workdir: None,
            env: Env::default(),
            stop_timeout: Span::from_secs(25),
            shield: Shield::default(),
            sockets: false,
            limits: BTreeMap::new(),
        }
    }
}

/// The workload's environment: everything that is not named here is scrubbed.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Env {
    /// Handed on as found.
    pub pass: Vec<EnvName>,
    /// Set to these values, which are no secrets: they stand in the config.
    pub set: BTreeMap<EnvName, String>,
}

/// How the workload is made undumpable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub enum Shield {
    #[default]
    Auto,
    Program,
    Loader,
    Off,
}

/// The rlimits that a config may set (getrlimit(2)); soft and hard alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    As,
    Cpu,
    Data,
    Fsize,
    Memlock,
    Nofile,
    Nproc,
    Stack,
}

/// One secret: a reference alone, or a table with its conditions.
#[derive(Debug, Clone, PartialEq)]
pub struct Secret {
    pub from: Reference,
    /// A value that its store set longer ago than this is refused.
    pub max_age: Option<Span>,
    /// Handed on in base64, whatever it is; a text that programs can read, as it stands, if not given.
    pub encoding: Option<Encoding>,
}

/// How a value is handed on that is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    Base64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Deliver {
    /// JSON on the descriptor in `PORTCULLIS_CREDENTIALS_FD`.
    pub pipe: bool,
    /// The same JSON on standard input.
    pub stdin: bool,
    /// Variables, each named as a secret (`api_key` or `API_KEY`): the last resort.
    pub env: Vec<EnvName>,
    pub file: Vec<FileDelivery>,
}

impl Default for Deliver {
    fn default() -> Self {
        Deliver { pipe: true, stdin: false, env: Vec::new(), file: Vec::new() }
    }
}

/// A sealed memfd whose path, `/proc/self/fd/N`, stands in a variable.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FileDelivery {
    pub var: EnvName,
    pub format: FileFormat,
    /// The template's path, for `format = "template"` alone; relative to the config's folder.
    pub template: Option<String>,
    /// Which secrets; all of them if not given. `raw` takes exactly one.
    pub secrets: Option<Vec<SecretName>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    Json,
    Dotenv,
    Raw,
    Template,
}

/// How `age:` files are opened. Relative paths are resolved against the config's folder.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Age {
    /// A file of X25519 identities; `/etc/portcullis/age.key` if neither key is given.
    pub identity: Option<String>,
    /// A file whose first line is the passphrase.
    pub passphrase_file: Option<String>,
}

/// The Vault or OpenBao server, and how to log in.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Vault {
    /// `https://host[:port]`, or a list of the addresses of one cluster, tried in order; `VAULT_ADDR` if not given.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "OneOrMany", default))]
    pub address: Addresses,
    /// `VAULT_NAMESPACE` if not given.
    pub namespace: Option<String>,
    pub auth: VaultAuth,
    /// How the store is recognised.
    #[serde(default)]
    pub tls: Tls,
    /// Mount path to kind; an unlisted mount is the first segment of the path, and `kv2`.
    #[serde(default)]
    pub mounts: BTreeMap<String, MountKind>,
    /// Paths that are written to, not read, each with its parameters: `"pki/issue/bot" = { common_name = "bot" }`.
    #[serde(default)]
    pub write: BTreeMap<String, BTreeMap<String, String>>,
    /// What to do with a value that lives as long as a lease.
    #[serde(default)]
    pub leases: Leases,
}

/// One address or several: a text, or a list of texts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Addresses(pub Vec<String>);

/// One address, or several of one cluster.
#[cfg(test)]
#[derive(schemars::JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code)] // only its shape is used
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Nothing here renews a lease: `refuse` refuses a value that has one, `unkept` takes it and lets it end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Leases {
    #[default]
    Refuse,
    Unkept,
}

/// How to log in; `method` is the key that tells which.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(tag = "method", rename_all = "lowercase", deny_unknown_fields))]
pub enum VaultAuth {
    /// By role id and secret id.
    Approle {
        /// The role's id, which is no secret.
        role_id: String,
        /// The secret id stands in this file, alone.
        secret_id_file: String,
        /// Where the method is mounted, if not at its own name.
        #[cfg_attr(test, schemars(default = "approle_mount"))]
        mount: String,
        #[cfg_attr(test, schemars(flatten))]
        wrapping: Wrapping,
    },
    /// By the projected token of a pod's service account.
    Kubernetes {
        /// The role at the method's mount.
        role: String,
        /// The token stands in this file, alone.
        #[cfg_attr(test, schemars(default = "service_account_token"))]
        token_file: String,
        #[cfg_attr(test, schemars(default = "kubernetes_mount"))]
        mount: String,
        /// A token for another audience is not sent.
        audience: Option<String>,
    },
    /// By a JSON web token.
    Jwt {
        role: String,
        token_file: String,
        #[cfg_attr(test, schemars(default = "jwt_mount"))]
        mount: String,
        audience: Option<String>,
    },
    /// By `tls.client_cert` and `tls.client_key`.
    Cert {
        /// Any that takes the certificate if not given.
        role: Option<String>,
        #[cfg_attr(test, schemars(default = "cert_mount"))]
        mount: String,
    },
    /// By a token that something else renews.
    Token {
        /// The token stands in this file, alone.
        token_file: String,
        #[cfg_attr(test, schemars(flatten))]
        wrapping: Wrapping,
    },
}

/// How long what stands in an identity's file is good for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(default))]
pub struct Wrapping {
    /// The file holds a wrapping token, which is looked up, compared with where it must have been made, and unwrapped.
    pub wrapped: bool,
    /// Where it must have been made, `*` for one part; the usual places of the method if not given.
    pub wrapped_path: Option<String>,
    /// The file is removed as soon as what it holds was used.
    pub single_use: bool,
}

pub(super) fn kubernetes_mount() -> String {
    "kubernetes".to_owned()
}

pub(super) fn jwt_mount() -> String {
    "jwt".to_owned()
}

pub(super) fn cert_mount() -> String {
    "cert".to_owned()
}

pub(super) fn service_account_token() -> String {
    "/var/run/secrets/kubernetes.io/serviceaccount/token".to_owned()
}

pub(super) fn approle_mount() -> String {
    "approle".to_owned()
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// PEM bundle that alone is trusted; `VAULT_CACERT` if not given, else the system's bundle.
    pub ca: Option<String>,
    pub min_version: TlsVersion,
    /// PEM certificate that a server gets which asks for one; the chain behind it may follow.
    pub client_cert: Option<String>,
    /// Its PEM key, without a passphrase.
    pub client_key: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum TlsVersion {
    #[serde(rename = "1.2")]
    V12,
    #[default]
    #[serde(rename = "1.3")]
    V13,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    Kv1,
    Kv2,
    /// Any other engine: what a read of the path answers (a database's `creds/ROLE`, cubbyhole).
    Read,
}

/// The fetcher's own ids, when started as root.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Fetch {
    pub user: UserSpec,
}

impl Default for Fetch {
    fn default() -> Self {
        Fetch { user: UserSpec { user: Id::Number(65530), group: Some(Id::Number(65530)) } }
    }
}

/// The cage. Every path is absolute and must exist.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Confine {
    /// Files and directories to read, beside the system's own.
    pub read: Vec<AbsPath>,
    /// To read and write; never executable.
    pub write: Vec<AbsPath>,
    /// To read and execute, beside the command and the system's own programs.
    pub execute: Vec<AbsPath>,
    /// TCP ports to connect to, on any address.
    pub connect: Vec<Port>,
    /// TCP ports to listen on.
    pub bind: Vec<Port>,
    pub dns: Dns,
    /// Protections that this host may lack.
    pub optional: Vec<Optional>,
    /// Protections that are not refused by default when missing.
    pub require: Vec<Require>,
}

/// How names are resolved: `true` is UDP to any address and TCP port 53, `"tcp"` is TCP port 53 alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dns {
    #[default]
    Off,
    Tcp,
    Udp,
}

/// The closed list of protections that may be optional.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Optional {
    /// TCP ports (Landlock ABI 4, Linux 6.7).
    LandlockTcp,
    /// Signals and abstract unix sockets (Landlock ABI 6, Linux 6.12).
    LandlockScopes,
    /// Denials explained by the supervisor: an outer sandbox may hold the only listener.
    ExplainedDenials,
}

/// The closed list of protections that can be required.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Require {
    /// The bounding set is emptied and securebits are locked (needs CAP_SETPCAP).
    BoundingSet,
    /// The root directory is mounted read-only.
    ReadOnlyRoot,
}
