//! `[secrets]` and `[deliver]`: each secret has one name, a source that can answer for it, and a way to the workload.

use std::collections::BTreeMap;

use super::Check;
use crate::config::Config;
use crate::config::fault::{Fault, place};
use crate::config::model::{Deliver, FileDelivery, FileFormat, Secret};
use crate::config::values::{EnvName, SecretName};

/// The pipe's document and the plan's slices are bounded by it.
pub const MAX_SECRETS: usize = 128;

type Secrets = BTreeMap<SecretName, Secret>;

pub fn check(config: &Config) -> Check {
    let secrets = &config.secrets;
    if secrets.len() > MAX_SECRETS {
        let what = format!("there are {} secrets, more than {MAX_SECRETS}", secrets.len());
        return Err(Fault::said(
            place!["secrets"],
            what,
            "split the program, or put related values into one JSON secret",
        ));
    }
    distinct_names(secrets)?;
    secrets.iter().try_for_each(|(name, secret)| one(name, secret))
}

/// `api_key` and `API_KEY` would be one variable, and one key to a reader in a hurry.
fn distinct_names(secrets: &Secrets) -> Check {
    let mut seen: BTreeMap<String, &SecretName> = BTreeMap::new();
    for name in secrets.keys() {
        if let Some(other) = seen.insert(name.as_str().to_ascii_lowercase(), name) {
            let what = format!("`{other}` and `{name}` differ only in case");
            return Err(Fault::said(place!["secrets", name.as_str()], what, "give one of them another name"));
        }
    }
    Ok(())
}

fn one(name: &SecretName, secret: &Secret) -> Check {
    let here = place!["secrets", name.as_str()];
    let traits = secret.from.source.traits();
    if let Some(key) = secret.from.query.keys().find(|key| !traits.query.contains(&key.as_str())) {
        let what = format!("`{name}`: {} references know no `{}`", traits.name, super::super::text::echo(key));
        return Err(Fault::said(here, what, "remove what stands after `?`"));
    }
    if secret.encoding.is_some() && !traits.base64 {
        return Err(Fault::said(
            here,
            format!("`{name}` has an encoding, but {}: values are handed on as they are", traits.name),
            "remove encoding: it is for the fields of a vault that are no texts",
        ));
    }
    if let Some(why) = traits.timeless.filter(|_| secret.max_age.is_some()) {
        return Err(Fault::said(
            here,
            format!("`{name}` has a max_age, but {why}"),
            "remove max_age, or keep the secret in an age: file made by `portcullis seal`, or in KV 2",
        ));
    }
    Ok(())
}

pub fn check_deliveries(config: &Config) -> Check {
    let (secrets, deliver) = (&config.secrets, &config.deliver);
    if secrets.is_empty() {
        return nothing_asked(deliver);
    }
    deliver.env.iter().enumerate().try_for_each(|(index, variable)| match delivered_by(secrets, variable) {
        Some(_) => Ok(()),
        None => Err(Fault::said(
            place!["deliver", "env", index],
            format!("deliver.env has `{variable}`, but no secret has that name"),
            known(secrets, variable.as_str()),
        )),
    })?;
    deliver.file.iter().enumerate().try_for_each(|(index, delivery)| file(secrets, index, delivery))?;
    secrets.keys().try_for_each(|name| reaches_the_workload(secrets, deliver, name))
}

fn nothing_asked(deliver: &Deliver) -> Check {
    let asked = match deliver {
        Deliver { stdin: true, .. } => place!["deliver", "stdin"],
        Deliver { env, .. } if !env.is_empty() => place!["deliver", "env"],
        Deliver { file, .. } if !file.is_empty() => place!["deliver", "file"],
        _ => return Ok(()),
    };
    let what = "a delivery is asked for, but there are no secrets";
    Err(Fault::said(asked, what, "name the secrets in [secrets], or remove the delivery"))
}

/// The secret that a variable of `deliver.env` carries: the one of its name, whatever the case.
pub fn delivered_by<'s>(secrets: &'s Secrets, variable: &EnvName) -> Option<&'s SecretName> {
    secrets.keys().find(|name| name.as_str().eq_ignore_ascii_case(variable.as_str()))
}

fn known(secrets: &Secrets, word: &str) -> String {
    let names: Vec<&str> = secrets.keys().map(SecretName::as_str).collect();
    match super::super::errors::nearest(word, &names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the secrets are: {}", names.join(", ")),
    }
}

fn file(secrets: &Secrets, index: usize, delivery: &FileDelivery) -> Check {
    let var = &delivery.var;
    let fail =
        |key: &str, what: String, hint: &str| Err(Fault::said(place!["deliver", "file", index, key], what, hint));
    match (delivery.format, &delivery.template) {
        (FileFormat::Template, None) => {
            return fail("format", format!("the file in `{var}` has no template"), "add template = \"FILE\"");
        }
        (FileFormat::Template, Some(_)) | (_, None) => {}
        (_, Some(_)) => {
            let what = format!("the file in `{var}` has a template, but another format");
            return fail("template", what, "write format = \"template\", or remove the template");
        }
    }
    let mut seen = Vec::new();
    for (at, name) in delivery.secrets.iter().flatten().enumerate() {
        if !secrets.contains_key(name) {
            let what = format!("the file in `{var}` wants `{name}`, but there is no secret of that name");
            return Err(Fault::said(
                place!["deliver", "file", index, "secrets", at],
                what,
                known(secrets, name.as_str()),
            ));
        }
        if seen.contains(&name) {
            return fail("secrets", format!("the file in `{var}` names `{name}` twice"), "name it once");
        }
        seen.push(name);
    }
    match (delivery.secrets.as_ref().map_or(secrets.len(), Vec::len), delivery.format) {
        (0, _) => {
            fail("secrets", format!("the file in `{var}` holds no secret"), "name one, or leave `secrets` out for all")
        }
        (1, _) | (_, FileFormat::Json | FileFormat::Dotenv | FileFormat::Template) => Ok(()),
        (count, FileFormat::Raw) => {
            let what = format!("the file in `{var}` is raw, which is one value, but would hold {count}");
            fail("format", what, "name one secret in `secrets`, or write format = \"json\"")
        }
    }
}

/// A secret that is fetched for nobody is a mistake, and exposure for nothing.
fn reaches_the_workload(secrets: &Secrets, deliver: &Deliver, name: &SecretName) -> Check {
    let by_env = || deliver.env.iter().any(|variable| delivered_by(secrets, variable) == Some(name));
    let by_file = || deliver.file.iter().any(|file| file.secrets.as_ref().is_none_or(|names| names.contains(name)));
    if deliver.pipe || deliver.stdin || by_env() || by_file() {
        return Ok(());
    }
    Err(Fault::said(
        place!["secrets", name.as_str()],
        format!("nothing delivers `{name}`: the pipe is off, and no other delivery has it"),
        "remove `pipe = false` from [deliver], add a delivery for it, or remove the secret",
    ))
}
