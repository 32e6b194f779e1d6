//! Job control: the workload and its init are one job for whoever stops and continues it at a terminal.

use nix::unistd::Pid;

use super::run::{State, Supervisor};
use crate::launch::tty;
use crate::refusal::Refusal;
use crate::sys::signals::{self, Arrived};

impl Supervisor<'_> {
    pub(super) fn workload_stopped(&mut self, signal: i32) -> Result<(), Refusal> {
        self.stopped = true;
        if matches!(self.state, State::Ending(_)) {
            return self.go_on();
        }
        // SIGSTOP is somebody's wish for that one program, not a terminal's for the job.
        match &self.terminal {
            Some(_) if signal == libc::SIGTSTP => self.stop_along(signal),
            // A shell has put the job into the foreground and told init's own group alone.
            Some(terminal) if terminal.is_ours() && matches!(signal, libc::SIGTTIN | libc::SIGTTOU) => {
                self.go_on_along()
            }
            Some(_) if matches!(signal, libc::SIGTTIN | libc::SIGTTOU) => self.stop_along(signal),
            _ => Ok(()),
        }
    }

    /// A stopped program could not hear TERM.
    pub(super) fn go_on(&self) -> Result<(), Refusal> {
        self.pass(Arrived::of(libc::SIGCONT))
    }

    /// Under a shell, a stopped job includes its init: give the terminal back, stop, and go on together.
    fn stop_along(&mut self, signal: i32) -> Result<(), Refusal> {
        if let Some(terminal) = &self.terminal {
            terminal.take_back(self.workload);
        }
        let continued = tty::stop_along(signal)
            .map_err(|errno| Refusal::internal(format!("stopping with the workload: {errno}")))?;
        self.stopped_along = true;
        // SIGCONT waits in the signalfd, and finds that we stopped along. Without one we did not stop: nobody is there to
        // continue this job (a PID 1, an orphaned group), and the kernel would not have stopped an ordinary program here.
        if continued { Ok(()) } else { self.go_on_along() }
    }

    /// The foreground is handed over if the shell gave it to this job (`fg`, and not `bg`), and the whole group goes on.
    pub(super) fn go_on_along(&mut self) -> Result<(), Refusal> {
        self.stopped_along = false;
        if let Some(terminal) = &self.terminal {
            terminal.hand_over(self.workload);
        }
        match signals::send(Pid::from_raw(-self.workload.as_raw()), libc::SIGCONT) {
            Ok(()) => Ok(()),
            // The workload has moved to another group, or has ended.
            Err(_) => self.go_on(),
        }
    }
}
