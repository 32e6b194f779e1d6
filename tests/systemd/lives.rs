//! A bot's life under systemd: start, signals, the end, and what systemd makes of each exit code.

use std::time::Duration;

use portcullis::refusal::Exit;

use crate::machine::{Bot, checkout, wait_for};

/// Above every time that a bot here takes by itself, and below systemd's own limits.
const SYSTEMDS_LIMIT: Duration = Duration::from_secs(30);

fn sha256(text: &str) -> String {
    let script = "import hashlib, sys; print(hashlib.sha256(sys.stdin.read().encode()).hexdigest())";
    crate::machine::said_to(&["python3", "-c", script], text.as_bytes())
}

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn a_bot_has_its_credentials_and_hears_each_signal_once() {
    let bot = Bot::new("lives", &["lives"]);
    bot.start();
    let line = bot.line("bot: lives as ").text;
    assert!(line.ends_with(&format!(" api_key={}", sha256(&bot.value))), "{line}");
    let uid: u32 = line.split(' ').nth(3).and_then(|uid| uid.parse().ok()).expect("a uid");
    assert!((61184..=65519).contains(&uid), "a dynamic user (systemd.exec(5)), and not {uid}");
    assert!(bot.show("StatusText").starts_with("started /usr/bin/python3"), "{}", bot.show("StatusText"));

    assert!(bot.systemctl(&["reload"]).status.success(), "{}", bot.log());
    bot.line("bot: heard HUP");
    assert!(bot.systemctl(&["kill", "--kill-whom=main", "--signal=USR1"]).status.success());
    bot.line("bot: heard USR1");
    assert!(bot.stop() < SYSTEMDS_LIMIT);
    for once in ["bot: heard HUP", "bot: heard USR1", "bot: last word"] {
        assert_eq!(bot.count(once), 1, "{once}: {}", bot.log());
    }
    bot.ended_well();
}

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn a_bot_that_needs_time_to_end_gets_it() {
    let bot = Bot::new("slow", &["slow"]);
    bot.start();
    bot.line("bot: lives");
    let took = bot.stop();
    assert!(took >= Duration::from_millis(1500) && took < SYSTEMDS_LIMIT, "{took:?}");
    // TERM comes by portcullis alone, and not from systemd to each process beside it.
    for once in ["bot: heard TERM", "bot: last word"] {
        assert_eq!(bot.count(once), 1, "{once}: {}", bot.log());
    }
    bot.ended_well();
}

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn a_deaf_bot_is_ended_by_portcullis_and_not_by_systemds_time_limit() {
    let bot = Bot::new("deaf", &["deaf"]);
    bot.start();
    bot.line("bot: lives");
    wait_for("its child", || (bot.pids().len() >= 3).then_some(()));
    let took = bot.stop();
    assert!(took >= Duration::from_secs(3) && took < SYSTEMDS_LIMIT, "{took:?}");
    assert_eq!(bot.line("portcullis: the program did not end within 3s").priority, 4);
    assert_eq!((bot.show("Result"), bot.show("ExecMainStatus")), ("exit-code".into(), "137".into()), "{}", bot.log());
    assert_eq!(bot.pids(), Vec::<String>::new());
}

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn a_bot_without_a_handler_that_ends_by_term_was_stopped_and_has_not_failed() {
    let bot = Bot::new("bare", &["bare"]);
    bot.start();
    bot.line("bot: lives");
    bot.stop();
    bot.ended_well();
    let own = |line: &crate::machine::Line| {
        line.text.starts_with("portcullis: ended: python3") && line.text.ends_with(" was ended by SIGTERM")
    };
    assert!(bot.journal().iter().any(own), "{}", bot.log());
}

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn a_bots_own_exit_code_is_what_systemd_sees_and_restarts_by() {
    let bot = Bot::new("exits", &["exits", "42"]);
    bot.drop_in("[Service]\nRestartSec=100ms\n");
    bot.systemctl(&["start"]);
    wait_for("a second start", || bot.show("NRestarts").parse::<u32>().ok().filter(|count| *count >= 2));
    assert!(bot.journal().iter().any(|line| line.text.contains("code=exited, status=42")), "{}", bot.log());
}

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn a_refusal_that_a_person_has_to_mend_is_one_failed_start() {
    let bot = Bot::new("refused", &["lives"]);
    bot.drop_in("[Service]\nRestartSec=100ms\n");
    let config = "[workload]\ncommand = [\"python3\"]\n";
    let sealed =
        "[secrets]\napi_key = \"age:refused.env.age#ANOTHER\"\n[age]\nidentity = \"$CREDENTIALS_DIRECTORY/identity\"\n";
    for (code, text) in [
        (Exit::Config, "[workload]\ncomand = [\"python3\"]\n".to_owned()),
        (Exit::StoreSaidNo, format!("{config}{sealed}")),
        (Exit::HostCannot, format!("{config}user = \"65532:65532\"\n")),
        (Exit::NotFound, "[workload]\ncommand = [\"no-such-program\"]\n".to_owned()),
    ] {
        bot.configure(&text);
        bot.fails_to_start();
        // It is over, and nothing waits to begin again.
        assert_eq!(bot.show("ActiveState"), "failed", "{code:?}: {}", bot.log());
        assert_eq!(bot.show("ExecMainStatus"), code.code().to_string(), "{}", bot.log());
        assert_eq!(bot.show("NRestarts"), "0", "{}", bot.log());
        bot.systemctl(&["reset-failed"]);
    }
    assert!(!bot.log().contains("bot:"), "{}", bot.log());
}

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn a_store_that_is_away_is_asked_again() {
    let bot = Bot::new("away", &["lives"]);
    bot.encrypt("identity", "a-secret-id");
    let authority = std::fs::read(checkout().join("tests/support/nobody.pem")).expect("a certificate");
    crate::machine::write("/etc/portcullis/nobody.pem", authority);
    bot.configure(
        "deadline = \"2s\"\n[workload]\ncommand = [\"python3\"]\n[secrets]\napi_key = \"vault:secret/bots/mm1#api_key\"\n[vault]\naddress = \"https://127.0.0.1:1\"\nauth = { method = \"approle\", role_id = \"mm1\", secret_id_file = \"$CREDENTIALS_DIRECTORY/identity\" }\ntls = { ca = \"/etc/portcullis/nobody.pem\" }\n",
    );
    bot.drop_in("[Service]\nRestartSec=100ms\n");
    bot.fails_to_start();
    wait_for("a third start", || bot.show("NRestarts").parse::<u32>().ok().filter(|count| *count >= 2));
    let refused = bot.journal().into_iter().filter(|line| line.text.starts_with("portcullis: refused: ")).count();
    assert!(refused >= 2, "{}", bot.log());
    assert!(bot.journal().iter().any(|line| line.text.contains("status=69/UNAVAILABLE")), "{}", bot.log());
}

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn a_bot_that_has_run_is_left_alone_where_the_unit_says_so_and_a_refusal_is_tried_again_still() {
    let bot = Bot::new("once", &["exits", "42"]);
    bot.drop_in("[Service]\nRestart=no\nRestartForceExitStatus=69 76 124\nRestartSec=100ms\n");
    bot.systemctl(&["start"]);
    wait_for("its end", || (bot.show("ActiveState") == "failed").then_some(()));
    assert_eq!((bot.show("ExecMainStatus"), bot.show("NRestarts")), ("42".into(), "0".into()), "{}", bot.log());
    // A program's own 69 is one, too: that is said on the page.
    let config = std::fs::read_to_string(crate::machine::at("/etc/portcullis/once.toml")).expect("the config");
    bot.configure(&config.replace("\"42\"", "\"69\""));
    bot.systemctl(&["start"]);
    wait_for("a second start", || bot.show("NRestarts").parse::<u32>().ok().filter(|count| *count >= 1));
}

#[test]
fn each_exit_code_of_ours_is_either_tried_again_or_not() {
    let unit = std::fs::read_to_string(checkout().join("examples/systemd/portcullis@.service")).expect("the unit");
    let line = unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus=")).expect("the line");
    let prevented: Vec<u8> = line.split(' ').map(|code| code.parse().expect("a code")).collect();
    // What time or another try may cure. A new code has to be thought of here.
    let again = [Exit::StoreUnavailable, Exit::RoleBroke, Exit::Deadline];
    for (exit, meaning) in Exit::TABLE {
        assert_ne!(prevented.contains(&exit.code()), again.contains(&exit), "{}: {meaning}", exit.code());
    }
}
