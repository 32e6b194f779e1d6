//! The forms of the bundle, decided; and what each of them exposes.

use std::path::{Path, PathBuf};

use super::model::{Delivery, EnvDelivery, FileOut};
use crate::config::Loaded;
use crate::host::paths;
use crate::refusal::Refusal;

pub fn decide(loaded: &Loaded, notes: &mut Vec<String>) -> Result<Delivery, Refusal> {
    let config = &loaded.config;
    if config.secrets.is_empty() {
        return Ok(Delivery::default());
    }
    let names: Vec<String> = config.secrets.keys().map(ToString::to_string).collect();
    let mut env = Vec::new();
    for var in &config.deliver.env {
        let secret = names.iter().find(|name| name.eq_ignore_ascii_case(var.as_str())).ok_or_else(|| {
            Refusal::config(
                format!("deliver.env: `{var}` is not the name of a secret"),
                format!("the secrets are {}", names.join(", ")),
            )
        })?;
        env.push(EnvDelivery { var: var.to_string(), secret: secret.clone() });
    }
    let mut files = Vec::new();
    for file in &config.deliver.file {
        let template = file.template.as_ref().map(|template| template_file(&loaded.folder.join(template)));
        let secrets = match &file.secrets {
            Some(listed) => listed.iter().map(ToString::to_string).collect(),
            None => names.clone(),
        };
        files.push(FileOut {
            var: file.var.to_string(),
            format: file.format,
            template: template.transpose()?,
            secrets,
        });
    }
    if !env.is_empty() {
        notes.push("deliver.env exposes values to every child of the workload and to /proc/PID/environ".to_owned());
    }
    if !files.is_empty() {
        notes.push(
            "deliver.file keeps values readable to the workload for its whole life, and memory can be swapped"
                .to_owned(),
        );
    }
    Ok(Delivery { pipe: config.deliver.pipe, stdin: config.deliver.stdin, env, files })
}

fn template_file(path: &Path) -> Result<PathBuf, Refusal> {
    const KEY: &str = "deliver.file.template";
    if paths::find(path, KEY)?.directory {
        return Err(Refusal::config(
            format!("{KEY}: `{}` is a directory, and a file is needed", path.display()),
            "name the template itself",
        ));
    }
    Ok(path.to_owned())
}
