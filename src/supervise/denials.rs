//! Answers denied calls, and tells each kind of denial once; the rest is counted for the last line.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::Pid;

use crate::confine::denial::{self, Denial};
use crate::console::Console;
use crate::refusal::Refusal;
use crate::sys::seccomp::{self, Answer, Notified};

/// The most different denials that are remembered: a workload could invent argument values for ever.
const MOST_KINDS: usize = 64;

pub struct Denials {
    listener: OwnedFd,
    /// Whose first exec is the start itself; `None` once it was answered.
    starting: Option<Pid>,
    counts: BTreeMap<Denial, u64>,
    others: u64,
}

impl Denials {
    pub fn new(listener: OwnedFd, launcher: Pid) -> Result<Self, Refusal> {
        fcntl(&listener, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .map_err(|errno| Refusal::internal(format!("the listener cannot be made non-blocking: {errno}")))?;
        Ok(Denials { listener, starting: Some(launcher), counts: BTreeMap::new(), others: 0 })
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Whether the launcher's exec was asked for and let go on.
    pub fn start_was_answered(&self) -> bool {
        self.starting.is_none()
    }

    /// Answers one call. False when the last process of the cage is gone and nothing more can come.
    pub fn answer_one(&mut self, console: &Console) -> Result<bool, Refusal> {
        let broken = |errno| Refusal::internal(format!("the seccomp listener: {errno}"));
        match seccomp::receive(self.listener.as_fd()) {
            Ok(Some(notified)) => {
                let answer = self.judge(&notified, console);
                seccomp::answer(self.listener.as_fd(), notified.id, answer).map_err(broken)?;
                Ok(true)
            }
            Ok(None) => Ok(!self.hung_up()),
            Err(errno) => Err(broken(errno)),
        }
    }

    /// Poll says so when no process has the filter any more.
    fn hung_up(&self) -> bool {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let mut fds = [PollFd::new(self.listener.as_fd(), PollFlags::empty())];
        poll(&mut fds, PollTimeout::ZERO).is_ok() && fds[0].revents().is_some_and(|r| r.contains(PollFlags::POLLHUP))
    }

    /// The launcher's one exec goes on, exactly once, before any foreign code exists. Everything else is refused.
    fn judge(&mut self, notified: &Notified, console: &Console) -> Answer {
        let is_start = i64::from(notified.call) == libc::SYS_execveat
            && self.starting.is_some_and(|pid| pid.as_raw() as u32 == notified.pid);
        if is_start {
            self.starting = None;
            return Answer::Continue;
        }
        self.tell(notified, console);
        Answer::Errno(denial::errno(notified.call))
    }

    fn tell(&mut self, notified: &Notified, console: &Console) {
        let denial = denial::explain(notified);
        if let Some(count) = self.counts.get_mut(&denial) {
            *count += 1;
        } else if self.counts.len() < MOST_KINDS {
            let program = name_of(notified.pid);
            console
                .say("denied", &format!("denied: {} by {program} (pid {}): {}", denial.call, notified.pid, denial.why));
            self.counts.insert(denial, 1);
        } else {
            self.others += 1;
        }
    }

    /// `denied: ptrace 3, socket(AF_ALG, ...) 1`, if there was anything.
    pub fn summary(&self) -> Option<String> {
        let mut parts: Vec<String> =
            self.counts.iter().map(|(denial, count)| format!("{} {count}", denial.call)).collect();
        if self.others > 0 {
            parts.push(format!("others {}", self.others));
        }
        (!parts.is_empty()).then(|| format!("denied: {}", parts.join(", ")))
    }
}

/// The command's name as the kernel keeps it: readable even of an undumpable process.
fn name_of(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm"))
        .map_or_else(|_| "a process".to_owned(), |name| name.trim_end().to_owned())
}
