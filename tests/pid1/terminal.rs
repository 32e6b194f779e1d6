//! A real terminal: as PID 1 init leads its session, as with `docker run -t`; else it is a job of a shell.

use crate::stage::{Running, Stage};
use crate::table::Tini::{FailsAsPid1, FailsAsSubreaper, Passes};
use crate::table::{Home, Judged, cases, holds, same};

const NOT_GIVEN_BACK: &str = "it does not give the foreground or the modes of the terminal back";

fn started(stage: &Stage, words: &[&str]) -> Result<Running, String> {
    let running = stage.begin().on_a_terminal().start(words)?;
    running.says_at_last("ready")?;
    Ok(running)
}

/// Only a shell knows jobs.
fn under_a_shell(stage: &Stage) -> bool {
    stage.home == Home::Subreaper
}

/// Who has the foreground and how the terminal is, as the shell sees it when its job has stopped or ended.
fn shell_finds(running: &Running, who: &str, modes: &str) -> Judged {
    running.news_is(&format!("foreground {who}"))?;
    running.news_is(&format!("modes {modes}"))
}

const CTRL_C: &str = "\x03";
const CTRL_BACKSLASH: &str = "\x1c";
const CTRL_Z: &str = "\x1a";
const CTRL_D: &str = "\x04";

cases! {
    the_workload_has_the_foreground, Passes => |stage| {
        let mut running = started(stage, &["say:ready", "tty:fg", "exit:3"])?;
        running.says_at_last("foreground mine")?;
        running.ends_with(3).map(drop)
    }

    /// It is handed over by the process that moves into its group, before anything of the workload runs.
    it_has_it_from_the_first_instruction_on, Passes => |stage| {
        for _ in 0..30 {
            let mut running = stage.begin().on_a_terminal().start(&["tty:fg", "exit:3"])?;
            running.says_at_last("foreground mine")?;
            running.ends_with(3)?;
        }
        Ok(())
    }

    ctrl_c_is_heard_once, Passes => |stage| {
        let mut running = started(stage, &["catch:2,10", "say:ready", "hear:2", "exit:3"])?;
        running.type_in(CTRL_C)?;
        running.says_at_last("heard 2")?;
        running.signal(libc::SIGUSR1)?;
        running.says_at_last("heard 10")?;
        running.ends_with(3).map(drop)
    }

    ctrl_c_ends_a_workload_without_handlers, Passes => |stage| {
        let mut running = started(stage, &["say:ready", "wait"])?;
        running.type_in(CTRL_C)?;
        running.ends_with(130).map(drop)
    }

    ctrl_backslash_is_quit, Passes => |stage| {
        let mut running = started(stage, &["say:ready", "wait"])?;
        running.type_in(CTRL_BACKSLASH)?;
        running.ends_with(131).map(drop)
    }

    ctrl_d_is_the_end_of_input, Passes => |stage| {
        let mut running = started(stage, &["say:ready", "line", "exit:3"])?;
        running.type_in(CTRL_D)?;
        running.says_at_last("eof")?;
        running.ends_with(3).map(drop)
    }

    lines_arrive, Passes => |stage| {
        let mut running = started(stage, &["say:ready", "line", "exit:3"])?;
        running.type_in("hello\n")?;
        running.says_at_last("line hello")?;
        running.ends_with(3).map(drop)
    }

    a_new_window_size_is_told_once, Passes => |stage| {
        let mut running = started(stage, &["catch:28,10", "say:ready", "hear", "tty:size", "hear", "exit:3"])?;
        running.resize(33, 99)?;
        running.says_at_last("heard 28")?;
        running.says_at_last("size 33 99")?;
        running.signal(libc::SIGUSR1)?;
        running.says_at_last("heard 10")?;
        running.ends_with(3).map(drop)
    }

    no_start_hangs_its_workload_up, Passes => |stage| {
        for _ in 0..30 {
            let mut running = stage.begin().on_a_terminal().start(&["catch:1,10", "say:ready", "hear", "exit:3"])?;
            running.says_at_last("ready")?;
            running.signal(libc::SIGUSR1)?;
            running.says_at_last("heard 10")?;
            running.ends_with(3)?;
        }
        Ok(())
    }

    a_terminal_that_goes_away_hangs_up, Passes => |stage| {
        let words = ["catch:1", "say:ready", "quiet:1", "exit:3"];
        let mut running = started(stage, &words)?;
        running.hang_up()?;
        // The shell hears it first, and ends as shells do: its job with it.
        if under_a_shell(stage) { running.end().map(drop).or(Ok(())) } else { running.ends_with(3).map(drop) }
    }

    term_is_heard_on_a_terminal, Passes => |stage| {
        let mut running = started(stage, &["catch:15", "say:ready", "hear", "exit:3"])?;
        running.signal(libc::SIGTERM)?;
        running.says_at_last("heard 15")?;
        running.ends_with(3).map(drop)
    }

    the_signals_of_job_control_are_not_blocked, Passes => |stage| {
        let running = started(stage, &["say:ready", "status:SigBlk", "status:SigIgn", "exit:3"])?;
        running.says_at_last("SigBlk:\t0000000000000000")?;
        running.says_at_last("SigIgn:\t0000000000000000")
    }

    the_foreground_is_given_back, FailsAsSubreaper(NOT_GIVEN_BACK) => |stage| {
        let mut running = started(stage, &["say:ready", "exit:3"])?;
        if under_a_shell(stage) {
            // Its job's group is that of init.
            shell_finds(&running, "job", "cooked")?;
        }
        running.ends_with(3).map(drop)
    }

    /// Killed in the midst of a full-screen life.
    a_raw_terminal_is_made_as_it_was, FailsAsSubreaper(NOT_GIVEN_BACK) => |stage| {
        let mut running = started(stage, &["tty:raw", "say:ready", "die:9"])?;
        if under_a_shell(stage) {
            shell_finds(&running, "job", "cooked")?;
        }
        running.ends_with(137).map(drop)
    }

    a_foreground_that_died_is_given_back, FailsAsSubreaper(NOT_GIVEN_BACK) => |stage| {
        // A child takes the terminal and is gone: the foreground is nobody's.
        let mut running = started(stage, &["fork{", "pgrp", "tty:take", "exit:0", "}", "reap", "say:ready", "exit:3"])?;
        if under_a_shell(stage) {
            shell_finds(&running, "job", "cooked")?;
        }
        running.ends_with(3).map(drop)
    }

    /// With nobody above who could continue it, a program would not be stopped either: the kernel stops no orphaned group.
    ctrl_z_without_a_shell_is_no_end_of_it, FailsAsPid1("its workload stays stopped, and nobody can continue it") => |stage| {
        if under_a_shell(stage) {
            return Ok(());
        }
        let mut running = started(stage, &["catch:18", "say:ready", "hear", "exit:3"])?;
        running.type_in(CTRL_Z)?;
        running.says_at_last("heard 18")?;
        running.ends_with(3).map(drop)
    }

    ctrl_z_stops_the_job_and_fg_continues_it, FailsAsSubreaper("its shell does not learn that the workload stopped") => |stage| {
        if !under_a_shell(stage) {
            return Ok(());
        }
        let mut running = started(stage, &["catch:18", "say:ready", "hear", "tty:fg", "line", "exit:3"])?;
        running.type_in(CTRL_Z)?;
        shell_finds(&running, "job", "cooked")?;
        running.news()?;
        running.order("who")?;
        running.news_is("foreground shell")?;
        running.order("fg")?;
        running.news_is("fg")?;
        running.says_at_last("heard 18")?;
        running.says_at_last("foreground mine")?;
        running.type_in("more\n")?;
        running.says_at_last("line more")?;
        running.ends_with(3).map(drop)
    }

    ctrl_z_and_fg_three_times, FailsAsSubreaper("its shell does not learn that the workload stopped") => |stage| {
        if !under_a_shell(stage) {
            return Ok(());
        }
        let mut running = started(stage, &["catch:18", "say:ready", "hear:3", "line", "exit:3"])?;
        for _ in 0..3 {
            running.type_in(CTRL_Z)?;
            shell_finds(&running, "job", "cooked")?;
            running.news()?;
            running.order("fg")?;
            running.news_is("fg")?;
            running.says_at_last("heard 18")?;
        }
        running.type_in("more\n")?;
        running.says_at_last("line more")?;
        running.ends_with(3).map(drop)
    }

    bg_continues_without_the_terminal, FailsAsSubreaper("its shell does not learn that the workload stopped") => |stage| {
        if !under_a_shell(stage) {
            return Ok(());
        }
        let mut running = started(stage, &["catch:18", "say:ready", "hear", "tty:fg", "exit:3"])?;
        running.type_in(CTRL_Z)?;
        shell_finds(&running, "job", "cooked")?;
        running.news()?;
        running.order("bg")?;
        running.news_is("bg")?;
        running.says_at_last("heard 18")?;
        running.says_at_last("foreground another's")?;
        shell_finds(&running, "shell", "cooked")?;
        running.ends_with(3).map(drop)
    }

    a_background_job_that_reads_stops_and_fg_lets_it, FailsAsSubreaper("its shell does not learn that the workload stopped") => |stage| {
        if !under_a_shell(stage) {
            return Ok(());
        }
        let mut running = stage.begin().on_a_terminal().in_the_background().start(&["say:ready", "line", "exit:3"])?;
        running.says_at_last("ready")?;
        shell_finds(&running, "shell", "cooked")?;
        let stopped = running.news()?;
        holds!(stopped.starts_with("stopped"), "{stopped}");
        running.order("fg")?;
        running.news_is("fg")?;
        running.type_in("more\n")?;
        running.says_at_last("line more")?;
        running.ends_with(3).map(drop)
    }

    /// `fg` tells a job that runs nothing: init finds the terminal given to it, and hands it on when the workload needs it.
    a_running_background_job_is_brought_to_the_foreground, FailsAsSubreaper("nobody hands the terminal on") => |stage| {
        if !under_a_shell(stage) {
            return Ok(());
        }
        let words = ["catch:10", "say:ready", "hear", "line", "exit:3"];
        let mut running = stage.begin().on_a_terminal().in_the_background().start(&words)?;
        running.says_at_last("ready")?;
        running.order("fg")?;
        running.news_is("fg")?;
        running.signal(libc::SIGUSR1)?;
        running.says_at_last("heard 10")?;
        running.type_in("more\n")?;
        running.says_at_last("line more")?;
        running.ends_with(3).map(drop)
    }

    a_job_that_was_stopped_hears_term, FailsAsSubreaper("its shell does not learn that the workload stopped") => |stage| {
        if !under_a_shell(stage) {
            return Ok(());
        }
        let mut running = started(stage, &["catch:15", "say:ready", "hear", "exit:3"])?;
        running.type_in(CTRL_Z)?;
        shell_finds(&running, "job", "cooked")?;
        running.news()?;
        // As `kill %1` of a shell does.
        running.signal(libc::SIGTERM)?;
        running.order("bg")?;
        running.news_is("bg")?;
        running.says_at_last("heard 15")?;
        running.ends_with(3).map(drop)
    }
}

/// What a terminal's program does with it is its own business: it is not held open for its own life.
#[test]
fn a_terminal_of_another_session_is_left_alone() {
    let stage = Stage::new(crate::table::Init::Portcullis, Home::Pid1, std::time::Duration::from_secs(30));
    if !crate::support::start::is_root() {
        return crate::support::skip("a pid namespace needs root");
    }
    let judged = || -> Judged {
        let mut running = stage.begin().on_a_terminal().without_a_session().start(&["say:ready", "line", "exit:3"])?;
        running.says_at_last("ready")?;
        running.type_in("go\n")?;
        running.says_at_last("line go")?;
        same!(running.ends_with(3)?.code, Some(3));
        Ok(())
    };
    judged().expect("a start on a terminal that is not its own");
}
