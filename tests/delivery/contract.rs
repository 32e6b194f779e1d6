//! What the workload finds when it starts: descriptors by their numbers and no others, variables, and the pipe once.

use std::process::Command;

use crate::programs;
use crate::stage::{STARTERS, Stage, Starter, printed, shared};
use crate::values::{self, NASTY, sha256};

const FILES: &str = "[[deliver.file]]\nvar = \"ONE\"\nformat = \"raw\"\nsecrets = [\"key\"]\n\
    [[deliver.file]]\nvar = \"TWO\"\nformat = \"json\"\n";

/// The open descriptors but the one that looks, and the variables that name them.
const LIST: &str = r#"
import os
looking = os.open("/proc/self/fd", os.O_DIRECTORY)
numbers = sorted(int(name) for name in os.listdir(looking))
shown = [n for n in numbers if n != looking and os.path.exists(f"/proc/self/fd/{n}")]
shown = [n for n in shown if os.readlink(f"/proc/self/fd/{n}") != "/proc/%d/fd" % os.getpid()]
print(*shown, os.environ.get("PORTCULLIS_CREDENTIALS_FD"), os.environ.get("ONE"), os.environ.get("TWO"))
"#;

fn stage(starter: Starter, more: &str) -> Option<Stage> {
    let stage = Stage::new(starter)?;
    stage.seal_values(&[("key", "value-0123")]);
    stage.config(&["python3", "-c", LIST], &["key"], more);
    Some(stage)
}

#[test]
fn descriptors_have_the_numbers_of_the_contract_and_there_are_no_others() {
    for starter in STARTERS {
        for (more, expected) in [
            (String::new(), "0 1 2 3 3 None None\n"),
            (FILES.to_owned(), "0 1 2 3 4 5 3 /proc/self/fd/4 /proc/self/fd/5\n"),
            (format!("[deliver]\npipe = false\n{FILES}"), "0 1 2 3 4 None /proc/self/fd/3 /proc/self/fd/4\n"),
            ("[deliver]\npipe = false\nstdin = true\n".to_owned(), "0 1 2 None None None\n"),
            ("[deliver]\nstdin = true\n".to_owned(), "0 1 2 3 3 None None\n"),
            ("[deliver]\npipe = false\nenv = [\"KEY\"]\n".to_owned(), "0 1 2 None None None\n"),
        ] {
            let Some(stage) = stage(starter, &more) else { continue };
            assert_eq!(stage.ok(), expected, "{starter:?} with {more}");
        }
    }
}

#[test]
fn what_was_open_before_is_closed_and_the_three_standard_ones_are_open() {
    for starter in STARTERS {
        for shell in
            ["exec 7</etc/passwd 9</etc/group; exec \"$@\"", "exec 0<&-; exec \"$@\"", "exec 5<&1 2<&-; exec \"$@\""]
        {
            let Some(stage) = stage(starter, FILES) else { continue };
            let mut command = stage.bare();
            command.args(["sh", "-c", shell, "sh"]).arg(shared().join("portcullis")).args(["run", "-c"]);
            let output = command.arg(stage.path("portcullis.toml")).output().unwrap();
            assert_eq!(printed(&output), "0 1 2 3 4 5 3 /proc/self/fd/4 /proc/self/fd/5\n", "{starter:?} {shell}");
        }
    }
}

#[test]
fn a_service_managers_sockets_come_first_and_the_rest_moves_up() {
    let shell =
        "exec 3</etc/passwd 4</etc/group; LISTEN_FDS=2 LISTEN_PID=$$; export LISTEN_FDS LISTEN_PID; exec \"$@\"";
    for starter in STARTERS {
        for (sockets, expected) in [
            (true, "0 1 2 3 4 5 6 7 5 /proc/self/fd/6 /proc/self/fd/7\n"),
            (false, "0 1 2 3 4 5 3 /proc/self/fd/4 /proc/self/fd/5\n"),
        ] {
            let Some(stage) = stage(starter, FILES) else { continue };
            let mut command = stage.bare();
            command.args(["sh", "-c", shell, "sh"]).arg(shared().join("portcullis")).arg("run");
            command.args(sockets.then_some("--sockets")).arg("-c").arg(stage.path("portcullis.toml"));
            assert_eq!(printed(&command.output().unwrap()), expected, "{starter:?}, sockets {sockets}");
        }
    }
}

#[test]
fn the_pipe_ends_and_is_empty_for_a_second_reader() {
    let twice = "import os\nn = int(os.environ['PORTCULLIS_CREDENTIALS_FD'])\nprint(os.read(n, 100), os.read(n, 100), os.read(n, 1))";
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        stage.seal_values(&[("key", "value-0123")]);
        stage.config(&["python3", "-c", twice], &["key"], "");
        assert_eq!(stage.ok(), "b'{\"key\":\"value-0123\"}' b'' b''\n", "{:?}", stage.starter);
    }
}

#[test]
fn without_secrets_there_is_no_descriptor_and_no_variable() {
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        stage.config_with(&["python3", "-c", LIST], "");
        assert_eq!(stage.ok(), "0 1 2 None None None\n", "{:?}", stage.starter);
    }
}

#[test]
fn the_environment_is_what_the_config_says_and_no_value_is_in_it() {
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        stage.seal_values(&[("key", "value-0123")]);
        stage.config(&["env"], &["key"], "[workload.env]\npass = [\"TZ\", \"LANG\"]\nset = { MODE = \"live\" }\n");
        let mut command = stage.command(&["run"]);
        command.envs([("TZ", "UTC"), ("SECRET", "x"), ("LD_PRELOAD", "/x.so"), ("PYTHONSTARTUP", "/x")]);
        let printed = printed(&command.output().unwrap());
        let mut names: Vec<&str> = printed.lines().filter_map(|line| line.split('=').next()).collect();
        names.sort_unstable();
        assert_eq!(names, ["HOME", "MODE", "PATH", "PORTCULLIS_CREDENTIALS_FD", "TZ"], "{:?}", stage.starter);
        assert!(!printed.contains("value-0123"));
    }
}

#[test]
fn variables_asked_for_by_name_carry_the_value_in_every_runtime() {
    let long = values::long();
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        stage.seal_values(&[("nasty", NASTY), ("long", &long)]);
        let expected = format!("{} {}\n", sha256(NASTY.as_bytes()), sha256(long.as_bytes()));
        let python =
            "import hashlib,os\nprint(*(hashlib.sha256(os.environb[n]).hexdigest() for n in (b'NASTY', b'long')))";
        let node = "const h=n=>require('crypto').createHash('sha256').update(process.env[n]).digest('hex');console.log(h('NASTY'),h('long'))";
        let shell = "h() { printf %s \"$1\" | sha256sum | cut -d' ' -f1; }; echo \"$(h \"$NASTY\") $(h \"$long\")\"";
        for command in [["python3", "-c", python], ["node", "-e", node], ["sh", "-c", shell]] {
            stage.config(&command, &["nasty", "long"], "[deliver]\npipe = false\nenv = [\"NASTY\", \"long\"]\n");
            assert_eq!(stage.ok(), expected, "{command:?}, {:?}", stage.starter);
        }
    }
}

#[test]
fn a_variable_longer_than_the_kernel_takes_is_refused_before_the_program_runs() {
    let Some(stage) = Stage::new(Starter::Plain) else { return };
    // MAX_ARG_STRLEN: 32 pages, the name and the NUL included.
    stage.seal_values(&[("key", &"x".repeat(32 * 4096))]);
    stage.config(&["echo", "ran"], &["key"], "[deliver]\npipe = false\nenv = [\"KEY\"]\n");
    assert!(stage.refused(126).contains("too long"));
}

#[test]
fn mode_replace_keeps_the_contract() {
    for starter in STARTERS {
        let Some(stage) = stage(starter, FILES) else { continue };
        let output = stage.command(&["run", "--mode", "replace"]).output().unwrap();
        assert_eq!(printed(&output), "0 1 2 3 4 5 3 /proc/self/fd/4 /proc/self/fd/5\n", "{starter:?}");
    }
}

#[test]
fn mode_replace_says_started_once_the_cage_stands_and_not_before() {
    for starter in STARTERS {
        let Some(stage) = stage(starter, "") else { continue };
        let started = |args: &[&str]| {
            let output = stage.command(args).output().unwrap();
            String::from_utf8(output.stderr).unwrap().matches("portcullis: started ").count()
        };
        assert_eq!(started(&["run", "--mode", "replace"]), 1, "{starter:?}");
        // Refused by the cage itself: the workload's user cannot enter the directory.
        std::fs::create_dir(stage.path("closed")).unwrap();
        std::fs::set_permissions(stage.path("closed"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        if stage.starter == Starter::Root || crate::stage::is_root() {
            let closed = stage.path("closed").display().to_string();
            assert_eq!(started(&["run", "--mode", "replace", "--workdir", &closed]), 0, "{starter:?}");
        }
    }
}

#[test]
fn check_starts_nothing_and_live_shows_no_value() {
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        stage.seal_values(&[("key", "value-0123")]);
        stage.config(&["sh", "-c", "echo ran"], &["key"], "");
        for args in [&["check"][..], &["check", "--live"], &["check", "--json"], &["check", "--live", "--json"]] {
            let output = stage.command(args).output().unwrap();
            let text = printed(&output) + &String::from_utf8_lossy(&output.stderr);
            assert!(!text.contains("value-0123") && !text.lines().any(|line| line == "ran"), "{args:?}: {text}");
            if args.contains(&"--json") {
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(value["secrets"][0]["fetched"], args.contains(&"--live"), "{text}");
            }
        }
    }
}

#[test]
fn flags_alone_make_the_same_start_as_a_config() {
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        stage.seal_values(&[("key", NASTY)]);
        let mut command: Command = stage.bare();
        command.arg(shared().join("portcullis")).args(["run", "--secret", "key=age:secrets.json.age#key"]);
        command.arg("--age-identity").arg(stage.path("age.key")).arg("--read").arg(stage.path("app"));
        if stage.starter == Starter::Root {
            command.args(["--user", "65532:65532"]);
        }
        let mut program = programs::command(&stage, "python");
        program.push("pipe".to_owned());
        let output = command.arg("--").args(program).output().unwrap();
        assert_eq!(printed(&output), values::report(&[("key", NASTY)]), "{:?}", stage.starter);
    }
}

#[test]
fn as_many_files_as_a_config_names_arrive_in_their_order() {
    const FILES: usize = 40;
    let program = format!(
        "import os\nprint(*(open(os.environ['F%d' % n]).read() for n in range({FILES})))\n\
         print(len([n for n in range(3, 200) if os.path.exists(f'/proc/self/fd/{{n}}')]))"
    );
    let files: String = (0..FILES)
        .map(|n| format!("[[deliver.file]]\nvar = \"F{n}\"\nformat = \"raw\"\nsecrets = [\"s{n}\"]\n"))
        .collect();
    let values: Vec<(String, String)> = (0..FILES).map(|n| (format!("s{n}"), format!("value-{n}"))).collect();
    let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
    let all: Vec<&str> = values.iter().map(|(_, value)| *value).collect();
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        stage.seal_values(&values);
        stage.config(&["python3", "-c", &program], &names, &files);
        for mode in ["supervise", "replace"] {
            let output = stage.command(&["run", "--mode", mode]).output().unwrap();
            assert_eq!(printed(&output), format!("{}\n{}\n", all.join(" "), FILES + 1), "{mode}, {:?}", stage.starter);
        }
    }
}
