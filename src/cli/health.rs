//! `portcullis health`: is the init that supervises here well? For Docker's HEALTHCHECK and for probes of the kubelet.
//!
//! There is no socket and no file to ask it by, which the workload could reach, flood or forge. Init's loop reads every signal
//! that waits for it, and passes all but SIGCHLD and SIGURG on: so it is sent SIGURG, which changes nothing, and the kernel says
//! in `/proc/PID/status` when it was read. A loop that hangs leaves it pending. What init is doing stands in its name, which
//! it alone can set.

use std::time::{Duration, Instant};

use clap::Args;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::supervise::RESIDENT_NAME;

#[derive(Debug, Args)]
pub struct HealthArgs {
    /// The init to ask; else PID 1, or the only one that supervises here
    #[arg(long, value_name = "PID")]
    pid: Option<i32>,
}

/// Longer than a busy machine lets a loop wait for its turn; short of the shortest usual probe timeout.
const PATIENCE: Duration = Duration::from_millis(900);

/// Between two looks.
const PAUSE: Duration = Duration::from_micros(50);

/// What is said, and the exit code: 0 or 1, the only two that Docker knows; a kubelet takes every other than 0 for a failure.
pub fn run(args: &HealthArgs) -> (String, u8) {
    match args.pid.map_or_else(find, Ok).and_then(ask) {
        Ok(pid) => (format!("healthy: pid {pid} supervises\n"), 0),
        Err(why) => (format!("unhealthy: {why}\n"), 1),
    }
}

fn ask(pid: i32) -> Result<i32, String> {
    let state = Status::of(pid)?;
    match (state.name.as_str(), state.state) {
        (_, 'T' | 't') => return Err(format!("pid {pid} is stopped")),
        (_, 'Z' | 'X') => return Err(format!("pid {pid} has ended")),
        (name, _) if name == resident_name() => {}
        ("portcullis", _) => return Err("the program is not started yet".to_owned()),
        _ => return Err(format!("pid {pid} is no portcullis")),
    }
    match kill(Pid::from_raw(pid), Signal::SIGURG) {
        Ok(()) => has_read(pid),
        Err(Errno::EPERM) => Err(format!("pid {pid} is another user's: ask as the user it was started as")),
        Err(errno) => Err(format!("pid {pid} cannot be asked: {}", errno.desc())),
    }
}

/// Waits until the signal is no longer pending.
fn has_read(pid: i32) -> Result<i32, String> {
    let begun = Instant::now();
    while Status::of(pid)?.pending >> (Signal::SIGURG as i32 - 1) & 1 == 1 {
        if begun.elapsed() > PATIENCE {
            return Err(format!("pid {pid} does not read its signals"));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(pid)
}

fn resident_name() -> &'static str {
    RESIDENT_NAME.to_str().unwrap_or_default()
}

/// PID 1 if it is ours, else the one below which no other is: a workload may call itself what it likes, but its init is above.
fn find() -> Result<i32, String> {
    if Status::of(1).is_ok_and(|status| status.name.starts_with("portcullis")) {
        return Ok(1);
    }
    let entries = std::fs::read_dir("/proc").map_err(|error| format!("/proc cannot be read: {error}"))?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let residents: Vec<i32> =
        pids.filter(|pid| is_resident(*pid) && !ancestors(*pid).into_iter().any(is_resident)).collect();
    match residents[..] {
        [pid] => Ok(pid),
        [] => Err("no portcullis supervises here".to_owned()),
        _ => Err("more than one supervises here: name it by --pid".to_owned()),
    }
}

fn is_resident(pid: i32) -> bool {
    Status::of(pid).is_ok_and(|status| status.name == resident_name())
}

/// From the parent up. Bounded: processes seen at different moments could form a circle.
fn ancestors(pid: i32) -> Vec<i32> {
    let parent = |pid: &i32| Status::of(*pid).ok().map(|status| status.parent).filter(|parent| *parent > 0);
    std::iter::successors(parent(&pid), parent).take(1024).collect()
}

/// What proc_pid_status(5) says of a process.
struct Status {
    name: String,
    state: char,
    parent: i32,
    /// Signals that wait for the process as a whole.
    pending: u64,
}

impl Status {
    fn of(pid: i32) -> Result<Status, String> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status"));
        text.ok().as_deref().and_then(Status::parse).ok_or_else(|| format!("there is no pid {pid}"))
    }

    fn parse(text: &str) -> Option<Status> {
        // The name comes first and has its line ends escaped by the kernel.
        let field = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        Some(Status {
            name: field("Name:")?.to_owned(),
            state: field("State:")?.chars().next()?,
            parent: field("PPid:")?.parse().ok()?,
            pending: u64::from_str_radix(field("ShdPnd:")?, 16).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read() {
        let text = "Name:\tportcullis:run\nUmask:\t0077\nState:\tS (sleeping)\nPPid:\t7\nShdPnd:\t0000000000400000\n";
        let status = Status::parse(text).expect("a status");
        assert_eq!((status.name.as_str(), status.state, status.parent), (resident_name(), 'S', 7));
        assert_eq!(status.pending >> (Signal::SIGURG as i32 - 1) & 1, 1);
        assert!(Status::parse("Name:\tx\n").is_none());
    }

    #[test]
    fn what_is_no_init_of_ours_is_not_healthy() {
        let own = std::process::id() as i32;
        assert_eq!(run(&HealthArgs { pid: Some(own) }), (format!("unhealthy: pid {own} is no portcullis\n"), 1));
        assert_eq!(run(&HealthArgs { pid: Some(i32::MAX) }).1, 1);
    }
}
