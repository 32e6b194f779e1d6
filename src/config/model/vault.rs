//! `[vault]`: where the store is, who we are to it, how to log in, and what its mounts are.
//!
//! No logic but defaults, like the rest of the model.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::config::lease_end::OnLeaseEnd;

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
    /// What is done when a lease, or the token that it hangs on, ends in spite of that: `stop` ends the program, `ignore` says
    /// it, `signal:USR1` sends the program that signal.
    #[serde(default)]
    pub on_lease_end: OnLeaseEnd,
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

/// What becomes of a value that lives as long as a lease: `keep` renews it as long as the program lives, `unkept` takes it and
/// lets it end, `refuse` starts nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Leases {
    #[default]
    Keep,
    Unkept,
    Refuse,
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

pub fn kubernetes_mount() -> String {
    "kubernetes".to_owned()
}

pub fn jwt_mount() -> String {
    "jwt".to_owned()
}

pub fn cert_mount() -> String {
    "cert".to_owned()
}

pub fn service_account_token() -> String {
    "/var/run/secrets/kubernetes.io/serviceaccount/token".to_owned()
}

pub fn approle_mount() -> String {
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
