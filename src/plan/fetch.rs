//! The fetcher's work, decided: which files it gets, which store it talks to, and what it is confined to.

mod aws;
pub mod exec;

pub use aws::near_port;

use std::path::{Path, PathBuf};

use super::model::{ClientFiles, FetchPlan, IdentityFile, Key, LoginPlan, SecretPlan, StorePlan};
use super::{Host, keep};
use crate::config::model::{Age, Leases, Secret, Vault, VaultAuth, Wrapping};
use crate::config::reference::{Reference, Source};
use crate::config::values::SecretName;
use crate::config::{Config, Loaded};
use crate::host::{Started, paths};
use crate::refusal::Refusal;

/// Where the age identity is, unless the config says.
pub const DEFAULT_IDENTITY: &str = "/etc/portcullis/age.key";

/// Address space of a fetcher: an honest fetch peaks far below; a hostile answer dies here.
const ADDRESS_SPACE: u64 = 80 << 20;
/// A passphrase at work factor 18 needs 256 MiB for scrypt alone.
const ADDRESS_SPACE_FOR_SCRYPT: u64 = 400 << 20;

pub fn decide(
    loaded: &Loaded,
    host: &Host,
    started: &Started,
    workload: u32,
    notes: &mut Vec<String>,
) -> Result<Option<FetchPlan>, Refusal> {
    let config = &loaded.config;
    if config.secrets.is_empty() {
        return Ok(None);
    }
    let places = Places { folder: &loaded.folder, credentials: credentials_directory(started) };
    let ids = fetcher_ids(loaded, host, workload, notes)?;
    let exec = exec::decide(loaded, host, started, &places, ids, notes)?;
    let inputs = || exec.iter().flat_map(|command| &command.inputs).map(|input| input.from.source);
    let uses = |source| config.secrets.values().map(|secret| secret.from.source).chain(inputs()).any(|s| s == source);
    let age = uses(Source::Age).then(|| age_key(&config.age, &places)).transpose()?;
    let vault = match &config.vault {
        Some(vault) if uses(Source::Vault) => Some(store(config, vault, &places, notes)?),
        _ => None,
    };
    notes.extend(vault.iter().flat_map(store_notes));
    let aws = config.aws.as_ref().filter(|_| uses(Source::Aws)).map(|aws| aws::decide(aws, &places)).transpose()?;
    let secrets = config
        .secrets
        .iter()
        .map(|(name, secret)| wanted(name, secret, &places))
        .collect::<Result<Vec<_>, Refusal>>()?;
    Ok(Some(FetchPlan {
        secrets,
        address_space: if matches!(age, Some(Key::Passphrase(_))) { ADDRESS_SPACE_FOR_SCRYPT } else { ADDRESS_SPACE },
        age,
        vault,
        aws,
        exec,
        ids,
        must_not_contain: haystack(loaded, started),
        landlock_abi: host.kernel.landlock.unwrap_or(0),
    }))
}

/// Where relative paths start.
struct Places<'a> {
    folder: &'a Path,
    credentials: Option<PathBuf>,
}

const CREDENTIALS: &str = "$CREDENTIALS_DIRECTORY";

fn credentials_directory(started: &Started) -> Option<PathBuf> {
    started.env.get(std::ffi::OsStr::new("CREDENTIALS_DIRECTORY")).map(PathBuf::from).filter(|p| p.is_absolute())
}

impl Places<'_> {
    /// A path of the config: `$CREDENTIALS_DIRECTORY/...` (systemd.exec(5)), absolute, or relative to the config's folder.
    fn resolve(&self, text: &str, key: &str) -> Result<PathBuf, Refusal> {
        let Some(rest) = text.strip_prefix(CREDENTIALS).filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
            return Ok(self.folder.join(text));
        };
        match &self.credentials {
            Some(directory) => Ok(directory.join(rest.trim_start_matches('/'))),
            None => Err(Refusal::config(
                format!("{key} uses {CREDENTIALS}, and this start has none"),
                "run as a systemd unit with LoadCredential= or LoadCredentialEncrypted=, or write a path",
            )),
        }
    }

    /// A path that must be a file.
    fn file(&self, text: &str, key: &str) -> Result<PathBuf, Refusal> {
        let path = self.resolve(text, key)?;
        if paths::find(&path, key)?.directory {
            return Err(Refusal::config(
                format!("{key}: `{}` is a directory, and a file is needed", path.display()),
                "name the file itself",
            ));
        }
        Ok(path)
    }
}

fn wanted(name: &SecretName, secret: &Secret, places: &Places<'_>) -> Result<SecretPlan, Refusal> {
    let from = &secret.from;
    let key = format!("secrets.{name}");
    let file = local_file(from, &key, places)?;
    Ok(SecretPlan {
        name: name.to_string(),
        from: from.clone(),
        file,
        max_age: secret.max_age.map(|age| age.duration()),
        base64: secret.encoding.is_some(),
    })
}

/// The file that init opens for a reference, at the sources whose values are files of this host.
fn local_file(from: &Reference, key: &str, places: &Places<'_>) -> Result<Option<PathBuf>, Refusal> {
    match from.source {
        Source::Age => places.file(&from.path, key).map(Some),
        Source::File => places.file(&format!("{}/{}", from.path.trim_end_matches('/'), from.field), key).map(Some),
        Source::Aws | Source::Exec | Source::Vault => Ok(None),
    }
}

fn age_key(age: &Age, places: &Places<'_>) -> Result<Key, Refusal> {
    match (&age.identity, &age.passphrase_file) {
        (None, Some(file)) => Ok(Key::Passphrase(places.file(file, "age.passphrase_file")?)),
        (Some(file), _) => Ok(Key::Identity(places.file(file, "age.identity")?)),
        (None, None) => places.file(DEFAULT_IDENTITY, "age.identity").map(Key::Identity).map_err(|refusal| Refusal {
            hint: format!("set age.identity (or --age-identity) to the key file, or put it at {DEFAULT_IDENTITY}"),
            ..refusal
        }),
    }
}

fn store(config: &Config, vault: &Vault, places: &Places<'_>, notes: &mut Vec<String>) -> Result<StorePlan, Refusal> {
    let addresses = vault.address.0.clone();
    if addresses.is_empty() {
        return Err(Refusal::config(
            "no address is given for vault",
            "set vault.address, --vault-address or VAULT_ADDR",
        ));
    }
    let servers = addresses.iter().map(|address| host_and_port(address)).collect::<Result<Vec<_>, Refusal>>()?;
    let mut ports: Vec<u16> = servers.iter().map(|(_, port)| *port).collect();
    ports.sort_unstable();
    ports.dedup();
    let (leases, keep) = keep::decide(config, vault, notes)?;
    let is_name = |(host, _): &(String, u16)| host.parse::<std::net::IpAddr>().is_err();
    Ok(StorePlan {
        resolve: servers.iter().any(is_name),
        addresses,
        ports,
        namespace: vault.namespace.clone(),
        ca: authority(vault, places)?,
        client: client(vault, places)?,
        min_tls: vault.tls.min_version,
        mounts: vault.mounts.clone(),
        writes: vault.write.clone(),
        leases,
        keep,
        login: login(&vault.auth, places)?,
    })
}

/// What an operator should know before a start.
fn store_notes(store: &StorePlan) -> Vec<String> {
    let mut notes = Vec::new();
    if store.leases == Leases::Unkept {
        notes.push("leases = \"unkept\": a value that is leased ends with its lease, and nothing renews it".to_owned());
    }
    if let Some(keep) = store.keep {
        notes.push(format!(
            "a lease is renewed by a keeper that stays as long as the program; at its end: {}",
            keep.on_lease_end
        ));
    }
    let once = match &store.login {
        LoginPlan::AppRole { secret_id: file, .. } | LoginPlan::Token { token: file } => {
            file.wrapped || file.single_use
        }
        _ => false,
    };
    if once {
        notes.push("the store's identity is good for one use, and `check --live` is one".to_owned());
    }
    notes
}

fn authority(vault: &Vault, places: &Places<'_>) -> Result<PathBuf, Refusal> {
    match &vault.tls.ca {
        Some(ca) => places.file(ca, "vault.tls.ca"),
        None => paths::system_certificates().ok_or_else(|| {
            Refusal::config(
                "no certificate authority is given for vault, and this system has no bundle of its own",
                "set vault.tls.ca (or VAULT_CACERT) to a PEM file",
            )
        }),
    }
}

fn client(vault: &Vault, places: &Places<'_>) -> Result<Option<ClientFiles>, Refusal> {
    let (Some(cert), Some(key)) = (&vault.tls.client_cert, &vault.tls.client_key) else { return Ok(None) };
    let cert = places.file(cert, "vault.tls.client_cert")?;
    Ok(Some(ClientFiles { cert, key: places.file(key, "vault.tls.client_key")? }))
}

fn login(auth: &VaultAuth, places: &Places<'_>) -> Result<LoginPlan, Refusal> {
    let token_of = |file: &str| places.file(file, "vault.auth.token_file");
    Ok(match auth.clone() {
        VaultAuth::Approle { role_id, secret_id_file, mount, wrapping } => LoginPlan::AppRole {
            mount,
            role_id,
            secret_id: identity(&secret_id_file, "vault.auth.secret_id_file", wrapping, places)?,
        },
        VaultAuth::Kubernetes { role, token_file, mount, audience } => {
            LoginPlan::Kubernetes { mount, role, token_file: token_of(&token_file)?, audience }
        }
        VaultAuth::Jwt { role, token_file, mount, audience } => {
            LoginPlan::Jwt { mount, role, token_file: token_of(&token_file)?, audience }
        }
        VaultAuth::Cert { role, mount } => LoginPlan::Cert { mount, role },
        VaultAuth::Token { token_file, wrapping } => {
            LoginPlan::Token { token: identity(&token_file, "vault.auth.token_file", wrapping, places)? }
        }
    })
}

/// A single-use file that is not there was used before: by an earlier start, since nobody else removes it.
fn identity(file: &str, key: &str, wrapping: Wrapping, places: &Places<'_>) -> Result<IdentityFile, Refusal> {
    let path = places.file(file, key).map_err(|refusal| match wrapping.single_use {
        false => refusal,
        true => Refusal {
            hint: format!(
                "an earlier start removes it after its use (single_use): deliver a new one; {}",
                refusal.hint
            ),
            ..refusal
        },
    })?;
    let Wrapping { wrapped, wrapped_path, single_use } = wrapping;
    Ok(IdentityFile { path, wrapped, wrapped_path, single_use })
}

/// The host (without brackets) and the port of `https://host[:port]`.
fn host_and_port(address: &str) -> Result<(String, u16), Refusal> {
    let bad = || {
        Refusal::config(format!("vault.address `{address}` is no https address"), "write it as \"https://host:8200\"")
    };
    let authority = address.strip_prefix("https://").ok_or_else(bad)?.trim_end_matches('/');
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| bad())?),
        _ => (authority, 443),
    };
    if host.is_empty() || port == 0 {
        return Err(bad());
    }
    Ok((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port))
}

fn fetcher_ids(
    loaded: &Loaded,
    host: &Host,
    workload: u32,
    notes: &mut Vec<String>,
) -> Result<Option<(u32, u32)>, Refusal> {
    if host.process.uid != 0 {
        notes.push("started as a plain user: the fetcher has the workload's own uid, and an identity file of that user stays readable to a shell of the same user".to_owned());
        if host.process.seizable {
            notes.push("this user may read portcullis' own file, so a shell of the same user can seize init in its first instructions: give the file to root, with mode 0111".to_owned());
        }
        return Ok(None);
    }
    let user = host.users.resolve(&loaded.config.fetch.user, "fetch.user")?;
    if user.uid == 0 || user.gid == 0 {
        return Err(Refusal::config("fetch.user is root", "leave it out, or name a user of its own"));
    }
    if user.uid == workload {
        return Err(Refusal::config(
            format!(
                "fetch.user and workload.user are the same user {workload}: the program could reach into the fetcher"
            ),
            "leave fetch.user out, or name two different users",
        ));
    }
    Ok(Some((user.uid, user.gid)))
}

/// Every text of the config, the command and the environment that is handed on: no fetched value may stand there.
fn haystack(loaded: &Loaded, started: &Started) -> Vec<String> {
    let mut texts = vec![loaded.text.clone()];
    texts.extend(loaded.command.iter().map(|arg| arg.to_string_lossy().into_owned()));
    texts.extend(loaded.config.workload.env.set.values().cloned());
    let passed = loaded.config.workload.env.pass.iter();
    texts.extend(
        passed
            .filter_map(|name| started.env.get(std::ffi::OsStr::new(name.as_str())))
            .map(|v| v.to_string_lossy().into_owned()),
    );
    texts.retain(|text| !text.is_empty());
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for (address, host, port) in [
            ("https://vault.internal:8200", "vault.internal", 8200),
            ("https://vault.internal", "vault.internal", 443),
            ("https://127.0.0.1:1", "127.0.0.1", 1),
            ("https://[::1]:8200", "::1", 8200),
            ("https://[::1]", "::1", 443),
        ] {
            assert_eq!(host_and_port(address), Ok((host.to_owned(), port)), "{address}");
        }
        for address in ["http://x", "https://", "https://x:0", "https://x:port", "https://:1"] {
            assert!(host_and_port(address).is_err(), "{address}");
        }
    }
}
