//! The commands that print secrets, in words: what runs, as whom, and what its cage leaves it.

use serde_json::{Value, json};

use super::super::model::{ExecPlan, Grant};

/// One line a command.
pub fn text(command: &ExecPlan) -> String {
    let argv: Vec<String> = command.launch.argv.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let own: Vec<String> = own(command).map(|grant| grant.path.display().to_string()).collect();
    let inputs: Vec<&str> = command.inputs.iter().map(|input| input.name.as_str()).collect();
    let or_nothing = |list: &[String]| if list.is_empty() { "nothing of its own".to_owned() } else { list.join(" ") };
    let login = if inputs.is_empty() { String::new() } else { format!(", logs in with {}", inputs.join(" ")) };
    format!(
        "{}: {} ({}) as {}:{}, reads {}, {}{login}",
        command.name,
        command.launch.program.display(),
        argv.join(" "),
        command.cage.ids.uid,
        command.cage.ids.gid,
        or_nothing(&own),
        super::ports(command.cage.landlock.connect.as_deref()),
    )
}

pub fn json(command: &ExecPlan) -> Value {
    json!({
        "name": command.name,
        "program": command.launch.program.to_string_lossy(),
        "argv": command.launch.argv.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>(),
        "environment": command.launch.env.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "user": { "uid": command.cage.ids.uid, "gid": command.cage.ids.gid, "changed": command.cage.ids.change },
        "reads": own(command).map(|grant| grant.path.to_string_lossy()).collect::<Vec<_>>(),
        "connect": command.cage.landlock.connect,
        "logs_in_with": command.inputs.iter().map(|input| &input.name).collect::<Vec<_>>(),
    })
}

fn own(command: &ExecPlan) -> impl Iterator<Item = &Grant> {
    command.cage.landlock.grants.iter().filter(|grant| grant.from != "the system's own")
}
