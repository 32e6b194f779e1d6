//! The workload's variables: each has one origin, none is ours, and none that makes programs load code is handed on unseen.

use std::collections::BTreeMap;

use super::Check;
use crate::config::Config;
use crate::config::fault::{Fault, Step, place};
use crate::config::model::Env;
use crate::config::values::EnvName;

/// Set by portcullis itself or by its contract with a service manager.
const OURS: [&str; 4] = ["PORTCULLIS_", "LISTEN_", "NOTIFY_", "WATCHDOG_"];

/// Variables by which a loader, an interpreter or a shell runs code, or tells secrets, before the program's first line. To
/// hand on the ones that the container happens to have would let whoever sets them into the cage with the credentials.
const INJECTING: [&str; 47] = [
    "BASHOPTS",
    "BASH_ENV",
    "CLASSPATH",
    "CORECLR_ENABLE_PROFILING",
    "CORECLR_PROFILER",
    "CORECLR_PROFILER_PATH",
    "DOTNET_STARTUP_HOOKS",
    "ENV",
    "GCONV_PATH",
    "GETCONF_DIR",
    "GLIBC_TUNABLES",
    "HOSTALIASES",
    "IFS",
    "JAVA_OPTIONS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "LOCPATH",
    "LUA_CPATH",
    "LUA_INIT",
    "LUA_PATH",
    "NLSPATH",
    "NODE_EXTRA_CA_CERTS",
    "NODE_OPTIONS",
    "NODE_PATH",
    "OPENSSL_CONF",
    "OPENSSL_ENGINES",
    "OPENSSL_MODULES",
    "PERL5DB",
    "PERL5LIB",
    "PERL5OPT",
    "PERLLIB",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "PROMPT_COMMAND",
    "PS4",
    "PYTHONBREAKPOINT",
    "PYTHONEXECUTABLE",
    "PYTHONHOME",
    "PYTHONINSPECT",
    "PYTHONPATH",
    "PYTHONPLATLIBDIR",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "RUBYLIB",
    "RUBYOPT",
    "SHELLOPTS",
    "SSLKEYLOGFILE",
];

/// The rest of the family: `_JAVA_OPTIONS`, and whatever the dynamic loader reads.
fn injects(name: &str) -> bool {
    INJECTING.contains(&name) || name == "_JAVA_OPTIONS" || name.starts_with("LD_")
}

struct Variable<'a> {
    name: &'a EnvName,
    /// The key that brings it, as a person writes it.
    key: &'static str,
    path: Vec<Step>,
}

pub fn check(config: &Config) -> Check {
    judge(variables(config))
}

/// The environment of another program that is started: `table` is where it stands.
pub fn check_env(env: &Env, table: &[Step]) -> Check {
    judge(of_env(env, table))
}

fn judge(variables: Vec<Variable<'_>>) -> Check {
    let mut seen: BTreeMap<&EnvName, &'static str> = BTreeMap::new();
    for variable in variables {
        not_ours(&variable)?;
        if let Some(other) = seen.insert(variable.name, variable.key) {
            return Err(twice(&variable, other));
        }
        if variable.key != "env.set" && injects(variable.name.as_str()) {
            return Err(injected(&variable));
        }
    }
    Ok(())
}

fn variables(config: &Config) -> Vec<Variable<'_>> {
    let mut all = of_env(&config.workload.env, &place!["workload"]);
    let mut push = |name, key, path: &[Step]| all.push(Variable { name, key, path: path.to_vec() });
    for (index, name) in config.deliver.env.iter().enumerate() {
        push(name, "deliver.env", &place!["deliver", "env", index]);
    }
    for (index, file) in config.deliver.file.iter().enumerate() {
        push(&file.var, "deliver.file", &place!["deliver", "file", index, "var"]);
    }
    all
}

fn of_env<'a>(env: &'a Env, table: &[Step]) -> Vec<Variable<'a>> {
    let path = |last: [Step; 3]| [table, &last].concat();
    let set =
        env.set.keys().map(|name| Variable { name, key: "env.set", path: path(place!["env", "set", name.as_str()]) });
    let pass = env.pass.iter().enumerate().map(|(index, name)| Variable {
        name,
        key: "env.pass",
        path: path(place!["env", "pass", index]),
    });
    set.chain(pass).collect()
}

fn not_ours(variable: &Variable<'_>) -> Check {
    let name = variable.name.as_str();
    match OURS.iter().find(|prefix| name.starts_with(**prefix)) {
        Some(prefix) => Err(Fault::said(
            variable.path.clone(),
            format!("`{name}` in {} is reserved: portcullis itself sets {prefix}* variables", variable.key),
            "give it another name",
        )),
        None => Ok(()),
    }
}

fn twice(variable: &Variable<'_>, other: &str) -> Fault {
    let (name, key) = (variable.name, variable.key);
    let what = if key == other {
        format!("`{name}` is twice in {key}")
    } else {
        format!("`{name}` is both in {other} and in {key}")
    };
    Fault::said(variable.path.clone(), what, "a variable has one value: keep one of the two")
}

fn injected(variable: &Variable<'_>) -> Fault {
    let (name, key) = (variable.name, variable.key);
    let hint = match key {
        "env.pass" => format!("if the program needs it, write its value on purpose: env.set = {{ {name} = \"...\" }}"),
        _ => "give it another name".to_owned(),
    };
    Fault::said(variable.path.clone(), format!("`{name}` in {key} can make the program load other code"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_of(text: &str) -> Result<(), String> {
        let config = toml::from_str(text).unwrap();
        check(&config).map_err(|fault| format!("{:?}", fault.kind))
    }

    #[test]
    fn the_table_is_sorted_and_holds_what_the_family_rules_do_not() {
        assert!(INJECTING.is_sorted());
        assert!(INJECTING.iter().all(|name| !name.starts_with("LD_")));
    }

    #[test]
    fn no_injecting_variable_is_passed_but_each_may_be_set() {
        for name in
            INJECTING.iter().chain(&["_JAVA_OPTIONS", "LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "LD_ANYTHING"])
        {
            let said = check_of(&format!("[workload.env]\npass = [\"{name}\"]")).unwrap_err();
            assert!(said.contains("can make the program load other code"), "{name}: {said}");
            assert_eq!(check_of(&format!("[workload.env.set]\n{name} = \"x\"")), Ok(()), "{name}");
            assert!(check_of(&format!("[deliver]\nenv = [\"{name}\"]")).is_err(), "{name}");
        }
    }

    #[test]
    fn ordinary_variables_pass() {
        for name in ["PATH", "HOME", "TZ", "LANG", "LC_ALL", "OLD_LD", "PYTHONUNBUFFERED", "NODE_ENV", "ENVIRONMENT"] {
            assert_eq!(check_of(&format!("[workload.env]\npass = [\"{name}\"]")), Ok(()), "{name}");
        }
    }

    #[test]
    fn our_own_variables_are_reserved_wherever_they_stand() {
        for name in [
            "PORTCULLIS_CREDENTIALS_FD",
            "PORTCULLIS_X",
            "LISTEN_FDS",
            "LISTEN_PID",
            "LISTEN_FDNAMES",
            "NOTIFY_SOCKET",
            "WATCHDOG_USEC",
        ] {
            for text in [
                format!("[workload.env.set]\n{name} = \"x\""),
                format!("[workload.env]\npass = [\"{name}\"]"),
                format!("[deliver]\nenv = [\"{name}\"]"),
                format!("[[deliver.file]]\nvar = \"{name}\"\nformat = \"json\""),
            ] {
                assert!(check_of(&text).unwrap_err().contains("is reserved"), "{text}");
            }
        }
    }
}
