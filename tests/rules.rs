//! The eight rules of the design, each by tests that fail when the rule is broken.
//!
//! What a single room promises is tested there; here whole starts are looked at from outside.

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use support::start::{Place, UID, is_root, texts, user_line};

const VALUE: &str = "wh1spered-value-0f-the-tests";

/// A sealed file with one value and its key, in a place with a config for this program.
fn sealed(program: &[&str], more: &str) -> (Place, String) {
    let place = Place::new();
    support::sealing::keygen(&place.path("age.key"));
    let key = place.path("age.key").display().to_string();
    let made = Command::new("sh")
        .args(["-ec", &format!("printf 'API_KEY={VALUE}\\n' | age -r $(age-keygen -y {key})")])
        .output()
        .expect("age");
    place.write("s.age", made.stdout, 0o600);
    let words = program.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
    let text = format!(
        "[workload]\ncommand = [{words}]\n{}\n[secrets]\nk = \"age:s.age#API_KEY\"\n[age]\nidentity = \"age.key\"\n{more}",
        user_line()
    );
    let config = place.write("portcullis.toml", text, 0o644).display().to_string();
    (place, config)
}

/// Rule 1: nothing runs before every protection is applied and read back. The same attempts as root's start and as a plain
/// user's; each protection's own read-back is tested beside it in `confine`.
#[test]
fn rule_1_every_protection_holds_at_the_first_instruction() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let number = port.local_addr().expect("an address").port().to_string();
    let place = Place::new();
    let script = place.write("app/attempts.py", include_str!("rules/attempts.py"), 0o644).display().to_string();
    let app = place.app();
    let behind = std::env::temp_dir().join(format!("portcullis-left-behind-{}", std::process::id()));
    let behind_text = behind.display().to_string();
    for root in [true, false] {
        if root && !is_root() {
            continue;
        }
        let user: &[&str] = if root { &["--user", "65532:65532"] } else { &[] };
        let args =
            [&["run"], user, &["--read", &app, "--", "/usr/bin/python3", &script, &number, &behind_text]].concat();
        let mut command = place.command(&args);
        if is_root() && !root {
            std::os::unix::process::CommandExt::uid(&mut command, UID);
            std::os::unix::process::CommandExt::gid(&mut command, UID);
        }
        let (out, err, code) = texts(&command.output().expect("portcullis"));
        assert_eq!(code, Some(0), "{out}{err}");
        let lines: BTreeMap<&str, &str> = out.lines().filter_map(|line| line.split_once(' ')).collect();
        for (name, result) in lines.iter().filter(|(name, _)| name.starts_with(char::is_lowercase)) {
            assert_eq!(*result, "held", "{name}, root start {root}: {err}");
        }
        assert_eq!(lines.len(), 42 + 9 + usize::from(lines.contains_key("Groups")), "{out}");
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(lines[set], "0000000000000000", "{set}");
        }
        if root {
            assert_eq!(lines["CapBnd"], "0000000000000000");
            assert_eq!(lines["Uid"], "65532 65532 65532 65532");
        }
        assert_eq!((lines["NoNewPrivs"], lines["Seccomp"]), ("1", "2"));
    }
    assert!(!behind.exists());
}

/// Rule 2: the value and the identity stand in no argument, environment, file, log or core, and not in init's memory.
#[test]
fn rule_2_no_secret_byte_stands_where_it_can_be_read() {
    let (place, config) = sealed(&["bash", "-c", "cat <&3 >/dev/null; echo ready; read -r _; kill -ABRT $$"], "");
    let identity = std::fs::read_to_string(place.path("age.key")).expect("the key");
    let key = identity.lines().find(|line| line.starts_with("AGE-SECRET-KEY")).expect("a key").to_owned();
    let before = std::fs::read_dir("/dev/shm").expect("shm").count();
    let mut command = place.command(&["run", "-c", &config]);
    command.env("PORTCULLIS_LOG", "trace").current_dir(place.path("app"));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("portcullis");
    let mut out = BufReader::new(child.stdout.take().expect("stdout"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    for pid in tree(child.id()) {
        for file in ["cmdline", "environ"] {
            let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            assert!(!holds(&bytes, VALUE) && !holds(&bytes, &key), "/proc/{pid}/{file}");
        }
    }
    if is_root() {
        let memory = support::memory::of(child.id());
        assert!(holds(&memory, "portcullis"), "init's memory was not read");
        for secret in [VALUE, &key, &key[20..]] {
            assert!(!holds(&memory, secret), "init's memory has a secret");
        }
    }
    drop(child.stdin.take());
    let mut err = String::new();
    child.stderr.take().expect("stderr").read_to_string(&mut err).expect("errors");
    assert_eq!(child.wait().expect("a child").code(), Some(134), "{err}");
    assert!(err.contains("DEBUG"), "the trace was on: {err}");
    assert!(!err.contains(VALUE) && !err.contains(&key), "{err}");
    assert_eq!(std::fs::read_dir("/dev/shm").expect("shm").count(), before);
    for entry in std::fs::read_dir(place.path("app")).expect("app").flatten() {
        assert!(!entry.file_name().to_string_lossy().contains("core"), "a core was written");
    }
    for name in ["s.age", "portcullis.toml"] {
        assert!(!holds(&std::fs::read(place.path(name)).expect("a file"), VALUE), "{name}");
    }
}

/// Rule 2 again, by what each process says to the kernel: the value goes through one write, into a pipe.
#[test]
fn rule_2_the_value_passes_through_one_write_into_the_pipe() {
    if !is_root() {
        return support::skip("only root may trace an undumpable program");
    }
    let (place, config) = sealed(&["true"], "");
    let trace = place.path("trace");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-s", "100000", "-e", "trace=write,writev,pwrite64,sendmsg,sendto,execve,execveat", "-o"])
        .arg(&trace);
    command.arg(support::start::binary()).args(["run", "-c", &config]).current_dir(place.path("app"));
    assert!(command.output().expect("strace").status.success());
    let text = std::fs::read_to_string(&trace).expect("a trace");
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(VALUE)).collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(
        lines[0].contains("write(") && lines[0].contains(&format!("{{\\\"k\\\":\\\"{VALUE}\\\"}}")),
        "{}",
        lines[0]
    );
    assert!(text.contains("execveat("), "the trace shows the exec");
}

/// Rule 2, from the first instruction on: who may execute portcullis and not read it gets no hold of a start of its own user.
#[test]
fn rule_2_an_outsider_of_the_same_user_cannot_seize_init() {
    if !is_root() {
        return support::skip("a file that its own user cannot read needs another owner");
    }
    let (place, config) = sealed(&["true"], "");
    for secret in ["age.key", "s.age"] {
        std::os::unix::fs::chown(place.path(secret), Some(UID), Some(UID)).expect("chown");
    }
    let script = place.write("seize.py", include_str!("rules/seize.py"), 0o644);
    let unreadable = place.path("portcullis");
    support::start::executable(support::start::binary(), &unreadable, 0o111);
    let plain = std::fs::read_to_string(&config).expect("a config").replace(&user_line(), "");
    std::fs::write(&config, plain).expect("a config");
    // Two execs away from root: setpriv's own process keeps its capabilities until it executes another.
    let seized = |program: &[&str], starts: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65532", "--regid=65532", "--clear-groups", "env", "-i", "/usr/bin/python3"]);
        let output = command.arg(&script).arg(starts).args(program).current_dir(place.path("app")).output();
        texts(&output.expect("setpriv"))
    };
    let path = unreadable.display().to_string();
    let start = [path.as_str(), "run", "-c", &config];
    let mut alone = Command::new("setpriv");
    alone.args(["--reuid=65532", "--regid=65532", "--clear-groups", "env", "-i"]).args(start);
    let (_, err, code) = texts(&alone.current_dir(place.path("app")).output().expect("setpriv"));
    assert_eq!(code, Some(0), "the start itself is a good one: {err}");
    let (out, err, _) = seized(&["/bin/sleep", "5"], "3");
    assert_eq!(out, "3\n", "the attack works on an ordinary program: {err}");
    let (out, err, _) = seized(&start, "100");
    assert_eq!(out, "0\n", "{err}");
}

/// Rule 2, cores: a hard limit of 0 that nobody may raise is as good as 1 where the kernel writes cores itself. Where it
/// pipes them to a program it is refused (`refusals/host-core-limit.case`).
#[test]
fn rule_2_a_core_limit_of_0_stays_where_cores_are_files() {
    if !is_root() {
        return support::skip("it mounts a core_pattern of its own");
    }
    let place = Place::new();
    let (pattern, user) = (place.write("pattern", "core", 0o644), format!("{UID}:{UID}"));
    let shell = "mount --bind \"$1\" /proc/sys/kernel/core_pattern; shift; exec prlimit --core=0:0 \"$@\"";
    let start = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-ec", shell, "sh"]).arg(&pattern).arg(support::start::binary()).args(words);
        texts(&command.current_dir(place.path("app")).output().expect("unshare"))
    };
    let (out, err, code) = start(&["run", "--user", &user, "--", "sh", "-c", "ulimit -c; ulimit -Hc"]);
    assert_eq!((out.as_str(), code), ("0\n0\n", Some(0)), "{err}");
    let (out, err, _) = start(&["check", "--user", &user, "--", "true"]);
    assert!(out.contains("limits        core 0\n"), "{out}{err}");
}

/// Rule 3: init keeps no end of any pipe, the workload sees the end, and a second reader finds nothing.
#[test]
fn rule_3_the_pipe_ends_and_init_has_no_end_of_it() {
    let script = "cat <&3 | wc -c; cat <&3 | wc -c; readlink /proc/self/fd/3; echo ready; read -r _";
    let (place, config) = sealed(&["bash", "-c", script], "");
    let mut command = place.command(&["run", "-c", &config]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("portcullis");
    let mut out = BufReader::new(child.stdout.take().expect("stdout"));
    let mut lines = Vec::new();
    for _ in 0..4 {
        let mut line = String::new();
        out.read_line(&mut line).expect("a line");
        lines.push(line.trim().to_owned());
    }
    assert_eq!(lines[0], (VALUE.len() + 8).to_string());
    assert_eq!(lines[1], "0");
    let pipe = &lines[2];
    assert!(pipe.starts_with("pipe:"), "{pipe}");
    if is_root() {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", child.id())).expect("init's descriptors").flatten();
        let targets: Vec<String> =
            fds.filter_map(|fd| Some(std::fs::read_link(fd.path()).ok()?.display().to_string())).collect();
        assert!(targets.iter().any(|target| target.contains("signalfd")), "{targets:?}");
        assert!(!targets.contains(pipe), "init holds an end of the credentials' pipe: {targets:?}");
        let pipes = targets.iter().filter(|target| target.starts_with("pipe:")).count();
        assert!(pipes <= 3, "init keeps a pipe beside its standard streams: {targets:?}");
    }
    drop(child.stdin.take());
    assert_eq!(child.wait().expect("a child").code(), Some(1));
}

/// Rule 4: what fetched cannot be read by the workload. The refusals of plans that would allow it are files in `refusals`.
#[test]
fn rule_4_the_identity_is_out_of_the_workloads_reach() {
    let script = "for f in \"$@\"; do cat \"$f\" 2>/dev/null && echo READ; done; echo done";
    let (place, _) = sealed(&[], "");
    let (key, file) = (place.path("age.key").display().to_string(), place.path("s.age").display().to_string());
    let around = format!("/proc/self/root{key}");
    let program = ["bash", "-c", script, "bash", &key, &file, &around];
    let words = program.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
    let text = std::fs::read_to_string(place.path("portcullis.toml"))
        .expect("a config")
        .replace("command = []", &format!("command = [{words}]"));
    let config = place.write("portcullis.toml", text, 0o644).display().to_string();
    let (out, err, code) = texts(&place.run(&["run", "-c", &config]));
    assert_eq!((out.as_str(), code), ("done\n", Some(0)), "{err}");
}

/// Rule 4, beside the cage: an identity that a shell of the workload's user could read is said.
#[test]
fn rule_4_an_identity_that_others_may_read_is_noted() {
    if !is_root() {
        return support::skip("only root's start has a workload of another user");
    }
    let (place, config) = sealed(&["true"], "");
    for (bits, noted) in [(0o400, false), (0o604, true)] {
        std::fs::set_permissions(place.path("age.key"), std::os::unix::fs::PermissionsExt::from_mode(bits))
            .expect("a mode");
        let (out, err, code) = texts(&place.run(&["check", "-c", &config]));
        assert_eq!(code, Some(0), "{err}");
        assert_eq!(out.contains("its mode lets that user"), noted, "{bits:o}: {out}");
    }
}

// Rule 5, what a role sends init, is tested where a role can be played that breaks it: no real one can be made to. Whole
// conversations with a hostile fetcher in `src/supervise/prepare/tests.rs` (frames out of turn, a closed socket, a lie about the
// length, a flood of log lines, an unknown code), the frames themselves in `src/wire/frame.rs`, the log lines in
// `src/wire/report.rs`.

/// Rule 6: what this start cannot give is refused or shown. Weak kernels are files in `refusals`.
#[test]
fn rule_6_without_setpcap_the_bounding_set_is_shown_and_can_be_required() {
    if !is_root() {
        return support::skip("it takes a capability away from root");
    }
    let place = Place::new();
    let start = |args: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-setpcap", "--inh-caps=-all"]).arg(support::start::binary()).args(args);
        texts(&command.current_dir(place.path("app")).output().expect("setpriv"))
    };
    let (out, err, code) = start(&["check", "--user", "65532:65532", "--", "true"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("none, bounding set as found") && out.contains("no CAP_SETPCAP here"), "{out}");
    let (_, err, code) = start(&["run", "--user", "65532:65532", "--require", "bounding-set", "--", "true"]);
    assert_eq!(code, Some(71), "{err}");
}

/// What a config opens is told, each note in a row of its own that bears its name.
#[test]
fn rule_6_what_a_config_opens_stands_in_notes_that_can_be_found() {
    let place = Place::new();
    let app = place.write("app/bot.py", "", 0o644).parent().expect("a folder").display().to_string();
    let config = format!(
        "[workload]\ncommand = [\"python3\", \"bot.py\", \"app\"]\nworkdir = {app:?}\n{}\n[confine]\nwrite = [{app:?}]\nbind = [8080]\n",
        user_line()
    );
    let config = place.write("portcullis.toml", config, 0o644).display().to_string();
    let (out, err, code) = texts(&place.run(&["check", "-c", &config]));
    assert_eq!(code, Some(0), "{err}");
    let notes: Vec<&str> = out.lines().filter_map(|line| line.strip_prefix("note ")).collect();
    let told = |part: &str| notes.iter().filter(|note| note.contains(part)).count();
    assert_eq!(told("lets the program call listen()"), 1, "{out}");
    assert_eq!(told("the argument `bot.py` is a file in"), 1, "{out}");
    assert_eq!(told("the argument `"), 1, "`app` is no file: {out}");
    assert_eq!(told("is writable and not mounted noexec"), 1, "{out}");
    let harmless =
        std::fs::read_to_string(&config).expect("a config").replace("write =", "read =").replace("bind", "connect");
    let harmless = place.write("harmless.toml", harmless, 0o644).display().to_string();
    let (out, err, _) = texts(&place.run(&["check", "-c", &harmless]));
    assert!(
        out.contains("connect       TCP 8080") && !out.contains("listen()") && !out.contains("the argument"),
        "{out}{err}"
    );
}

/// Rule 7: a refusal by the deadline, at whatever step it comes, ends what was started. Every other refusal is looked at in
/// the same way by `refusals`.
#[test]
fn rule_7_the_deadline_ends_a_start_and_what_it_started() {
    let place = Place::new();
    let user = user_flags();
    let args = [&["run", "--deadline", "1ms"][..], &flags(&user), &["--", "sh", "-c", "sleep 600; echo RAN"]].concat();
    let mut command = place.command(&args);
    // SAFETY: setsid is async-signal-safe.
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(&mut command, || {
            nix::unistd::setsid().map(drop).map_err(Into::into)
        })
    };
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("portcullis");
    let session = child.id().to_string();
    let (out, err, code) = texts(&child.wait_with_output().expect("portcullis"));
    assert_eq!((out.as_str(), code), ("", Some(124)), "{err}");
    assert!(err.contains("refused: the deadline of 1ms passed while "), "{err}");
    let pids = std::fs::read_dir("/proc").expect("proc").flatten();
    let stats = pids.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let left: Vec<String> = stats
        .filter(|stat| stat.rsplit(')').next().and_then(|s| s.split_whitespace().nth(3)) == Some(&session))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

fn user_flags() -> Vec<String> {
    if is_root() { vec!["--user".to_owned(), format!("{UID}:{UID}")] } else { Vec::new() }
}

fn flags(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

/// Rule 8: the environment chooses neither the program nor what is loaded into it.
#[test]
fn rule_8_the_environment_weakens_nothing() {
    let place = Place::new();
    let evil = place.path("evil");
    std::fs::create_dir(&evil).expect("a directory");
    place.write("evil/printf", "#!/bin/sh\necho HIJACKED\n", 0o755);
    let user = user_flags();
    let mut command = place.command(&[&["run"][..], &flags(&user), &["--", "env"]].concat());
    let names = [
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "LD_AUDIT",
        "GLIBC_TUNABLES",
        "PYTHONSTARTUP",
        "NODE_OPTIONS",
        "BASH_ENV",
        "ENV",
        "HOME",
        "TZ",
    ];
    for name in names {
        command.env(name, format!("/evil/{name}"));
    }
    command.env("PATH", &evil);
    let (out, err, code) = texts(&command.output().expect("portcullis"));
    assert_eq!(code, Some(0), "{err}");
    assert!(!out.contains("evil"), "{out}");
    let mut command = place.command(&[&["run"][..], &flags(&user), &["--", "printf", "the real one"]].concat());
    let (out, _, _) = texts(&command.env("PATH", &evil).output().expect("portcullis"));
    assert_eq!(out, "the real one");
}

/// A process and all that descends from it.
fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut at = 0;
    while let Some(pid) = found.get(at).copied() {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        found.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        at += 1;
    }
    found
}

fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}
