//! Exit codes: the workload's own, 128 and its signal, 126 and 127; and its arguments, byte for byte.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;

use crate::spawn::queue;
use crate::stage::Stage;
use crate::table::Tini::{Fails, Passes};
use crate::table::{Judged, cases, same};

fn exits(stage: &Stage, words: &[&str], code: i32) -> Judged {
    stage.start(words)?.ends_with(code).map(drop)
}

/// A program that is no program, by this name in the workload's folder.
fn refused(stage: &Stage, text: &str, mode: u32, code: i32) -> Judged {
    let path = stage.place.write("app/program", text, mode);
    stage.begin().start_program(path.as_os_str(), &[])?.ends_with(code).map(drop)
}

/// What a signal leaves alive by default, or stops.
const SPARED: [i32; 8] = [17, 18, 19, 20, 21, 22, 23, 28];

cases! {
    zero_is_zero, Passes => |stage| { exits(stage, &["exit:0"], 0) }

    one_is_one, Passes => |stage| { exits(stage, &["exit:1"], 1) }

    the_last_is_255, Passes => |stage| { exits(stage, &["exit:255"], 255) }

    codes_that_look_like_signals_go_through, Passes => |stage| {
        [126, 127, 128, 129, 137, 143, 192].iter().try_for_each(|code| exits(stage, &[&format!("exit:{code}")], *code))
    }

    /// Those that portcullis itself has a meaning for are no exception.
    every_code_goes_through, Passes => |stage| {
        (0..=255).try_for_each(|code| exits(stage, &[&format!("exit:{code}")], code))
    }

    every_deadly_signal_is_128_more, Passes => |stage| {
        (1..=64).filter(|signal| !SPARED.contains(signal)).try_for_each(|signal| {
            exits(stage, &[&format!("die:{signal}")], 128 + signal)
        })
    }

    a_crash_is_139, Passes => |stage| { exits(stage, &["crash"], 139) }

    a_kill_from_outside_is_137, Passes => |stage| {
        let mut running = stage.start(&["say:ready", "wait"])?;
        running.says("ready")?;
        crate::spawn::kill(running.workload()?, libc::SIGKILL);
        running.ends_with(137).map(drop)
    }

    /// The last real-time signal, with a value, by the kernel's own call.
    a_queued_signal_without_a_handler_is_192, Passes => |stage| {
        let mut running = stage.start(&["say:ready", "wait"])?;
        running.says("ready")?;
        queue(running.workload()?, 64, 7).map_err(|error| error.to_string())?;
        running.ends_with(192).map(drop)
    }

    a_missing_program_is_127, Passes => |stage| {
        stage.begin().start_program(OsStr::new("/nowhere/program"), &[])?.ends_with(127).map(drop)
    }

    a_missing_name_is_127, Passes => |stage| {
        stage.begin().start_program(OsStr::new("no-such-program-anywhere"), &[])?.ends_with(127).map(drop)
    }

    a_program_without_the_right_to_run_is_126, Passes => |stage| { refused(stage, "#!/bin/sh\n", 0o644, 126) }

    a_directory_is_126, Passes => |stage| {
        stage.begin().start_program(OsStr::new("/usr"), &[])?.ends_with(126).map(drop)
    }

    a_missing_interpreter_is_127, Passes => |stage| { refused(stage, "#!/nowhere/sh\n", 0o755, 127) }

    a_script_runs, Passes => |stage| {
        let path = stage.place.write("app/program", "#!/bin/sh\nexit 9\n", 0o755);
        stage.begin().flags(&["--read=/bin"]).start_program(path.as_os_str(), &[])?.ends_with(9).map(drop)
    }

    arguments_are_bytes, Passes => |stage| {
        let words = [OsString::from("show"), OsString::from_vec(b"a\xffb".to_vec()), "".into(), "-v".into(), "--".into()];
        let end = stage.begin().start_program(crate::stage::probe().as_os_str(), &words)?.ends_with(0)?;
        same!(end.out, ["[a\u{fffd}b]", "[]", "[-v]", "[--]"]);
        Ok(())
    }

    a_thousand_arguments_arrive, Passes => |stage| {
        let words: Vec<String> = (0..1000).map(|at| format!("word {at}")).collect();
        let words: Vec<&str> = std::iter::once("show").chain(words.iter().map(String::as_str)).collect();
        let end = stage.start(&words)?.ends_with(0)?;
        same!(end.out.len(), 1000);
        same!(end.out[999], "[word 999]");
        Ok(())
    }

    /// A supervisor that ignores SIGCHLD, as some service managers' helpers do, passes that on by exec.
    a_parent_that_ignores_sigchld_hides_no_code, Fails("its own children are reaped by the kernel: it waits for ever") => |stage| {
        // SAFETY: signal(2) between fork and exec.
        let ignore = || unsafe { _ = libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        stage.begin().before(ignore).start(&["exit:6"])?.ends_with(6).map(drop)
    }
}
