//! A shell beside the bot (`docker exec`), of the bot's own user, and what it finds of the credentials: nothing.

use crate::cases::{Bot, STARTS, python_bot, secrets, start};
use crate::engine::{Container, docker, run, text};
use crate::secrets::random_hex;

/// Searches a container for the needles with the eyes of a user in it; the finds, and the whole report.
pub fn search(container: &Container, user: &str, needles: &[&str]) -> (Vec<String>, String) {
    let script = include_str!("outsider.py");
    let args = ["exec", "--interactive", "--user", user, &container.0, "python3", "-c", script];
    let output = run("docker", &args, needles.join("\n").as_bytes());
    let report = text(&output);
    assert!(output.status.success() && report.contains("LOOKED"), "{report}");
    (report.lines().filter_map(|l| l.strip_prefix("FOUND ")).map(str::to_owned).collect(), report)
}

#[test]
#[ignore = "needs an engine: tests/run docker"]
fn a_shell_beside_the_bot_finds_no_credential() {
    for (flags, owner) in STARTS {
        let bot = python_bot();
        let secrets = secrets(&bot, owner);
        let container = start(&bot, &secrets, flags);
        container.line("bot: signed");

        // The search can find: a process that is as careless as most, with a value in its environment and its memory.
        let canary = random_hex(16);
        let variable = format!("CANARY={canary}");
        docker(&["exec", "--detach", "--user=65532:65532", "--env", &variable, &container.0, "sleep", "60"]);
        let (found, report) = search(&container, "65532:65532", &[&canary]);
        assert!(found.iter().any(|f| f.ends_with("/environ")) && found.iter().any(|f| f.ends_with("/mem")), "{report}");

        let (found, report) = search(&container, "65532:65532", &[&secrets.key, &secrets.secret]);
        // Started as a plain user, files of that user are open to its shell; what the design promises is the processes.
        let found: Vec<_> = found.iter().filter(|f| owner == 0 || !f.starts_with("/run/secrets/")).collect();
        assert!(found.is_empty(), "started by {owner}: {found:?} in {report}");

        if owner == 0 {
            let (found, report) = search(&container, "65532:65532", &secrets.needles());
            assert!(found.is_empty(), "{found:?} in {report}");
            // Not even root of the container, without capabilities, sees into the two processes.
            let (found, report) = search(&container, "0:0", &[&secrets.key, &secrets.secret]);
            assert!(found.iter().all(|f| f.starts_with("/run/secrets/")), "{found:?} in {report}");
        }
    }
}

#[test]
#[ignore = "needs an engine: tests/run docker"]
fn a_shell_beside_the_bot_cannot_empty_the_pipe_before_the_bot_does() {
    const WAITS: &[&str] = &["python3", "-u", "-c", "import signal; print('bot: waits'); signal.pause()"];
    for (flags, owner) in STARTS {
        let bot = Bot { command: WAITS, ..python_bot() };
        let secrets = secrets(&bot, owner);
        let container = start(&bot, &secrets, flags);
        container.line("bot: waits");
        let (found, report) = search(&container, "65532:65532", &[&secrets.key, &secrets.secret]);
        let found: Vec<_> = found.iter().filter(|f| owner == 0 || !f.starts_with("/run/secrets/")).collect();
        assert!(found.is_empty(), "started by {owner}: {found:?} in {report}");
    }
}
