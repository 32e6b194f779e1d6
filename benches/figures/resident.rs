//! What stays while the workload runs: processes, threads, memory, and how often it wakes up; beside tini.

use std::fs;
use std::process::{Child, Command};
use std::time::Duration;

use crate::stage::{PLAIN, Stage};
use crate::start::with_age;
use crate::table::{heading, value, verdict};

struct Resident {
    processes: f64,
    threads: f64,
    rss: f64,
    /// Written to, so that nobody shares it and nothing but swap could take it.
    dirty: f64,
    /// Of files, and mapped by this process alone: a second instance shares it, and the kernel may drop it.
    clean: f64,
    wakeups: f64,
}

pub fn section(stage: &Stage) {
    let seconds = if stage.runs > 3 { 10 } else { 2 };
    let workload = stage.path("workload");
    heading(&format!("resident while the workload runs, seen for {seconds} seconds"));
    let tini = measure(stage, Command::new("/usr/bin/tini").args(["-s", "--"]).arg(&workload), 0, seconds);
    value("tini: VmRSS", tini.rss, "kB");
    value("tini: private", tini.dirty, "kB");
    value("tini: pages of files that are private so far", tini.clean, "kB");
    value("tini: wake-ups a second", tini.wakeups, "");
    for (user, name) in [(0, "root"), (PLAIN, "a plain user")] {
        let ours = measure(stage, &mut stage.portcullis(&with_age(stage, user)), user, seconds);
        verdict(&format!("portcullis as {name}: processes"), ours.processes, 1.0, "");
        verdict(&format!("portcullis as {name}: threads"), ours.threads, 1.0, "");
        verdict(&format!("portcullis as {name}: VmRSS"), ours.rss, 1228.8, "kB");
        verdict(&format!("portcullis as {name}: private"), ours.dirty, 307.2, "kB");
        value("  pages of its file that are private so far", ours.clean, "kB");
        verdict(&format!("portcullis as {name}: wake-ups a second"), ours.wakeups, 0.0, "");
    }
}

fn measure(stage: &Stage, command: &mut Command, user: u32, seconds: u64) -> Resident {
    let (mut child, _) = stage.start_and_keep(command, user);
    let processes = settle(&child);
    let before = wakeups(child.id());
    std::thread::sleep(Duration::from_secs(seconds));
    let wakeups = (wakeups(child.id()) - before) as f64 / seconds as f64;
    let status = |key| field(&format!("/proc/{}/status", child.id()), key);
    let rollup = |key| field(&format!("/proc/{}/smaps_rollup", child.id()), key);
    let resident = Resident {
        processes: processes as f64,
        threads: status("Threads:") as f64,
        rss: status("VmRSS:") as f64,
        dirty: rollup("Private_Dirty:") as f64,
        clean: rollup("Private_Clean:") as f64,
        wakeups,
    };
    drop(child.stdin.take());
    assert!(child.wait().expect("waited for").success(), "{}", stage.log());
    resident
}

/// Waits until the helpers of the start are gone; how many processes stay, the workload not counted.
fn settle(child: &Child) -> usize {
    let count = || 1 + descendants(child.id()) - 1;
    for _ in 0..100 {
        if count() == 1 {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // What init gives up after the launch, it gives up now.
    std::thread::sleep(Duration::from_millis(100));
    count()
}

fn descendants(pid: u32) -> usize {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().map(|child| 1 + descendants(child.parse().expect("a pid"))).sum()
}

/// Every time it slept and was woken.
fn wakeups(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/status"), "voluntary_ctxt_switches:")
}

fn field(path: &str, key: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let line = text.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_else(|| panic!("{path} has {key}"));
    line.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
}
