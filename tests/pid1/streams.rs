//! Standard streams in every state, and what init holds on to: nothing.

use std::fs::File;

use crate::spawn::Stream;
use crate::stage::Stage;
use crate::table::Tini::{Fails, FailsAsPid1, Passes};
use crate::table::{Judged, cases, holds, same};

const HOLDS: &str = "it keeps what it was started with open for its own life";

fn with(stage: &Stage, streams: Vec<(usize, Stream)>) -> Judged {
    let start = streams.into_iter().fold(stage.begin(), |start, (at, stream)| start.stream(at, stream));
    start.start(&["exit:9"])?.ends_with(9).map(drop)
}

fn full() -> Stream {
    Stream::File(File::options().write(true).open("/dev/full").expect("/dev/full"))
}

/// The write end of a pipe that nobody reads.
fn broken() -> Stream {
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).expect("a pipe");
    drop(read);
    Stream::File(write.into())
}

/// A pipe that is full, and its read end.
fn stuffed() -> (File, Stream) {
    let (read, write) =
        nix::unistd::pipe2(nix::fcntl::OFlag::O_NONBLOCK | nix::fcntl::OFlag::O_CLOEXEC).expect("a pipe");
    while nix::unistd::write(&write, &[b'x'; 4096]).is_ok() {}
    let flags = nix::fcntl::OFlag::empty();
    nix::fcntl::fcntl(&write, nix::fcntl::FcntlArg::F_SETFL(flags)).expect("blocking");
    (read.into(), Stream::File(write.into()))
}

cases! {
    a_closed_input, Fails("it cannot look for a terminal there, and ends with 1") => |stage| { with(stage, vec![(0, Stream::Closed)]) }

    a_closed_output, Passes => |stage| { with(stage, vec![(1, Stream::Closed)]) }

    closed_errors, Passes => |stage| { with(stage, vec![(2, Stream::Closed)]) }

    three_closed_streams, Fails("it cannot look for a terminal there, and ends with 1") => |stage| {
        with(stage, vec![(0, Stream::Closed), (1, Stream::Closed), (2, Stream::Closed)])
    }

    a_full_disk_behind_the_errors, Passes => |stage| { with(stage, vec![(2, full())]) }

    a_full_disk_behind_the_output, Passes => |stage| { with(stage, vec![(1, full())]) }

    a_broken_pipe_behind_the_errors, Passes => |stage| { with(stage, vec![(2, broken())]) }

    a_full_pipe_behind_the_errors, Passes => |stage| {
        let (reader, errors) = stuffed();
        with(stage, vec![(2, errors)])?;
        drop(reader);
        Ok(())
    }

    /// A log that nobody reads delays neither a signal nor the end.
    term_passes_with_a_full_pipe_behind_the_errors, Passes => |stage| {
        let (reader, errors) = stuffed();
        let mut running = stage.begin().stream(2, errors).start(&["catch:15", "say:ready", "hear", "exit:8"])?;
        running.says("ready")?;
        running.signal(libc::SIGTERM)?;
        running.says("heard 15")?;
        running.ends_with(8)?;
        drop(reader);
        Ok(())
    }

    an_empty_input_is_the_end_of_it, Passes => |stage| {
        let mut running = stage.start(&["line", "exit:2"])?;
        running.stdin = None;
        running.says("eof")?;
        running.ends_with(2).map(drop)
    }

    input_arrives, Passes => |stage| {
        let mut running = stage.start(&["line", "line", "exit:2"])?;
        running.type_in("one\ntwo\n")?;
        running.says("line one")?;
        running.says("line two")?;
        running.ends_with(2).map(drop)
    }

    /// Whoever writes to a workload that has closed its input learns it.
    the_input_is_not_held, Fails(HOLDS) => |stage| {
        let mut running = stage.start(&["catch:10", "null:0", "say:ready", "hear"])?;
        running.says("ready")?;
        running.until("writing fails", |running| {
            let mut poll = libc::pollfd {
                fd: std::os::fd::AsRawFd::as_raw_fd(running.stdin.as_ref().expect("an input")), events: libc::POLLOUT, revents: 0,
            };
            // SAFETY: one pollfd that lives here.
            unsafe { libc::poll(&raw mut poll, 1, 0) };
            poll.revents & libc::POLLERR != 0
        })?;
        running.signal(libc::SIGUSR1)?;
        running.ends_with(0).map(drop)
    }

    /// Whoever reads a workload that has closed its output sees the end of it.
    the_output_is_not_held, Fails(HOLDS) => |stage| {
        let mut running = stage.start(&["catch:10", "say:ready", "null:1", "hear"])?;
        running.says("ready")?;
        running.output_ends()?;
        running.signal(libc::SIGUSR1)?;
        running.ends_with(0).map(drop)
    }

    a_stray_descriptor_is_not_held, Fails(HOLDS) => |stage| {
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).expect("a pipe");
        let running = stage.begin().descriptor(write, 20).start(&["close:20", "say:ready", "line"])?;
        running.says("ready")?;
        let mut poll = libc::pollfd { fd: std::os::fd::AsRawFd::as_raw_fd(&read), events: libc::POLLIN, revents: 0 };
        // The keeper has it as well, as any parent would.
        let lives = if stage.home == crate::table::Home::Subreaper { held_by(&running, 20) } else {
            // SAFETY: one pollfd that lives here.
            unsafe { libc::poll(&raw mut poll, 1, stage.patience.as_millis() as i32) == 0 }
        };
        holds!(!lives, "the pipe is still open");
        Ok(())
    }

    init_holds_few_descriptors, FailsAsPid1("what it was started with, and here that is one more") => |stage| {
        let file = File::open("/proc/version").expect("a file");
        let start = stage.begin();
        let start = if stage.home == crate::table::Home::Pid1 { start.descriptor(file.into(), 30) } else { start };
        let running = start.start(&["say:ready", "line"])?;
        running.says("ready")?;
        let count = |running: &crate::stage::Running| {
            std::fs::read_dir(format!("/proc/{}/fd", running.init)).map_or(99, Iterator::count)
        };
        // Streams, signals, denials, and its own way to the log.
        running.until("descriptors are given up", |running| count(running) <= if stage.is_portcullis() { 6 } else { 3 })
    }

    init_keeps_no_directory, Fails(HOLDS) => |stage| {
        let running = stage.start(&["say:ready", "line"])?;
        running.says("ready")?;
        running.until("init is in /", |running| {
            std::fs::read_link(format!("/proc/{}/cwd", running.init)).is_ok_and(|cwd| cwd.as_os_str() == "/")
        })
    }

    the_workload_is_where_init_was_started, Passes => |stage| {
        let end = stage.start(&["cwd"])?.ends_with(0)?;
        same!(end.out, [format!("cwd {}", stage.place.path("app").display())]);
        Ok(())
    }

    the_umask_is_handed_on, Passes => |stage| {
        fn odd() {
            // SAFETY: umask(2) between fork and exec.
            unsafe { libc::umask(0o027) };
        }
        let end = stage.begin().before(odd).start(&["umask"])?.ends_with(0)?;
        same!(end.out, ["umask 027"]);
        Ok(())
    }
}

fn held_by(running: &crate::stage::Running, fd: i32) -> bool {
    std::fs::symlink_metadata(format!("/proc/{}/fd/{fd}", running.init)).is_ok()
}
