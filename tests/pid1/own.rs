//! What portcullis alone offers: `stop_signal`, `rewrite`, `stop_before`.

use std::time::Duration;

use crate::stage::{Running, Stage};
use crate::table::{Home, Init, Judged, holds, same};

/// Both homes, one after the other.
fn in_both(case: fn(&Stage) -> Judged) {
    if !crate::support::start::is_root() {
        return crate::support::skip("a pid namespace needs root");
    }
    for home in [Home::Pid1, Home::Subreaper] {
        let stage = Stage::new(Init::Portcullis, home, Duration::from_secs(30));
        case(&stage).unwrap_or_else(|wrong| panic!("{home:?}: {wrong}"));
    }
}

fn ready(stage: &Stage, flags: &[&str], words: &[&str]) -> Result<Running, String> {
    let running = stage.begin().flags(flags).start(words)?;
    running.says("ready")?;
    Ok(running)
}

#[test]
fn a_stop_signal_takes_the_place_of_term() {
    in_both(|stage| {
        let mut running = ready(stage, &["--stop-signal=INT"], &["catch:all", "say:ready", "hear", "exit:4"])?;
        running.signal(libc::SIGTERM)?;
        running.says("heard 2")?;
        same!(running.ends_with(4)?.out, Vec::<String>::new());
        Ok(())
    });
}

#[test]
fn a_stop_signal_may_be_a_real_time_one_and_the_time_runs_all_the_same() {
    in_both(|stage| {
        let flags = ["--stop-signal=SIGRTMIN+3", "--stop-timeout=300ms"];
        let mut running = ready(stage, &flags, &["catch:all", "say:ready", "hear", "wait"])?;
        running.signal(libc::SIGTERM)?;
        running.says("heard 37")?;
        running.ends_with(137).map(drop)
    });
}

#[test]
fn what_the_workload_leaves_behind_hears_term_whatever_its_own_stop_signal_is() {
    in_both(|stage| {
        let words = ["catch:2,15", "orphan{", "setsid", "say:ready", "hear", "}", "hear", "exit:4"];
        let mut running = ready(stage, &["--stop-signal=INT"], &words)?;
        running.signal(libc::SIGTERM)?;
        running.says("heard 2")?;
        same!(running.ends_with(4)?.out, ["heard 15"]);
        Ok(())
    });
}

#[test]
fn signals_before_the_stop_signal_come_first_and_have_their_time() {
    in_both(|stage| {
        let flags = ["--stop-before=USR1=200ms", "--stop-before=40=100ms"];
        let mut running = ready(stage, &flags, &["catch:all", "say:ready", "hear:3", "exit:4"])?;
        let begun = std::time::Instant::now();
        running.signal(libc::SIGTERM)?;
        for heard in [10, 40, 15] {
            running.says(&format!("heard {heard}"))?;
        }
        holds!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
        running.ends_with(4).map(drop)
    });
}

#[test]
fn a_workload_that_ends_at_the_first_of_them_is_not_waited_for() {
    in_both(|stage| {
        let flags = ["--stop-before=USR1=20s"];
        let mut running = ready(stage, &flags, &["catch:all", "say:ready", "hear", "exit:4"])?;
        let begun = std::time::Instant::now();
        running.signal(libc::SIGTERM)?;
        running.says("heard 10")?;
        running.ends_with(4)?;
        holds!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        Ok(())
    });
}

#[test]
fn a_second_term_skips_the_waits() {
    in_both(|stage| {
        let flags = ["--stop-before=USR1=20s"];
        let mut running = ready(stage, &flags, &["catch:all", "say:ready", "hear:2", "exit:4"])?;
        let begun = std::time::Instant::now();
        running.signal(libc::SIGTERM)?;
        running.says("heard 10")?;
        running.signal(libc::SIGTERM)?;
        running.says("heard 15")?;
        running.ends_with(4)?;
        holds!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        Ok(())
    });
}

#[test]
fn a_rewritten_signal_is_another_and_a_dropped_one_is_none() {
    in_both(|stage| {
        let flags = ["--rewrite=HUP=USR2", "--rewrite=WINCH=none"];
        let mut running = ready(stage, &flags, &["catch:all", "say:ready", "hear:2", "exit:4"])?;
        running.signal(libc::SIGWINCH)?;
        running.signal(libc::SIGHUP)?;
        running.says("heard 12")?;
        running.signal(libc::SIGUSR1)?;
        running.says("heard 10")?;
        running.ends_with(4).map(drop)
    });
}

#[test]
fn a_rewritten_signal_keeps_its_value() {
    in_both(|stage| {
        let mut running = ready(stage, &["--rewrite=40=41"], &["catch:all", "say:ready", "hear", "exit:4"])?;
        crate::spawn::queue(running.init, 40, 99).map_err(|error| error.to_string())?;
        running.says("heard 41 value 99")?;
        running.ends_with(4).map(drop)
    });
}

/// Docker's STOPSIGNAL, and the kubelet's, may be any: what is rewritten to TERM begins the end.
#[test]
fn a_signal_that_is_rewritten_to_term_begins_the_end() {
    in_both(|stage| {
        let flags = ["--rewrite=RTMIN+3=TERM", "--stop-timeout=300ms"];
        let mut running = ready(stage, &flags, &["catch:all", "say:ready", "hear", "wait"])?;
        running.signal(37)?;
        running.says("heard 15")?;
        running.ends_with(137).map(drop)
    });
}

#[test]
fn the_last_line_says_who_asked_and_what_was_left() {
    in_both(|stage| {
        let words = ["ignore:1", "orphan{", "setsid", "wait", "}", "say:ready", "line", "exit:4"];
        let mut running = ready(stage, &[], &words)?;
        running.type_in("go\n")?;
        let end = running.ends_with(4)?;
        let last = end.errors.last().cloned().unwrap_or_default();
        same!(last, "portcullis: ended: probe exited with 4; 1 process that it left behind was ended".to_owned());
        Ok(())
    });
}

#[test]
fn a_workload_that_is_killed_is_said_to_be() {
    in_both(|stage| {
        let mut running = ready(stage, &["--stop-timeout=200ms"], &["ignore:15", "say:ready", "wait"])?;
        running.signal(libc::SIGTERM)?;
        let end = running.ends_with(137)?;
        same!(
            end.errors[1..],
            [
                "portcullis: the program did not end within 200ms and is killed",
                "portcullis: ended: probe was ended by SIGKILL, after SIGTERM from outside",
            ]
        );
        Ok(())
    });
}
