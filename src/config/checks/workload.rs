//! `[workload]` and the file names of the tables: nothing empty, nothing that the kernel would cut at a NUL byte.

use super::Check;
use crate::config::Config;
use crate::config::fault::{Fault, Step, place};
use crate::config::model::VaultAuth;
use crate::config::values::echo;

pub fn check(config: &Config) -> Check {
    command(&config.workload.command)?;
    for (name, value) in &config.workload.env.set {
        no_nul(value, place!["workload", "env", "set", name.as_str()])?;
    }
    file_names(config)
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
    command.iter().enumerate().try_for_each(|(index, word)| no_nul(word, place!["workload", "command", index]))
}

fn no_nul(text: &str, path: impl IntoIterator<Item = Step>) -> Check {
    if text.contains('\0') {
        let what = format!("\"{}\" has a NUL byte in it", echo(text));
        return Err(Fault::said(path, what, "neither arguments nor variables can hold one: remove it"));
    }
    Ok(())
}

fn file_names(config: &Config) -> Check {
    file_name(config.age.identity.as_ref(), place!["age", "identity"])?;
    file_name(config.age.passphrase_file.as_ref(), place!["age", "passphrase_file"])?;
    if config.age.identity.is_some() && config.age.passphrase_file.is_some() {
        return Err(Fault::said(
            place!["age", "passphrase_file"],
            "[age] has both `identity` and `passphrase_file`",
            "keep the one that opens the sealed file",
        ));
    }
    if let Some(vault) = &config.vault {
        file_name(vault.tls.ca.as_ref(), place!["vault", "tls", "ca"])?;
        match &vault.auth {
            VaultAuth::Approle { secret_id_file, .. } => {
                file_name(Some(secret_id_file), place!["vault", "auth", "secret_id_file"])?;
            }
            VaultAuth::Token { token_file } => file_name(Some(token_file), place!["vault", "auth", "token_file"])?,
        }
    }
    config
        .deliver
        .file
        .iter()
        .enumerate()
        .try_for_each(|(index, file)| file_name(file.template.as_ref(), place!["deliver", "file", index, "template"]))
}

fn file_name<const N: usize>(name: Option<&String>, path: [Step; N]) -> Check {
    match name {
        Some(name) if name.is_empty() => {
            Err(Fault::said(path, "a file name is empty", "name a file, or leave the key out"))
        }
        Some(name) => no_nul(name, path),
        None => Ok(()),
    }
}
