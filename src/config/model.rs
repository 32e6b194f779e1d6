//! What a config says, after parsing and before it meets a host. One struct a TOML table; unknown keys are refused.
//!
//! No logic but defaults. Types that accept two shapes (a text or a table) say so in `shapes.rs`.

mod vault;

use std::collections::BTreeMap;

use serde::Deserialize;

mod aws;
mod exec;

pub use aws::{Assume, Aws, AwsAuth, default_profile, imds_endpoint};
pub use exec::{Exec, Output};

use super::reference::Reference;
use super::signal::{Rewritten, SignalName};
use super::values::{AbsPath, EnvName, Id, Port, SecretName, Size, Span, TableName, UserSpec};

pub use vault::{Addresses, Leases, MountKind, Tls, TlsVersion, Vault, VaultAuth, Wrapping};
pub(super) use vault::{approle_mount, cert_mount, jwt_mount, kubernetes_mount, service_account_token};

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
    pub aws: Option<Aws>,
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
            aws: None,
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
    /// What the workload gets when the end is asked for by TERM.
    pub stop_signal: SignalName,
    /// What it gets before that: signals, each with the time that it then has.
    pub stop_before: Vec<StopBefore>,
    /// A signal that arrives is taken for another, or for `none`: all before anything else is done with it.
    pub rewrite: BTreeMap<SignalName, Rewritten>,
    pub shield: Shield,
    /// Hand on the sockets of a service manager (`LISTEN_FDS`).
    pub sockets: bool,
    /// Who says READY=1 where a service manager asks for it (`NOTIFY_SOCKET`): portcullis, or the program itself.
    pub notify: Notify,
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
            stop_signal: SignalName::TERM,
            stop_before: Vec::new(),
            rewrite: BTreeMap::new(),
            shield: Shield::default(),
            sockets: false,
            notify: Notify::default(),
            limits: BTreeMap::new(),
        }
    }
}

/// A signal before the stop signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StopBefore {
    pub signal: SignalName,
    /// Until the next signal; all together less than `stop_timeout`.
    pub wait: Span,
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

/// Who answers a service manager (sd_notify(3)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub enum Notify {
    /// Portcullis, once the program runs.
    #[default]
    Ready,
    /// The program: it gets `NOTIFY_SOCKET` and the watchdog's variables, and unix datagram sockets.
    Pass,
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
    /// Which calls there are at all: `default` runs every runtime, `strict` Python, Go and Rust.
    pub profile: Profile,
    /// Devices to read, write and control, beside null, full and tty.
    pub devices: Vec<AbsPath>,
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

/// The filter's profile: `strict` has no code made at run time, no program but the command, no sockets but TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    #[default]
    Default,
    Strict,
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
    /// Memory that not even root reads, for the token that leases hang on (memfd_secret(2), off by default before Linux 6.5).
    MemfdSecret,
    /// Memory that never becomes executable, held by the kernel beside the filter (PR_SET_MDWE, Linux 6.3), under `strict`.
    WriteXorExecute,
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
