//! `portcullis seal` as a user and a script run it: what it does, what it refuses, and what it never leaves anywhere.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[path = "support/sealing.rs"]
mod sealing;
use sealing::{Bench, feed, keygen, on_a_terminal};

const PROGRAM: &str = env!("CARGO_BIN_EXE_portcullis");
const VALUE: &str = "hunter2-do-not-tell";
const KEY: [&str; 2] = ["--identity", "key"];

fn with_key<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["seal"], args, &KEY].concat()
}

/// A folder with an empty sealed file for its key.
fn sealed() -> Bench {
    let bench = Bench::new();
    bench.ok(&with_key(&["create"]), b"");
    bench
}

fn is_root() -> bool {
    std::process::Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

#[test]
fn what_is_set_is_what_age_decrypts_and_nothing_prints_it() {
    let bench = sealed();
    bench.ok(&with_key(&["set", "API_KEY"]), format!("{VALUE}\n").as_bytes());
    bench.ok(&with_key(&["set", "PEM"]), b"two\nlines\n\n");
    let list = bench.ok(&with_key(&["list"]), b"");
    assert!(
        list.starts_with("NAME     AGE\nAPI_KEY  ") && list.ends_with(&format!("sealed for {}\n", bench.recipient))
    );
    assert!(!list.contains(VALUE));
    let text = bench.decrypted("key", "secrets.env.age");
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines, [&format!("API_KEY={VALUE}"), "PEM=\"two\\nlines\\n\""]);
    bench.ok(&with_key(&["remove", "PEM"]), b"");
    assert!(!bench.decrypted("key", "secrets.env.age").contains("PEM"));
    assert_eq!(bench.names(), ["key", "secrets.env.age"]);
}

#[test]
fn a_whole_document_is_taken_over_from_standard_input() {
    let bench = Bench::new();
    bench.ok(&with_key(&["create", "--stdin", "--armor"]), b"# mine\nexport A='x' # why\n");
    let text = bench.decrypted("key", "secrets.env.age");
    assert!(text.contains("# mine\n# portcullis:set A ") && text.ends_with("\nexport A='x' # why\n"), "{text}");
    bench.ok(&with_key(&["create", "--stdin", "-f", "j.age"]), b"{\"A\": \"x\", \"n\": 5}");
    let list = bench.ok(&with_key(&["list", "-f", "j.age"]), b"");
    assert!(list.contains("\nn     -  a number, not a text\n"), "{list}");
    let (what, _) = bench.refused(64, &with_key(&["create", "--stdin", "-f", "b.age"]), b"A=x\nB='hunter2");
    assert_eq!(what, "standard input cannot be read at line 2, column 3: this single quote is never closed");
    assert_eq!(bench.names(), ["j.age", "key", "secrets.env.age"]);
}

#[test]
fn more_than_could_be_read_again_is_not_sealed() {
    let bench = Bench::new();
    let lines = |count: usize| (0..count).map(|i| format!("A{i}=x\n")).collect::<String>();
    for count in [20_001, 10_000] {
        let (what, _) = bench.refused(64, &with_key(&["create", "--stdin"]), lines(count).as_bytes());
        assert!(what.contains("more than 20,000 lines or values"), "{count}: {what}");
    }
    bench.ok(&with_key(&["create", "--stdin"]), lines(9_999).as_bytes());
    bench.ok(&with_key(&["list"]), b"");
    assert_eq!(bench.names(), ["key", "secrets.env.age"]);
}

#[test]
fn an_edit_keeps_armour_json_and_everything_it_does_not_touch() {
    let bench = Bench::new();
    let before = "{\"n\": 1.50, \"A\": \"\\u0041\", \"o\": {\"x\": [1]}}";
    assert!(bench.age(&["-a", "-r", &bench.recipient, "-o", "f"], before.as_bytes()).status.success());
    bench.ok(&with_key(&["set", "NEW", "-f", "f"]), b"q\"");
    assert!(std::fs::read_to_string(bench.path("f")).unwrap().starts_with("-----BEGIN AGE"));
    let text = bench.decrypted("key", "f");
    for part in ["\"n\": 1.50", "\"A\": \"\\u0041\"", "\"o\": {\"x\": [1]}", "\"NEW\": \"q\\\"\"", &bench.recipient] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn an_edit_never_drops_a_recipient_that_it_was_not_told_of() {
    let bench = Bench::new();
    let other = keygen(&bench.path("other"));
    assert!(bench.age(&["-r", &bench.recipient, "-r", &other, "-o", "f"], b"A=x\n").status.success());
    let before = std::fs::read(bench.path("f")).unwrap();
    let (what, hint) = bench.refused(64, &with_key(&["set", "B", "-f", "f"]), b"y");
    assert_eq!(what, "f is sealed for 2 recipients and does not say who they are");
    assert!(hint.contains("--recipient"));
    let (what, _) = bench.refused(64, &with_key(&["set", "B", "-f", "f", "--recipient", &other]), b"y");
    assert_eq!(what, "this identity could not open f any longer");
    assert_eq!(std::fs::read(bench.path("f")).unwrap(), before);
    let both = ["--recipient", &other, "--recipient", &bench.recipient];
    bench.ok(&with_key(&[&["set", "B", "-f", "f"], &both[..]].concat()), b"y");
    // From now on the file says it itself, which is nobody's word: it names none that the caller does not.
    let (what, hint) = bench.refused(64, &with_key(&["set", "C", "-f", "f"]), b"z");
    assert_eq!(what, format!("f says that it is sealed for others, too: {other}"));
    assert!(hint.contains("--recipient"), "{hint}");
    bench.ok(&with_key(&["set", "C", "-f", "f", "--recipient", &other]), b"z");
    assert!(bench.decrypted("other", "f").ends_with("C=z\n"));
    assert!(bench.decrypted("key", "f").ends_with("C=z\n"));
}

#[test]
fn rekeying_shuts_the_old_key_out_and_lets_the_new_one_in() {
    let bench = sealed();
    let other = keygen(&bench.path("other"));
    bench.ok(&with_key(&["set", "A"]), b"x");
    bench.ok(&with_key(&["rekey", "--recipient", &other]), b"");
    let (what, _) = bench.refused(77, &with_key(&["list"]), b"");
    assert_eq!(what, "the sealed file secrets.env.age is not for this identity");
    let text = bench.decrypted("other", "secrets.env.age");
    assert!(text.starts_with(&format!("# portcullis:recipients {other}\n")) && text.ends_with("A=x\n"));
    bench.write("pass", "correct horse\n");
    bench.ok(&["seal", "rekey", "--identity", "other", "--new-passphrase-file", "pass"], b"");
    bench.ok(&["seal", "set", "B", "--passphrase-file", "pass"], b"y");
    let list = bench.ok(&["seal", "list", "--passphrase-file", "pass"], b"");
    assert!(list.contains("A ") && list.contains("B ") && !list.contains("sealed for"), "{list}");
    bench.refused(77, &["seal", "list", "--identity", "other"], b"");
}

#[test]
fn what_cannot_be_a_value_or_a_name_is_refused_and_changes_nothing() {
    let bench = sealed();
    let before = std::fs::read(bench.path("secrets.env.age")).unwrap();
    for (name, value, part) in [
        ("A", b"".to_vec(), "the value is empty"),
        ("A", b"\n".to_vec(), "the value is empty"),
        ("A", b"a\0b".to_vec(), "the value has a NUL byte in it"),
        ("A", b"a\xff".to_vec(), "the value is not UTF-8 text"),
        ("A", vec![b'x'; (64 << 10) + 1], "too long"),
        ("A", vec![b'x'; 8 << 20], "too long"),
        ("2A", b"x".to_vec(), "`2A` is no name of a secret"),
        ("A=B", b"x".to_vec(), "`A=B` is no name of a secret"),
        ("", b"x".to_vec(), "`` is no name of a secret"),
    ] {
        let (what, _) = bench.refused(64, &with_key(&["set", name]), &value);
        assert!(what.contains(part), "{what}");
    }
    bench.refused(64, &with_key(&["remove", "NOPE"]), b"");
    bench.refused(64, &with_key(&["create"]), b"");
    bench.refused(64, &with_key(&["rekey", "--recipient", "age1nonsense"]), b"");
    assert_eq!(std::fs::read(bench.path("secrets.env.age")).unwrap(), before);
    assert_eq!(bench.names(), ["key", "secrets.env.age"]);
    bench.ok(&with_key(&["set", "A"]), &[b'x'; 64 << 10]);
}

#[test]
fn each_wrong_file_has_its_own_message_and_code() {
    let bench = sealed();
    keygen(&bench.path("other"));
    bench.write("plain", "A=x\n");
    bench.write("cut", &std::fs::read(bench.path("secrets.env.age")).unwrap()[..150]);
    bench.write("pass", "p\n");
    for (exit, args, part) in [
        (78, vec!["list", "-f", "nowhere", "--identity", "key"], "nowhere cannot be read: no such file"),
        (78, vec!["set", "A", "-f", "nowhere", "--identity", "key"], "nowhere cannot be read: no such file"),
        (78, vec!["list", "-f", ".", "--identity", "key"], "cannot be read: is a directory"),
        (78, vec!["list", "--identity", "nowhere"], "identity file nowhere cannot be opened"),
        (78, vec!["list", "--identity", "plain"], "identity file plain holds a line that is no age identity (line 1)"),
        (78, vec!["list", "--passphrase-file", "/dev/null"], "has an empty first line"),
        (77, vec!["list", "--identity", "other"], "is not for this identity"),
        (77, vec!["list", "--passphrase-file", "pass"], "sealed for an identity, not with a passphrase"),
        (77, vec!["list", "-f", "plain", "--identity", "key"], "is not an age file"),
        (77, vec!["list", "-f", "cut", "--identity", "key"], "is cut short"),
    ] {
        let (what, _) = bench.refused(exit, &[vec!["seal"], args].concat(), b"x");
        assert!(what.contains(part), "{what}");
    }
}

#[test]
fn several_edits_at_once_lose_nothing() {
    let bench = sealed();
    let children: Vec<_> = (0..12)
        .map(|i| {
            let name = format!("N{i}");
            let mut child = Command::new(PROGRAM)
                .args(with_key(&["set", &name]))
                .current_dir(bench.dir())
                .stdin(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), name.as_bytes()).unwrap();
            child
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let text = bench.decrypted("key", "secrets.env.age");
    for i in 0..12 {
        assert!(text.contains(&format!("\nN{i}=N{i}\n")), "{i}: {text}");
    }
    assert_eq!(bench.names(), ["key", "secrets.env.age"]);
}

#[test]
fn a_kill_at_any_moment_leaves_a_whole_file() {
    let bench = sealed();
    bench.ok(&with_key(&["set", "A"]), b"0");
    let start = Instant::now();
    bench.ok(&with_key(&["set", "A"]), b"0");
    let usual = start.elapsed();
    let (mut last, mut killed) = (0, 0);
    for i in 1..=80u32 {
        let mut child = Command::new(PROGRAM)
            .args(with_key(&["set", "A"]))
            .current_dir(bench.dir())
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), i.to_string().as_bytes()).unwrap();
        std::thread::sleep(usual.mul_f64(f64::from(i % 40) / 32.0));
        child.kill().unwrap();
        killed += usize::from(!child.wait().unwrap().success());
        let text = bench.decrypted("key", "secrets.env.age");
        let found: u32 = text.lines().find_map(|line| line.strip_prefix("A=")).unwrap().parse().unwrap();
        assert!(found == last || found == i, "{last} {i} {text}");
        last = found;
    }
    assert!(killed > 5, "too few were killed in time to show anything: {killed}");
    bench.ok(&with_key(&["set", "A"]), b"end");
    assert_eq!(bench.names(), ["key", "secrets.env.age"]);
}

#[test]
fn a_full_disk_leaves_the_old_file_and_nothing_beside_it() {
    if !is_root() {
        println!("SKIP: mounting a small disk takes root");
        return;
    }
    let bench = sealed();
    let script = format!(
        "mkdir disk && mount -t tmpfs -o size=16k tmpfs disk && cp secrets.env.age disk/s.age && cp disk/s.age before || exit 9
         head -c 20000 /dev/zero | tr '\\0' x | {PROGRAM} seal set A -f disk/s.age --identity key
         echo $?; cmp disk/s.age before && ls -A disk"
    );
    let output = feed(Command::new("unshare").args(["-m", "sh", "-c", &script]).current_dir(bench.dir()), b"");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "78\ns.age\n", "{errors}");
    assert!(errors.contains("no space left on device"), "{errors}");
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_and_the_file_stays() {
    let bench = sealed();
    let program = bench.path("portcullis");
    // By another process: what this one has open for writing, a child of another test's fork would hold (ETXTBSY).
    assert!(Command::new("cp").arg(PROGRAM).arg(&program).status().unwrap().success());
    let mode = |name: &str, mode| {
        std::fs::set_permissions(bench.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("key", 0o644);
    mode("secrets.env.age", 0o644);
    mode("", 0o555);
    let before = std::fs::read(bench.path("secrets.env.age")).unwrap();
    let mut command = Command::new(&program);
    command.args(with_key(&["set", "A"])).current_dir(bench.dir());
    if is_root() {
        command.uid(65_532).gid(65_532);
    }
    let output = feed(&mut command, b"x");
    let errors = String::from_utf8_lossy(&output.stderr);
    mode("", 0o755);
    assert_eq!(output.status.code(), Some(78), "{errors}");
    assert!(errors.contains("cannot write") && errors.contains("permission denied"), "{errors}");
    assert_eq!(std::fs::read(bench.path("secrets.env.age")).unwrap(), before);
    assert_eq!(bench.names(), ["key", "portcullis", "secrets.env.age"]);
}

#[test]
fn no_plaintext_is_ever_written_anywhere() {
    let bench = sealed();
    let trace = |args: &[&str], log: &str| {
        let strace =
            ["-f", "-s", "1000000", "-e", "trace=write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg", "-o", log];
        let mut command = Command::new("strace");
        command.args(strace).arg(PROGRAM).args(args).current_dir(bench.dir()).env("TMPDIR", bench.dir());
        let output = feed(&mut command, VALUE.as_bytes());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read_to_string(bench.path(log)).unwrap()
    };
    if !is_root() {
        println!("SKIP: a plain user's strace cannot read what an undumpable program writes");
        return;
    }
    let mut logs = trace(&with_key(&["set", "API_KEY"]), "log1");
    logs += &trace(&with_key(&["set", "OTHER"]), "log2");
    logs += &trace(&with_key(&["list"]), "log3");
    logs += &trace(&with_key(&["rekey", "--recipient", &bench.recipient]), "log4");
    logs += &trace(&with_key(&["remove", "API_KEY"]), "log5");
    assert!(logs.contains("API_KEY is set in"), "the trace sees writes");
    assert!(logs.contains("age-encryption.org"), "the trace sees the file");
    assert!(!logs.contains(&VALUE[..8]));
    for name in bench.names() {
        let content = std::fs::read(bench.path(&name)).unwrap();
        assert!(!content.windows(8).any(|window| window == &VALUE.as_bytes()[..8]), "{name}");
    }
    assert!(bench.decrypted("key", "secrets.env.age").contains(VALUE));
}

#[test]
fn a_prompt_asks_twice_and_shows_nothing() {
    let bench = sealed();
    let args = [&[PROGRAM], &with_key(&["set", "API_KEY"])[..]].concat();
    let line = format!("{VALUE}\n");
    let steps = [("value of API_KEY (not shown): ", line.as_str()), ("the same again: ", line.as_str())];
    let (shown, code, echo) = on_a_terminal(bench.dir(), &args, &steps);
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains("hunter2") && shown.contains("API_KEY is set in"), "{shown}");
    assert!(echo, "the terminal is as it was");
    assert!(bench.decrypted("key", "secrets.env.age").ends_with(&format!("API_KEY={VALUE}\n")));
}

#[test]
fn a_prompt_gives_the_terminal_back_whatever_ends_it() {
    let bench = sealed();
    let before = std::fs::read(bench.path("secrets.env.age")).unwrap();
    let args = [&[PROGRAM], &with_key(&["set", "A"])[..]].concat();
    let long = "x".repeat(4095) + "\n";
    let first = "value of A (not shown): ";
    for (steps, expected, part) in [
        (vec![(first, "one\n"), ("again: ", "two\n")], 64, "the two values differ"),
        (vec![(first, "\n")], 64, "the value is empty"),
        (vec![(first, "\u{4}")], 64, "the value is empty"),
        (vec![(first, &long)], 64, "too long to be typed"),
        (vec![(first, "hal\u{3}")], 130, ""),
        (vec![(first, "one\n"), ("again: ", "\u{3}")], 130, ""),
        (vec![(first, "\u{1c}")], 131, ""),
        (vec![(first, "signal 15")], 143, ""),
        (vec![(first, "signal 1")], 129, ""),
    ] {
        let (shown, code, echo) = on_a_terminal(bench.dir(), &args, &steps);
        assert_eq!(code, expected, "{steps:?}: {shown}");
        assert!(shown.contains(part), "{shown}");
        assert!(echo, "{steps:?}");
    }
    assert_eq!(std::fs::read(bench.path("secrets.env.age")).unwrap(), before);
}

#[test]
fn a_hanging_writer_does_not_stop_readers() {
    let bench = sealed();
    let holder = std::fs::File::open(bench.dir()).unwrap();
    holder.lock().unwrap();
    let start = Instant::now();
    bench.ok(&with_key(&["list"]), b"");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn init_makes_a_bot_that_says_what_was_not_refused() {
    let bench = Bench::new();
    std::fs::set_permissions(bench.dir(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let text = bench.ok(&["init", "demo"], b"");
    assert!(text.contains("portcullis run -c demo/portcullis.toml"), "{text}");
    let (what, _) = bench.refused(64, &["init", "demo"], b"");
    assert!(what.ends_with("demo/age.key is there already"), "{what}");
    assert!(bench.decrypted("demo/age.key", "demo/secrets.env.age").contains("\nAPI_KEY=sample-"));
    // Without a cage much is not refused, and the bot must say so.
    bench.write("credentials", format!("{{\"api_key\": \"{VALUE}\"}}"));
    let script = "PORTCULLIS_CREDENTIALS_FD=3 exec python3 demo/app/bot.py 3<credentials";
    let output = feed(Command::new("sh").args(["-c", script]).current_dir(bench.dir()), b"");
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains(&format!("{} characters, not shown", VALUE.len())), "{shown}");
    assert!(!shown.contains("hunter2"));
    for part in [
        "read the age key                     GOT IT",
        "were NOT refused",
        "read the pipe once more              refused",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let output = feed(Command::new("python3").arg("demo/app/bot.py").current_dir(bench.dir()), b"");
    assert!(String::from_utf8_lossy(&output.stderr).contains("portcullis run"));
}
