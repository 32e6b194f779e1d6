//! What the loop does about denied calls: answer them, tell of them at the end, and explain a death by the filter.

use nix::unistd::Pid;

use super::denials::Denials;
use super::run::Supervisor;
use crate::refusal::Refusal;

/// The one thing for which the filter kills, so that it needs no looking into what is dead.
pub(super) const FOREIGN_CALL: &str = ": it made a system call of another architecture (32-bit code), for which the filter kills; nothing in the config allows it, use a build for this machine";

impl Supervisor<'_> {
    pub(super) fn answer_denial(&mut self) -> Result<(), Refusal> {
        let Some(denials) = &mut self.denials else { return Ok(()) };
        if !denials.answer_one(self.plan, &self.console)? {
            // Nobody is left inside the filter: a hung-up descriptor would make poll spin.
            self.say_denials();
            self.denials = None;
        }
        Ok(())
    }

    pub(super) fn say_denials(&self) {
        if let Some(summary) = self.denials.as_ref().and_then(Denials::summary) {
            self.console.say("denials", &summary);
        }
        if let Some(block) = self.denials.as_ref().and_then(Denials::block) {
            self.console.block(
                "lacking",
                "what was not granted and asked for; grant what the program should have:",
                &block,
            );
        }
    }

    /// A child of the program that nobody else reaped.
    pub(super) fn say_foreign(&self, pid: Pid) {
        let text = format!("a process of the program (pid {pid}) was ended by SIGSYS{FOREIGN_CALL}");
        self.console.say_if_room("ended", &text);
    }

    pub(super) fn is_keeper(&self, pid: Pid) -> bool {
        self.keeping.as_ref().is_some_and(|keeping| keeping.pid() == pid)
    }
}
