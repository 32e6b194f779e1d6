//! `[vault]`: an address that is a server over TLS and nothing else, mounts that match the references, and the environment's
//! part in it.

use std::ffi::OsStr;
use std::path::Path;

use super::Check;
use crate::config::Config;
use crate::config::fault::{Fault, Step, place};
use crate::config::flags::anchor;
use crate::config::load::Environment;
use crate::config::model::{MountKind, Secret, Vault, VaultAuth};
use crate::config::reference::Source;
use crate::config::values::{SecretName, echo};
use crate::refusal::Refusal;

/// Takes `VAULT_ADDR`, `VAULT_NAMESPACE` and `VAULT_CACERT` for keys that are not given, and no order to be careless.
pub fn fill_from_environment(config: &mut Config, environment: &Environment, cwd: &Path) -> Result<(), Refusal> {
    refuse_skip_verify(environment)?;
    let Some(vault) = &mut config.vault else {
        return Ok(());
    };
    fill(&mut vault.address, environment, "VAULT_ADDR")?;
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
    match &vault.address {
        Some(address) => address_is_a_server(address)?,
        None if references().next().is_none() => {}
        None => {
            return Err(Fault::said(
                place!["vault"],
                "the vault's address is not given",
                "add a line `address = \"https://vault.internal:8200\"` in [vault], or set VAULT_ADDR",
            ));
        }
    }
    values(vault)?;
    references().try_for_each(|(name, secret)| reference(vault, name, secret))
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

fn is_host_and_port(authority: &str) -> bool {
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
    if let VaultAuth::Approle { role_id, mount, .. } = &vault.auth {
        word("role_id", role_id, place!["vault", "auth", "role_id"])?;
        mount_path(mount, place!["vault", "auth", "mount"])?;
    }
    if let Some(namespace) = &vault.namespace {
        word("namespace", namespace, place!["vault", "namespace"])?;
    }
    vault.mounts.keys().try_for_each(|mount| mount_path(mount, place!["vault", "mounts", mount.as_str()]))
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

/// The mount that a path is under: the longest listed one, else the path's first segment, which is KV 2.
pub fn mount_of<'a>(vault: &'a Vault, path: &'a str) -> (&'a str, MountKind) {
    let under = |mount: &str| path.strip_prefix(mount).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let listed = vault.mounts.iter().filter(|(mount, _)| under(mount)).max_by_key(|(mount, _)| mount.len());
    match listed {
        Some((mount, kind)) => (mount, *kind),
        None => (path.split('/').next().unwrap_or(path), MountKind::Kv2),
    }
}

fn reference(vault: &Vault, name: &SecretName, secret: &Secret) -> Check {
    let (mount, kind) = mount_of(vault, &secret.from.path);
    let fail = |what: String, hint: String| Err(Fault::said(place!["secrets", name.as_str()], what, hint));
    let Some(below) = secret.from.path[mount.len()..].strip_prefix('/') else {
        let hint = format!("write \"vault:{}/PATH#{}\"", echo(mount), echo(&secret.from.field));
        return fail(format!("`{name}` names the mount `{}` and no secret in it", echo(mount)), hint);
    };
    if kind == MountKind::Kv2 && (below == "data" || below.starts_with("data/")) {
        let rest = below.strip_prefix("data/").unwrap_or("PATH");
        let hint = format!("remove it: \"vault:{}/{}#{}\"", echo(mount), echo(rest), echo(&secret.from.field));
        return fail(format!("`{name}` has /data/ after its KV 2 mount, which portcullis adds itself"), hint);
    }
    if kind == MountKind::Kv1 && secret.max_age.is_some() {
        let what = format!("`{name}` has a max_age, but a KV 1 mount keeps no times");
        return fail(what, "remove max_age, or move the secret to a KV 2 mount".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
