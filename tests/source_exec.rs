//! `exec:` by real commands: what they print reaches the program, what they are given reaches them alone, what their cage denies
//! is denied, and every way in which one can fail is a refusal that shows nothing of what was printed.
//!
//! Each start is made as root's, where the tests run as root, and as a plain user's.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use support::start::{Place, UID, is_root, texts, user_line};

const VALUE: &str = "pr1nted-by-a-command";
const TOKEN: &str = "t0ken-that-opens-the-store";
/// The fetcher's ids where root starts it.
const FETCHER: &str = "65530:65530";

/// Who starts it.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Who {
    Root,
    Plain,
}

fn everybody() -> Vec<Who> {
    if is_root() { vec![Who::Root, Who::Plain] } else { vec![Who::Plain] }
}

/// A command of the tests: a script, and the rest of its table, in which `DIR` is the place.
struct Case<'a> {
    script: &'a str,
    table: &'a str,
    /// `[secrets]`.
    secrets: &'a str,
    /// What the program does.
    program: &'a str,
    deadline: &'a str,
    confine: &'a str,
}

impl Default for Case<'_> {
    fn default() -> Self {
        Case {
            script: "",
            table: "",
            secrets: "k = \"exec:store#key\"",
            program: "cat <&3",
            deadline: "20s",
            confine: "",
        }
    }
}

impl Case<'_> {
    fn place(&self, who: Who) -> Place {
        let place = Place::new();
        let dir = place.path("").display().to_string();
        let script = self.script.replace("sleep 7777", &sleep());
        place.write("store.sh", format!("#!/bin/sh\n{script}\n"), 0o755);
        place.write("token", TOKEN, 0o600);
        place.write("login.conf", "who=me\n", 0o644);
        let user = if who == Who::Root { user_line() } else { String::new() };
        let text = format!(
            "deadline = \"{}\"\n[workload]\ncommand = [\"sh\", \"-c\", {:?}]\n{user}\n[secrets]\n{}\n\
             [exec.store]\ncommand = [\"{dir}store.sh\"]\n{}\n[confine]\n{}\n",
            self.deadline, self.program, self.secrets, self.table, self.confine
        );
        place.write("portcullis.toml", text.replace("DIR/", &dir), 0o644);
        if who == Who::Plain && is_root() {
            for name in ["", "store.sh", "token", "login.conf", "portcullis.toml"] {
                std::os::unix::fs::chown(place.path(name), Some(UID), Some(UID)).expect("an owner");
            }
        }
        place
    }

    fn command(&self, place: &Place, who: Who, verb: &[&str]) -> std::process::Command {
        let mut command = place.command(&[verb, &["-c", "portcullis.toml"]].concat());
        command.env("LEAKED_FROM_OUTSIDE", "yes");
        if who == Who::Plain && is_root() {
            command.uid(UID).gid(UID);
        }
        command
    }

    fn run(&self, who: Who) -> (String, String, Option<i32>) {
        let place = self.place(who);
        texts(&self.command(&place, who, &["run"]).output().expect("portcullis"))
    }

    /// As everybody: its exit code and the start of what is said; nothing that was printed is.
    fn refused(&self, code: i32, what: &str) -> String {
        let mut said = String::new();
        for who in everybody() {
            let (out, err, exit) = self.run(who);
            assert_eq!(exit, Some(code), "{who:?}: {out}{err}");
            assert!(err.contains(what), "{who:?}: {err}");
            assert!(!err.contains(VALUE) && !err.contains(TOKEN) && out.is_empty(), "{who:?}: {out}{err}");
            said = err;
        }
        said
    }
}

#[test]
fn what_a_command_prints_reaches_the_program() {
    for (script, table, secrets, given) in [
        ("printf '{\"key\": \"%s\"}'", "", "k = \"exec:store#key\"", format!("{{\"k\":\"{VALUE}\"}}")),
        ("echo 'key=\"%s\"'", "", "k = \"exec:store#key\"", format!("{{\"k\":\"{VALUE}\"}}")),
        ("echo '%s'", "output = \"raw\"", "k = \"exec:store\"", format!("{{\"k\":\"{VALUE}\"}}")),
        (
            "printf '{\"a\": {\"b\": [\"x\", \"%s\"]}, \"c\": \"d\"}'",
            "",
            "k = \"exec:store#/a/b/1\"\nl = \"exec:store#c\"",
            format!("{{\"k\":\"{VALUE}\",\"l\":\"d\"}}"),
        ),
    ] {
        let script = script.replace("%s", VALUE);
        let case = Case { script: &script, table, secrets, ..Case::default() };
        for who in everybody() {
            let (out, err, code) = case.run(who);
            assert_eq!((out.as_str(), code), (given.as_str(), Some(0)), "{who:?}: {err}");
            assert!(!err.contains(VALUE), "{err}");
        }
    }
}

#[test]
fn several_fields_are_one_run_and_two_commands_run_side_by_side() {
    // Each waits for the other's port: one after the other, neither would end.
    let (one, two) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = [&one, &two].map(|listener| listener.local_addr().unwrap().port());
    let (first, second) = (one, two);
    let meeting = std::thread::spawn(move || {
        let (mut a, mut b) = (first.accept().unwrap().0, second.accept().unwrap().0);
        a.write_all(b"go\n").unwrap();
        b.write_all(b"go\n").unwrap();
    });
    let talk =
        |port: u16| format!("exec 4<>/dev/tcp/127.0.0.1/{port}; read -r _ <&4; echo \\\"a=$$\\\"; echo \\\"b=$$\\\"");
    let table = format!(
        "connect = [{}]\n[exec.other]\ncommand = [\"bash\", \"-c\", \"{}\"]\nconnect = [{}]",
        ports[0],
        talk(ports[1]),
        ports[1]
    );
    let script = format!("exec bash -c \"{}\"", talk(ports[0]).replace('$', "\\$"));
    let secrets = "a = \"exec:store#a\"\nb = \"exec:store#b\"\nc = \"exec:other#a\"";
    let case = Case { script: &script, table: &table, secrets, ..Case::default() };
    let (out, err, code) = case.run(everybody()[0]);
    assert_eq!(code, Some(0), "{err}");
    meeting.join().unwrap();
    let values: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(values["a"], values["b"], "one run");
    assert_ne!(values["a"], values["c"]);
}

#[test]
fn a_command_logs_in_with_what_is_named_and_finds_nothing_else() {
    let script = "
        json=$(cat <&3); read -r token || true
        printf '%s\\n' \"key=$(printf '%s|%s|%s' \"$json\" \"$token\" \"$(cat $1 2>&1)\" | base64 -w0)\" \"env=$(env | grep -v ^PWD= | sort | tr '\\n' ' ')\" \\
            \"fds=$(ls /proc/self/fd | tr '\\n' ' ')\" \"argv=$(tr '\\0' ' ' < /proc/$$/cmdline)\" \"group=$(id -u):$(id -g)\" \\
            \"caps=$(grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status | tr -d '\\t\\n')\"
    ";
    let script = script.replace("$1", "login.conf");
    let table = "secrets = { token = \"file:.#token\" }\nstdin = \"token\"\nread = [\"DIR/login.conf\"]\nenv = { set = { MODE = \"live\" } }";
    let secrets = ["key", "env", "fds", "argv", "group", "caps"].map(|name| format!("{name} = \"exec:store#{name}\""));
    let case =
        Case { script: &format!("cd \"${{0%/*}}\"\n{script}"), table, secrets: &secrets.join("\n"), ..Case::default() };
    for who in everybody() {
        let (out, err, code) = case.run(who);
        assert_eq!(code, Some(0), "{who:?}: {err}");
        let values: serde_json::Value = serde_json::from_str(&out).unwrap();
        let text = |name: &str| values[name].as_str().unwrap().to_owned();
        let decoded = decode(&text("key"));
        assert_eq!(decoded, format!("{{\"token\":\"{TOKEN}\"}}|{TOKEN}|who=me"), "{who:?}");
        let env = text("env");
        assert!(env.contains("MODE=live") && env.contains("PORTCULLIS_CREDENTIALS_FD=3"), "{env}");
        assert!(!env.contains("LEAKED") && !env.contains(TOKEN), "{env}");
        // 3 is what it logs in with, and one more is the listing's own.
        assert_eq!(text("fds").split_whitespace().count(), 5, "{}", text("fds"));
        assert!(!text("argv").contains(TOKEN));
        let ids = if who == Who::Root { FETCHER.to_owned() } else { text("group") };
        assert_eq!(text("group"), ids);
        let caps = text("caps");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert!(caps.contains(&format!("{set}0000000000000000")), "{caps}");
        }
        assert!(caps.contains("NoNewPrivs:1") && caps.contains("Seccomp:2"), "{caps}");
        assert!(!err.contains(TOKEN) && !out.contains(TOKEN), "{err}{out}");
    }
}

fn decode(base64: &str) -> String {
    let mut child = std::process::Command::new("base64")
        .arg("-d")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("base64");
    child.stdin.take().expect("stdin").write_all(base64.as_bytes()).expect("a pipe");
    String::from_utf8(child.wait_with_output().expect("base64").stdout).expect("text")
}

/// Each attempt prints `held` or `worked`; what must work says so too.
#[test]
fn the_cage_of_a_command_is_closed() {
    let open = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let init = "$(awk '/^PPid/{print $2}' /proc/$$/status)";
    let attempts = [
        ("write_tmp", "echo x > /tmp/portcullis-exec-escape-$$".to_owned(), "held"),
        ("write_shm", "echo x > /dev/shm/portcullis-exec-escape-$$".to_owned(), "held"),
        ("write_here", "echo x >> $0".to_owned(), "held"),
        ("read_config", "cat ${0%/*}/portcullis.toml".to_owned(), "held"),
        ("read_token", "cat ${0%/*}/token".to_owned(), "held"),
        ("read_shadow", "cat /etc/shadow".to_owned(), "held"),
        ("init_memory", format!("head -c1 /proc/{init}/mem"), "held"),
        ("init_environ", format!("head -c1 /proc/{init}/environ"), "held"),
        ("kill_init", format!("kill -0 {init}"), "held"),
        ("terminal", "echo x > /dev/tty".to_owned(), "held"),
        ("own_session", "setsid true".to_owned(), "held"),
        ("namespace", "unshare -U true".to_owned(), "held"),
        ("closed_port", format!("bash -c 'exec 4<>/dev/tcp/127.0.0.1/{}'", port(&closed)), "held"),
        ("listen", "python3 -c 'import socket; s = socket.socket(); s.bind((\"\", 0)); s.listen()'".to_owned(), "held"),
        ("udp", "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)'".to_owned(), "held"),
        ("open_port", format!("bash -c 'exec 4<>/dev/tcp/127.0.0.1/{}'", port(&open)), "worked"),
    ];
    let script: String = attempts
        .iter()
        .map(|(name, attempt, _)| {
            format!("if ({attempt}) >/dev/null 2>&1; then echo {name}=worked; else echo {name}=held; fi\n")
        })
        .collect();
    let secrets: Vec<String> = attempts.iter().map(|(name, ..)| format!("{name} = \"exec:store#{name}\"")).collect();
    let table = format!("connect = [{}]", port(&open));
    let case = Case { script: &script, table: &table, secrets: &secrets.join("\n"), ..Case::default() };
    for who in everybody() {
        let (out, err, code) = case.run(who);
        assert_eq!(code, Some(0), "{who:?}: {err}");
        let values: serde_json::Value = serde_json::from_str(&out).unwrap();
        for (name, attempt, wanted) in &attempts {
            assert_eq!(values[name], *wanted, "{who:?}: {name}: {attempt}");
        }
    }
}

#[test]
fn every_way_to_fail_is_a_refusal_that_shows_nothing_of_the_output() {
    let print = format!("printf '{{\"key\": \"{VALUE}\"}}'");
    let then = |more: &str| format!("{print}\n{more}");
    let said =
        Case { script: &then("exit 3"), ..Case::default() }.refused(77, "the command of [exec.store] exited with 3");
    assert!(said.contains("hint: see what it said on standard error"), "{said}");
    Case { script: &then("kill -SEGV $$"), ..Case::default() }.refused(77, "was ended by SIGSEGV");
    Case { script: "", ..Case::default() }.refused(77, "printed nothing, and exited with 0");
    Case { script: "echo; echo", table: "output = \"raw\"", secrets: "k = \"exec:store\"", ..Case::default() }
        .refused(77, "printed nothing");
    Case { script: &format!("echo {VALUE}"), ..Case::default() }.refused(69, "neither a JSON object nor dotenv");
    Case { script: &format!("echo '{{\"other\": \"{VALUE}\"}}'"), ..Case::default() }
        .refused(77, "there is no key in what [exec.store] prints");
    Case { script: "printf 'key=\\377'", ..Case::default() }.refused(69, "no UTF-8");
    Case { script: &format!("yes {VALUE} | head -c 1100000"), ..Case::default() }.refused(69, "prints more than 1 MiB");
    Case { script: &format!("exec yes {VALUE}"), ..Case::default() }.refused(69, "prints more than 1 MiB");
    Case { script: &print, table: "read = [\"DIR/none\"]", ..Case::default() }.refused(78, "exec.store.read: `");
    Case { script: "printf 'key=ab'; printf '\\0'", ..Case::default() }.refused(77, "NUL byte");
}

#[test]
fn a_command_that_cannot_be_run_is_named_before_anything_is_started() {
    for (table, code, what) in [
        ("command = [\"no-such-client\"]", 127, "[exec.store]: the command `no-such-client` was not found"),
        ("command = [\"DIR/token\"]", 126, "[exec.store]: `"),
    ] {
        for who in everybody() {
            let case = Case::default();
            let place = case.place(who);
            let path = place.path("portcullis.toml");
            let text = std::fs::read_to_string(&path).unwrap();
            let dir = place.path("").display().to_string();
            let old = format!("command = [\"{dir}store.sh\"]");
            assert!(text.contains(&old));
            std::fs::write(&path, text.replace(&old, &table.replace("DIR/", &dir))).unwrap();
            let (out, err, exit) = texts(&case.command(&place, who, &["run"]).output().expect("portcullis"));
            assert_eq!((exit, out.as_str()), (Some(code), ""), "{who:?}: {err}");
            assert!(err.contains(what), "{err}");
        }
    }
}

/// The deadline, a refusal and a good end alike leave nothing behind, whatever the command started.
#[test]
fn nothing_that_a_command_started_is_left() {
    for (script, deadline, code, what) in [
        ("printf '{\"key\": \"%s\"}'; sleep 7777", "1s", 124, "passed while the command of [exec.store] was running"),
        ("(trap '' TERM HUP; sleep 7777) & sleep 7777", "1s", 124, "[exec.store] was running"),
        ("(sleep 7777; sleep 7777) & exit 4", "20s", 77, "exited with 4"),
        (
            "(sleep 7777; sleep 7777) & (sleep 7777 &) ; printf '{\"key\": \"%s\"}'",
            "20s",
            0,
            "ended: dash exited with 0",
        ),
    ] {
        let script = script.replace("%s", VALUE);
        let case = Case { script: &script, deadline, ..Case::default() };
        for who in everybody() {
            let begun = Instant::now();
            let place = case.place(who);
            let output = case.command(&place, who, &["run"]).output().expect("portcullis");
            let (_, err, exit) = texts(&output);
            assert_eq!(exit, Some(code), "{who:?}: {err}");
            assert!(err.contains(what), "{who:?}: {err}");
            assert!(begun.elapsed() < Duration::from_secs(15), "{who:?}: {:?}", begun.elapsed());
            gone(&place);
        }
    }
}

/// A sleep that is told from those of other runs.
fn sleep() -> String {
    format!("sleep 7777.{}", std::process::id())
}

/// Waits until no process has the place's directory in its arguments, or a `sleep` of the tests is left in the cage's group.
fn gone(place: &Place) {
    let dir = place.path("").display().to_string();
    let begun = Instant::now();
    loop {
        let left: Vec<String> = std::fs::read_dir("/proc")
            .expect("/proc")
            .flatten()
            .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
            .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
            .filter(|line| line.contains(&dir) || line.contains(&sleep()))
            .collect();
        if left.is_empty() {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "left: {left:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_signal_during_the_command_ends_everything() {
    let case = Case { script: "echo started >&2; sleep 7777", ..Case::default() };
    for who in everybody() {
        let place = case.place(who);
        let mut child: Child = case.command(&place, who, &["run"]).stderr(Stdio::piped()).spawn().expect("portcullis");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("a line");
        assert_eq!(line, "portcullis: exec.store: started\n");
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("a signal");
        assert_eq!(child.wait().expect("portcullis").code(), Some(143));
        gone(&place);
    }
}

#[test]
fn standard_error_is_escaped_and_capped_and_ends_no_start() {
    let script = format!(
        "printf 'refused: no\\nhint: \\033[2J\\n' >&2; yes spam-spam-spam | head -c 300000 >&2; printf '{{\"key\": \"{VALUE}\"}}'; printf unended >&2"
    );
    for who in everybody() {
        let (out, err, code) = Case { script: &script, ..Case::default() }.run(who);
        assert_eq!((code, out.is_empty()), (Some(0), false), "{who:?}: {err}");
        assert!(
            err.contains("portcullis: exec.store: refused: no\nportcullis: exec.store: hint: \\u{1b}[2J\n"),
            "{err}"
        );
        assert!(err.contains("said more than 16 KiB; the rest is dropped"));
        assert!(err.len() < 64 * 1024, "{}", err.len());
    }
}

/// What a command logs in with, and what it is, is as far from the workload as any identity.
#[test]
fn the_workload_reaches_nothing_of_a_command() {
    let script = format!("printf '{{\"key\": \"{VALUE}\"}}'");
    let login = "read = [\"DIR/login.conf\"]";
    for (table, confine, what) in [
        (login, "read = [\"DIR/\"]", "could read what a command logs in with"),
        (login, "read = [\"DIR/login.conf\"]", "could read what a command logs in with"),
        ("read = [\"DIR/\"]", "read = [\"DIR/app\"]", "could read what a command logs in with"),
        ("secrets = { t = \"file:.#token\" }", "read = [\"DIR/token\"]", "could read the secret's file"),
        ("", "write = [\"DIR/\"]", "could change"),
        ("shared = [\"DIR/app\"]", "write = [\"DIR/app\"]", "could change what [exec.store] runs or reads"),
    ] {
        Case { script: &script, table, confine, ..Case::default() }.refused(78, what);
    }
    let both =
        Case { script: &script, table: "shared = [\"DIR/app\"]", confine: "read = [\"DIR/app\"]", ..Case::default() };
    for who in everybody() {
        assert_eq!(both.run(who).2, Some(0), "what is shared may be read by both");
    }
}

#[test]
fn a_check_shows_the_command_and_runs_it_only_live() {
    let case = Case {
        script: &format!("echo RAN >&2; printf '{{\"key\": \"{VALUE}\"}}'"),
        table: "read = [\"DIR/login.conf\"]\nconnect = [443]",
        ..Case::default()
    };
    for who in everybody() {
        let place = case.place(who);
        let check = |args: &[&str]| -> Output { case.command(&place, who, args).output().expect("portcullis") };
        let (out, err, code) = texts(&check(&["check"]));
        assert_eq!(code, Some(0), "{err}");
        assert!(out.contains("commands      store: "), "{out}");
        assert!(out.contains("login.conf, TCP 443 on any address"), "{out}");
        assert!(!err.contains("RAN"));
        let (out, err, code) = texts(&check(&["check", "--live"]));
        assert_eq!(code, Some(0), "{err}");
        assert!(out.contains("k from exec:store#key: fetched, no time known") && err.contains("RAN"), "{out}{err}");
        assert!(!out.contains(VALUE) && !err.contains(VALUE));
        let json: serde_json::Value = serde_json::from_str(&texts(&check(&["check", "--json"])).0).unwrap();
        assert_eq!(json["commands"][0]["name"], "store");
    }
}

/// Rule 2: the value and the token stand in no argument, environment or memory of init, while the command runs.
#[test]
fn init_never_holds_what_passes_between() {
    let script = format!("read -r token; printf '{{\"key\": \"{VALUE}\"}}'; exec >&-; echo printed >&2; sleep 7777");
    let table = "secrets = { token = \"file:.#token\" }\nstdin = \"token\"";
    // The value must not stand in the script's own text, which a root test could find anywhere.
    let case = Case { script: &script, table, deadline: "20s", ..Case::default() };
    if !is_root() {
        return support::skip("init's memory is read by root");
    }
    let place = case.place(Who::Root);
    let mut child = case.command(&place, Who::Root, &["run"]).stderr(Stdio::piped()).spawn().expect("portcullis");
    let mut lines = BufReader::new(child.stderr.take().expect("stderr"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("a line");
    assert_eq!(line, "portcullis: exec.store: printed\n");
    let memory = memory(child.id());
    let holds = |text: &str| memory.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("exec.store"), "init's memory was not read");
    assert!(!holds(VALUE) && !holds(TOKEN), "init's memory holds a secret");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::Signal::SIGTERM)
        .expect("kill");
    child.wait().expect("portcullis");
    gone(&place);
}

fn memory(pid: u32) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let maps = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("maps")).expect("maps");
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).expect("memory");
    let mut all = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw-p ") || line.contains("rw-p")) {
        let (start, end) = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
        let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).expect("hex"));
        let mut bytes = vec![0; (end - start) as usize];
        if memory.read_exact_at(&mut bytes, start).is_ok() {
            all.extend(bytes);
        }
    }
    all
}

#[test]
fn replace_mode_runs_commands_too_and_leaves_nothing() {
    let script = format!("(sleep 7777) & printf '{{\"key\": \"{VALUE}\"}}'");
    let case = Case { script: &script, ..Case::default() };
    for who in everybody() {
        let place = case.place(who);
        let path = place.path("portcullis.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("mode = \"replace\"\n{text}")).unwrap();
        let mut child =
            case.command(&place, who, &["run"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = String::new();
        child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{who:?}: {err}");
        assert_eq!(out, format!("{{\"k\":\"{VALUE}\"}}"));
        gone(&place);
    }
}
