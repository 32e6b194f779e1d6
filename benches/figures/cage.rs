//! What the cage costs: a hot call under its filter, a denied one with its explanation, the filter, and building it all.
//!
//! Calls are measured by a static C program that takes the best of several rounds, outside and inside in turn. The cage is
//! built from the launcher's own pieces by this program, run again as `cage-once`, for what is in a cage does not come back.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use portcullis::cli::args::StartArgs;
use portcullis::confine::verify::{Expected, Status};
use portcullis::confine::{capabilities, filter, ids, landlock, limits};
use portcullis::launch::sanitise;
use portcullis::sys::seccomp;

use crate::stage::{PLAIN, Stage};
use crate::table::{Arm, Series, heading, interleave, times, value, verdict};

/// What one program printed: a name and a number a line.
type Numbers = BTreeMap<String, f64>;

pub fn section(stage: &Stage) {
    let program = stage.path("cage");
    let config = |what: &str| stage.config(&format!("cage.{what}.toml"), &[program.as_os_str(), what.as_ref()], "", "");
    let (hot, denied) = (config("hot"), config("denied"));
    heading("a call in the cage, and without one");
    let (mut free, mut caged) = (Vec::new(), Vec::new());
    for _ in 0..stage.runs.clamp(1, 15) {
        free.push(numbers(Command::new(&program).arg("hot")));
        caged.push(numbers(&mut stage.portcullis(&hot)));
    }
    let mut worst = f64::MIN;
    for name in free[0].keys() {
        let (alone, inside) = (best(&free, name), best(&caged, name));
        println!("  {name:<44} {alone:>9.1} ns   in the cage {inside:>9.1} ns");
        let more = inside - alone;
        worst = worst.max(more);
    }
    verdict("the dearest hot call, more than without a filter", worst, 35.0, "ns");
    let denials: Vec<Numbers> = (0..stage.runs.clamp(1, 9)).map(|_| numbers(&mut stage.portcullis(&denied))).collect();
    verdict("an explained denial", median(&denials, "denied") / 1e3, 25.0, "us");

    heading("building the cage");
    let own = std::env::current_exe().expect("this program");
    let built: Vec<Numbers> = (0..stage.runs).map(|_| numbers(Command::new(&own).arg("cage-once").arg(&hot))).collect();
    verdict("instructions of the filter", median(&built, "instructions"), 1500.0, "");
    value("compiling it", median(&built, "compile"), "us");
    verdict("installing it", median(&built, "install") / 1e3, 0.3, "ms");
    verdict("the whole cage, built and verified", median(&built, "whole") / 1e3, 1.0, "ms");
    beside_bubblewrap(stage);
}

/// Start to the first instruction: bubblewrap with new namespaces and a read-only root, which is the nearest that it has.
fn beside_bubblewrap(stage: &Stage) {
    const BWRAP: &str = "/usr/bin/bwrap";
    if !std::path::Path::new(BWRAP).exists() {
        return println!("  SKIP bubblewrap: it is not installed (tests/prepare)");
    }
    heading("start to the first instruction in a cage, as a plain user");
    let workload = stage.path("workload");
    let none = stage.config("none.toml", &[workload.as_os_str()], "", "");
    let start = |command: &mut Command| stage.start(command, PLAIN);
    let wrap = || {
        let mut command = Command::new(BWRAP);
        command
            .args(["--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--dev", "/dev", "--"])
            .arg(&workload);
        command
    };
    let arms: [Arm; 2] = [
        ("bubblewrap, every namespace", Box::new(|| start(&mut wrap()))),
        ("portcullis, no secrets", Box::new(|| start(&mut stage.portcullis(&none)))),
    ];
    let all: Vec<Series> = interleave(stage.runs, &arms);
    times(&all, &all[0], "bubblewrap's");
}

fn numbers(command: &mut Command) -> Numbers {
    let output = command.env_clear().output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let pair = |line: &str| Some((line.split_once(' ')?.0.to_owned(), line.split_once(' ')?.1.parse().ok()?));
    text.lines().filter_map(pair).collect()
}

fn median(all: &[Numbers], name: &str) -> f64 {
    let mut found: Vec<f64> = all.iter().map(|numbers| numbers[name]).collect();
    found.sort_by(f64::total_cmp);
    found[found.len() / 2]
}

/// Where a process' buffers happen to lie in the caches changes what some calls cost: the best of several processes.
fn best(all: &[Numbers], name: &str) -> f64 {
    all.iter().map(|numbers| numbers[name]).fold(f64::MAX, f64::min)
}

/// The cage of a config, once, in this process: what each part took, in µs.
pub fn once(config: &str) {
    let started = sanitise::hold_signals().and_then(sanitise::sanitise).expect("a sane process");
    let args = StartArgs { config: Some(config.into()), ..StartArgs::default() };
    let (plan, _) = portcullis::init::decide(args, &started).expect("a plan");
    let cage = &plan.cage;
    let begun = Instant::now();
    nix::sys::prctl::set_no_new_privs().expect("no_new_privs");
    limits::apply(&cage.limits).expect("limits");
    if cage.bounding {
        capabilities::close_bounding_set().expect("the bounding set");
    }
    if cage.ids.change {
        ids::change(cage.ids.uid, cage.ids.gid, &cage.ids.groups).expect("ids");
    }
    capabilities::drop_all().expect("capabilities");
    ids::try_to_undo().expect("the drop");
    let status = Status::at(Status::open().expect("the status"));
    let filters = status.filters().expect("the status");
    let compiling = Instant::now();
    let silent = portcullis::plan::SyscallPlan { explained: false, ..cage.syscalls.clone() };
    let program = filter::workload(&silent).expect("a filter");
    let compile = compiling.elapsed();
    landlock::enforce(&cage.landlock).expect("a domain");
    let installing = Instant::now();
    seccomp::install(program.instructions(), false).expect("a filter");
    let install = installing.elapsed();
    let expected = Expected {
        uid: cage.ids.uid,
        gid: cage.ids.gid,
        groups: cage.ids.groups.clone(),
        bounding_empty: cage.bounding,
        filters: filters + 1,
    };
    status.must_say(&expected).expect("the status");
    let whole = begun.elapsed();
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    println!("instructions {}", program.instructions().len());
    println!("compile {:.1}\ninstall {:.1}\nwhole {:.1}", micros(compile), micros(install), micros(whole));
}
