//! Signals: which are forwarded, with their values; and what they are called.

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::plan::Rewrite;
use crate::sys::signals::{self, Arrived};

/// What a runtime sends to itself, or the kernel to a parent: never forwarded. KILL and STOP do not arrive.
const OWN: [i32; 2] = [libc::SIGCHLD, libc::SIGURG];

/// Signals that ask a program to end.
pub const ENDING: [i32; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];

/// Whether it is for the workload. A SIGPIPE that our own write to a closed standard error raised is not: blocked signals
/// arrive here even when they are ignored.
fn is_forwarded(arrived: &Arrived) -> bool {
    let own_pipe = arrived.signal == libc::SIGPIPE && arrived.sender == Pid::this().as_raw();
    !OWN.contains(&arrived.signal) && !own_pipe
}

/// What the workload is to hear of it, `rewrite` applied; `None` for nothing.
pub fn for_the_workload(arrived: &Arrived, rewrite: &Rewrite) -> Option<Arrived> {
    if !is_forwarded(arrived) {
        return None;
    }
    match rewrite.get(&arrived.signal) {
        None => Some(*arrived),
        Some(to) => to.map(|signal| Arrived { signal, ..*arrived }),
    }
}

/// Passes one on, with its value if it was queued with one. ESRCH: the workload has just ended, which the loop will see.
pub fn forward(to: Pid, arrived: Arrived) -> Result<(), Errno> {
    let sent = if arrived.code == libc::SI_QUEUE {
        signals::send_value(to, arrived.signal, arrived.value)
    } else {
        signals::send(to, arrived.signal)
    };
    match sent {
        Err(Errno::ESRCH) => Ok(()),
        // Its queue is full of signals that it blocks: the value is lost, the signal is not.
        Err(Errno::EAGAIN) => signals::send(to, arrived.signal).or_else(|errno| match errno {
            Errno::ESRCH | Errno::EAGAIN => Ok(()),
            other => Err(other),
        }),
        other => other,
    }
}

/// `SIGTERM`, or `signal 34` for those that have no name everywhere.
pub fn name(signal: i32) -> String {
    match nix::sys::signal::Signal::try_from(signal) {
        Ok(known) => known.as_str().to_owned(),
        Err(_) => format!("signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_signals_are_forwarded() {
        let deliverable = (1..=64).filter(|s| ![libc::SIGKILL, libc::SIGSTOP].contains(s));
        assert_eq!(deliverable.filter(|s| is_forwarded(&Arrived::of(*s))).count(), 60);
    }

    #[test]
    fn what_init_raised_itself_is_not_forwarded() {
        let own = Arrived { sender: Pid::this().as_raw(), ..Arrived::of(libc::SIGPIPE) };
        assert!(!is_forwarded(&own));
        // What this very process sent itself before it executed us is somebody's message.
        assert!(is_forwarded(&Arrived { signal: libc::SIGTERM, ..own }));
    }

    #[test]
    fn a_rewritten_signal_keeps_its_value_and_a_dropped_one_is_none() {
        let rewrite = Rewrite::from([(34, Some(15)), (28, None)]);
        let queued = Arrived { code: libc::SI_QUEUE, value: 7, ..Arrived::of(34) };
        assert_eq!(for_the_workload(&queued, &rewrite), Some(Arrived { signal: 15, ..queued }));
        assert_eq!(for_the_workload(&Arrived::of(28), &rewrite), None);
        assert_eq!(for_the_workload(&Arrived::of(1), &rewrite), Some(Arrived::of(1)));
        assert_eq!(for_the_workload(&Arrived::of(17), &rewrite), None);
    }

    #[test]
    fn every_number_has_a_name() {
        assert_eq!(name(15), "SIGTERM");
        assert_eq!(name(34), "signal 34");
    }
}
