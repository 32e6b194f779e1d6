//! The unit's own sandboxing and the cage: both hold, and neither keeps the other from its work.

use crate::machine::{Bot, at, said, said_to, wait_for, write};

/// Of `/proc/PID/status`, as the machine's root sees it.
fn status(pid: &str, key: &str) -> String {
    let status = said(&["cat", &format!("/proc/{pid}/status")]);
    let line = status.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':')).expect("a known key");
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn the_unit_is_exposed_at_most_2_0_while_the_bot_runs_in_its_whole_cage() {
    let bot = Bot::new("exposed", &["lives"]);
    bot.start();
    bot.line("bot: lives as ");
    let report = said(&["systemd-analyze", "security", "--no-pager", &bot.unit()]);
    let last = report.lines().find(|line| line.contains("Overall exposure level")).expect("a verdict");
    let level = last.split(": ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<f64>().ok()).expect("a level");
    println!("{last}");
    assert!(level <= 2.0, "{report}");
    assert_eq!(bot.show("ActiveState"), "active");

    let main = bot.show("MainPID");
    let workload = bot.pids().into_iter().find(|pid| *pid != main).expect("the workload");
    for (key, value) in [
        ("CapInh", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ] {
        assert_eq!(status(&workload, key), value, "{key} of the workload");
        assert_eq!(status(&main, key), value, "{key} of init");
    }
    let filters = |pid: &str| status(pid, "Seccomp_filters").parse::<u32>().expect("a number");
    assert!(filters(&workload) > 1 && filters(&main) > 1, "the unit's filters and ours");
}

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn a_bot_writes_its_state_and_reads_neither_its_identity_nor_what_is_sealed() {
    let identity = "/run/credentials/portcullis@tries.service/identity";
    let words =
        ["tries", "/var/lib/portcullis/tries", identity, "/etc/portcullis/tries.env.age", "/etc/portcullis/tries.toml"];
    let bot = Bot::with("tries", &words, "", "write = [\"/var/lib/portcullis/tries\"]\n");
    bot.start();
    bot.line("bot: tried all");
    let tried: Vec<String> =
        bot.journal().into_iter().filter_map(|l| l.text.strip_prefix("bot: tried ").map(str::to_owned)).collect();
    let (state, others) = tried.split_first().expect("lines");
    assert_eq!(state, "own state DONE", "{}", bot.log());
    assert_eq!(others.iter().filter(|line| line.contains(" refused: ")).count(), others.len() - 1, "{others:#?}");
    assert_eq!(others.len(), 10, "{others:#?}");
    assert!(others.iter().any(|line| *line == format!("reading {identity} refused: Permission denied")), "{others:#?}");
}

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn an_identity_may_come_in_the_unit_itself_or_as_a_plain_file() {
    let bot = Bot::new("given", &["lives"]);
    let name = "--name=identity";
    let lines =
        said_to(&["systemd-creds", "encrypt", "--with-key=host", name, "--pretty", "-", "-"], bot.identity.as_bytes());
    assert!(lines.starts_with("SetCredentialEncrypted=identity:"), "{lines}");
    std::fs::remove_file(at("/etc/portcullis/given.cred")).expect("removed");
    bot.drop_in(&format!("[Service]\nLoadCredentialEncrypted=\n{lines}\n"));
    bot.start();
    bot.line("bot: lives as ");
    bot.stop();

    write("/etc/portcullis/given.key", &bot.identity);
    said(&["chmod", "0400", "/etc/portcullis/given.key"]);
    bot.drop_in("[Service]\nLoadCredentialEncrypted=\nLoadCredential=identity:/etc/portcullis/given.key\n");
    bot.start();
    wait_for("a second life", || {
        (bot.journal().iter().filter(|l| l.text.starts_with("bot: lives as ")).count() == 2).then_some(())
    });
}

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn a_credential_that_was_made_for_something_else_stops_the_start_for_good() {
    let bot = Bot::new("foreign", &["lives"]);
    bot.encrypt("another", &bot.identity);
    bot.drop_in("[Service]\nRestartSec=100ms\n");
    bot.fails_to_start();
    assert_eq!((bot.show("ExecMainStatus"), bot.show("NRestarts")), ("243".into(), "0".into()), "{}", bot.log());
    assert_eq!(bot.show("ActiveState"), "failed");
    assert!(!bot.log().contains("bot:"), "{}", bot.log());
}

/// What a store's token is kept in while there are leases, asked for by its number, for the library has no name for it.
const HIDDEN: &str = "import ctypes, mmap, os, signal
fd = ctypes.CDLL(None, use_errno=True).syscall(447, 0)
assert fd >= 0, os.strerror(ctypes.get_errno())
os.ftruncate(fd, 4096)
mmap.mmap(fd, 4096)[:6] = b'hidden'
print('bot: has hidden memory', flush=True)
signal.pause()
";

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn the_unit_gives_the_hidden_memory_that_leases_need() {
    let bot = Bot::new("hidden", &["lives"]);
    write("/opt/hidden/hidden.py", HIDDEN);
    bot.drop_in("[Service]\nType=exec\nExecStart=\nExecStart=/usr/bin/python3 /opt/hidden/hidden.py\nRestart=no\n");
    bot.start();
    wait_for("its answer", || {
        (bot.show("ActiveState") == "failed" || bot.count("bot: has hidden memory") == 1).then_some(())
    });
    assert_eq!(bot.count("bot: has hidden memory"), 1, "{}", bot.log());
}
