//! Init beside a running workload: exit codes, signals, orphans, the end in order; and what it costs while nothing happens.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use portcullis::sys::signals;
use support::start::{Place, is_root, texts};

/// Generous: the machine may be slow, and a hang is a hang at any length.
const HANGS: Duration = Duration::from_secs(60);

fn run_args<'a>(more: &[&'a str], program: &[&'a str]) -> Vec<&'a str> {
    let user: &[&str] = if is_root() { &["--user", "65532:65532"] } else { &[] };
    [&["run"], user, more, &["--"], program].concat()
}

/// A start whose program has said its first line.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    _place: Place,
}

impl Running {
    fn start(more: &[&str], program: &[&str]) -> Running {
        let place = Place::new();
        let mut command = place.command(&run_args(more, program));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("portcullis");
        let out = BufReader::new(child.stdout.take().expect("stdout"));
        Running { child, out, _place: place }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    fn init(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// The rest of its output, what portcullis said, and the exit code.
    fn finish(mut self) -> (String, String, Option<i32>) {
        let begun = Instant::now();
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).expect("output");
        self.child.stderr.take().expect("stderr").read_to_string(&mut err).expect("errors");
        while self.child.try_wait().expect("a child").is_none() {
            assert!(begun.elapsed() < HANGS, "it hangs: {err}");
            std::thread::sleep(Duration::from_millis(2));
        }
        (out, err, self.child.wait().expect("a child").code())
    }
}

fn ended(program: &[&str]) -> (String, String, Option<i32>) {
    texts(&Place::new().run(&run_args(&[], program)))
}

#[test]
fn exit_codes_go_through_and_signals_are_128_more() {
    for code in [0, 1, 2, 64, 77, 127, 128, 200, 255] {
        assert_eq!(ended(&["sh", "-c", &format!("exit {code}")]).2, Some(code));
    }
    for signal in [1, 2, 6, 9, 11, 15, 34, 64] {
        let (_, err, code) = ended(&["bash", "-c", &format!("kill -{signal} $$")]);
        assert_eq!(code, Some(128 + signal), "{err}");
        assert!(err.contains("ended: bash was ended by "), "{err}");
    }
}

/// Says the number of every signal that it hears, one a line; 32 and 33, which glibc keeps for itself, by the kernel's call.
const LISTENER: &str = r#"
import ctypes, os, signal
libc = ctypes.CDLL(None)
both = ctypes.c_uint64((1 << 31) | (1 << 32))
assert libc.syscall(14, 0, ctypes.byref(both), None, 8) == 0
for number in range(1, 65):
    if number not in (9, 19, 32, 33):
        signal.signal(number, lambda n, _: os.write(1, b"%d\n" % n))
os.write(1, b"ready\n")
for _ in range(2):
    got = -1
    while got < 0:
        got = libc.syscall(128, ctypes.byref(both), None, None, 8)
    os.write(1, b"%d\n" % got)
"#;

#[test]
fn all_sixty_signals_are_forwarded() {
    let mut running = Running::start(&["--shield", "off"], &["/usr/bin/python3", "-c", LISTENER]);
    assert_eq!(running.line(), "ready");
    let never = [libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD, libc::SIGURG];
    let (last, first): (Vec<i32>, Vec<i32>) =
        (1..=64).filter(|signal| !never.contains(signal)).partition(|signal| matches!(signal, 15 | 32 | 33));
    for signal in first.iter().chain(&last) {
        signals::send(running.init(), *signal).expect("a signal");
        let line = running.line();
        if line != signal.to_string() {
            panic!("sent {signal}, heard `{line}`: {:?}", running.finish());
        }
    }
    assert_eq!(first.len() + last.len(), 60);
    assert_eq!(running.finish().2, Some(0));
}

#[test]
fn queued_values_arrive_in_order() {
    let program = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [40])\nprint('ready', flush=True)\nimport ctypes\nlibc = ctypes.CDLL(None)\nclass Info(ctypes.Structure):\n    _fields_ = [('head', ctypes.c_int * 6), ('value', ctypes.c_int), ('rest', ctypes.c_char * 100)]\nbits, info = ctypes.c_uint64(1 << 39), Info()\nfor _ in range(5):\n    assert libc.syscall(128, ctypes.byref(bits), ctypes.byref(info), None, 8) == 40\n    print(info.value)";
    let mut running = Running::start(&[], &["/usr/bin/python3", "-c", program]);
    assert_eq!(running.line(), "ready");
    for value in [11, 22, 33, 44, 55] {
        signals::send_value(running.init(), 40, value).expect("a signal");
    }
    assert_eq!(running.finish().0, "11\n22\n33\n44\n55\n");
}

#[test]
fn a_bot_that_ignores_term_is_killed_when_its_time_is_over_and_that_is_said() {
    let mut running = Running::start(
        &["--stop-timeout", "300ms"],
        &["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"],
    );
    assert_eq!(running.line(), "ready");
    signals::send(running.init(), libc::SIGTERM).expect("a signal");
    let (_, err, code) = running.finish();
    assert_eq!(code, Some(137), "{err}");
    assert!(err.contains("the program did not end within 300ms and is killed"), "{err}");
}

#[test]
fn a_stopped_bot_hears_term() {
    let mut running = Running::start(
        &[],
        &["bash", "-c", "trap 'echo heard; exit 5' TERM; echo $BASHPID; while :; do sleep 0.1; done"],
    );
    let bot = Pid::from_raw(running.line().parse().expect("a pid"));
    signals::send(bot, libc::SIGSTOP).expect("a signal");
    signals::send(running.init(), libc::SIGTERM).expect("a signal");
    let (out, err, code) = running.finish();
    assert_eq!((out.as_str(), code), ("heard\n", Some(5)), "{err}");
}

#[test]
fn orphans_get_term_and_time_even_in_sessions_of_their_own() {
    let script = "setsid bash -c 'trap \"echo orphan says goodbye; exit\" TERM; echo orphan; while :; do sleep 0.05; done' & read -t 0.2 _ < <(sleep 1); exit 3";
    let begun = Instant::now();
    let (out, err, code) = ended(&["bash", "-c", script]);
    assert_eq!(code, Some(3), "{err}");
    assert!(out.contains("orphan says goodbye"), "{out} {err}");
    assert!(begun.elapsed() < Duration::from_secs(20), "it ends when all are gone, not when the time is over");
}

#[test]
fn five_hundred_orphans_leave_no_zombie() {
    let script = "for i in $(seq 500); do (true &) ; done; echo done; read -r _";
    let place = Place::new();
    let mut command = place.command(&run_args(&[], &["bash", "-c", script]));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("portcullis");
    let mut out = BufReader::new(child.stdout.take().expect("stdout"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    let zombies = |pid: u32| {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let state = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        children.split_whitespace().filter(|pid| state(pid).contains(") Z ")).count()
    };
    let begun = Instant::now();
    while zombies(child.id()) > 0 {
        assert!(begun.elapsed() < HANGS, "zombies stay");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.stdin.take().expect("stdin").write_all(b"go\n").expect("a line");
    assert_eq!(child.wait().expect("a child").code(), Some(0));
}

#[test]
fn term_during_the_fetch_ends_everything() {
    // A store that accepts and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let place = Place::new();
    place.write("id", "some-secret-id", 0o600);
    place.write("ca.pem", CA, 0o644);
    let config = format!(
        "[workload]\ncommand = [\"sh\", \"-c\", \"echo RAN\"]\n{}\n[secrets]\nk = \"vault:secret/a#b\"\n[vault]\naddress = \"https://127.0.0.1:{}\"\nauth = {{ method = \"approle\", role_id = \"r\", secret_id_file = \"id\" }}\ntls = {{ ca = \"ca.pem\" }}\n",
        support::start::user_line(),
        silent.local_addr().expect("an address").port(),
    );
    let config = place.write("portcullis.toml", config, 0o644);
    let mut command = place.command(&["run", "-c", config.to_str().expect("a path")]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("portcullis");
    let (_connection, _) = silent.accept().expect("the fetcher connects");
    signals::send(Pid::from_raw(child.id() as i32), libc::SIGTERM).expect("a signal");
    let (out, err, code) = texts(&child.wait_with_output().expect("portcullis"));
    assert_eq!((out.as_str(), code), ("", Some(143)), "{err}");
    assert!(err.contains("stopped by a signal before the program was started"), "{err}");
}

/// A self-signed authority of nobody: only its form matters here.
const CA: &str = include_str!("support/nobody.pem");

#[test]
fn the_workload_begins_with_fresh_signals_whatever_the_parent_left() {
    let place = Place::new();
    let mut command = place.command(&run_args(&[], &["cat", "/proc/self/status"]));
    // SAFETY: signal and sigprocmask calls are async-signal-safe.
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(&mut command, || {
            for signal in [libc::SIGCHLD, libc::SIGPIPE, libc::SIGTERM, libc::SIGUSR1] {
                libc::signal(signal, libc::SIG_IGN);
            }
            signals::set_mask(signals::ALL).map(drop).map_err(Into::into)
        });
    }
    let (out, err, code) = texts(&command.output().expect("portcullis"));
    assert_eq!(code, Some(0), "a parent that ignores SIGCHLD does not hide how the workload ended: {err}");
    for line in ["SigBlk:", "SigIgn:", "SigCgt:"] {
        assert!(out.contains(&format!("{line}\t0000000000000000\n")), "{out}");
    }
}

#[test]
fn closed_standard_streams_and_a_broken_log_do_not_decide_over_the_workload() {
    let place = Place::new();
    let file = place.path("app/out");
    std::fs::write(&file, "").expect("a file");
    let shell = |redirections: &str| {
        let args =
            run_args(&[], &["sh", "-c", "exit 9"]).iter().map(|arg| format!("'{arg}'")).collect::<Vec<_>>().join(" ");
        Command::new("sh")
            .args(["-c", &format!("{} {args} {redirections}", support::start::binary().display())])
            .status()
            .expect("sh")
            .code()
    };
    assert_eq!(shell("<&- >&- 2>&-"), Some(9));
    assert_eq!(shell("2>/dev/full"), Some(9));
    assert_eq!(shell("2>&1 | exec true; exit 9"), Some(9));
}

#[test]
fn a_log_reader_that_stalls_delays_neither_term_nor_the_end() {
    // The workload fills the pipe that it shares with init, and nobody reads it.
    let script = "trap 'exit 8' TERM; (yes full >&2) & echo ready; while :; do sleep 0.1; done";
    let place = Place::new();
    let mut command = place.command(&run_args(&["--stop-timeout", "2s"], &["bash", "-c", script]));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("portcullis");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    let stalled = child.stderr.take().expect("stderr");
    let begun = Instant::now();
    while portcullis::sys::descriptors::bytes_waiting(std::os::fd::AsFd::as_fd(&stalled)).expect("a pipe") < 60_000 {
        assert!(begun.elapsed() < HANGS, "the pipe does not fill");
        std::thread::sleep(Duration::from_millis(5));
    }
    signals::send(Pid::from_raw(child.id() as i32), libc::SIGTERM).expect("a signal");
    while child.try_wait().expect("a child").is_none() {
        assert!(begun.elapsed() < HANGS, "init hangs on its log");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(child.wait().expect("a child").code(), Some(8));
    drop(stalled);
}

#[test]
fn a_log_reader_that_stalls_holds_up_no_start_at_any_level() {
    let place = Place::new();
    let (reader, writer) = nix::unistd::pipe().expect("a pipe");
    let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
    nix::fcntl::fcntl(&writer, flags).expect("non-blocking");
    while nix::unistd::write(&writer, &[b'x'; 4096]).is_ok() {}
    while nix::unistd::write(&writer, b"x").is_ok() {}
    let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty());
    nix::fcntl::fcntl(&writer, flags).expect("blocking, as a pipe is");
    for mode in ["supervise", "replace"] {
        let mut command = place.command(&run_args(&["--mode", mode, "--deadline", "20s"], &["sh", "-c", "exit 9"]));
        let stderr = writer.try_clone().expect("a descriptor");
        let mut child = command.env("PORTCULLIS_LOG", "debug").stderr(stderr).spawn().expect("portcullis");
        let begun = Instant::now();
        while child.try_wait().expect("a child").is_none() {
            if begun.elapsed() > HANGS {
                child.kill().expect("a signal");
                panic!("{mode}: it hangs on its log");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(child.wait().expect("a child").code(), Some(9), "{mode}");
    }
    drop(reader);
}

#[test]
fn in_replace_mode_the_debug_lines_and_the_credentials_do_not_meet() {
    let place = Place::new();
    std::fs::create_dir(place.path("s")).expect("a folder");
    place.write("s/k", "a-value", 0o600);
    let config = format!(
        "mode = \"replace\"\n[workload]\ncommand = [\"sh\", \"-c\", \"cat <&3\"]\n{}\n[secrets]\nk = \"file:s#k\"\n[[deliver.file]]\nvar = \"K\"\nformat = \"json\"\n",
        support::start::user_line(),
    );
    let config = place.write("portcullis.toml", config, 0o644).display().to_string();
    let args = ["run", "-c", &config];
    let (out, err, code) =
        support::start::texts(&place.command(&args).env("PORTCULLIS_LOG", "debug").output().expect("portcullis"));
    assert_eq!((out.as_str(), code), ("{\"k\":\"a-value\"}", Some(0)), "{err}");
    assert!(err.contains("the plan is decided") && err.contains("portcullis: started "), "{err}");
}

#[test]
fn when_init_is_killed_the_fetcher_dies_with_it() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let place = Place::new();
    place.write("id", "some-secret-id", 0o600);
    place.write("ca.pem", CA, 0o644);
    let config = format!(
        "[workload]\ncommand = [\"true\"]\n{}\n[secrets]\nk = \"vault:secret/a#b\"\n[vault]\naddress = \"https://127.0.0.1:{}\"\nauth = {{ method = \"approle\", role_id = \"r\", secret_id_file = \"id\" }}\ntls = {{ ca = \"ca.pem\" }}\n",
        support::start::user_line(),
        silent.local_addr().expect("an address").port(),
    );
    let config = place.write("portcullis.toml", config, 0o644);
    let mut child = place
        .command(&["run", "-c", config.to_str().expect("a path")])
        .stderr(Stdio::null())
        .spawn()
        .expect("portcullis");
    let (mut connection, _) = silent.accept().expect("the fetcher connects");
    signals::send(Pid::from_raw(child.id() as i32), libc::SIGKILL).expect("a signal");
    child.wait().expect("a child");
    connection.set_read_timeout(Some(HANGS)).expect("a time");
    // Its socket closes when it dies; its hello comes before that.
    let mut hello = Vec::new();
    let begun = Instant::now();
    connection.read_to_end(&mut hello).ok();
    assert!(begun.elapsed() < Duration::from_secs(5), "the fetcher outlives its init until its own limit");
}

#[test]
fn when_init_is_killed_the_workload_dies_with_it() {
    let mut running = Running::start(&[], &["bash", "-c", "echo $$; exec sleep 600"]);
    let bot: i32 = running.line().parse().expect("a pid");
    signals::send(running.init(), libc::SIGKILL).expect("a signal");
    let begun = Instant::now();
    while signals::send(Pid::from_raw(bot), 0).is_ok() && !zombie(bot) {
        assert!(begun.elapsed() < HANGS, "the workload outlives its init");
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(running.child.wait());
}

fn zombie(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[test]
fn one_process_and_one_thread_that_sleep_while_nothing_happens() {
    let mut running = Running::start(&[], &["bash", "-c", "echo $$; exec sleep 600"]);
    running.line();
    let status = |key: &str| {
        let text = std::fs::read_to_string(format!("/proc/{}/status", running.init())).expect("a status");
        text.lines().find_map(|line| line.strip_prefix(key).map(|v| v.trim().to_owned())).expect("a line")
    };
    // Settling down takes a moment after the first instruction: until two looks agree.
    let switches = || status("voluntary_ctxt_switches:");
    let begun = Instant::now();
    loop {
        let before = switches();
        std::thread::sleep(Duration::from_millis(700));
        if switches() == before {
            break;
        }
        assert!(begun.elapsed() < HANGS, "init wakes up though nothing happens");
    }
    assert_eq!(status("Threads:"), "1");
    assert_eq!(status("Seccomp:"), "2", "init has a filter of its own");
    assert_eq!(status("NoNewPrivs:"), "1");
    let kill_only = format!("{:016x}", if is_root() { 1u64 << 5 } else { 0 });
    assert_eq!((status("CapEff:"), status("CapPrm:")), (kill_only.clone(), kill_only), "init keeps CAP_KILL at most");
    signals::send(running.init(), libc::SIGTERM).expect("a signal");
    assert_eq!(running.finish().2, Some(143));
}

#[test]
fn replace_leaves_no_second_process() {
    let (out, err, code) =
        texts(&Place::new().run(&run_args(&["--mode", "replace"], &["bash", "-c", "echo $$ $PPID; exit 4"])));
    assert_eq!(code, Some(4), "{err}");
    let parent = out.split_whitespace().nth(1).expect("a parent").parse::<u32>().expect("a pid");
    assert_eq!(parent, std::process::id(), "the workload is our own child");
}

#[test]
fn as_pid_1_the_workload_and_its_orphans_end_in_order() {
    if !is_root() {
        return support::skip("a pid namespace needs root");
    }
    let place = Place::new();
    let args = run_args(&[], &["bash", "-c", "(sleep 600 &); echo $PPID; exit 6"]);
    let mut command = Command::new("unshare");
    command.args(["-pf", "--mount-proc"]).arg(support::start::binary()).args(args).current_dir(place.path("app"));
    let begun = Instant::now();
    let (out, err, code) = texts(&command.output().expect("unshare"));
    assert_eq!((out.as_str(), code), ("1\n", Some(6)), "{err}");
    assert!(begun.elapsed() < Duration::from_secs(20), "TERM ends the sleeper at once");
}

#[test]
fn arguments_that_are_no_utf_8_pass() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let mut command = place.command(&run_args(&[], &["printf", "%s"]));
    command.arg(std::ffi::OsStr::from_bytes(b"a\xffb"));
    assert_eq!(command.output().expect("portcullis").stdout, b"a\xffb");
}

#[test]
fn sockets_of_a_service_manager_are_handed_on_when_asked_for() {
    let (listener, place) = (std::net::TcpListener::bind("127.0.0.1:0").expect("a listener"), Place::new());
    let program = "import os, socket\nprint(os.environ.get('LISTEN_FDS'), os.environ.get('LISTEN_PID') == str(os.getpid()), end=' ')\ntry:\n    print(socket.socket(fileno=3).getsockname()[1])\nexcept OSError as error:\n    print(error.errno)";
    let start = |more: &[&str], open: bool| {
        let args = run_args(more, &["/usr/bin/python3", "-c", program]);
        let words = args.iter().map(|a| format!("'{}'", a.replace('\'', "'\\''"))).collect::<Vec<_>>().join(" ");
        let script = format!("export LISTEN_PID=$$ LISTEN_FDS=1; exec {} {words}", support::start::binary().display());
        let mut command = Command::new("sh");
        command.args(["-c", &script]).current_dir(place.path("app"));
        let fd = std::os::fd::AsRawFd::as_raw_fd(&listener);
        // SAFETY: dup2 is async-signal-safe.
        unsafe {
            std::os::unix::process::CommandExt::pre_exec(&mut command, move || {
                // By way of another number: it may be 3 itself, and then keeps its close-on-exec flag.
                let other = libc::dup(fd);
                if other == -1 || libc::dup2(other, 3) == -1 || (!open && libc::close(3) == -1) {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        texts(&command.output().expect("sh"))
    };
    let port = listener.local_addr().expect("an address").port();
    let (out, err, _) = start(&["--sockets"], true);
    assert_eq!(out, format!("1 True {port}\n"), "{err}");
    let (out, err, _) = start(&[], true);
    assert_eq!(out, "None False 9\n", "without being asked for, nothing is handed on: {err}");
    let (out, err, code) = start(&["--sockets"], false);
    assert_eq!(
        (out.as_str(), code),
        ("", Some(78)),
        "a promised socket that is not open is not made up from our own: {err}"
    );
}
