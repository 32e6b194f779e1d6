//! `[vault]`: an address that is a server over TLS and nothing else, mounts that match the references, and the environment's
//! part in it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use super::Check;
use crate::config::Config;
use crate::config::fault::{Fault, Step, place};
use crate::config::flags::anchor;
use crate::config::load::Environment;
use crate::config::model::{MountKind, Secret, Vault, VaultAuth, Wrapping};
use crate::config::reference::Source;
use crate::config::values::{SecretName, echo};
use crate::refusal::Refusal;

/// Takes `VAULT_ADDR`, `VAULT_NAMESPACE` and `VAULT_CACERT` for keys that are not given, and no order to be careless.
pub fn fill_from_environment(config: &mut Config, environment: &Environment, cwd: &Path) -> Result<(), Refusal> {
    refuse_skip_verify(environment)?;
    let Some(vault) = &mut config.vault else {
        return Ok(());
    };
    if vault.address.0.is_empty() {
        let mut address = None;
        fill(&mut address, environment, "VAULT_ADDR")?;
        vault.address.0.extend(address);
    }
    fill(&mut vault.namespace, environment, "VAULT_NAMESPACE")?;
    if vault.tls.ca.is_none() {
        fill(&mut vault.tls.ca, environment, "VAULT_CACERT")?;
        vault.tls.ca.as_mut().map_or(Ok(()), |ca| anchor(ca, cwd))?;
    }
    Ok(())
}

/// What Go's ParseBool takes for false, and empty, are no order to skip anything.
fn refuse_skip_verify(environment: &Environment) -> Result<(), Refusal> {
    let harmless = ["", "0", "f", "F", "false", "FALSE", "False"].map(OsStr::new);
    match environment.get(OsStr::new("VAULT_SKIP_VERIFY")) {
        Some(value) if !harmless.contains(&value.as_os_str()) => Err(Refusal::config(
            format!("VAULT_SKIP_VERIFY is set to `{}`, which portcullis will not do", echo(&value.to_string_lossy())),
            "remove it, and name the private CA with `ca` in [vault.tls] or in VAULT_CACERT",
        )),
        _ => Ok(()),
    }
}

/// An empty variable counts as absent, as it does for Vault's own tools.
fn fill(key: &mut Option<String>, environment: &Environment, variable: &str) -> Result<(), Refusal> {
    let Some(value) = environment.get(OsStr::new(variable)).filter(|value| key.is_none() && !value.is_empty()) else {
        return Ok(());
    };
    match value.to_str() {
        Some(text) => *key = Some(text.to_owned()),
        None => {
            return Err(Refusal::config(
                format!("{variable} is not valid UTF-8"),
                "correct it, or write the key in [vault]",
            ));
        }
    }
    Ok(())
}

pub fn check(config: &Config) -> Check {
    let references = || config.secrets.iter().filter(|(_, secret)| secret.from.source == Source::Vault);
    let Some(vault) = &config.vault else {
        return references().next().map_or(Ok(()), |(name, _)| Err(no_vault(name)));
    };
    if vault.address.0.is_empty() && references().next().is_some() {
        return Err(Fault::said(
            place!["vault"],
            "the vault's address is not given",
            "add a line `address = \"https://vault.internal:8200\"` in [vault], or set VAULT_ADDR",
        ));
    }
    addresses(&vault.address.0)?;
    values(vault)?;
    references().try_for_each(|(name, secret)| reference(vault, name, secret))?;
    let paths: Vec<&str> = references().map(|(_, secret)| secret.from.path.as_str()).collect();
    vault.write.keys().try_for_each(|path| written(path, &paths))
}

/// More would not be tried within any deadline.
const MOST_ADDRESSES: usize = 16;

fn addresses(all: &[String]) -> Check {
    all.iter().try_for_each(|address| address_is_a_server(address))?;
    if all.len() > MOST_ADDRESSES {
        let what = format!("the vault has {} addresses, more than {MOST_ADDRESSES}", all.len());
        return Err(Fault::said(place!["vault", "address"], what, "list the few that this host should try"));
    }
    match all.iter().enumerate().find(|(at, address)| all[..*at].contains(address)) {
        Some((_, twice)) => {
            let what = format!("the vault's address `{}` is listed twice", echo(twice));
            Err(Fault::said(place!["vault", "address"], what, "list each once, in the order in which to try them"))
        }
        None => Ok(()),
    }
}

/// A path to write to that no secret names would never be asked for: a slip of the pen.
fn written(path: &str, references: &[&str]) -> Check {
    if references.contains(&path) {
        return Ok(());
    }
    let what = format!("[vault.write] has `{}`, but no secret is there", echo(path));
    let hint = match super::super::errors::nearest(path, references) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "write the path of a reference, such as \"pki/issue/bot\", without its field".to_owned(),
    };
    Err(Fault::said(place!["vault", "write", path], what, hint))
}

fn no_vault(name: &SecretName) -> Fault {
    Fault::said(
        place!["secrets", name.as_str()],
        format!("`{name}` is in a vault, but there is no [vault]"),
        "add [vault] with `address` and `auth`, or --vault-address with --vault-role-id or --vault-token-file",
    )
}

fn address_is_a_server(address: &str) -> Check {
    let fail = |what: &str, hint: &str| {
        Err(Fault::said(place!["vault", "address"], format!("the vault's address `{}` {what}", echo(address)), hint))
    };
    const FORM: &str = "write \"https://host\" or \"https://host:port\"";
    if address.contains('@') {
        // Not echoed: what stands before the `@` may be a password.
        let what = "the vault's address has a user or a password in it";
        return Err(Fault::said(place!["vault", "address"], what, "remove it: [vault.auth] says how to log in"));
    }
    if address.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://")) {
        return fail(
            "is plain http",
            "secrets travel over TLS alone: give the server a certificate and write https://",
        );
    }
    let Some(rest) = address.strip_prefix("https://") else {
        return fail("does not start with https://", FORM);
    };
    // The one slash that half of all tools add is no path.
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#', '\\']) {
        return fail("has a path, a query or a fragment", FORM);
    }
    if !is_host_and_port(authority) {
        return fail("is no host with an optional port", FORM);
    }
    Ok(())
}

pub(super) fn is_host_and_port(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => {
            (host.parse::<std::net::Ipv6Addr>().is_ok(), port.strip_prefix(':').or((!port.is_empty()).then_some("?")))
        }
        None => {
            let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
            let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            (!host.is_empty() && host.len() <= 253 && host.chars().all(name), port)
        }
    };
    let digits = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|n| n > 0);
    host && port.is_none_or(digits)
}

fn values(vault: &Vault) -> Check {
    auth(vault)?;
    if vault.tls.client_cert.is_some() != vault.tls.client_key.is_some() {
        let what = "tls.client_cert and tls.client_key go together, and one is missing";
        return Err(Fault::said(place!["vault", "tls"], what, "name the certificate's file and its key's file"));
    }
    if let Some(namespace) = &vault.namespace {
        word("namespace", namespace, place!["vault", "namespace"])?;
    }
    vault.mounts.keys().try_for_each(|mount| mount_path(mount, place!["vault", "mounts", mount.as_str()]))
}

fn auth(vault: &Vault) -> Check {
    let mount_is_a_path = |mount: &str| mount_path(mount, place!["vault", "auth", "mount"]);
    match &vault.auth {
        VaultAuth::Approle { role_id, mount, wrapping: how, .. } => {
            word("role_id", role_id, place!["vault", "auth", "role_id"])?;
            mount_is_a_path(mount)?;
            wrapping(how)
        }
        VaultAuth::Token { wrapping: how, .. } => wrapping(how),
        VaultAuth::Kubernetes { role, mount, audience, .. } | VaultAuth::Jwt { role, mount, audience, .. } => {
            word("role", role, place!["vault", "auth", "role"])?;
            if let Some(audience) = audience {
                word("audience", audience, place!["vault", "auth", "audience"])?;
            }
            mount_is_a_path(mount)
        }
        VaultAuth::Cert { role, mount } => {
            if let Some(role) = role {
                word("role", role, place!["vault", "auth", "role"])?;
            }
            if vault.tls.client_cert.is_none() {
                let what = "the login is by certificate, and no certificate is given";
                let hint = "set `client_cert` and `client_key` in [vault.tls] to PEM files";
                return Err(Fault::said(place!["vault", "auth"], what, hint));
            }
            mount_is_a_path(mount)
        }
    }
}

fn wrapping(how: &Wrapping) -> Check {
    let Some(path) = &how.wrapped_path else { return Ok(()) };
    let here = place!["vault", "auth", "wrapped_path"];
    if !how.wrapped {
        return Err(Fault::said(here, "wrapped_path is given, but nothing is wrapped", "add wrapped = true"));
    }
    mount_path(path, here)
}

fn word<const N: usize>(key: &str, text: &str, path: [Step; N]) -> Check {
    if text.is_empty() || text.chars().any(|c| c.is_control() || c == ' ') {
        let what = format!("the vault's {key} is empty, or has spaces or control characters in it");
        return Err(Fault::said(path, what, "write it as the vault shows it, or leave the key out"));
    }
    Ok(())
}

fn mount_path<const N: usize>(mount: &str, path: [Step; N]) -> Check {
    if mount.split('/').any(|part| matches!(part, "" | "." | "..")) || mount.chars().any(char::is_control) {
        let what = format!("`{}` is no mount path", echo(mount));
        return Err(Fault::said(path, what, "write it without a slash at either end, such as \"secret\""));
    }
    Ok(())
}

/// The mount that a path is under: the longest listed one, else the path's first segment, which is KV 2; but for cubbyhole,
/// which each store has and which keeps no versions.
pub fn mount_of<'a>(mounts: &'a BTreeMap<String, MountKind>, path: &'a str) -> (&'a str, MountKind) {
    let under = |mount: &str| path.strip_prefix(mount).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let listed = mounts.iter().filter(|(mount, _)| under(mount)).max_by_key(|(mount, _)| mount.len());
    match listed {
        Some((mount, kind)) => (mount, *kind),
        None => match path.split('/').next().unwrap_or(path) {
            "cubbyhole" => ("cubbyhole", MountKind::Read),
            mount => (mount, MountKind::Kv2),
        },
    }
}

fn reference(vault: &Vault, name: &SecretName, secret: &Secret) -> Check {
    let (mount, kind) = mount_of(&vault.mounts, &secret.from.path);
    let versioned = kind == MountKind::Kv2 && !vault.write.contains_key(&secret.from.path);
    let fail = |what: String, hint: String| Err(Fault::said(place!["secrets", name.as_str()], what, hint));
    let Some(below) = secret.from.path[mount.len()..].strip_prefix('/') else {
        let hint = format!("write \"vault:{}/PATH#{}\"", echo(mount), echo(&secret.from.field));
        return fail(format!("`{name}` names the mount `{}` and no secret in it", echo(mount)), hint);
    };
    if versioned && (below == "data" || below.starts_with("data/")) {
        let rest = below.strip_prefix("data/").unwrap_or("PATH");
        let hint = format!("remove it: \"vault:{}/{}#{}\"", echo(mount), echo(rest), echo(&secret.from.field));
        return fail(format!("`{name}` has /data/ after its KV 2 mount, which portcullis adds itself"), hint);
    }
    if !versioned && secret.max_age.is_some() {
        let which = if kind == MountKind::Kv1 { "a KV 1 mount" } else { "its mount" };
        let what = format!("`{name}` has a max_age, but {which} keeps no times");
        return fail(what, "remove max_age, or move the secret to a KV 2 mount".to_owned());
    }
    let Some(version) = secret.from.query.get("version") else { return Ok(()) };
    if !versioned {
        let what =
            format!("`{name}` pins a version, but only a KV 2 mount keeps versions, and `{}` is none", echo(mount));
        return fail(what, "remove ?version, or correct the kind of the mount in [vault.mounts]".to_owned());
    }
    match version.parse::<u64>() {
        Ok(1..) => Ok(()),
        _ => {
            let what = format!("`{name}`: `{}` is no version", echo(version));
            fail(what, "versions are whole numbers from 1: `vault kv metadata get` lists them".to_owned())
        }
    }
}

#[cfg(test)]
mod tests;
