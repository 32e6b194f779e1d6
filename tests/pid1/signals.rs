//! Signals on their way through init: all sixty, once, in order, with their values, however many and however soon.

use crate::spawn::{kill, queue};
use crate::stage::{Running, Stage, state};
use crate::table::Tini::{Fails, Passes};
use crate::table::{Judged, cases, holds, same};

/// A workload that says what it hears until TERM ends it with 7.
fn listener(stage: &Stage) -> Result<Running, String> {
    let running = stage.start(&["catch:all", "say:ready", "until:15", "exit:7"])?;
    running.says("ready")?;
    Ok(running)
}

/// Sends one, hears it, and then TERM: nothing came between.
fn passes_once(stage: &Stage, signal: i32) -> Judged {
    let mut running = listener(stage)?;
    running.signal(signal)?;
    running.says(&format!("heard {signal}"))?;
    running.signal(libc::SIGTERM)?;
    running.says("heard 15")?;
    same!(running.ends_with(7)?.out, Vec::<String>::new());
    Ok(())
}

const NEVER: [i32; 4] = [libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD, libc::SIGURG];

/// Sends it again while the queue of the receiver is full.
fn queue_patiently(pid: i32, signal: i32, value: i32) -> Judged {
    loop {
        match queue(pid, signal, value) {
            Ok(()) => return Ok(()),
            Err(full) if full.raw_os_error() == Some(libc::EAGAIN) => std::thread::yield_now(),
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn storm(stage: &Stage, word: &str) -> Judged {
    const MANY: i32 = 10_000;
    let mut running = stage.start(&["catch:40", "say:ready", &format!("{word}:{MANY}"), "exit:3"])?;
    running.says("ready")?;
    (0..MANY).try_for_each(|value| queue_patiently(running.init, 40, value))?;
    running.says(&format!("storm {MANY} wrong 0"))?;
    running.ends_with(3).map(drop)
}

cases! {
    hup_passes_once, Passes => |stage| { passes_once(stage, libc::SIGHUP) }

    int_passes_once, Passes => |stage| { passes_once(stage, libc::SIGINT) }

    quit_passes_once, Passes => |stage| { passes_once(stage, libc::SIGQUIT) }

    usr1_and_usr2_pass_once, Passes => |stage| {
        passes_once(stage, libc::SIGUSR1)?;
        passes_once(stage, libc::SIGUSR2)
    }

    /// Without a terminal it is anybody's message.
    winch_passes_once, Passes => |stage| { passes_once(stage, libc::SIGWINCH) }

    cont_passes_once, Passes => |stage| { passes_once(stage, libc::SIGCONT) }

    /// Sent, not raised by a terminal.
    tstp_ttin_and_ttou_pass_once, Fails("it ignores TTIN and TTOU for itself, so they do not arrive") => |stage| {
        [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].into_iter().try_for_each(|signal| passes_once(stage, signal))
    }

    signals_of_crashes_pass_when_they_are_sent, Fails("it leaves them to its own default action, and dies") => |stage| {
        [4, 5, 6, 7, 8, 11, 31].into_iter().try_for_each(|signal| passes_once(stage, signal))
    }

    the_first_and_the_last_real_time_signal_pass, Passes => |stage| {
        passes_once(stage, 34)?;
        passes_once(stage, 64)
    }

    /// The C library's own, which a program may use for messages all the same.
    signals_32_and_33_pass, Fails("the C library does not let it wait for them") => |stage| {
        passes_once(stage, 32)?;
        passes_once(stage, 33)
    }

    all_sixty_pass_in_one_life, Fails("32, 33, and those that it keeps for itself") => |stage| {
        let mut running = listener(stage)?;
        let sixty: Vec<i32> = (1..=64).filter(|signal| !NEVER.contains(signal) && *signal != 15).chain([15]).collect();
        same!(sixty.len(), 60);
        for signal in sixty {
            running.signal(signal)?;
            running.says(&format!("heard {signal}"))?;
        }
        same!(running.ends_with(7)?.out, Vec::<String>::new());
        Ok(())
    }

    /// Runtimes send it to themselves (Go), kernels for out-of-band data: never a message to the program.
    urg_is_kept, Fails("it forwards all but SIGCHLD") => |stage| {
        let mut running = listener(stage)?;
        running.signal(libc::SIGURG)?;
        // A later one in every order of delivery.
        running.signal(40)?;
        running.says("heard 40")?;
        running.signal(libc::SIGTERM)?;
        running.says("heard 15")?;
        running.ends_with(7).map(drop)
    }

    chld_is_kept, Passes => |stage| {
        let mut running = listener(stage)?;
        running.signal(libc::SIGCHLD)?;
        running.signal(40)?;
        running.says("heard 40")?;
        running.signal(libc::SIGTERM)?;
        running.says("heard 15")?;
        running.ends_with(7).map(drop)
    }

    real_time_signals_keep_their_order_and_number, Passes => |stage| {
        let mut running = stage.start(&["catch:all", "say:ready", "line", "hear:6", "exit:7"])?;
        running.says("ready")?;
        for signal in [50, 35, 50, 35, 42] {
            running.signal(signal)?;
        }
        // The last, and lowest in the kernel's order of delivery: all before it have gone through.
        running.signal(libc::SIGUSR1)?;
        let workload = running.workload()?;
        running.until("the last signal waits", |_| pending(workload) >> 9 & 1 == 1)?;
        running.type_in("go\n")?;
        running.says("line go")?;
        for heard in [10, 35, 35, 42, 50, 50] {
            running.says(&format!("heard {heard}"))?;
        }
        running.ends_with(7).map(drop)
    }

    values_are_kept, Fails("it sends signals on by kill(2), which has no value") => |stage| {
        let mut running = listener(stage)?;
        for value in [1, -1, i32::MAX] {
            queue(running.init, 40, value).map_err(|error| error.to_string())?;
            running.says(&format!("heard 40 value {value}"))?;
        }
        running.signal(libc::SIGTERM)?;
        running.says("heard 15")?;
        running.ends_with(7).map(drop)
    }

    /// A standard signal can have a value, too.
    the_value_of_a_standard_signal_is_kept, Fails("it sends signals on by kill(2), which has no value") => |stage| {
        let running = listener(stage)?;
        queue(running.init, libc::SIGUSR1, 99).map_err(|error| error.to_string())?;
        running.says("heard 10 value 99")
    }

    a_signal_without_a_value_gets_none, Passes => |stage| {
        let running = listener(stage)?;
        running.signal(40)?;
        running.says("heard 40")
    }

    a_storm_of_ten_thousand_arrives, Passes => |stage| { storm(stage, "count") }

    a_storm_of_ten_thousand_keeps_its_values_in_order, Fails("it sends signals on by kill(2), which has no value") => |stage| {
        storm(stage, "values")
    }

    /// They merge, as the kernel's do; init neither loses the last nor falls over.
    a_storm_of_one_standard_signal_ends_with_it, Passes => |stage| {
        let mut running = stage.start(&["catch:10,15", "say:ready", "until:15", "exit:7"])?;
        running.says("ready")?;
        for _ in 0..10_000 {
            running.signal(libc::SIGUSR1)?;
        }
        running.signal(libc::SIGTERM)?;
        let end = running.ends_with(7)?;
        let (last, before) = end.out.split_last().ok_or("nothing was heard")?;
        same!(last, "heard 15");
        holds!((1..=10_000).contains(&before.len()), "{} times", before.len());
        Ok(())
    }

    a_signal_without_a_handler_ends_the_workload, Passes => |stage| {
        let mut running = stage.start(&["say:ready", "wait"])?;
        running.says("ready")?;
        running.signal(libc::SIGUSR1)?;
        running.ends_with(138).map(drop)
    }

    an_ignored_signal_changes_nothing, Passes => |stage| {
        let mut running = stage.start(&["ignore:10", "catch:12", "say:ready", "hear", "exit:4"])?;
        running.says("ready")?;
        running.signal(libc::SIGUSR1)?;
        running.signal(libc::SIGUSR2)?;
        running.says("heard 12")?;
        running.ends_with(4).map(drop)
    }

    what_is_sent_to_a_stopped_workload_waits_for_it, Passes => |stage| {
        let mut running = stage.start(&["catch:10,12", "say:ready", "hear:2", "exit:5"])?;
        running.says("ready")?;
        let workload = running.workload()?;
        kill(workload, libc::SIGSTOP);
        running.until("it is stopped", |_| state(workload) == Some('T'))?;
        running.signal(libc::SIGUSR1)?;
        running.until("the signal waits", |_| pending(workload) >> 9 & 1 == 1)?;
        same!(state(workload), Some('T'));
        running.signal(libc::SIGUSR2)?;
        running.until("the other waits", |_| pending(workload) >> 11 & 1 == 1)?;
        running.signal(libc::SIGCONT)?;
        running.says("heard 10")?;
        running.says("heard 12")?;
        running.ends_with(5).map(drop)
    }

    /// Without a terminal: an operator's way to pause a program.
    tstp_stops_the_workload_and_cont_continues_it, Passes => |stage| {
        let mut running = stage.start(&["say:ready", "line", "exit:5"])?;
        running.says("ready")?;
        let workload = running.workload()?;
        running.signal(libc::SIGTSTP)?;
        running.until("it is stopped", |_| state(workload) == Some('T'))?;
        running.signal(libc::SIGCONT)?;
        running.until("it goes on", |_| state(workload) != Some('T'))?;
        running.type_in("go\n")?;
        running.says("line go")?;
        running.ends_with(5).map(drop)
    }

    /// What came first is not lost, and TERM at the end is heard as the only one.
    signals_at_the_first_instruction_arrive, Passes => |stage| {
        for _ in 0..20 {
            let mut running = stage.start(&["catch:all", "say:ready", "until:15", "exit:7"])?;
            running.says("ready")?;
            running.signal(libc::SIGTERM)?;
            running.ends_with(7)?;
        }
        Ok(())
    }

    the_workload_begins_with_an_empty_mask, Fails("it gives back the mask that it was started with") => |stage| {
        let end = fresh(stage)?;
        same!(end[0], "SigBlk:\t0000000000000000");
        Ok(())
    }

    the_workload_ignores_nothing, Fails("it resets TTIN and TTOU alone") => |stage| {
        let end = fresh(stage)?;
        same!(end[1], "SigIgn:\t0000000000000000");
        Ok(())
    }

    the_workload_has_nothing_pending, Passes => |stage| {
        let end = fresh(stage)?;
        same!(end[2], "ShdPnd:\t0000000000000000");
        Ok(())
    }

    /// With nothing odd found, nothing odd is made.
    an_ordinary_start_stays_ordinary, Passes => |stage| {
        let end = stage.start(&["status:SigBlk", "status:SigIgn", "status:SigCgt"])?.ends_with(0)?;
        same!(end.out, ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "SigCgt:\t0000000000000000"]);
        Ok(())
    }
}

/// The shared pending set of a process, in the kernel's order.
fn pending(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("ShdPnd:\t")).unwrap_or_default();
    u64::from_str_radix(line, 16).unwrap_or_default()
}

/// What a workload finds whose init was started with all signals blocked and most of them ignored.
fn fresh(stage: &Stage) -> Result<Vec<String>, String> {
    fn odd() {
        let all = u64::MAX;
        // SAFETY: the kernel reads eight bytes of a local; signal(2) between fork and exec.
        unsafe {
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGPIPE, libc::SIGTERM, 40] {
                libc::signal(signal, libc::SIG_IGN);
            }
            libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const all, 0, 8);
        }
    }
    let words = ["status:SigBlk", "status:SigIgn", "status:ShdPnd"];
    Ok(stage.begin().before(odd).start(&words)?.ends_with(0)?.out)
}
