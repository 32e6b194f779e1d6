//! `[exec.NAME]`: a command that prints secrets, and the cage that it gets.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Dns, Env};
use crate::config::reference::Reference;
use crate::config::values::{AbsPath, Port, SecretName};

/// A command that prints secrets: the door to every store that has a client of its own.
///
/// It runs as the fetcher's user, in a cage of its own: it reads what is named here and the system's own files, connects to
/// the ports named here, and writes nothing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// Program and arguments; a bare name is looked up in PATH.
    pub command: Vec<String>,
    /// What it prints.
    #[serde(default)]
    pub output: Output,
    /// What it logs in with: names to `age:` and `file:` references, as JSON on the descriptor in `PORTCULLIS_CREDENTIALS_FD`.
    #[serde(default)]
    pub secrets: BTreeMap<SecretName, Reference>,
    /// The one of `secrets` that it gets on its standard input, as it is.
    pub stdin: Option<SecretName>,
    /// Its environment; everything that is not named here is scrubbed.
    #[serde(default)]
    pub env: Env,
    /// Files and directories that it logs in with or that say how: a start in which the workload could read one is refused.
    #[serde(default)]
    pub read: Vec<AbsPath>,
    /// Files and directories that it reads and that are no secrets.
    #[serde(default)]
    pub shared: Vec<AbsPath>,
    /// Programs that it starts, beside the system's own.
    #[serde(default)]
    pub execute: Vec<AbsPath>,
    /// TCP ports to connect to, on any address.
    #[serde(default)]
    pub connect: Vec<Port>,
    #[serde(default)]
    pub dns: Dns,
}

/// What a command prints on its standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// A JSON object or dotenv lines: references name a field.
    #[default]
    Fields,
    /// One value as it is, without one newline at its end: references name no field.
    Raw,
}
