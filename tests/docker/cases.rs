//! The main job in a container, and its refusals.

use std::fs;
use std::time::Duration;

use crate::engine::{Container, PLAIN, ROOT, docker, run, text, wait_for};
use crate::images;
use crate::secrets::Secrets;

/// A bot, how it is started in its image, and how it shows that it holds the right secret.
pub struct Bot {
    pub image: &'static str,
    pub command: &'static [&'static str],
    /// What the config adds for it.
    pub config: &'static str,
    pub signature: fn(&Secrets) -> String,
    /// Its exit code after TERM.
    pub code: i32,
}

pub fn static_bot() -> Bot {
    let image = images::static_bot();
    Bot { image, command: &["/bot"], config: "", signature: |s| fnv(s.secret.as_bytes()), code: 7 }
}

pub fn python_bot() -> Bot {
    Bot {
        image: images::python_bot(),
        command: &["python3", "-u", "/app/bot.py"],
        config: "\n[confine]\nread = [\"/app\"]\n",
        signature: hmac,
        code: 0,
    }
}

fn fnv(text: &[u8]) -> String {
    let hash = text.iter().fold(14695981039346656037u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(1099511628211));
    format!("{hash:016x}")
}

/// What docker/bot/bot.py prints, computed by the host's own Python.
pub fn hmac(secrets: &Secrets) -> String {
    let script = "import hmac, sys; secret, key = sys.stdin.read().split()\n\
                  print(hmac.new(secret.encode(), b'heartbeat ' + key.encode(), 'sha256').hexdigest())";
    let output = run("/usr/bin/python3", &["-c", script], format!("{} {}", secrets.secret, secrets.key).as_bytes());
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Who starts: with which flags, and who owns the files that only the starter may read.
pub const STARTS: [(&[&str], u32); 2] = [(PLAIN, 65532), (ROOT, 0)];

pub fn secrets(bot: &Bot, owner: u32) -> Secrets {
    let secrets = Secrets::new(owner, bot.command);
    secrets.configure_more(bot.config);
    secrets
}

pub fn start(bot: &Bot, secrets: &Secrets, flags: &[&str]) -> Container {
    let mounts = secrets.mounts();
    Container::start(bot.image, &[flags, &mounts.iter().map(String::as_str).collect::<Vec<_>>()].concat())
}

/// Starts a bot, sees that it has its credentials, stops it, sees that it could say its last word.
fn lives_and_stops(bot: &Bot, init: &[&str]) {
    for (flags, owner) in STARTS {
        let secrets = secrets(bot, owner);
        let container = start(bot, &secrets, &[flags, init].concat());
        assert!(container.line("bot: ready as uid ").starts_with("65532"), "{}", container.logs());
        assert_eq!(container.line("bot: signed "), (bot.signature)(&secrets));
        let took = container.stop();
        assert!(container.logs().contains("bot: last word"), "{}", container.logs());
        assert_eq!(container.code(), bot.code, "{}", container.logs());
        assert!(took < Duration::from_secs(8), "ended by itself and not by the grace's end: {took:?}");
    }
}

#[test]
#[ignore = "needs an engine: tests/run docker"]
fn a_static_bot_lives_in_a_scratch_image_as_pid_1() {
    lives_and_stops(&static_bot(), &[]);
}

#[test]
#[ignore = "needs an engine: tests/run docker"]
fn a_static_bot_lives_in_a_scratch_image_under_an_init() {
    lives_and_stops(&static_bot(), &["--init"]);
}

#[test]
#[ignore = "needs an engine: tests/run docker"]
fn a_bot_lives_behind_a_binary_that_everybody_may_read() {
    lives_and_stops(&Bot { image: images::readable(), ..static_bot() }, &[]);
}

#[test]
#[ignore = "needs an engine: tests/run docker"]
fn a_python_bot_lives_in_a_debian_image_as_pid_1() {
    lives_and_stops(&python_bot(), &[]);
}

#[test]
#[ignore = "needs an engine: tests/run docker"]
fn a_python_bot_lives_in_a_debian_image_under_an_init() {
    lives_and_stops(&python_bot(), &["--init"]);
}

#[test]
#[ignore = "needs an engine: tests/run docker"]
fn secrets_come_from_a_directory_such_as_run_secrets() {
    for (flags, owner) in STARTS {
        let bot = static_bot();
        let secrets = secrets(&bot, owner);
        secrets.configure(bot.command, "file:/run/secrets#api_key", "file:/run/secrets#api_secret");
        let container = start(&bot, &secrets, flags);
        assert_eq!(container.line("bot: signed "), (bot.signature)(&secrets));
    }
}

/// Of `/proc/PID/status`, as the host sees it.
fn status(pid: u32, key: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':')).expect("a known key");
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
#[ignore = "needs an engine: tests/run docker"]
fn the_cage_stands_when_seen_from_the_host() {
    for (flags, owner) in STARTS {
        let bot = python_bot();
        let secrets = secrets(&bot, owner);
        let container = start(&bot, &secrets, flags);
        container.line("bot: ready");
        let init = container.pid();
        assert_eq!(status(init, "Threads"), "1");
        let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children")).expect("read");
        let children: Vec<u32> = children.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect();
        let [workload] = children[..] else { panic!("one child and no more: {children:?}") };

        for (key, value) in [
            ("Uid", "65532 65532 65532 65532"),
            ("Gid", "65532 65532 65532 65532"),
            ("CapInh", "0000000000000000"),
            ("CapPrm", "0000000000000000"),
            ("CapEff", "0000000000000000"),
            ("CapBnd", "0000000000000000"),
            ("CapAmb", "0000000000000000"),
            ("NoNewPrivs", "1"),
            ("Seccomp", "2"),
        ] {
            assert_eq!(status(workload, key), value, "{key} of the workload started by {owner}");
        }
        // Docker's own doing: it lists the group of --user once more, and a plain user cannot take it off.
        assert_eq!(status(workload, "Groups"), if owner == 0 { "" } else { "65532" });
        // What init keeps for its own job: to signal a workload of another user.
        let kept = if owner == 0 { "0000000000000020" } else { "0000000000000000" };
        assert_eq!(status(init, "CapEff"), kept);
        assert_eq!(status(init, "NoNewPrivs"), "1");
    }
}

#[test]
#[ignore = "needs an engine: tests/run docker"]
fn a_wrong_key_is_a_refusal_before_the_bot_exists() {
    for (flags, owner) in STARTS {
        let bot = python_bot();
        let secrets = secrets(&bot, owner);
        secrets.break_identity(owner);
        let container = start(&bot, &secrets, flags);
        let code = container.code();
        let logs = container.logs();
        assert!(code == 77 || code == 78, "code {code}: {logs}");
        assert!(!logs.contains("bot:"), "{logs}");
        let lines: Vec<&str> = logs.lines().collect();
        assert_eq!(lines.len(), 2, "{logs}");
        assert!(lines[0].starts_with("portcullis: refused: ") && lines[1].starts_with("portcullis: hint: "), "{logs}");
    }
}

#[test]
#[ignore = "needs an engine: tests/run docker"]
fn the_image_is_one_file_of_at_most_six_mebibytes() {
    let image = images::portcullis();
    let size: u64 = docker(&["image", "inspect", "--format", "{{.Size}}", image]).parse().expect("a size");
    println!("{image}: {size} bytes");
    let saved = tempfile::NamedTempFile::new().expect("a file");
    docker(&["save", "--output", &saved.path().display().to_string(), image]);
    let script = "import tarfile, sys\n\
                  image = tarfile.open(sys.argv[1])\n\
                  for layer in (m for m in image if m.name.endswith('layer.tar')):\n\
                  \tprint(*tarfile.open(fileobj=image.extractfile(layer)).getnames(), sep='\\n')";
    let names = run("/usr/bin/python3", &["-c", script, &saved.path().display().to_string()], b"");
    assert_eq!(text(&names), "portcullis\n");
    if std::env::var_os("PORTCULLIS_BIN").is_some() {
        assert!(size <= 6 << 20, "{size} bytes");
    }
}

#[test]
#[ignore = "needs an engine: tests/run docker"]
fn no_secret_stands_in_what_the_engine_knows_or_keeps() {
    let bot = python_bot();
    let secrets = secrets(&bot, 0);
    let container = start(&bot, &secrets, ROOT);
    container.line("bot: signed");
    container.stop();
    let needles = secrets.needles().join("\n");
    for (what, command) in [
        ("the image", format!("docker save {}", bot.image)),
        ("docker inspect", format!("docker inspect {} {}", container.0, bot.image)),
        ("docker logs", format!("docker logs {} 2>&1", container.0)),
        ("the container's files", format!("docker export {}", container.0)),
    ] {
        // The needles come by standard input: no secret in an argument here either. `cat` shows that bytes did flow.
        let script = format!("exec 3<&0; {command} | tee >(wc -c >&2) | grep -aFc -f /dev/fd/3; exit 0");
        let output = run("bash", &["-c", &script], needles.as_bytes());
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "0", "{what} holds a secret");
        let seen = String::from_utf8_lossy(&output.stderr).trim().parse::<u64>();
        assert!(seen.is_ok_and(|bytes| bytes > 0), "{what} could be read");
    }
}

#[test]
#[ignore = "needs an engine: tests/run docker"]
fn a_bot_that_dies_ends_its_container_with_its_own_code() {
    let bot = python_bot();
    let secrets = secrets(&bot, 65532);
    secrets.configure(
        &["python3", "-c", "raise SystemExit(42)"],
        "file:/run/secrets#api_key",
        "file:/run/secrets#api_secret",
    );
    let container = start(&bot, &secrets, PLAIN);
    assert_eq!(container.code(), 42, "{}", container.logs());
    wait_for("the container's end", || (container.inspect("{{.State.Running}}") == "false").then_some(()));
}

#[test]
#[ignore = "needs an engine: tests/run docker"]
fn a_bot_that_ignores_term_is_killed_at_the_configs_own_grace() {
    const DEAF: &[&str] = &[
        "python3",
        "-u",
        "-c",
        "import signal\nsignal.signal(15, signal.SIG_IGN)\nprint('bot: deaf')\nwhile True: signal.pause()",
    ];
    let bot = Bot { command: DEAF, ..python_bot() };
    for (flags, owner) in STARTS {
        let secrets = secrets(&bot, owner);
        secrets.replace("stop_timeout = \"8s\"", "stop_timeout = \"1s\"");
        let container = start(&bot, &secrets, flags);
        container.line("bot: deaf");
        let took = container.stop();
        assert_eq!(container.code(), 128 + 9, "{}", container.logs());
        assert!(took > Duration::from_secs(1) && took < Duration::from_secs(8), "{took:?}");
    }
}

#[test]
#[ignore = "needs an engine: tests/run docker"]
fn a_start_works_however_docker_is_told_to_run_it() {
    for flags in [
        // What people type: root with Docker's own 14 capabilities and a writable root.
        &["--network=none"][..],
        &["--network=none", "--tty"],
        &["--network=none", "--tty", "--user=65532:65532"],
        &["--network=none", "--security-opt=seccomp=unconfined"],
        &["--network=none", "--pid=host", "--user=65532:65532"],
        &["--network=none", "--memory=64m", "--pids-limit=8", "--ulimit=nofile=64:64"],
    ] {
        let bot = python_bot();
        let owner = if flags.contains(&"--user=65532:65532") { 65532 } else { 0 };
        let secrets = secrets(&bot, owner);
        let container = start(&bot, &secrets, flags);
        // A terminal ends its lines with a carriage return as well.
        assert_eq!(container.line("bot: signed ").trim_end(), (bot.signature)(&secrets), "{flags:?}");
        container.stop();
        assert_eq!(container.code(), bot.code, "{flags:?}: {}", container.logs());
    }
}

#[test]
#[ignore = "needs an engine: tests/run docker"]
fn root_without_the_capabilities_for_the_way_down_is_refused() {
    let bot = python_bot();
    for missing in ["SETUID", "SETGID", "KILL"] {
        let flag = format!("--cap-add={missing}");
        let flags: Vec<&str> = ROOT.iter().copied().filter(|f| *f != flag).collect();
        let secrets = secrets(&bot, 0);
        let container = start(&bot, &secrets, &flags);
        let code = container.code();
        let logs = container.logs();
        assert_eq!(code, 71, "{logs}");
        assert!(logs.contains(missing) && !logs.contains("bot:"), "{logs}");
    }
}
