//! What the command line says, as plain values, laid over what the file says.
//!
//! Flags win. A single value replaces the file's; a named one (a secret, a variable, a limit, a file delivery) replaces the
//! one of that name; a list is added to the file's list. Nothing here knows how flags are parsed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Config;
use super::errors::Origin;
use super::model::{
    Addresses, Dns, FileDelivery, Leases, Limit, LogFormat, Mode, MountKind, Notify, Optional, Profile, Require,
    Secret, Shield, StopBefore, Tls, Vault, VaultAuth, Wrapping, approle_mount,
};
use super::reference::{Reference, Source};
use super::signal::{Rewritten, SignalName};
use super::values::{AbsPath, EnvName, Id, Port, SecretName, Size, Span, UserSpec};
use crate::refusal::{Exit, Refusal};

/// One field a flag; `None`, `false` or empty where it is not given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flags {
    pub deadline: Option<Span>,
    pub mode: Option<Mode>,
    pub log_format: Option<LogFormat>,
    /// Program and arguments, byte for byte; replaces the file's.
    pub command: Vec<OsString>,
    pub user: Option<UserSpec>,
    pub groups: Vec<Id>,
    pub workdir: Option<AbsPath>,
    pub env: Vec<EnvFlag>,
    pub stop_timeout: Option<Span>,
    pub stop_signal: Option<SignalName>,
    /// Replaces the file's: its order is its meaning.
    pub stop_before: Vec<StopBefore>,
    pub rewrite: Vec<(SignalName, Rewritten)>,
    pub shield: Option<Shield>,
    pub sockets: bool,
    pub notify: Option<Notify>,
    pub limits: Vec<(Limit, Size)>,
    pub secrets: Vec<(SecretName, Reference)>,
    /// For secrets of the file or of the flags.
    pub max_ages: Vec<(SecretName, Span)>,
    pub no_pipe: bool,
    pub deliver_stdin: bool,
    pub deliver_env: Vec<EnvName>,
    pub deliver_file: Vec<FileDelivery>,
    pub read: Vec<AbsPath>,
    pub write: Vec<AbsPath>,
    pub execute: Vec<AbsPath>,
    pub connect: Vec<Port>,
    pub bind: Vec<Port>,
    pub dns: Option<Dns>,
    pub profile: Option<Profile>,
    pub devices: Vec<AbsPath>,
    pub explain_files: bool,
    pub optional: Vec<Optional>,
    pub require: Vec<Require>,
    pub age_identity: Option<String>,
    pub age_passphrase_file: Option<String>,
    pub fetch_user: Option<UserSpec>,
    pub vault: VaultFlags,
}

/// `--env NAME` or `--env NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvFlag {
    Pass(EnvName),
    Set(EnvName, String),
}

/// The flags that make up a `[vault]` table where the file has none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VaultFlags {
    pub address: Option<String>,
    pub namespace: Option<String>,
    pub ca: Option<String>,
    pub role_id: Option<String>,
    pub secret_id_file: Option<String>,
    pub token_file: Option<String>,
    pub mounts: Vec<(String, MountKind)>,
}

impl Flags {
    /// Whether a start needs no file beside these.
    pub fn suffice(&self) -> bool {
        !self.command.is_empty()
    }

    /// The command that will be run.
    pub(super) fn command_or(&self, config: &Config) -> Vec<OsString> {
        if self.command.is_empty() {
            return config.workload.command.iter().map(OsString::from).collect();
        }
        self.command.clone()
    }

    /// Lays these over a config from `origin`. File names in flags mean the working directory, whatever the file's means.
    pub(super) fn overlay(&self, config: &mut Config, origin: &Origin, cwd: &Path) -> Result<(), Refusal> {
        let mut flags = self.clone();
        if matches!(origin, Origin::File(_)) {
            flags.anchor(cwd)?;
        }
        replace(&mut config.deadline, flags.deadline);
        replace(&mut config.mode, flags.mode);
        replace(&mut config.log_format, flags.log_format);
        replace(&mut config.fetch.user, flags.fetch_user.clone());
        flags.overlay_workload(config);
        flags.overlay_secrets(config)?;
        flags.overlay_deliver(config);
        flags.overlay_confine(config);
        flags.overlay_age(config);
        flags.vault.overlay(&mut config.vault)
    }

    fn overlay_workload(&self, config: &mut Config) {
        let workload = &mut config.workload;
        if !self.command.is_empty() {
            workload.command = self.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        }
        if self.user.is_some() {
            workload.user.clone_from(&self.user);
        }
        if self.workdir.is_some() {
            workload.workdir.clone_from(&self.workdir);
        }
        add(&mut workload.groups, &self.groups);
        replace(&mut workload.stop_timeout, self.stop_timeout);
        replace(&mut workload.stop_signal, self.stop_signal);
        if !self.stop_before.is_empty() {
            workload.stop_before.clone_from(&self.stop_before);
        }
        workload.rewrite.extend(self.rewrite.iter().copied());
        replace(&mut workload.shield, self.shield);
        workload.sockets |= self.sockets;
        replace(&mut workload.notify, self.notify);
        workload.limits.extend(self.limits.iter().copied());
        for flag in &self.env {
            flag.overlay(&mut workload.env);
        }
    }

    fn overlay_secrets(&self, config: &mut Config) -> Result<(), Refusal> {
        for (name, from) in &self.secrets {
            config.secrets.insert(name.clone(), Secret { from: from.clone(), max_age: None, encoding: None });
        }
        for (name, max_age) in &self.max_ages {
            let Some(secret) = config.secrets.get_mut(name) else {
                return Err(usage(
                    format!("--max-age is for `{name}`, but there is no secret of that name"),
                    format!("add --secret {name}=REFERENCE, or correct the name"),
                ));
            };
            secret.max_age = Some(*max_age);
        }
        Ok(())
    }

    fn overlay_deliver(&self, config: &mut Config) {
        let deliver = &mut config.deliver;
        deliver.pipe &= !self.no_pipe;
        deliver.stdin |= self.deliver_stdin;
        add(&mut deliver.env, &self.deliver_env);
        deliver.file.retain(|file| self.deliver_file.iter().all(|flag| flag.var != file.var));
        deliver.file.extend(self.deliver_file.iter().cloned());
    }

    fn overlay_confine(&self, config: &mut Config) {
        let confine = &mut config.confine;
        add(&mut confine.read, &self.read);
        add(&mut confine.write, &self.write);
        add(&mut confine.execute, &self.execute);
        add(&mut confine.connect, &self.connect);
        add(&mut confine.bind, &self.bind);
        add(&mut confine.optional, &self.optional);
        add(&mut confine.require, &self.require);
        replace(&mut confine.dns, self.dns);
        replace(&mut confine.profile, self.profile);
        add(&mut confine.devices, &self.devices);
    }

    /// The two keys exclude each other, so either flag replaces either key.
    fn overlay_age(&self, config: &mut Config) {
        if self.age_identity.is_some() || self.age_passphrase_file.is_some() {
            config.age.identity.clone_from(&self.age_identity);
            config.age.passphrase_file.clone_from(&self.age_passphrase_file);
        }
    }

    /// Makes every relative file name absolute.
    fn anchor(&mut self, cwd: &Path) -> Result<(), Refusal> {
        for (_, reference) in &mut self.secrets {
            if reference.source != Source::Vault {
                anchor(&mut reference.path, cwd)?;
            }
        }
        let vault = &mut self.vault;
        let templates = self.deliver_file.iter_mut().map(|file| &mut file.template);
        let others = [
            &mut self.age_identity,
            &mut self.age_passphrase_file,
            &mut vault.ca,
            &mut vault.secret_id_file,
            &mut vault.token_file,
        ];
        templates.chain(others).flatten().try_for_each(|file| anchor(file, cwd))
    }
}

impl EnvFlag {
    /// The last word on a variable wins: set here, it is no longer passed, and the reverse.
    fn overlay(&self, env: &mut super::model::Env) {
        match self {
            EnvFlag::Pass(name) => {
                env.set.remove(name);
                add(&mut env.pass, std::slice::from_ref(name));
            }
            EnvFlag::Set(name, value) => {
                env.pass.retain(|passed| passed != name);
                env.set.insert(name.clone(), value.clone());
            }
        }
    }
}

impl VaultFlags {
    fn overlay(self, vault: &mut Option<Vault>) -> Result<(), Refusal> {
        if self == VaultFlags::default() {
            return Ok(());
        }
        let auth = self.auth(vault.as_ref().map(|vault| &vault.auth))?;
        let vault = vault.get_or_insert_with(|| Vault {
            address: Addresses::default(),
            namespace: None,
            auth: auth.clone(),
            tls: Tls::default(),
            mounts: Default::default(),
            write: Default::default(),
            leases: Leases::default(),
            on_lease_end: Default::default(),
        });
        vault.auth = auth;
        if let Some(address) = self.address {
            vault.address = Addresses(vec![address]);
        }
        vault.namespace = self.namespace.or(vault.namespace.take());
        vault.tls.ca = self.ca.or(vault.tls.ca.take());
        vault.mounts.extend(self.mounts);
        Ok(())
    }

    fn auth(&self, own: Option<&VaultAuth>) -> Result<VaultAuth, Refusal> {
        let (own_role, own_file, mount, wrapping) = match own {
            Some(VaultAuth::Approle { role_id, secret_id_file, mount, wrapping }) => {
                (Some(role_id), Some(secret_id_file), mount.clone(), wrapping.clone())
            }
            _ => (None, None, approle_mount(), Wrapping::default()),
        };
        let approle = self.role_id.is_some() || self.secret_id_file.is_some();
        let role_id = self.role_id.as_ref().or(own_role);
        let secret_id_file = self.secret_id_file.as_ref().or(own_file);
        match (&self.token_file, own, role_id, secret_id_file) {
            (Some(_), ..) if approle => Err(usage(
                "--vault-token-file and --vault-role-id are two ways to log in",
                "keep one: a token's file, or a role id and a secret id's file",
            )),
            (Some(token_file), Some(VaultAuth::Token { wrapping, .. }), ..) => {
                Ok(VaultAuth::Token { token_file: token_file.clone(), wrapping: wrapping.clone() })
            }
            (Some(token_file), ..) => {
                Ok(VaultAuth::Token { token_file: token_file.clone(), wrapping: Wrapping::default() })
            }
            (None, Some(own), ..) if !approle => Ok(own.clone()),
            (None, _, Some(role_id), Some(secret_id_file)) => {
                let (role_id, secret_id_file) = (role_id.clone(), secret_id_file.clone());
                Ok(VaultAuth::Approle { role_id, secret_id_file, mount, wrapping })
            }
            _ => Err(usage(
                "the flags do not say how to log in to the vault",
                "add --vault-role-id and --vault-secret-id-file, or --vault-token-file",
            )),
        }
    }
}

fn replace<T>(value: &mut T, flag: Option<T>) {
    if let Some(flag) = flag {
        *value = flag;
    }
}

fn add<T: Clone + PartialEq>(list: &mut Vec<T>, flags: &[T]) {
    for flag in flags {
        if !list.contains(flag) {
            list.push(flag.clone());
        }
    }
}

pub(super) fn anchor(file: &mut String, cwd: &Path) -> Result<(), Refusal> {
    if file.is_empty() {
        return Ok(()); // An empty name is refused by the checks, in its own words.
    }
    let absolute: PathBuf = cwd.join(&*file);
    *file = absolute.into_os_string().into_string().map_err(|_| {
        usage(
            "the working directory's name is not valid UTF-8, so files cannot be named relative to it",
            "write absolute paths in the flags",
        )
    })?;
    Ok(())
}

fn usage(what: impl Into<String>, hint: impl Into<String>) -> Refusal {
    Refusal::new(Exit::Usage, what, hint)
}

#[cfg(test)]
mod tests;
