//! `[exec.NAME]`: each reference has its table, and each table a command that can be run and that can be given what it asks for.

use super::{Check, variables, workload};
use crate::config::Config;
use crate::config::fault::{Fault, place};
use crate::config::model::{Exec, Output, Secret};
use crate::config::reference::Source;
use crate::config::text::echo;
use crate::config::values::{SecretName, TableName};

pub fn check(config: &Config) -> Check {
    config.exec.iter().try_for_each(|(name, exec)| table(name, exec))?;
    let references = config.secrets.iter().filter(|(_, secret)| secret.from.source == Source::Exec);
    references.into_iter().try_for_each(|(name, secret)| reference(config, name, secret))
}

fn reference(config: &Config, name: &SecretName, secret: &Secret) -> Check {
    let here = place!["secrets", name.as_str()];
    let from = &secret.from;
    let Some((_, exec)) = config.exec.iter().find(|(table, _)| table.as_str() == from.path) else {
        return Err(Fault::said(
            here,
            format!("`{name}` is printed by a command, but there is no [exec.{}]", echo(&from.path)),
            format!("add [exec.{}] with `command`, or correct the name", echo(&from.path)),
        ));
    };
    match (exec.output, from.field.is_empty()) {
        (Output::Fields, false) | (Output::Raw, true) => Ok(()),
        (Output::Fields, true) => Err(Fault::said(
            here,
            format!("`{name}` names no field of what [exec.{}] prints", from.path),
            format!(
                "write \"exec:{0}#FIELD\", or output = \"raw\" in [exec.{0}] if it prints the value alone",
                from.path
            ),
        )),
        (Output::Raw, false) => Err(Fault::said(
            here,
            format!("`{name}` names a field, but [exec.{}] prints one raw value", from.path),
            format!("write \"exec:{}\", or leave out output = \"raw\"", from.path),
        )),
    }
}

fn table(name: &TableName, exec: &Exec) -> Check {
    let at = |key: &str| place!["exec", name.as_str(), key];
    let hint = "write command = [\"/usr/local/bin/PROGRAM\", \"ARGUMENT\"]";
    if exec.command.first().is_none_or(String::is_empty) {
        let what = format!("[exec.{name}] has no command");
        return Err(Fault::said(at("command"), what, hint));
    }
    for (index, word) in exec.command.iter().enumerate() {
        let path = place!["exec", name.as_str(), "command", index];
        workload::no_nul(word, &format!("word {} of the command", index + 1), path)?;
    }
    for (variable, value) in &exec.env.set {
        let path = place!["exec", name.as_str(), "env", "set", variable.as_str()];
        workload::no_nul(value, &format!("`{variable}` in env.set"), path)?;
    }
    variables::check_env(&exec.env, &place!["exec", name.as_str()])?;
    no_root(name, exec)?;
    inputs(name, exec)
}

fn no_root(name: &TableName, exec: &Exec) -> Check {
    for (key, list) in [("read", &exec.read), ("shared", &exec.shared), ("execute", &exec.execute)] {
        if let Some(index) = list.iter().position(|path| path.as_path().parent().is_none()) {
            return Err(Fault::said(
                place!["exec", name.as_str(), key, index],
                format!("`/` in {key} is no cage: it is everything"),
                "name what the command needs; the system's own programs and libraries need no mention",
            ));
        }
    }
    Ok(())
}

/// What it logs in with comes from sources that need no store of their own: a chain of stores has no first one.
fn inputs(name: &TableName, exec: &Exec) -> Check {
    for (input, from) in &exec.secrets {
        let here = place!["exec", name.as_str(), "secrets", input.as_str()];
        if !matches!(from.source, Source::Age | Source::File) {
            return Err(Fault::said(
                here,
                format!("`{input}`, which [exec.{name}] logs in with, is from {}:", from.source.name()),
                "keep it in an age: file, or in a file: that an orchestrator mounts",
            ));
        }
        if let Some(key) = from.query.keys().next() {
            let what = format!("`{input}`: {} references know no `{}`", from.source.name(), echo(key));
            return Err(Fault::said(here, what, "remove what stands after `?`"));
        }
    }
    match &exec.stdin {
        Some(input) if !exec.secrets.contains_key(input) => Err(Fault::said(
            place!["exec", name.as_str(), "stdin"],
            format!("`{input}` is to be on standard input, but is none of the secrets of [exec.{name}]"),
            format!("add it to [exec.{name}.secrets], or leave stdin out"),
        )),
        _ => Ok(()),
    }
}
