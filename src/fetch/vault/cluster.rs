//! The servers of one cluster, tried in the order in which they are listed, within the one deadline.
//!
//! A request goes to the server that answered last. What is wrong with one server (it is down, sealed, a standby) leads to
//! the next; a redirect is followed to a listed server alone, so that nothing, no token above all, is ever sent elsewhere.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderValue;
use rustify::Endpoint;
use rustls::ClientConfig;
use tokio::time::Instant;

use crate::config::model::TlsVersion;
use crate::refusal::Refusal;
use crate::secret::SecretText;

use super::address::Address;
use super::transport::{Reply, Transport};
use super::trouble::{Said, Trouble};
use super::words::{self, Peer};

pub struct Cluster {
    servers: Vec<Server>,
    tls: ClientConfig,
    namespace: Option<HeaderValue>,
    min_tls: TlsVersion,
    /// Until when requests that fetch may take.
    end: Instant,
    /// Who is asked next.
    current: Cell<usize>,
    /// Why a server was left for the next, in words.
    passed_over: RefCell<BTreeMap<usize, String>>,
    multiplexed: Cell<bool>,
}

struct Server {
    address: Address,
    transport: RefCell<Option<Transport>>,
    connect_limit: Cell<Duration>,
    answered: Cell<bool>,
}

impl Cluster {
    pub fn new(
        addresses: &[String],
        tls: ClientConfig,
        namespace: Option<&str>,
        min_tls: TlsVersion,
        end: Instant,
    ) -> Result<Cluster, Refusal> {
        let server = |address: &String| {
            let (transport, connect_limit, answered) = (RefCell::default(), Cell::default(), Cell::default());
            Ok(Server { address: Address::parse(address)?, transport, connect_limit, answered })
        };
        let servers = addresses.iter().map(server).collect::<Result<Vec<_>, Refusal>>()?;
        if servers.is_empty() {
            return Err(Refusal::internal("a vault without an address"));
        }
        let namespace = namespace.map(HeaderValue::from_str).transpose().map_err(|_| {
            Refusal::config(
                "the vault namespace holds a character that no header can carry",
                "correct [vault] namespace",
            )
        })?;
        let (current, passed_over, multiplexed) = (Cell::new(0), RefCell::default(), Cell::new(false));
        Ok(Cluster { servers, tls, namespace, min_tls, end, current, passed_over, multiplexed })
    }

    /// One round: the current server first, then each other one once, as long as nobody has taken the request up.
    pub async fn send(&self, endpoint: &impl Endpoint, token: Option<&SecretText>) -> Result<Reply, Trouble> {
        let mut asked = vec![false; self.servers.len()];
        let mut at = self.current.get();
        loop {
            asked[at] = true;
            let outcome = match self.transport(at) {
                Ok(transport) => transport.send(endpoint, token).await,
                Err(trouble) => Err(trouble),
            };
            if let Ok(reply) = &outcome {
                self.multiplexed.set(reply.multiplexed);
                self.servers[at].answered.set(true);
            }
            match self.next(&outcome, &asked) {
                Some((next, why)) => at = self.pass_over(at, next, why),
                None => return outcome.and_then(|reply| self.unless_leaderless(reply)),
            }
        }
    }

    /// A standby that leads back to where nobody served: the cluster has no active node for now.
    fn unless_leaderless(&self, reply: Reply) -> Result<Reply, Trouble> {
        match self.redirect(&reply) {
            Some(_) => Err(Trouble::Status(reply.status, Said::NoLeader)),
            None => Ok(reply),
        }
    }

    /// The listed server that an answer redirects to, if it does.
    fn redirect(&self, reply: &Reply) -> Option<usize> {
        let location = reply.location.as_deref().filter(|_| matches!(reply.status, 301 | 302 | 307 | 308))?;
        self.servers.iter().position(|server| server.address.is_of(location))
    }

    /// Who is to be asked instead, and why.
    fn next(&self, outcome: &Result<Reply, Trouble>, asked: &[bool]) -> Option<(usize, String)> {
        let unasked = || asked.iter().position(|asked| !asked);
        match outcome {
            Ok(reply) if self.redirect(reply).is_some() => {
                let listed = self.redirect(reply).filter(|listed| !asked[*listed]).or_else(unasked)?;
                Some((listed, "redirects to another".to_owned()))
            }
            Ok(reply) if matches!(reply.status, 472 | 473 | 503) => {
                Some((unasked()?, format!("is a standby, sealed or down ({})", reply.status)))
            }
            Err(trouble) if trouble.is_of_this_address() => Some((unasked()?, words::in_short(trouble))),
            _ => None,
        }
    }

    /// Another request under way may have moved on already, and not to the same.
    fn pass_over(&self, at: usize, next: usize, why: String) -> usize {
        self.passed_over.borrow_mut().insert(at, why);
        if self.current.get() == at {
            self.current.set(next);
        }
        next
    }

    /// The connection to a server, made ready when it is first asked.
    fn transport(&self, at: usize) -> Result<Transport, Trouble> {
        let server = &self.servers[at];
        if let Some(transport) = &*server.transport.borrow() {
            return Ok(transport.clone());
        }
        let limit = self.connect_limit();
        server.connect_limit.set(limit);
        let place = server.address.resolve()?;
        let transport = Transport::new(&place, self.tls.clone(), self.namespace.clone(), limit)?;
        *server.transport.borrow_mut() = Some(transport.clone());
        Ok(transport)
    }

    /// A port that swallows packets is told from a store that is slow, and leaves time for the others: an even share of what
    /// is left, at most ten seconds.
    fn connect_limit(&self) -> Duration {
        let untried = self.servers.iter().filter(|server| server.transport.borrow().is_none()).count();
        let left = self.end.saturating_duration_since(Instant::now());
        (left / (untried as u32 + 1)).min(Duration::from_secs(10))
    }

    /// Whether requests at the same time share the connection.
    pub fn multiplexes(&self) -> bool {
        self.multiplexed.get()
    }

    /// Who was asked last, for messages.
    pub fn peer(&self) -> Peer {
        let server = &self.servers[self.current.get()];
        let others = self.passed_over.borrow();
        let others = others.iter().filter(|(at, _)| **at != self.current.get());
        Peer {
            address: server.address.base.clone(),
            host: server.address.host.clone(),
            min_tls: self.min_tls,
            connect_limit: server.connect_limit.get(),
            answered: server.answered.get(),
            passed_over: others.map(|(at, why)| format!("{} {why}", self.servers[*at].address.base)).collect(),
        }
    }
}
