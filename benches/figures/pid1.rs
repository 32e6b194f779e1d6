//! As PID 1: the start, 60,000 forwarded signals, and `health`, each beside tini's where tini has one.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::stage::Stage;
use crate::table::{Arm, Series, heading, interleave, ms, times, value, verdict};

const SIGNALS: u32 = 60_000;
/// A way to send them all, and its name.
type Kind = (&'static str, fn(i32));
/// The one that the workload ignores.
const SIGNAL: i32 = 40;

pub fn section(stage: &Stage) {
    start(stage);
    window(stage);
    signals(stage);
    health(stage);
}

/// As PID 1 of a new namespace with its own `/proc`.
fn in_a_namespace(command: &mut Command) -> std::io::Result<Child> {
    // SAFETY: between fork and exec: system calls with constant texts alone.
    unsafe {
        command.pre_exec(|| {
            let none = std::ptr::null();
            let own = libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) == 0
                && libc::mount(c"proc".as_ptr(), c"/proc".as_ptr(), c"proc".as_ptr(), 0, none.cast()) == 0;
            if own { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        });
    }
    // The namespace for children belongs to the thread, and is good for one first process.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: changes where this thread's next child is born, and nothing else.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWPID) }, 0, "a pid namespace");
            command.spawn()
        });
        thread.join().expect("the thread that starts it")
    })
}

fn tini(workload: &std::path::Path) -> Command {
    let mut command = Command::new("/usr/bin/tini");
    command.arg("--").arg(workload);
    command
}

fn start(stage: &Stage) {
    heading("start to the first instruction, as PID 1 (its namespaces and their /proc included, for all alike)");
    let workload = stage.path("workload");
    let none = stage.config("none.toml", &[workload.as_os_str()], "", "");
    let start = |mut command: Command| stage.start_by(&mut command, 0, in_a_namespace);
    let arms: [Arm; 3] = [
        ("bare exec", Box::new(|| start(Command::new(&workload)))),
        ("tini", Box::new(|| start(tini(&workload)))),
        ("portcullis, no secrets", Box::new(|| start(stage.portcullis(&none)))),
    ];
    let all = interleave(stage.runs, &arms);
    let [_, tini, ours] = &all[..] else { unreachable!("three arms") };
    times(&all, tini, "tini's");
    verdict("as PID 1, times tini's", ms(ours.median()) / ms(tini.median()), 3.0, "x");
}

/// From the exec to the moment from which a TERM is kept: before it, the kernel drops what a PID 1 has no handler for. A lower
/// bound: the clock starts when this process has heard that the exec is done. (Of tini it cannot be seen: while it waits for
/// signals it shows none as blocked.)
fn window(stage: &Stage) {
    heading("from the exec to the first instruction of main, in which a TERM to PID 1 is dropped by the kernel");
    let workload = stage.path("workload");
    let none = stage.config("none.toml", &[workload.as_os_str()], "", "");
    let mut series = Series::new("portcullis");
    for _ in 0..stage.runs {
        let mut command = stage.portcullis(&none);
        command.env_clear().current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = in_a_namespace(&mut command).expect("a start");
        let begun = Instant::now();
        while !holds_term(child.id()) {
            std::hint::spin_loop();
        }
        series.add(begun.elapsed());
        drop(child.stdin.take());
        assert!(child.wait().expect("waited for").success());
    }
    value("portcullis, at least", ms(series.median()), "ms");
}

fn holds_term(pid: u32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let set = text.lines().find_map(|line| line.strip_prefix("SigBlk:\t")).unwrap_or_default();
    u64::from_str_radix(set, 16).unwrap_or_default() >> (libc::SIGTERM - 1) & 1 == 1
}

fn signals(stage: &Stage) {
    heading(&format!("processor time of init for {SIGNALS} forwarded signals"));
    let workload = stage.path("ignores");
    let config = stage.config("ignores.toml", &[workload.as_os_str()], "", "");
    let kinds: [Kind; 2] = [("all at once", at_once), ("each when the last one is through", one_by_one)];
    for (how, send) in kinds {
        let mut all = [Series::new("tini"), Series::new("portcullis")];
        for _ in 0..stage.runs.min(5) {
            all[0].add(forwarding(stage, tini(&workload), send));
            all[1].add(forwarding(stage, stage.portcullis(&config), send));
        }
        let [tini, ours] = &all;
        value(&format!("tini, {how}"), ms(tini.median()), "ms");
        value(&format!("portcullis, {how}"), ms(ours.median()), "ms");
        verdict(&format!("times tini's, {how}"), ms(ours.median()) / ms(tini.median()), 1.5, "x");
    }
}

fn forwarding(stage: &Stage, mut command: Command, send: fn(i32)) -> Duration {
    let (mut child, _) = stage.start_and_keep_by(&mut command, 0, in_a_namespace);
    let pid = child.id() as i32;
    // What it does after its workload's first instruction is not what is measured.
    std::thread::sleep(Duration::from_millis(100));
    let before = ran(pid);
    send(pid);
    let took = ran(pid) - before;
    drop(child.stdin.take());
    assert!(child.wait().expect("waited for").success(), "{}", stage.log());
    took
}

fn at_once(pid: i32) {
    (0..SIGNALS).for_each(|_| kill(pid));
    wait_until_heard(pid);
}

fn one_by_one(pid: i32) {
    for _ in 0..SIGNALS {
        kill(pid);
        wait_until_heard(pid);
    }
}

fn kill(pid: i32) {
    // SAFETY: kill(2) touches no memory.
    assert_eq!(unsafe { libc::kill(pid, SIGNAL) }, 0, "{}", std::io::Error::last_os_error());
}

/// Nothing waits for it, and it sleeps again.
fn wait_until_heard(pid: i32) {
    loop {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a status");
        if text.contains("ShdPnd:\t0000000000000000\n") && text.contains("State:\tS") {
            return;
        }
        std::hint::spin_loop();
    }
}

/// Time on a processor, by the scheduler's own clock.
fn ran(pid: i32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("schedstat");
    Duration::from_nanos(text.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number"))
}

fn health(stage: &Stage) {
    heading("portcullis health, from its start to its end");
    let workload = stage.path("workload");
    let none = stage.config("none.toml", &[workload.as_os_str()], "", "");
    let (mut child, _) = stage.start_and_keep(&mut stage.portcullis(&none), 0);
    std::thread::sleep(Duration::from_millis(100));
    let mut series = Series::new("health");
    for _ in 0..stage.runs {
        let mut command = Command::new(stage.path("portcullis"));
        command.args(["health", "--pid", &child.id().to_string()]).env_clear().stdout(Stdio::null());
        let begun = Instant::now();
        assert!(command.status().expect("it runs").success(), "it is healthy");
        series.add(begun.elapsed());
    }
    drop(child.stdin.take());
    assert!(child.wait().expect("waited for").success(), "{}", stage.log());
    verdict("health", ms(series.median()), 5.0, "ms");
}
