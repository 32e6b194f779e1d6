//! The flags that make or change a config, shared by `run` and `check`: one flag a key, named as the key.
//!
//! Nothing here but the shape of the flags and their way into [`Flags`]; each value is parsed by the config's own parser.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args};
use serde::de::DeserializeOwned;

use crate::config::flags::{EnvFlag, Flags, VaultFlags};
use crate::config::model::{
    Dns, FileDelivery, FileFormat, Limit, LogFormat, Mode, MountKind, Notify, Optional, Profile, Require, Shield,
    StopBefore,
};
use crate::config::parse_word;
use crate::config::reference::Reference;
use crate::config::signal::{Rewritten, SignalName};
use crate::config::values::{AbsPath, BadValue, EnvName, Id, Port, SecretName, Size, Span, UserSpec};

/// The config and what overrides it. A single value replaces the file's; a named one (a secret, a variable, a limit, a
/// file delivery) replaces the one of that name; a list is added to the file's list.
#[derive(Debug, Clone, Default, Args)]
pub struct StartArgs {
    /// The config; else $PORTCULLIS_CONFIG, else /etc/portcullis/portcullis.toml; none is needed if a command is given
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// For everything before the workload's first instruction, such as 30s
    #[arg(long, value_name = "SPAN")]
    pub deadline: Option<Span>,

    /// Stay as its supervisor, or become the workload
    #[arg(long, value_parser = words::<Mode>(&["supervise", "replace"]))]
    pub mode: Option<Mode>,

    /// How messages are printed; auto is JSON lines when standard error is no terminal
    #[arg(long, value_parser = words::<LogFormat>(&["text", "json", "auto"]))]
    pub log_format: Option<LogFormat>,

    /// The program and its arguments, after `--`
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,

    #[command(flatten, next_help_heading = "Workload")]
    pub workload: WorkloadArgs,

    #[command(flatten, next_help_heading = "Secrets")]
    pub secrets: SecretArgs,

    #[command(flatten, next_help_heading = "Delivery")]
    pub deliver: DeliverArgs,

    #[command(flatten, next_help_heading = "Cage")]
    pub confine: ConfineArgs,

    #[command(flatten, next_help_heading = "Stores")]
    pub stores: StoreArgs,
}

#[derive(Debug, Clone, Default, Args)]
pub struct WorkloadArgs {
    /// The workload's ids: names or numbers; required when started as root
    #[arg(long, value_name = "USER[:GROUP]")]
    pub user: Option<UserSpec>,

    /// Supplementary groups
    #[arg(long, value_name = "GROUP,...", value_delimiter = ',')]
    pub groups: Vec<Id>,

    /// The workload's working directory
    #[arg(long, value_name = "DIR")]
    pub workdir: Option<AbsPath>,

    /// Hand on a variable as found, or set it
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = env_flag)]
    pub env: Vec<EnvFlag>,

    /// From the first TERM to the KILL of what remains
    #[arg(long, value_name = "SPAN")]
    pub stop_timeout: Option<Span>,

    /// What the workload gets for TERM, such as INT or RTMIN+3
    #[arg(long, value_name = "SIGNAL")]
    pub stop_signal: Option<SignalName>,

    /// What it gets before that, and how long it then has, such as USR1=2s; in this order
    #[arg(long, value_name = "SIGNAL=SPAN", value_parser = stop_before)]
    pub stop_before: Vec<StopBefore>,

    /// Take a signal that arrives for another, or for none, such as HUP=USR1
    #[arg(long, value_name = "SIGNAL=SIGNAL", value_parser = pair::<SignalName, Rewritten>)]
    pub rewrite: Vec<(SignalName, Rewritten)>,

    /// How the workload is made undumpable
    #[arg(long, value_parser = words::<Shield>(&["auto", "program", "loader", "off"]))]
    pub shield: Option<Shield>,

    /// Hand on the sockets of a service manager (LISTEN_FDS)
    #[arg(long)]
    pub sockets: bool,

    /// Who says READY=1 to a service manager (NOTIFY_SOCKET): portcullis, or the program itself
    #[arg(long, value_parser = words::<Notify>(&["ready", "pass"]))]
    pub notify: Option<Notify>,

    /// An rlimit: as, cpu, data, fsize, memlock, nofile, nproc or stack
    #[arg(long = "limit", value_name = "NAME=SIZE", value_parser = limit)]
    pub limits: Vec<(Limit, Size)>,
}

#[derive(Debug, Clone, Default, Args)]
pub struct SecretArgs {
    /// A secret and where it is, such as api_key=age:secrets.env.age#API_KEY
    #[arg(long = "secret", value_name = "NAME=REF", value_parser = pair::<SecretName, Reference>)]
    pub secrets: Vec<(SecretName, Reference)>,

    /// Refuse a value that its store set longer ago than this, such as api_key=45d
    #[arg(long = "max-age", value_name = "NAME=SPAN", value_parser = pair::<SecretName, Span>)]
    pub max_ages: Vec<(SecretName, Span)>,
}

#[derive(Debug, Clone, Default, Args)]
pub struct DeliverArgs {
    /// No JSON on the descriptor in PORTCULLIS_CREDENTIALS_FD
    #[arg(long)]
    pub no_pipe: bool,

    /// The JSON on standard input
    #[arg(long)]
    pub deliver_stdin: bool,

    /// Variables named as secrets: the last resort
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub deliver_env: Vec<EnvName>,

    /// A sealed memfd whose path stands in VAR: json, dotenv (all secrets, or the named ones), raw:NAME, template:FILE
    #[arg(long, value_name = "VAR=FORMAT[:WHAT]", value_parser = file_delivery)]
    pub deliver_file: Vec<FileDelivery>,
}

#[derive(Debug, Clone, Default, Args)]
pub struct ConfineArgs {
    /// Files and directories to read, beside the system's own
    #[arg(long, value_name = "PATH,...", value_delimiter = ',')]
    pub read: Vec<AbsPath>,

    /// To read and write; never executable
    #[arg(long, value_name = "PATH,...", value_delimiter = ',')]
    pub write: Vec<AbsPath>,

    /// To read and execute, beside the command and the system's own programs
    #[arg(long, value_name = "PATH,...", value_delimiter = ',')]
    pub execute: Vec<AbsPath>,

    /// TCP ports to connect to, on any address
    #[arg(long, value_name = "PORT,...", value_delimiter = ',')]
    pub connect: Vec<Port>,

    /// TCP ports to listen on
    #[arg(long, value_name = "PORT,...", value_delimiter = ',')]
    pub bind: Vec<Port>,

    /// Resolve names: true is UDP and TCP, tcp is TCP port 53 alone
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = words_by(dns, &["true", "false", "tcp"]))]
    pub dns: Option<Dns>,

    /// Which calls there are: strict has no code made at run time, no program but the command, no sockets but TCP
    #[arg(long, value_parser = words::<Profile>(&["default", "strict"]))]
    pub profile: Option<Profile>,

    /// Devices to read, write and control, beside null, full and tty
    #[arg(long, value_name = "PATH,...", value_delimiter = ',')]
    pub devices: Vec<AbsPath>,

    /// Tell of each file and port that is not granted, with the line that grants it; for writing a config, not for service
    #[arg(long)]
    pub explain_files: bool,

    /// Protections that this host may lack
    #[arg(long, value_delimiter = ',', value_parser = words::<Optional>(&["landlock-tcp", "landlock-scopes", "explained-denials", "memfd-secret", "write-xor-execute"]))]
    pub optional: Vec<Optional>,

    /// Protections that are not refused by default when missing
    #[arg(long, value_delimiter = ',', value_parser = words::<Require>(&["bounding-set", "read-only-root"]))]
    pub require: Vec<Require>,
}

#[derive(Debug, Clone, Default, Args)]
pub struct StoreArgs {
    /// The file of age identities that opens age: files
    #[arg(long, value_name = "FILE")]
    pub age_identity: Option<String>,

    /// The file whose first line is the passphrase of age: files
    #[arg(long, value_name = "FILE", conflicts_with = "age_identity")]
    pub age_passphrase_file: Option<String>,

    /// The Vault or OpenBao server, such as `https://vault.internal:8200`; else $VAULT_ADDR
    #[arg(long, value_name = "URL")]
    pub vault_address: Option<String>,

    /// The namespace; else $VAULT_NAMESPACE
    #[arg(long, value_name = "NAME")]
    pub vault_namespace: Option<String>,

    /// The PEM bundle that alone is trusted; else $VAULT_CACERT
    #[arg(long, value_name = "FILE")]
    pub vault_ca: Option<String>,

    /// Log in by AppRole with this role id
    #[arg(long, value_name = "ID")]
    pub vault_role_id: Option<String>,

    /// The file that holds the secret id
    #[arg(long, value_name = "FILE")]
    pub vault_secret_id_file: Option<String>,

    /// Log in by the token in this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["vault_role_id", "vault_secret_id_file"])]
    pub vault_token_file: Option<String>,

    /// A mount and its kind, such as old=kv1; the first segment of a path and kv2 if not given
    #[arg(long = "vault-mount", value_name = "MOUNT=KIND", value_parser = mount, action = ArgAction::Append)]
    pub vault_mounts: Vec<(String, MountKind)>,

    /// The fetcher's own ids when started as root
    #[arg(long, value_name = "USER[:GROUP]")]
    pub fetch_user: Option<UserSpec>,
}

impl StartArgs {
    /// The config's file, if named, and the flags.
    pub fn into_parts(self) -> (Option<PathBuf>, Flags) {
        let (workload, secrets, deliver, confine) = (self.workload, self.secrets, self.deliver, self.confine);
        let flags = Flags {
            deadline: self.deadline,
            mode: self.mode,
            log_format: self.log_format,
            command: self.command,
            user: workload.user,
            groups: workload.groups,
            workdir: workload.workdir,
            env: workload.env,
            stop_timeout: workload.stop_timeout,
            stop_signal: workload.stop_signal,
            stop_before: workload.stop_before,
            rewrite: workload.rewrite,
            shield: workload.shield,
            sockets: workload.sockets,
            notify: workload.notify,
            limits: workload.limits,
            secrets: secrets.secrets,
            max_ages: secrets.max_ages,
            no_pipe: deliver.no_pipe,
            deliver_stdin: deliver.deliver_stdin,
            deliver_env: deliver.deliver_env,
            deliver_file: deliver.deliver_file,
            read: confine.read,
            write: confine.write,
            execute: confine.execute,
            connect: confine.connect,
            bind: confine.bind,
            dns: confine.dns,
            profile: confine.profile,
            devices: confine.devices,
            explain_files: confine.explain_files,
            optional: confine.optional,
            require: confine.require,
            age_identity: self.stores.age_identity.clone(),
            age_passphrase_file: self.stores.age_passphrase_file.clone(),
            fetch_user: self.stores.fetch_user.clone(),
            vault: self.stores.into_vault(),
        };
        (self.config, flags)
    }
}

impl StoreArgs {
    fn into_vault(self) -> VaultFlags {
        VaultFlags {
            address: self.vault_address,
            namespace: self.vault_namespace,
            ca: self.vault_ca,
            role_id: self.vault_role_id,
            secret_id_file: self.vault_secret_id_file,
            token_file: self.vault_token_file,
            mounts: self.vault_mounts,
        }
    }
}

/// The words of a closed list, known to help and completions, parsed as the config parses them.
fn words<T>(known: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: DeserializeOwned + Clone + Send + Sync + 'static,
{
    words_by(parse_word::<T>, known)
}

fn words_by<T>(
    parse: fn(&str) -> Result<T, BadValue>,
    known: &'static [&'static str],
) -> impl TypedValueParser<Value = T>
where
    T: Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(known).try_map(move |word| parse(&word))
}

fn dns(word: &str) -> Result<Dns, BadValue> {
    match word {
        "true" => Ok(Dns::Udp),
        "false" => Ok(Dns::Off),
        _ => parse_word(word),
    }
}

fn split(text: &str) -> Result<(&str, &str), BadValue> {
    text.split_once('=').ok_or_else(|| BadValue {
        what: "there is no `=` in it".to_owned(), // Not echoed: it may be the secret itself.
        hint: "write a name, `=` and what belongs to it, as `portcullis run --help` shows".to_owned(),
    })
}

fn pair<K, V>(text: &str) -> Result<(K, V), BadValue>
where
    K: FromStr<Err = BadValue>,
    V: FromStr<Err = BadValue>,
{
    let (key, value) = split(text)?;
    Ok((key.parse()?, value.parse()?))
}

fn stop_before(text: &str) -> Result<StopBefore, BadValue> {
    let (signal, wait) = pair(text)?;
    Ok(StopBefore { signal, wait })
}

fn limit(text: &str) -> Result<(Limit, Size), BadValue> {
    let (name, size) = split(text)?;
    Ok((parse_word(name)?, size.parse()?))
}

fn mount(text: &str) -> Result<(String, MountKind), BadValue> {
    let (mount, kind) = split(text)?;
    Ok((mount.to_owned(), parse_word(kind)?))
}

fn env_flag(text: &str) -> Result<EnvFlag, BadValue> {
    match text.split_once('=') {
        Some((name, value)) => Ok(EnvFlag::Set(name.parse()?, value.to_owned())),
        None => Ok(EnvFlag::Pass(text.parse()?)),
    }
}

/// `VAR=json`, `VAR=dotenv:NAME,NAME`, `VAR=raw:NAME`, `VAR=template:FILE`.
fn file_delivery(text: &str) -> Result<FileDelivery, BadValue> {
    let (var, form) = split(text)?;
    let (format, what) = form.split_once(':').map_or((form, None), |(format, what)| (format, Some(what)));
    let format = parse_word(format)?;
    let names = |what: &str| what.split(',').map(str::parse).collect::<Result<Vec<SecretName>, _>>();
    let (template, secrets) = match (format, what) {
        (FileFormat::Template, file) => (file.map(str::to_owned), None),
        (_, Some(what)) => (None, Some(names(what)?)),
        (_, None) => (None, None),
    };
    Ok(FileDelivery { var: var.parse()?, format, template, secrets })
}

#[cfg(test)]
mod tests;
