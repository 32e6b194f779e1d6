//! `[workload]` and the file names of the tables: nothing empty, nothing that the kernel would cut at a NUL byte.

use super::Check;
use crate::config::Config;
use crate::config::fault::{Fault, Step, place};
use crate::config::model::{AwsAuth, Limit, Mode, VaultAuth};
use crate::config::signal::SignalName;

pub fn check(config: &Config) -> Check {
    command(&config.workload.command)?;
    for (name, value) in &config.workload.env.set {
        no_nul(value, &format!("`{name}` in env.set"), place!["workload", "env", "set", name.as_str()])?;
    }
    descriptors(config)?;
    stop(config)?;
    file_names(config)
}

/// What init does with signals: it must be there, the waits must fit, and TERM is what everything starts with.
fn stop(config: &Config) -> Check {
    let workload = &config.workload;
    let changed = [
        ("stop_signal", workload.stop_signal != SignalName::TERM),
        ("stop_before", !workload.stop_before.is_empty()),
        ("rewrite", !workload.rewrite.is_empty()),
    ];
    if let Some((key, _)) = changed.iter().find(|(_, set)| *set && config.mode == Mode::Replace) {
        return Err(Fault::said(
            place!["workload", *key],
            format!("`{key}` needs a process that stays, and mode = \"replace\" leaves none"),
            "use mode = \"supervise\", or leave it out",
        ));
    }
    let waits: std::time::Duration = workload.stop_before.iter().map(|step| step.wait.duration()).sum();
    if waits >= workload.stop_timeout.duration() {
        return Err(Fault::said(
            place!["workload", "stop_before"],
            format!("the waits of stop_before take all of the stop_timeout of {}", workload.stop_timeout),
            "raise stop_timeout, or shorten the waits: what remains is for the program's own end",
        ));
    }
    if workload.rewrite.contains_key(&SignalName::TERM) {
        return Err(Fault::said(
            place!["workload", "rewrite"],
            "`rewrite` has SIGTERM, with which every end begins",
            "name what the program gets for it in workload.stop_signal",
        ));
    }
    Ok(())
}

/// The cage is built under the workload's limits, and needs descriptors of its own.
fn descriptors(config: &Config) -> Check {
    const FEWEST: u64 = 64;
    match config.workload.limits.get(&Limit::Nofile) {
        Some(size) if size.get() < FEWEST => Err(Fault::said(
            place!["workload", "limits", "nofile"],
            format!("`nofile` is {}, and with fewer than {FEWEST} descriptors no program can be started", size.get()),
            format!("write {FEWEST} or more, or leave it out"),
        )),
        _ => Ok(()),
    }
}

fn command(command: &[String]) -> Check {
    let hint = "write command = [\"python3\", \"bot.py\"] in [workload], or the command after `--`";
    match command.first().map(String::as_str) {
        None => return Err(Fault::said(place!["workload"], "there is no command to start", hint)),
        Some("") => {
            return Err(Fault::said(place!["workload", "command", 0], "the command's first word is empty", hint));
        }
        Some(_) => {}
    }
    command.iter().enumerate().try_for_each(|(index, word)| {
        no_nul(word, &format!("word {} of the command", index + 1), place!["workload", "command", index])
    })
}

/// Values are named, not shown: a variable's may be nobody's business.
pub(super) fn no_nul(text: &str, name: &str, path: impl IntoIterator<Item = Step>) -> Check {
    if text.contains('\0') {
        let what = format!("{name} has a NUL byte in it");
        return Err(Fault::said(path, what, "arguments, variables and file names cannot hold one: remove it"));
    }
    Ok(())
}

fn file_names(config: &Config) -> Check {
    file_name("age.identity", config.age.identity.as_ref())?;
    file_name("age.passphrase_file", config.age.passphrase_file.as_ref())?;
    if config.age.identity.is_some() && config.age.passphrase_file.is_some() {
        return Err(Fault::said(
            place!["age", "passphrase_file"],
            "[age] has both `identity` and `passphrase_file`",
            "keep the one that opens the sealed file",
        ));
    }
    if let Some(vault) = &config.vault {
        file_name("vault.tls.ca", vault.tls.ca.as_ref())?;
        file_name("vault.tls.client_cert", vault.tls.client_cert.as_ref())?;
        file_name("vault.tls.client_key", vault.tls.client_key.as_ref())?;
        match &vault.auth {
            VaultAuth::Approle { secret_id_file, .. } => file_name("vault.auth.secret_id_file", Some(secret_id_file))?,
            VaultAuth::Kubernetes { token_file, .. }
            | VaultAuth::Jwt { token_file, .. }
            | VaultAuth::Token { token_file, .. } => file_name("vault.auth.token_file", Some(token_file))?,
            VaultAuth::Cert { .. } => {}
        }
    }
    if let Some(aws) = &config.aws {
        file_name("aws.tls.ca", aws.tls.ca.as_ref())?;
        match &aws.auth {
            AwsAuth::WebIdentity { token_file, .. } | AwsAuth::Container { token_file, .. } => {
                file_name("aws.auth.token_file", token_file.as_ref())?;
            }
            AwsAuth::Profile { file, .. } => file_name("aws.auth.file", Some(file))?,
            AwsAuth::Keys { secret_access_key_file: file, .. } => {
                file_name("aws.auth.secret_access_key_file", Some(file))?;
            }
            AwsAuth::Instance { .. } => {}
        }
    }
    let templates = config.deliver.file.iter().enumerate();
    templates
        .map(|(index, file)| (format!("deliver.file.{index}.template"), &file.template))
        .try_for_each(|(key, template)| file_name(&key, template.as_ref()))
}

/// `key` is dotted, with a list's index as a part of its own.
fn file_name(key: &str, name: Option<&String>) -> Check {
    let Some(name) = name else {
        return Ok(());
    };
    let step = |part: &str| part.parse().map_or_else(|_| Step::from(part), Step::Index);
    let path = || key.split('.').map(step);
    let named = format!("the file name in {key}");
    if name.is_empty() {
        return Err(Fault::said(path(), format!("{named} is empty"), "name a file, or leave the key out"));
    }
    no_nul(name, &named, path())
}
