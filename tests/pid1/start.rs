//! The start: a signal in any microsecond of it, inits in inits, and what is pending already.

use std::time::Instant;

use crate::spawn::kill;
use crate::stage::{Stage, probe};
use crate::table::Tini::{Fails, Passes};
use crate::table::{Home, cases, holds, same};

/// Sends TERM so many microseconds after the start, and sees to it that one of the clean ends follows: nothing ran, or it ran
/// and was ended. What the kernel drops before the first instruction of main (PID 1 alone) is the one exception: then a second
/// TERM does it. True when the first was enough.
fn term_after(stage: &Stage, micros: u64) -> Result<bool, String> {
    let mut running = stage.start(&["say:ran", "line", "exit:3"])?;
    let begun = Instant::now();
    while (begun.elapsed().as_micros() as u64) < micros {
        std::hint::spin_loop();
    }
    // Blocked, as it is from the first instruction of main on, a signal waits and is not dropped.
    let blocked =
        u64::from_str_radix(&running.status("SigBlk:"), 16).unwrap_or_default() >> (libc::SIGTERM - 1) & 1 == 1;
    kill(running.init, libc::SIGTERM);
    let dropped = stage.home == Home::Pid1 && !blocked && running.line().is_ok_and(|line| line == "ran");
    if dropped {
        // It may have come to the workload all the same: between our look and the signal, main began.
        running.type_in("go\n").ok();
        let end = running.end()?;
        holds!([Some(143), Some(3)].contains(&end.code), "{micros} us: {end:?}");
        return Ok(end.code == Some(143));
    }
    let end = running.end()?;
    // Not PID 1, the kernel's default action ends it before main: nothing has been started then, either.
    holds!(end.code == Some(143) || (end.code.is_none() && stage.home == Home::Subreaper), "{micros} us: {end:?}");
    holds!(end.left == 0, "{micros} us: {end:?}");
    Ok(true)
}

cases! {
    /// Delays from none to longer than a start takes, by golden-ratio steps, so that they fall everywhere.
    a_term_in_any_microsecond_ends_it_cleanly, Passes => |stage| {
        const MOST: u64 = 30_000;
        let mut dropped = 0;
        for step in 0..150u64 {
            dropped += u64::from(!term_after(stage, step * 18_541 % MOST)?);
        }
        // Before main there are the kernel's exec and the loader: a small part of the delays falls there.
        holds!(dropped < 75, "{dropped} of 150 were dropped");
        Ok(())
    }

    /// A TERM that a careful parent kept blocked while it set things up.
    a_term_that_is_pending_already_is_not_lost, Fails("it hands it to a workload in which it still is blocked") => |stage| {
        fn pending() {
            let term = 1u64 << (libc::SIGTERM - 1);
            // SAFETY: the kernel reads eight bytes of a local; kill(2) to ourselves, blocked.
            unsafe {
                libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const term, 0, 8);
                if libc::getpid() == 1 {
                    libc::kill(libc::getpid(), libc::SIGTERM);
                }
            }
        }
        let mut running = stage.begin().before(pending).start(&["line", "exit:3"])?;
        if stage.home == Home::Subreaper {
            running.signal(libc::SIGTERM)?;
        }
        running.ends_with(143).map(drop)
    }

    under_tini_it_is_the_same, Passes => |stage| {
        // The other one is outside: the workload's code and TERM go through both.
        let mut words = vec![];
        if stage.is_portcullis() {
            words.extend(["exec", "/usr/bin/tini", "-s", "--"]);
        }
        let program = probe().to_string_lossy().into_owned();
        words.extend([program.as_str(), "catch:15", "say:ready", "hear", "exit:21"]);
        if !stage.is_portcullis() {
            words.splice(0..0, ["exec"]);
        }
        let mut running = stage.start(&words)?;
        running.says("ready")?;
        running.signal(libc::SIGTERM)?;
        running.says("heard 15")?;
        running.ends_with(21).map(drop)
    }

    inside_tini_it_is_the_same, Passes => |stage| {
        let mut words: Vec<std::ffi::OsString> = stage.init_words(&[]);
        words.extend([probe().as_os_str().to_owned(), "catch:15".into(), "say:ready".into(), "hear".into(), "exit:21".into()]);
        // An init below an init below whoever: the outer one is tini, always.
        let outer = Stage::new(crate::table::Init::Tini, stage.home, stage.patience);
        let mut running = outer.begin().start_program(&words[0].clone(), &words[1..])?;
        running.says("ready")?;
        running.signal(libc::SIGTERM)?;
        running.says("heard 15")?;
        running.ends_with(21).map(drop)
    }

    a_workload_that_ends_at_once_is_no_trouble, Passes => |stage| {
        for _ in 0..50 {
            stage.start(&["exit:1"])?.ends_with(1)?;
        }
        Ok(())
    }

    it_says_why_it_ended, Fails("it says nothing") => |stage| {
        let mut running = stage.start(&["say:ready", "wait"])?;
        running.says("ready")?;
        running.signal(libc::SIGTERM)?;
        let end = running.ends_with(143)?;
        let last = end.errors.last().cloned().unwrap_or_default();
        same!(last, "portcullis: ended: probe was ended by SIGTERM, after SIGTERM from outside".to_owned());
        Ok(())
    }
}
