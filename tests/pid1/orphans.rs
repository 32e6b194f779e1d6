//! Orphans: whoever loses its parent becomes init's, is reaped, and changes nothing.

use crate::spawn::kill;
use crate::stage::{Running, children, state};
use crate::table::Tini::{Fails, Passes};
use crate::table::{Judged, cases, holds, same};

/// Nobody but the workload is left below init, no zombie either.
fn only_the_workload(running: &Running) -> Judged {
    running.until("all orphans are reaped", |running| children(running.init).len() == 1)
}

cases! {
    an_orphan_becomes_inits_child, Passes => |stage| {
        let own = if stage.home == crate::table::Home::Pid1 { 1 } else { 2 };
        let mut running = stage.start(&["orphan{", "ppid", "}", "line", "exit:3"])?;
        running.says(&format!("ppid {own}"))?;
        running.type_in("go\n")?;
        running.says("line go")?;
        running.ends_with(3).map(drop)
    }

    an_orphan_is_reaped, Passes => |stage| {
        let mut running = stage.start(&["orphan{", "exit:9", "}", "say:ready", "line", "exit:3"])?;
        running.says("ready")?;
        only_the_workload(&running)?;
        running.type_in("go\n")?;
        running.ends_with(3).map(drop)
    }

    an_orphan_that_was_killed_is_reaped, Passes => |stage| {
        let mut running = stage.start(&["orphan{", "die:9", "}", "say:ready", "line", "exit:3"])?;
        running.says("ready")?;
        only_the_workload(&running)?;
        running.type_in("go\n")?;
        running.ends_with(3).map(drop)
    }

    an_orphan_in_a_session_of_its_own_is_reaped, Passes => |stage| {
        let mut running = stage.start(&["orphan{", "setsid", "say:away", "}", "line", "exit:3"])?;
        running.says("away")?;
        only_the_workload(&running)?;
        running.type_in("go\n")?;
        running.ends_with(3).map(drop)
    }

    an_orphans_orphan_is_reaped, Passes => |stage| {
        let words = ["orphan{", "orphan{", "orphan{", "say:deep", "}", "}", "}", "line", "exit:3"];
        let mut running = stage.start(&words)?;
        running.says("deep")?;
        only_the_workload(&running)?;
        running.type_in("go\n")?;
        running.ends_with(3).map(drop)
    }

    an_orphans_code_is_not_ours, Passes => |stage| {
        let mut running = stage.start(&["orphan{", "exit:77", "}", "orphan{", "die:15", "}", "say:ready", "line", "exit:3"])?;
        running.says("ready")?;
        only_the_workload(&running)?;
        running.type_in("go\n")?;
        running.ends_with(3).map(drop)
    }

    /// Five hundred at one moment, ten times: the kernel tells of them by one pending SIGCHLD.
    five_thousand_orphans_leave_no_zombie, Passes => |stage| {
        let words = ["batch:500", "batch:500", "batch:500", "batch:500", "batch:500", "batch:500", "batch:500",
            "batch:500", "batch:500", "batch:500", "say:done", "line", "exit:3"];
        let mut running = stage.start(&words)?;
        running.says("done")?;
        only_the_workload(&running)?;
        running.type_in("go\n")?;
        running.ends_with(3).map(drop)
    }

    /// The workload's own death among five hundred others.
    the_workloads_end_is_seen_among_many, Passes => |stage| {
        stage.start(&["batch:500", "exit:41"])?.ends_with(41).map(drop)
    }

    signals_pass_while_orphans_are_reaped, Passes => |stage| {
        let mut running = stage.start(&["catch:40", "say:ready", "fork{", "batch:500", "batch:500", "}", "count:1000", "exit:3"])?;
        running.says("ready")?;
        for _ in 0..1000 {
            running.signal(40)?;
        }
        running.says("storm 1000 wrong 0")?;
        running.ends_with(3).map(drop)
    }

    /// Of a child of its own the workload hears itself.
    a_child_of_the_workload_is_left_to_it, Passes => |stage| {
        let mut running = stage.start(&["fork{", "exit:8", "}", "reap", "say:reaped", "line", "exit:3"])?;
        running.says("reaped")?;
        running.type_in("go\n")?;
        running.ends_with(3).map(drop)
    }

    /// Whoever executed init had a child already: init has it now, and it is not the workload.
    a_child_from_before_init_is_reaped_and_is_not_the_workload, Passes => |stage| {
        fn with_a_child() {
            // SAFETY: fork between fork and exec, whose child ends at once.
            if unsafe { libc::fork() } == 0 {
                unsafe { libc::_exit(55) }
            }
        }
        let before = stage.begin();
        // A child of init itself, whatever runs before it.
        let mut running = if stage.home == crate::table::Home::Pid1 {
            before.before(with_a_child).start(&["say:ready", "line", "exit:3"])?
        } else {
            before.start(&["say:ready", "line", "exit:3"])?
        };
        running.says("ready")?;
        only_the_workload(&running)?;
        running.type_in("go\n")?;
        running.ends_with(3).map(drop)
    }

    an_orphan_that_is_stopped_is_no_end, Passes => |stage| {
        let mut running = stage.start(&["orphan{", "pgrp", "say:ready", "stop:19", "say:again", "}", "line", "exit:3"])?;
        running.says("ready")?;
        running.until("the orphan is stopped", |running| {
            children(running.init).iter().any(|child| state(*child) == Some('T'))
        })?;
        let orphan = children(running.init).into_iter().find(|child| state(*child) == Some('T')).ok_or("no orphan")?;
        kill(orphan, libc::SIGCONT);
        running.says("again")?;
        only_the_workload(&running)?;
        running.type_in("go\n")?;
        running.ends_with(3).map(drop)
    }

    init_sleeps_while_an_orphan_lives, Fails("it wakes up every second to look for children") => |stage| {
        let running = stage.start(&["orphan{", "say:orphan", "wait", "}", "say:ready", "line"])?;
        let said = [running.line()?, running.line()?];
        holds!(said.contains(&"ready".to_owned()) && said.contains(&"orphan".to_owned()), "{said:?}");
        asleep(&running)
    }

    init_sleeps_while_nothing_happens, Fails("it wakes up every second to look for children") => |stage| {
        let running = stage.start(&["say:ready", "line"])?;
        running.says("ready")?;
        asleep(&running)
    }

    init_sleeps_after_a_storm, Fails("it wakes up every second to look for children") => |stage| {
        let running = stage.start(&["catch:40", "say:ready", "count:100", "line"])?;
        running.says("ready")?;
        for _ in 0..100 {
            running.signal(40)?;
        }
        running.says("storm 100 wrong 0")?;
        asleep(&running)
    }

    init_is_one_thread, Passes => |stage| {
        let running = stage.start(&["say:ready", "line"])?;
        running.says("ready")?;
        same!(running.status("Threads:"), "1");
        same!(children(running.init).len(), 1);
        Ok(())
    }
}

/// Not one switch in two and a half seconds. That nothing happens is no event: here, and only here, time has to pass.
fn asleep(running: &Running) -> Judged {
    let switches = |running: &Running| running.status("voluntary_ctxt_switches:");
    // What init does after the first instruction of its workload may still go on: two looks, as often as need be.
    let looks = if running.patience.as_secs() > 5 { 4 } else { 1 };
    for _ in 0..looks {
        let before = switches(running);
        std::thread::sleep(std::time::Duration::from_millis(2500));
        if switches(running) == before {
            return Ok(());
        }
    }
    Err("init wakes up though nothing happens".to_owned())
}
