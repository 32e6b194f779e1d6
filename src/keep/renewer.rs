//! The renewer: a one-shot child of the keeper that maps the hidden region, talks to the store, and dies.
//!
//! It is forked, not executed anew: so it is undumpable from its first instruction, and the keeper needs no right to
//! execute anything. Its death is the wipe.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::sys::wait::waitpid;
use nix::unistd::{Pid, getppid};
use zeroize::Zeroizing;

use crate::confine::filter;
use crate::fetch::given::Given;
use crate::fetch::vault::{Errand, Estate, Identity, KeptStore};
use crate::refusal::{Exit, Refusal};
use crate::sys::{hidden, process, seccomp, signals};
use crate::wire::slice::{KeeperSlice, KeptStore as StoreSlice};
use crate::wire::{self, Allowance, Channel, Frame, NO_END, Tag, WireError};

/// For one errand of renewals: a store that takes longer is as good as none.
const RENEWAL_LIMIT: Duration = Duration::from_secs(20);
const SHORTEST_LIMIT: Duration = Duration::from_secs(1);
/// For giving up at the end: nobody waits longer for a courtesy.
pub const GIVE_UP_LIMIT: Duration = Duration::from_secs(3);

/// What every renewer needs: carried by the keeper, used by none but its children.
pub struct Tools {
    region: OwnedFd,
    ca: OwnedFd,
    client: Option<(OwnedFd, OwnedFd)>,
    store: StoreSlice,
    resolve: bool,
}

impl Tools {
    pub fn take(slice: &KeeperSlice, given: &mut Given) -> Result<Tools, Refusal> {
        let client = match slice.store.client {
            Some((cert, key)) => Some((given.take(cert)?, given.take(key)?)),
            None => None,
        };
        let (region, ca) = (given.take(slice.region)?, given.take(slice.store.ca)?);
        Ok(Tools { region, ca, client, store: slice.store.clone(), resolve: slice.cage.resolve })
    }

    /// Starts a renewer for these things, by their numbers.
    /// They share `time`, within bounds: a try that hangs must leave time for others.
    pub fn renew(&self, due: &[usize], time: Duration) -> Result<Renewer, Refusal> {
        self.start(due, time.clamp(SHORTEST_LIMIT, RENEWAL_LIMIT), |errand, channel| {
            for number in due {
                let frame = match errand.renew(*number) {
                    Ok(renewal) => {
                        let seconds = renewal.seconds.unwrap_or(NO_END);
                        Frame::new(Tag::Renewed, *number as u64, seconds, renewal.renewable.into())
                    }
                    Err(reason) => Frame::new(Tag::Unrenewed, *number as u64, reason as u64, 0),
                };
                channel.send(frame, &[])?;
            }
            Ok(())
        })
    }

    /// Starts one that gives up what was minted.
    pub fn give_up(&self) -> Result<Renewer, Refusal> {
        self.start(&[], GIVE_UP_LIMIT, |errand, channel| {
            let reason = errand.give_up().err().map_or(0, |reason| reason as u64);
            channel.send(Frame::new(Tag::GivenUp, reason, 0, 0), &[])
        })
    }

    fn start(
        &self,
        asked: &[usize],
        limit: Duration,
        work: impl FnOnce(&Errand<'_>, &Channel) -> Result<(), WireError>,
    ) -> Result<Renewer, Refusal> {
        let (ours, theirs) =
            wire::pair().map_err(|errno| Refusal::internal(format!("a renewer's sockets: {errno}")))?;
        let keeper = Pid::this();
        let until = Instant::now() + limit;
        let child = process::fork().map_err(|errno| Refusal::internal(format!("forking a renewer: {errno}")))?;
        let Some(pid) = child else {
            drop(ours);
            let done = self.become_renewer(keeper, limit, |errand| work(errand, &theirs));
            process::exit_now(if done.is_ok() { 0 } else { Exit::RoleBroke.code() });
        };
        Ok(Renewer { pid, channel: ours, until, asked: asked.to_vec(), allowance: Allowance::renewer(asked.len()) })
    }

    fn become_renewer(
        &self,
        keeper: Pid,
        limit: Duration,
        work: impl FnOnce(&Errand<'_>) -> Result<(), WireError>,
    ) -> Result<(), Refusal> {
        let broken = |what: &str, error: String| Refusal::internal(format!("a renewer's {what}: {error}"));
        process::die_with_parent().map_err(|errno| broken("death signal", errno.to_string()))?;
        if getppid() != keeper {
            return Err(Refusal::internal("the keeper died while it started a renewer"));
        }
        // On top of the keeper's: it may neither fork nor wait.
        let own = filter::fetcher(true, self.resolve)?;
        seccomp::install(own.instructions(), false).map_err(|errno| broken("filter", errno.to_string()))?;
        let content = hidden::read(&self.region).map_err(|errno| broken("hidden memory", errno.to_string()))?;
        let estate = Estate::from_bytes(&content).ok_or_else(|| Refusal::internal("hidden memory holds no estate"))?;
        let errand = Errand::begin(&self.kept_store()?, &estate, limit)?;
        work(&errand).map_err(|error| broken("report", error.to_string()))
    }

    fn kept_store(&self) -> Result<KeptStore, Refusal> {
        let identity = match &self.client {
            Some((cert, key)) => Some(Identity { cert_pem: again(cert)?, key_pem: again(key)? }),
            None => None,
        };
        Ok(KeptStore {
            addresses: self.store.addresses.clone(),
            namespace: self.store.namespace.clone(),
            ca_pem: again(&self.ca)?.to_vec(),
            identity,
            min_tls: self.store.min_tls,
        })
    }
}

/// The most that is read of a certificate's file.
const MOST: u64 = 6 << 20;

/// A file from its start: every renewer shares the keeper's offset.
fn again(fd: &OwnedFd) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let broken = |error: std::io::Error| Refusal::internal(format!("a renewer cannot read a certificate: {error}"));
    let mut file = File::from(fd.try_clone().map_err(broken)?);
    let mut bytes = Zeroizing::new(Vec::new());
    file.rewind().map_err(broken)?;
    file.take(MOST).read_to_end(&mut bytes).map_err(broken)?;
    Ok(bytes)
}

/// What a renewer says.
pub enum Heard {
    Frame(Frame),
    Nothing,
    /// It is gone, or broke the protocol: it is to be ended.
    End,
}

/// A renewer at work, as the keeper sees it.
pub struct Renewer {
    pid: Pid,
    pub channel: Channel,
    /// When it is ended, whatever it does.
    pub until: Instant,
    asked: Vec<usize>,
    allowance: Allowance,
}

impl Renewer {
    /// What it says next. Each thing that was asked for is answered for once, and no other.
    pub fn hear(&mut self) -> Heard {
        let frame = match self.channel.receive() {
            Ok(None) => return Heard::Nothing,
            Ok(Some((frame, descriptors))) if descriptors.is_empty() && self.allowance.take(frame.tag) => frame,
            _ => return Heard::End,
        };
        match (frame.tag, self.asked.iter().position(|asked| *asked as u64 == frame.a)) {
            (Tag::GivenUp, _) => Heard::Frame(frame),
            (_, Some(at)) => {
                self.asked.swap_remove(at);
                Heard::Frame(frame)
            }
            (_, None) => Heard::End,
        }
    }

    /// What it has not answered for.
    pub fn unanswered(&self) -> Vec<usize> {
        self.asked.clone()
    }

    /// Ends it and waits for that: KILL is not waited for long.
    pub fn end(self) -> Result<(), Refusal> {
        let broken = |errno| Refusal::internal(format!("ending a renewer: {errno}"));
        match signals::send(self.pid, libc::SIGKILL) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
            Err(errno) => return Err(broken(errno)),
        }
        waitpid(self.pid, None).map(drop).map_err(broken)
    }
}
