//! The end: everybody hears TERM and has its time, nobody is left, and the code is the workload's.

use std::time::{Duration, Instant};

use crate::spawn::kill;
use crate::stage::{Running, Stage, children, state};
use crate::table::Tini::{Fails, FailsAsSubreaper, Passes};
use crate::table::{Judged, cases, holds, same};

/// Far more than any end in these cases takes, and far less than what a test waits.
const LONG: &[&str] = &["--stop-timeout=25s"];
const SHORT: &[&str] = &["--stop-timeout=300ms"];

const LEAVES: &str =
    "it does not look after what the workload leaves behind: that lives on (as PID 1: the kernel kills it)";

fn ready(stage: &Stage, flags: &[&str], words: &[&str]) -> Result<Running, String> {
    let running = stage.begin().flags(flags).start(words)?;
    running.says("ready")?;
    Ok(running)
}

/// An orphan that hears TERM says so, wherever it went.
fn orphan_says_goodbye(stage: &Stage, away: &str, end: &str) -> Judged {
    let words = ["orphan{", away, "catch:15", "say:ready", "hear", "say:goodbye", "}", "line", end];
    let mut running = ready(stage, LONG, &words)?;
    running.type_in("go\n")?;
    running.says("line go")?;
    let code = end.trim_start_matches("exit:").parse().map_err(|_| "a code")?;
    let end = running.ends_with(code)?;
    same!(end.out, ["heard 15", "goodbye"]);
    same!(end.left, 0);
    Ok(())
}

cases! {
    term_ends_a_workload_without_handlers, Passes => |stage| {
        let mut running = ready(stage, LONG, &["say:ready", "wait"])?;
        running.signal(libc::SIGTERM)?;
        running.ends_with(143).map(drop)
    }

    the_code_of_a_handler_is_kept, Passes => |stage| {
        let mut running = ready(stage, LONG, &["catch:15", "say:ready", "hear", "exit:33"])?;
        running.signal(libc::SIGTERM)?;
        running.ends_with(33).map(drop)
    }

    a_workload_may_end_well_after_term, Passes => |stage| {
        let mut running = ready(stage, LONG, &["catch:15", "say:ready", "hear", "line", "exit:0"])?;
        running.signal(libc::SIGTERM)?;
        running.says("heard 15")?;
        running.type_in("done\n")?;
        running.ends_with(0).map(drop)
    }

    an_orphan_hears_term_when_the_workload_has_ended, Fails(LEAVES) => |stage| { orphan_says_goodbye(stage, "root", "exit:4") }

    an_orphan_in_a_session_of_its_own_hears_term, Fails(LEAVES) => |stage| { orphan_says_goodbye(stage, "setsid", "exit:5") }

    an_orphan_in_a_group_of_its_own_hears_term, Fails(LEAVES) => |stage| { orphan_says_goodbye(stage, "pgrp", "exit:6") }

    a_daemons_worker_has_the_time_to_finish, Fails(LEAVES) => |stage| {
        let words = ["fork{", "setsid", "orphan{", "catch:15", "say:ready", "hear", "line", "say:finished", "}", "}", "reap", "line", "exit:0"];
        let mut running = ready(stage, LONG, &words)?;
        running.type_in("end\n")?;
        running.says("line end")?;
        running.says("heard 15")?;
        running.type_in("go\n")?;
        running.says("line go")?;
        same!(running.ends_with(0)?.out, ["finished"]);
        Ok(())
    }

    a_child_of_the_workload_hears_term_too, Fails(LEAVES) => |stage| {
        let words = ["catch:15", "fork{", "say:ready", "hear", "}", "hear", "exit:7"];
        let mut running = ready(stage, LONG, &words)?;
        running.signal(libc::SIGTERM)?;
        running.says("heard 15")?;
        same!(running.ends_with(7)?.out, ["heard 15"]);
        Ok(())
    }

    /// The workload may need its helpers to the last.
    the_workload_hears_term_before_its_helpers, Fails(LEAVES) => |stage| {
        let words = ["catch:15", "orphan{", "setsid", "say:ready", "hear", "say:helper", "}", "hear", "say:workload", "exit:7"];
        let mut running = ready(stage, LONG, &words)?;
        running.signal(libc::SIGTERM)?;
        running.says("heard 15")?;
        same!(running.ends_with(7)?.out, ["workload", "heard 15", "helper"]);
        Ok(())
    }

    what_ignores_term_is_killed_in_time, Fails("it has no time for a stop: it waits for ever") => |stage| {
        let mut running = ready(stage, SHORT, &["ignore:15", "say:ready", "wait"])?;
        running.signal(libc::SIGTERM)?;
        running.ends_with(137).map(drop)
    }

    an_orphan_that_ignores_term_is_killed_and_the_code_stays, FailsAsSubreaper(LEAVES) => |stage| {
        let words = ["orphan{", "setsid", "ignore:15", "say:ready", "wait", "}", "line", "exit:12"];
        let mut running = ready(stage, SHORT, &words)?;
        running.type_in("go\n")?;
        let end = running.ends_with(12)?;
        same!(end.left, 0);
        Ok(())
    }

    /// A workload that ignores TERM does not cost its helpers theirs.
    helpers_hear_term_even_if_the_workload_never_ends, Fails("it waits for ever") => |stage| {
        let words = ["ignore:15", "orphan{", "setsid", "catch:15", "say:ready", "hear", "}", "wait"];
        let mut running = ready(stage, &["--stop-timeout=2s"], &words)?;
        running.signal(libc::SIGTERM)?;
        running.says("heard 15")?;
        running.ends_with(137).map(drop)
    }

    it_is_over_when_all_are_gone_not_when_the_time_is, FailsAsSubreaper(LEAVES) => |stage| {
        let words = ["orphan{", "setsid", "say:ready", "wait", "}", "line", "exit:2"];
        let mut running = ready(stage, LONG, &words)?;
        let begun = Instant::now();
        running.type_in("go\n")?;
        same!(running.ends_with(2)?.left, 0);
        holds!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        Ok(())
    }

    nothing_is_left_behind, FailsAsSubreaper(LEAVES) => |stage| {
        let words = ["orphan{", "setsid", "say:ready", "wait", "}", "fork{", "setsid", "wait", "}", "orphan{", "pgrp", "wait", "}", "line", "exit:2"];
        let mut running = ready(stage, LONG, &words)?;
        running.type_in("go\n")?;
        same!(running.ends_with(2)?.left, 0);
        Ok(())
    }

    a_chain_of_heirs_ends, FailsAsSubreaper(LEAVES) => |stage| {
        // Each that is told to end leaves another, three times.
        let words = ["orphan{", "setsid", "catch:15", "say:ready", "hear", "orphan{", "hear", "orphan{", "hear", "}", "}", "}", "line", "exit:2"];
        let mut running = ready(stage, &["--stop-timeout=2s"], &words)?;
        running.type_in("go\n")?;
        same!(running.ends_with(2)?.left, 0);
        Ok(())
    }

    a_stopped_workload_hears_term, Fails("a stopped process hears nothing, and it continues nobody") => |stage| {
        let mut running = ready(stage, LONG, &["catch:15", "say:ready", "hear", "exit:5"])?;
        let workload = running.workload()?;
        kill(workload, libc::SIGSTOP);
        running.until("it is stopped", |_| state(workload) == Some('T'))?;
        running.signal(libc::SIGTERM)?;
        running.ends_with(5).map(drop)
    }

    a_workload_that_stops_after_term_is_continued, Fails("a stopped process hears nothing, and it continues nobody") => |stage| {
        let mut running = ready(stage, LONG, &["catch:15", "say:ready", "hear", "stop:19", "exit:6"])?;
        running.signal(libc::SIGTERM)?;
        running.ends_with(6).map(drop)
    }

    a_stopped_orphan_is_continued, Fails(LEAVES) => |stage| {
        let words = ["orphan{", "setsid", "catch:15", "say:ready", "stop:19", "hear", "}", "line", "exit:2"];
        let mut running = ready(stage, LONG, &words)?;
        running.until("it is stopped", |running| children(running.init).iter().any(|child| state(*child) == Some('T')))?;
        running.type_in("go\n")?;
        running.says("line go")?;
        running.says("heard 15")?;
        same!(running.ends_with(2)?.left, 0);
        Ok(())
    }

    a_second_term_is_heard, Passes => |stage| {
        let mut running = ready(stage, LONG, &["catch:15", "say:ready", "hear:2", "exit:3"])?;
        running.signal(libc::SIGTERM)?;
        running.says("heard 15")?;
        running.signal(libc::SIGTERM)?;
        running.says("heard 15")?;
        running.ends_with(3).map(drop)
    }

    /// Each TERM halves the time that is left: an impatient operator is served, and a second TERM by a careless one leaves half.
    more_terms_hurry, Fails("it has no time for a stop") => |stage| {
        let mut running = ready(stage, &["--stop-timeout=28s"], &["catch:15", "say:ready", "hear", "again"])?;
        let begun = Instant::now();
        for _ in 0..14 {
            running.signal(libc::SIGTERM)?;
            running.says("heard 15")?;
            running.says("ready")?;
        }
        running.ends_with(137)?;
        holds!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        Ok(())
    }

    a_second_term_does_not_wait_for_the_workload, Fails(LEAVES) => |stage| {
        let words = ["catch:15", "orphan{", "setsid", "say:ready", "hear", "say:helper", "}", "hear:2", "line", "exit:3"];
        let mut running = ready(stage, LONG, &words)?;
        running.signal(libc::SIGTERM)?;
        running.says("heard 15")?;
        running.signal(libc::SIGTERM)?;
        let said = [running.line()?, running.line()?, running.line()?];
        holds!(said.contains(&"helper".to_owned()), "{said:?}");
        running.type_in("go\n")?;
        running.ends_with(3).map(drop)
    }

    int_hup_and_quit_are_messages_not_the_end, Passes => |stage| {
        let mut running = ready(stage, &["--stop-timeout=1ms"], &["catch:1,2,3,10", "say:ready", "hear:4", "line", "exit:3"])?;
        for signal in [libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1] {
            running.signal(signal)?;
            running.says(&format!("heard {signal}"))?;
        }
        let begun = Instant::now();
        running.until("longer than a stop may take", |_| begun.elapsed() > Duration::from_millis(50))?;
        running.type_in("go\n")?;
        running.ends_with(3).map(drop)
    }

    /// Its first process ends, as every daemon's does: that is the end of the workload, with that code, and of the daemon.
    a_workload_that_daemonises_has_ended, Fails(LEAVES) => |stage| {
        let words = ["fork{", "setsid", "fork{", "catch:15", "say:ready", "hear", "say:daemon", "}", "exit:0", "}", "reap", "line", "exit:0"];
        let mut running = ready(stage, LONG, &words)?;
        running.type_in("end\n")?;
        running.says("line end")?;
        let end = running.ends_with(0)?;
        same!(end.out, ["heard 15", "daemon"]);
        same!(end.left, 0);
        Ok(())
    }

    a_grandchild_that_holds_the_output_delays_no_end, FailsAsSubreaper(LEAVES) => |stage| {
        let words = ["orphan{", "setsid", "say:ready", "wait", "}", "line", "exit:8"];
        let mut running = ready(stage, LONG, &words)?;
        running.type_in("go\n")?;
        running.says("line go")?;
        let end = running.ends_with(8)?;
        same!(end.out, Vec::<String>::new());
        same!(end.left, 0);
        Ok(())
    }

    signals_after_the_workloads_end_harm_nobody, Fails("it has ended with the workload") => |stage| {
        let words = ["catch:15", "orphan{", "setsid", "say:ready", "hear", "line", "say:last", "}", "null:0", "exit:9"];
        let mut running = ready(stage, LONG, &words)?;
        running.says("heard 15")?;
        for signal in [libc::SIGUSR1, libc::SIGHUP, 40, libc::SIGCONT] {
            running.signal(signal)?;
        }
        running.type_in("go\n")?;
        running.says("line go")?;
        same!(running.ends_with(9)?.out, ["last"]);
        Ok(())
    }

    /// As PID 1 the kernel sees to it.
    a_workload_dies_with_its_init, FailsAsSubreaper("it asks for that by -p alone") => |stage| {
        let mut running = ready(stage, LONG, &["say:ready", "wait"])?;
        kill(running.init, libc::SIGKILL);
        if stage.home == crate::table::Home::Pid1 {
            return running.end().map(drop);
        }
        running.news_is("signalled 9")?;
        running.news()?;
        let begun = Instant::now();
        while running.left()? > 0 {
            holds!(begun.elapsed() < stage.patience, "the workload lives on");
        }
        Ok(())
    }

    term_to_a_hundred_helpers_reaches_them_all, FailsAsSubreaper(LEAVES) => |stage| {
        let mut words = Vec::new();
        for _ in 0..100 {
            words.extend(["orphan{", "setsid", "wait", "}"]);
        }
        words.extend(["say:ready", "line", "exit:2"]);
        let mut running = ready(stage, LONG, &words)?;
        running.type_in("go\n")?;
        same!(running.ends_with(2)?.left, 0);
        Ok(())
    }
}
