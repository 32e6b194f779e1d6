//! The plan itself: values, no logic. Each room reads its own part.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::lease_end::OnLeaseEnd;
use crate::config::model::{Assume, Dns, FileFormat, Leases, Limit, Mode, MountKind, Profile, TlsVersion};
use crate::config::reference::Reference;

/// The whole start.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub deadline: Duration,
    pub stop: Stop,
    pub rewrite: Rewrite,
    pub mode: Mode,
    pub launch: Launch,
    pub cage: Cage,
    pub delivery: Delivery,
    /// `None` where there are no secrets: then no fetcher is started.
    pub fetch: Option<FetchPlan>,
    pub pid1: bool,
    pub kernel: String,
    /// What `check` tells beside the plan: what is missing, what is exposed.
    pub notes: Vec<String>,
}

/// How the workload is asked to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// What it gets for the TERM that init gets.
    pub signal: i32,
    /// What it gets before that, each with the time that it then has.
    pub before: Vec<(i32, Duration)>,
    /// From the first TERM to the KILL of what remains.
    pub timeout: Duration,
}

/// Signals that are taken for others, or for none, by their numbers.
pub type Rewrite = BTreeMap<i32, Option<i32>>;

/// The program and its surroundings.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    pub program: PathBuf,
    pub image: Image,
    /// The program's dynamic loader, which the kernel executes with it.
    pub loader: Option<PathBuf>,
    /// The scripts whose `#!` lines led to the program, without symbolic links: it must be able to read them.
    pub scripts: Vec<PathBuf>,
    /// With the program's own name first, and everything that a `#!` line adds.
    pub argv: Vec<OsString>,
    /// All but what the delivery adds.
    pub env: Vec<(String, OsString)>,
    pub workdir: PathBuf,
    pub umask: u32,
    /// Descriptors 3 to 3 + n - 1 that a service manager passed and the workload gets.
    pub sockets: u32,
    /// Their names, as the manager gave them.
    pub socket_names: Option<OsString>,
    /// `None` where no service manager asks.
    pub notify: Option<Notify>,
}

/// Who answers the service manager that waits at `NOTIFY_SOCKET` (sd_notify(3)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notify {
    /// Portcullis, once the program runs.
    Ready { socket: OsString },
    /// The program. `watchdog`: the time in microseconds in which it has to show that it lives.
    Pass { socket: OsString, watchdog: Option<OsString> },
}

/// Which file is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// The program itself: the workload is dumpable.
    Direct,
    /// A sealed, unreadable copy of the program.
    ProgramCopy,
    /// A sealed, unreadable copy of its dynamic loader, which then loads the program.
    LoaderCopy(PathBuf),
}

/// Everything that confines the workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Cage {
    pub ids: Ids,
    /// Empty the bounding set and lock the securebits (needs CAP_SETPCAP).
    pub bounding: bool,
    pub limits: Vec<(Limit, u64)>,
    /// The limit on core files, in bytes: 1, or a 0 that was found and holds here.
    pub core: u64,
    pub landlock: LandlockPlan,
    pub syscalls: SyscallPlan,
}

/// Who the workload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    pub uid: u32,
    pub gid: u32,
    /// Sorted, without doubles.
    pub groups: Vec<u32>,
    /// Whether init was started with other ids, so that they have to be changed.
    pub change: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LandlockPlan {
    /// The kernel's ABI.
    pub abi: u32,
    pub grants: Vec<Grant>,
    /// `None`: TCP is not restricted (optional, and the kernel cannot).
    pub connect: Option<Vec<u16>>,
    pub bind: Option<Vec<u16>>,
    pub scopes: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub path: PathBuf,
    pub directory: bool,
    pub kind: GrantKind,
    /// Where the config says it, or why it is here.
    pub from: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GrantKind {
    Read,
    Execute,
    Write,
    Device,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyscallPlan {
    pub profile: Profile,
    /// The kernel holds write-xor-execute (PR_SET_MDWE) beside the filter.
    pub deny_write_execute: bool,
    pub dns: Dns,
    /// Whether sockets may listen: where a port to bind is granted.
    pub listen: bool,
    /// Whether modes, owners and times of files may be changed: where a place to write is granted.
    pub metadata: bool,
    /// Dangerous calls are answered, and explained, by the supervisor.
    pub explained: bool,
    /// They may go unexplained where an outer sandbox holds the only listener.
    pub explanation_optional: bool,
    /// Unix datagram sockets, for a program that notifies its service manager itself.
    pub notify: bool,
    /// Calls about files and ports are told to the supervisor, compared with the plan, and go on (`run --explain-files`).
    pub explain_files: bool,
    /// Without a supervisor the one exec of the shielded image cannot be told from later ones.
    pub exec_by_descriptor: bool,
}

/// The forms in which the workload gets the bundle.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Delivery {
    pub pipe: bool,
    pub stdin: bool,
    pub env: Vec<EnvDelivery>,
    pub files: Vec<FileOut>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvDelivery {
    pub var: String,
    pub secret: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FileOut {
    pub var: String,
    pub format: FileFormat,
    pub template: Option<PathBuf>,
    pub secrets: Vec<String>,
}

/// The fetcher's work.
#[derive(Debug, Clone, PartialEq)]
pub struct FetchPlan {
    pub secrets: Vec<SecretPlan>,
    pub age: Option<Key>,
    pub vault: Option<StorePlan>,
    pub aws: Option<AwsPlan>,
    /// The commands to run, in the order of their names.
    pub exec: Vec<ExecPlan>,
    /// The fetcher's own ids, when started as root.
    pub ids: Option<(u32, u32)>,
    pub address_space: u64,
    pub must_not_contain: Vec<String>,
    pub landlock_abi: u32,
}

/// AWS Secrets Manager in one region.
#[derive(Debug, Clone, PartialEq)]
pub struct AwsPlan {
    pub region: String,
    pub endpoint: String,
    pub sts: String,
    /// Of all addresses that are asked, and whether one of them is a name.
    pub ports: Vec<u16>,
    pub resolve: bool,
    pub ca: PathBuf,
    pub min_tls: TlsVersion,
    pub login: AwsLoginPlan,
    pub assume: Option<Assume>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AwsLoginPlan {
    WebIdentity { role_arn: String, token: PathBuf },
    Container { uri: String, token: Option<PathBuf> },
    Instance { endpoint: String },
    Profile { file: PathBuf, profile: String },
    Keys { access_key_id: String, secret: PathBuf },
}

impl AwsLoginPlan {
    /// The file that must stay out of the workload's reach.
    pub fn identity_file(&self) -> Option<&PathBuf> {
        match self {
            AwsLoginPlan::WebIdentity { token, .. } => Some(token),
            AwsLoginPlan::Container { token, .. } => token.as_ref(),
            AwsLoginPlan::Profile { file, .. } | AwsLoginPlan::Keys { secret: file, .. } => Some(file),
            AwsLoginPlan::Instance { .. } => None,
        }
    }

    /// The address on this machine's links that gives credentials to whoever asks.
    pub fn near(&self) -> Option<&String> {
        match self {
            AwsLoginPlan::Container { uri, .. } => Some(uri),
            AwsLoginPlan::Instance { endpoint } => Some(endpoint),
            _ => None,
        }
    }
}

impl FetchPlan {
    /// The ports of all stores.
    pub fn ports(&self) -> Vec<u16> {
        let vault = self.vault.iter().flat_map(|store| &store.ports);
        vault.chain(self.aws.iter().flat_map(|store| &store.ports)).copied().collect()
    }

    /// Whether one of them has a name.
    pub fn resolves(&self) -> bool {
        self.vault.as_ref().is_some_and(|store| store.resolve) || self.aws.as_ref().is_some_and(|store| store.resolve)
    }
}

/// A command that prints secrets: a program in a cage of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecPlan {
    /// `NAME` of `[exec.NAME]`.
    pub name: String,
    /// Whether it prints one value as it is, or fields.
    pub raw: bool,
    pub launch: Launch,
    pub cage: Cage,
    /// What it logs in with, beside the files that its cage lets it read.
    pub inputs: Vec<SecretPlan>,
    /// Which of the inputs is its standard input.
    pub stdin: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SecretPlan {
    pub name: String,
    pub from: Reference,
    /// The file that init opens for the fetcher.
    pub file: Option<PathBuf>,
    pub max_age: Option<Duration>,
    pub base64: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    Identity(PathBuf),
    Passphrase(PathBuf),
}

impl Key {
    pub fn path(&self) -> &PathBuf {
        match self {
            Key::Identity(path) | Key::Passphrase(path) => path,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct StorePlan {
    pub addresses: Vec<String>,
    /// The addresses' ports, and whether one of their hosts is a name.
    pub ports: Vec<u16>,
    pub resolve: bool,
    pub namespace: Option<String>,
    pub ca: PathBuf,
    pub client: Option<ClientFiles>,
    pub min_tls: TlsVersion,
    pub mounts: BTreeMap<String, MountKind>,
    pub writes: BTreeMap<String, BTreeMap<String, String>>,
    pub leases: Leases,
    pub keep: Option<KeepPlan>,
    pub login: LoginPlan,
}

/// How leases are kept, if the store grants any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepPlan {
    pub on_lease_end: OnLeaseEnd,
    /// The token lies in memory that nobody but its mappers can read; else in ordinary memory, as `confine.optional` allows.
    pub hidden: bool,
}

/// Who we are to a server that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginPlan {
    AppRole {
        mount: String,
        role_id: String,
        secret_id: IdentityFile,
    },
    Kubernetes {
        mount: String,
        role: String,
        token_file: PathBuf,
        audience: Option<String>,
    },
    Jwt {
        mount: String,
        role: String,
        token_file: PathBuf,
        audience: Option<String>,
    },
    /// By the client certificate: the file is the store's.
    Cert {
        mount: String,
        role: Option<String>,
    },
    Token {
        token: IdentityFile,
    },
}

/// A file with a credential in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFile {
    pub path: PathBuf,
    pub wrapped: bool,
    pub wrapped_path: Option<String>,
    /// Removed once it was used.
    pub single_use: bool,
}

impl StorePlan {
    /// The files that must stay out of the workload's reach.
    pub fn identity_files(&self) -> Vec<&PathBuf> {
        let login = match &self.login {
            LoginPlan::AppRole { secret_id: file, .. } | LoginPlan::Token { token: file } => Some(&file.path),
            LoginPlan::Kubernetes { token_file, .. } | LoginPlan::Jwt { token_file, .. } => Some(token_file),
            LoginPlan::Cert { .. } => None,
        };
        login.into_iter().chain(self.client.iter().map(|client| &client.key)).collect()
    }

    /// The file that is removed once it was used.
    pub fn single_use_file(&self) -> Option<&PathBuf> {
        match &self.login {
            LoginPlan::AppRole { secret_id: file, .. } | LoginPlan::Token { token: file } => {
                file.single_use.then_some(&file.path)
            }
            _ => None,
        }
    }
}
