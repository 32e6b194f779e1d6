//! Answers denied calls, and tells of them: each kind at once, then at most once a minute, and all of them at the end.
//!
//! Memory is bounded by the number of kinds that are kept apart; a line that finds no room on standard error is dropped, so
//! that a storm of denials behind a reader that stalls delays nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::Pid;

use super::files::{self, Lack};
use crate::config::model::Profile;
use crate::confine::denial::{self, Denial};
use crate::confine::profiles::files::ABOUT_FILES;
use crate::console::Console;
use crate::plan::Plan;
use crate::refusal::Refusal;
use crate::sys::seccomp::{self, Answer, Notified};

/// The most different denials that are remembered: a workload could invent argument values for ever.
const MOST_KINDS: usize = 64;

/// And the most files and ports that are told of.
const MOST_LACKS: usize = 256;

/// How long one kind is not told of again.
const QUIET: Duration = Duration::from_secs(60);

pub struct Denials {
    listener: OwnedFd,
    profile: Profile,
    /// What `--explain-files` has found to be lacking.
    lacks: BTreeSet<Lack>,
    /// Whose first exec is the start itself; `None` once it was answered.
    starting: Option<Pid>,
    counts: BTreeMap<Denial, Count>,
    others: u64,
}

/// How often one kind was denied.
struct Count {
    all: u64,
    /// Since it was last told of.
    untold: u64,
    told: Instant,
}

impl Denials {
    pub fn new(listener: OwnedFd, launcher: Pid, profile: Profile) -> Result<Self, Refusal> {
        fcntl(&listener, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .map_err(|errno| Refusal::internal(format!("the listener cannot be made non-blocking: {errno}")))?;
        Ok(Denials {
            listener,
            profile,
            lacks: BTreeSet::new(),
            starting: Some(launcher),
            counts: BTreeMap::new(),
            others: 0,
        })
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Whether the launcher's exec was asked for and let go on.
    pub fn start_was_answered(&self) -> bool {
        self.starting.is_none()
    }

    /// Answers one call. False when the last process of the cage is gone and nothing more can come.
    pub fn answer_one(&mut self, plan: &Plan, console: &Console) -> Result<bool, Refusal> {
        let broken = |errno| Refusal::internal(format!("the seccomp listener: {errno}"));
        match seccomp::receive(self.listener.as_fd()) {
            Ok(Some(notified)) => {
                let answer = self.judge(&notified, plan, console);
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
    fn judge(&mut self, notified: &Notified, plan: &Plan, console: &Console) -> Answer {
        let is_start = i64::from(notified.call) == libc::SYS_execveat
            && self.starting.is_some_and(|pid| pid.as_raw() as u32 == notified.pid);
        if is_start {
            self.starting = None;
            return Answer::Continue;
        }
        if plan.cage.syscalls.explain_files && is_about_files(notified) {
            self.explain_file(notified, plan, console);
            // Landlock decides, and the filter allows each of these whatever its arguments.
            return Answer::Continue;
        }
        if let Some(line) = self.count(notified, Instant::now()) {
            console.say_if_room("denied", &line);
        }
        Answer::Errno(denial::errno(notified.call))
    }

    /// One line for each thing that is lacking; the block at the end has them all.
    fn explain_file(&mut self, notified: &Notified, plan: &Plan, console: &Console) {
        let Some(lack) = files::lack(notified, plan).filter(|lack| !self.lacks.contains(lack)) else { return };
        if self.lacks.len() < MOST_LACKS {
            console.say_if_room("lacking", &format!("not granted: {} needs {}", caller(notified.pid), lack.line()));
            self.lacks.insert(lack);
        }
    }

    /// What would have to be granted, as TOML to paste, if anything was lacking.
    pub fn block(&self) -> Option<String> {
        (!self.lacks.is_empty()).then(|| files::block(&self.lacks))
    }

    /// Counts it; the line, if one is due.
    fn count(&mut self, notified: &Notified, now: Instant) -> Option<String> {
        let denial = denial::explain(notified, self.profile);
        let Some(count) = self.counts.get_mut(&denial) else {
            if self.counts.len() >= MOST_KINDS {
                self.others += 1;
                return None;
            }
            let line = format!("denied: {} by {}: {denial}", denial.call, caller(notified.pid));
            self.counts.insert(denial, Count { all: 1, untold: 0, told: now });
            return Some(line);
        };
        count.all += 1;
        count.untold += 1;
        if now.duration_since(count.told) < QUIET {
            return None;
        }
        let times = std::mem::take(&mut count.untold);
        count.told = now;
        Some(format!("denied: {} {times} more, the last by {}: {denial}", denial.call, caller(notified.pid)))
    }

    /// `denied: ptrace 3, socket(AF_ALG) 1`, if there was anything.
    pub fn summary(&self) -> Option<String> {
        let mut parts: Vec<String> =
            self.counts.iter().map(|(denial, count)| format!("{} {}", denial.call, count.all)).collect();
        if self.others > 0 {
            parts.push(format!("others {}", self.others));
        }
        (!parts.is_empty()).then(|| format!("denied: {}", parts.join(", ")))
    }
}

fn is_about_files(notified: &Notified) -> bool {
    ABOUT_FILES.iter().flat_map(|group| group.calls).any(|(_, call)| *call == i64::from(notified.call))
}

/// Program, pid and thread as the kernel names them: readable even of an undumpable process. The kernel notifies threads.
fn caller(thread: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    let field = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim().to_owned());
    let Some(pid) = field("Tgid:") else { return format!("a process that is gone (thread {thread})") };
    let own = field("Name:").unwrap_or_default();
    if pid == thread.to_string() {
        return format!("{own} (pid {pid})");
    }
    let program = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("{} (pid {pid}, thread {thread} {own})", program.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denials() -> Denials {
        let (reader, _) = nix::unistd::pipe().unwrap();
        Denials::new(reader, Pid::this(), Profile::Default).unwrap()
    }

    fn notified(call: i64, first: u64) -> Notified {
        Notified { id: 1, pid: std::process::id(), call: call as i32, args: [first, 0, 0, 0, 0, 0] }
    }

    #[test]
    fn a_kind_is_told_at_once_then_by_the_minute_and_summed_up() {
        let (mut denials, start) = (denials(), Instant::now());
        let line = denials.count(&notified(libc::SYS_ptrace, 16), start).unwrap();
        assert!(line.starts_with("denied: ptrace(PTRACE_ATTACH) by "), "{line}");
        assert!(line.contains(&format!("pid {}", std::process::id())), "{line}");
        assert_eq!(denials.count(&notified(libc::SYS_ptrace, 16), start + QUIET / 2), None);
        let line = denials.count(&notified(libc::SYS_ptrace, 16), start + QUIET).unwrap();
        assert!(line.starts_with("denied: ptrace(PTRACE_ATTACH) 2 more, the last by "), "{line}");
        assert_eq!(denials.count(&notified(libc::SYS_ptrace, 16), start + QUIET), None);
        assert_eq!(denials.summary().unwrap(), "denied: ptrace(PTRACE_ATTACH) 4");
    }

    #[test]
    fn invented_arguments_do_not_grow_it() {
        let (mut denials, start) = (denials(), Instant::now());
        let lines =
            (100..10_000).filter_map(|family| denials.count(&notified(libc::SYS_socket, family), start)).count();
        assert_eq!((lines, denials.counts.len(), denials.others), (MOST_KINDS, MOST_KINDS, 9_900 - MOST_KINDS as u64));
    }
}
