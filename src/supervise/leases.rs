//! What the keeper says, done to the workload: as the config says where credentials end, and the end where nobody keeps them.

use std::time::Instant;

use super::ending::Ending;
use super::forward;
use super::keeping::Over;
use super::run::{State, Supervisor};
use crate::config::lease_end::OnLeaseEnd;
use crate::refusal::Refusal;
use crate::sys::process::Ended;
use crate::sys::signals::Arrived;

impl Supervisor<'_> {
    pub(super) fn hear_keeper(&mut self) -> Result<(), Refusal> {
        let Some(keeping) = &mut self.keeping else { return Ok(()) };
        let over = match keeping.hear(&self.console) {
            Ok(over) => over,
            Err(refusal) => return self.lose_keeper(&refusal.what),
        };
        over.into_iter().try_for_each(|over| self.lease_ended(&over))
    }

    /// What the config says is to be done when credentials end.
    fn lease_ended(&mut self, over: &Over) -> Result<(), Refusal> {
        let store = self.plan.fetch.as_ref().and_then(|fetch| fetch.vault.as_ref());
        let todo = store.and_then(|store| store.keep).map(|keep| keep.on_lease_end).unwrap_or_default();
        let when = if over.left.is_zero() { "has ended".to_owned() } else { format!("ends in {:?}", over.left) };
        let then = match todo {
            OnLeaseEnd::Stop => "the program is stopped (on_lease_end)".to_owned(),
            OnLeaseEnd::Signal(signal) => format!("the program gets {signal} (on_lease_end)"),
            OnLeaseEnd::Ignore => "nothing is done (on_lease_end)".to_owned(),
        };
        self.console.say("leases", &format!("{} {when}: {}; {then}", over.what, over.why));
        match todo {
            OnLeaseEnd::Stop => self.stop(),
            OnLeaseEnd::Signal(signal) => self.pass(Arrived::of(signal.number())),
            OnLeaseEnd::Ignore => Ok(()),
        }
    }

    /// The end in order, as when somebody asks for it.
    fn stop(&mut self) -> Result<(), Refusal> {
        if !matches!(self.state, State::Ending(_)) {
            self.state = State::Ending(Ending::asked_for(&self.plan.stop, Instant::now()));
        }
        if self.stopped { self.go_on() } else { Ok(()) }
    }

    pub(super) fn keeper_changed(&mut self, change: Ended) -> Result<(), Refusal> {
        match change {
            Ended::Stopped(_) | Ended::Continued => Ok(()),
            Ended::Exited(code) => self.lose_keeper(&format!("the keeper exited with {code}")),
            Ended::Signalled { signal, .. } => {
                self.lose_keeper(&format!("the keeper was ended by {}", forward::name(signal)))
            }
        }
    }

    /// Nobody renews the credentials any more, nor would anybody say when they end: fail closed.
    fn lose_keeper(&mut self, why: &str) -> Result<(), Refusal> {
        if let Some(keeping) = self.keeping.take() {
            keeping.kill();
        }
        self.console.say("leases", &format!("{why}: leases are not renewed any more; the program is stopped"));
        self.stop()
    }
}
