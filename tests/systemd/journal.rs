//! What the journal has of a start: one line a line, each with its level, and no secret.

use crate::machine::{Bot, said, text};

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn each_line_has_its_level() {
    let bot = Bot::new("levels", &["tries", "/nowhere"]);
    bot.start();
    bot.line("bot: tried all");
    bot.stop();
    for (start, level) in [
        ("portcullis: started ", 6),
        ("portcullis: denied: socket(AF_UNIX, stream, default) by ", 4),
        ("portcullis: denied: socket(", 4),
        ("portcullis: ended: ", 6),
    ] {
        assert_eq!(bot.line(start).priority, level, "{start}: {}", bot.log());
    }
    bot.configure("[workload]\n");
    bot.fails_to_start();
    for start in ["portcullis: refused: ", "portcullis: hint: "] {
        assert_eq!(bot.line(start).priority, 3, "{start}: {}", bot.log());
    }
    let ours: Vec<String> = bot.journal().into_iter().map(|l| l.text).filter(|l| l.contains("portcullis: ")).collect();
    assert!(ours.iter().all(|line| line.starts_with("portcullis: ")), "a mark was left: {ours:#?}");
}

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn lines_that_do_not_go_to_the_journal_have_no_mark() {
    let bot = Bot::new("redirected", &["lives"]);
    bot.drop_in("[Service]\nStandardError=file:/run/redirected\n");
    bot.start();
    let told = std::fs::read_to_string(crate::machine::at("/run/redirected"));
    assert!(told.as_ref().is_ok_and(|text| text.starts_with("portcullis: started ")), "{told:?}");
    said(&["rm", "/run/redirected"]);
}

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn no_secret_stands_in_the_journal_in_what_systemd_tells_or_in_etc() {
    let bot = Bot::new("silent", &["lives"]);
    bot.drop_in("[Service]\nEnvironment=PORTCULLIS_LOG=trace\n");
    bot.start();
    bot.line("bot: lives as ");
    bot.stop();
    let key = bot.identity.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).expect("a key line");
    for needle in [bot.value.as_str(), key] {
        for (what, script) in [
            ("the journal", "journalctl --no-pager --output=export"),
            ("systemctl", "systemctl show portcullis@silent; systemctl cat portcullis@silent"),
            ("/etc", "cat /etc/portcullis/silent.*"),
            ("/var", "find /var/log /var/lib/portcullis -type f -exec cat {} +"),
        ] {
            let script = format!("exec 3<&0; {{ {script}; }} | tee >(wc -c >&2) | grep -aFc -f /dev/fd/3");
            let output = crate::machine::feed(&["bash", "-c", &script], needle.as_bytes());
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "0", "{what} holds a secret: {}", text(&output));
            let seen = String::from_utf8_lossy(&output.stderr).trim().parse::<u64>();
            assert!(seen.is_ok_and(|bytes| bytes > 0), "{what} could be read: {}", text(&output));
        }
    }
    // The log was on, and is told from what matters by its level.
    assert_eq!(bot.line("DEBUG portcullis::").priority, 7, "{}", bot.log());
}
