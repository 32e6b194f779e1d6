//! What the service manager and a bot say to each other: readiness, the watchdog, sockets.

use crate::machine::{Bot, run, said, text, write};

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn a_bot_that_says_ready_itself_is_waited_for() {
    let bot = Bot::with("notifies", &["notifies"], "notify = \"pass\"", "");
    assert!(bot.systemctl(&["start", "--no-block"]).status.success());
    bot.line("bot: waits");
    assert_eq!(bot.show("ActiveState"), "activating", "{}", bot.log());
    assert!(bot.systemctl(&["kill", "--kill-whom=main", "--signal=USR1"]).status.success());
    // A start that is under way is waited for, not made again.
    bot.start();
    assert_eq!((bot.show("ActiveState"), bot.show("StatusText")), ("active".into(), "said by the bot itself".into()));
    assert_eq!(bot.show("NRestarts"), "0");
    bot.stop();
    bot.ended_well();
}

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn a_bot_that_says_nothing_is_not_taken_for_ready() {
    let bot = Bot::with("mute", &["bare"], "notify = \"pass\"", "");
    bot.drop_in("[Service]\nTimeoutStartSec=2s\nRestart=no\n");
    bot.fails_to_start();
    assert_eq!(bot.show("Result"), "timeout", "{}", bot.log());
}

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn a_watchdog_is_the_bots_own_and_its_silence_ends_it() {
    let bot = Bot::with("watched", &["watched"], "notify = \"pass\"", "");
    bot.drop_in("[Service]\nWatchdogSec=2s\nRestart=no\n");
    bot.start();
    assert_eq!(bot.line("bot: watched ").text, "bot: watched True 2000000");
    // Ten seconds of life under a watchdog of two.
    bot.line("bot: pinged");
    assert_eq!(bot.show("ActiveState"), "active", "{}", bot.log());
    assert!(bot.systemctl(&["kill", "--kill-whom=main", "--signal=USR1"]).status.success());
    crate::machine::wait_for("its end", || (bot.show("ActiveState") == "failed").then_some(()));
    assert_eq!(bot.show("Result"), "watchdog", "{}", bot.log());
}

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn a_watchdog_that_nobody_would_answer_is_refused() {
    let bot = Bot::new("unwatched", &["lives"]);
    bot.drop_in("[Service]\nWatchdogSec=30s\n");
    bot.fails_to_start();
    assert_eq!(bot.show("ExecMainStatus"), "78", "{}", bot.log());
    assert!(bot.line("portcullis: hint: ").text.contains("workload.notify = \"pass\""), "{}", bot.log());
}

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn a_start_without_unix_sockets_says_that_nobody_can_be_told() {
    let bot = Bot::new("unheard", &["lives"]);
    bot.drop_in("[Service]\nRestrictAddressFamilies=\nRestrictAddressFamilies=AF_INET\n");
    bot.fails_to_start();
    assert_eq!(bot.show("ExecMainStatus"), "78", "{}", bot.log());
    assert!(bot.line("portcullis: hint: ").text.contains("AF_UNIX"), "{}", bot.log());
}

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn a_unit_becomes_its_program_and_is_ready_all_the_same() {
    let bot = Bot::new("becomes", &["lives"]);
    let config = std::fs::read_to_string(crate::machine::at("/etc/portcullis/becomes.toml")).expect("the config");
    bot.configure(&format!("mode = \"replace\"\n{config}"));
    bot.start();
    bot.line("bot: lives as ");
    assert_eq!(bot.pids(), [bot.show("MainPID")], "no supervisor is left");
    bot.stop();
    bot.ended_well();
    assert_eq!(bot.count("bot: last word"), 1, "{}", bot.log());
}

/// Two clients of the machine, one of each socket.
const ASK: &str = "import socket\n\
    unix = socket.socket(socket.AF_UNIX)\n\
    unix.connect('/run/portcullis/serves.sock')\n\
    for peer in unix, socket.create_connection(('127.0.0.1', 7423), 30):\n\
    \tpeer.settimeout(30)\n\
    \twith peer: print(peer.makefile().readline(), end='')";

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn a_socket_unit_starts_the_bot_and_hands_its_sockets_on() {
    let bot = Bot::with("serves", &["serves"], "sockets = true", "");
    let socket = "portcullis@serves.socket";
    let more = "[Socket]\nListenStream=127.0.0.1:7423\nFileDescriptorName=orders\n";
    write(&format!("/run/systemd/system/{socket}.d/test.conf"), more);
    said(&["systemctl", "daemon-reload"]);
    said(&["systemctl", "start", socket]);
    assert_eq!(bot.show("ActiveState"), "inactive");
    // The connection that wakes it is the first that it answers.
    for _ in 0..2 {
        assert_eq!(text(&run(&["python3", "-c", ASK])), "from behind the gate\n".repeat(2), "{}", bot.log());
    }
    assert_eq!(bot.line("bot: serves ").text, "bot: serves 2 True orders:orders");
    said(&["systemctl", "stop", socket, &bot.unit()]);
    said(&["rm", "-r", &format!("/run/systemd/system/{socket}.d")]);

    // By itself it has no socket, and says so.
    bot.fails_to_start();
    assert_eq!(bot.line("portcullis: refused: workload.sockets is set").priority, 3);
}
