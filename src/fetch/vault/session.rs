//! The conversation: log in, read each path once, give back what the login minted, whatever came in between.
//!
//! Nothing that mints is sent twice unless the store has surely not done it. An operator's token is never revoked.

use std::cell::RefCell;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::Instant;
use vaultrs::api::kv1::requests::GetSecretRequest;
use vaultrs::api::kv2::requests::ReadSecretRequest;
use vaultrs::api::token::requests::RevokeTokenSelfRequest;

use crate::config::model::Leases;
use crate::refusal::Refusal;
use crate::secret::{Capabilities, Fetched, Lease, Vouched};
use crate::wire::slice::Kept;

use super::answer::{self, Document, Granted, Minted};
use super::call::Call;
use super::cluster::Cluster;
use super::keep::Estate;
use super::location::{How, Location};
use super::login::{self, Used};
use super::retry::{self, LAG, OUTAGE};
use super::transport::Reply;
use super::trouble::{Said, Trouble};
use super::words::{self, Step};
use super::{Login, Want, by, field};

/// A revocation is a courtesy: it may not eat the start's time.
const REVOKE_LIMIT: Duration = Duration::from_secs(1);

/// The most requests under way at once, which bounds what their answers can hold.
const AT_ONCE: usize = 8;

/// Logged in.
pub struct Session {
    cluster: Cluster,
    token: Minted,
    leases: Leases,
    /// Every lease that was granted.
    granted: RefCell<Vec<Granted>>,
    /// Until when reads may take; what is left to `end` belongs to the revocation.
    work_end: Instant,
    end: Instant,
}

impl Session {
    pub async fn open(
        cluster: Cluster,
        login: Login,
        leases: Leases,
        end: Instant,
        used: Used<'_>,
    ) -> Result<Session, Refusal> {
        let left = end.saturating_duration_since(Instant::now());
        let work_end = end - (left / 8).min(REVOKE_LIMIT / 2);
        let open = login::open(&cluster, login, work_end, used).await?;
        let token = login::log_in(&cluster, open, work_end, used).await?;
        Ok(Session { cluster, token, leases, granted: RefCell::default(), work_end, end })
    }

    /// One value a want. Wants of one path come from one answer, so they belong together.
    pub async fn read_all(&self, wants: &[Want], places: &[Location]) -> Result<Vec<Fetched>, Refusal> {
        let mut distinct: Vec<(&Want, &Location)> = Vec::new();
        for (want, place) in wants.iter().zip(places) {
            if !distinct.iter().any(|(_, known)| *known == place) {
                distinct.push((want, place));
            }
        }
        let mut found: Vec<Option<Fetched>> = wants.iter().map(|_| None).collect();
        for some in distinct.chunks(AT_ONCE) {
            for (document, (_, place)) in self.read_some(some).await?.iter().zip(some) {
                self.pick(document, place, wants, places, &mut found)?;
            }
        }
        found.into_iter().collect::<Option<_>>().ok_or_else(|| Refusal::internal("a secret was not asked for"))
    }

    /// At once where requests share a connection, else one after the other; then the first refusal is the last request.
    async fn read_some(&self, some: &[(&Want, &Location)]) -> Result<Vec<Document>, Refusal> {
        let mut documents = Vec::with_capacity(some.len());
        let mut left = some;
        while let [(want, place), rest @ ..] = left {
            if self.cluster.multiplexes() {
                // All are waited for, whatever one says: a lease that was granted has to be known.
                let all = join_all(left.iter().map(|(want, place)| self.read(want, place))).await;
                documents.extend(all.into_iter().collect::<Result<Vec<_>, Refusal>>()?);
                break;
            }
            documents.push(self.read(want, place).await?);
            left = rest;
        }
        Ok(documents)
    }

    /// Everything that is wanted of one answer.
    fn pick(
        &self,
        document: &Document,
        place: &Location,
        wants: &[Want],
        places: &[Location],
        found: &mut [Option<Fetched>],
    ) -> Result<(), Refusal> {
        let lease = document.lease.as_ref().map(|granted| self.lease(granted));
        for (at, want) in wants.iter().enumerate().filter(|(at, _)| places[*at] == *place) {
            let value = field::pick(&document.data, want, place)?;
            let vouched = Vouched { version: document.version, set_at: document.set_at, lease, beyond: None };
            found[at] = Some(Fetched { value, vouched });
        }
        Ok(())
    }

    /// A lease ends with the token that made it, if not before.
    fn lease(&self, granted: &Granted) -> Lease {
        let at = self.granted.borrow().iter().position(|known| known.id == granted.id);
        let kept = at.map(|at| at + 1).filter(|_| self.leases == Leases::Keep);
        let seconds = self.token.seconds.unwrap_or(u64::MAX).min(granted.lease.seconds);
        Lease { seconds, kept, ..granted.lease }
    }

    /// Whether a keeper follows.
    pub fn is_kept(&self) -> bool {
        self.leases == Leases::Keep && self.has_leases()
    }

    /// What a keeper has to keep, and for how long each thing lasts: the token, then every lease.
    pub fn estate(&self) -> (Estate, Vec<Kept>) {
        let (token, granted) = (&self.token, self.granted.borrow());
        let mut kept = vec![Kept { seconds: token.seconds, renewable: token.renewable }];
        kept.extend(
            granted
                .iter()
                .map(|Granted { lease, .. }| Kept { seconds: Some(lease.seconds), renewable: lease.renewable }),
        );
        let leases = granted.iter().map(|granted| granted.id.clone()).collect();
        let estate = Estate { token: token.token.clone(), own: token.own, revocable: token.revocable, leases };
        (estate, kept)
    }

    async fn read(&self, want: &Want, place: &Location) -> Result<Document, Refusal> {
        let pauses = |trouble: &Trouble| match trouble {
            Trouble::Status(403, said) => (self.token.own && *said != Said::Denied).then_some(LAG),
            Trouble::Status(412, _) => Some(LAG),
            trouble if place.mints() => trouble.surely_not_done().then_some(OUTAGE),
            trouble => trouble.may_pass().then_some(OUTAGE),
        };
        let attempt = async || match answer::secret(&self.get(place).await?, &place.how) {
            Err(Trouble::Status(403, _)) if self.token.own && self.is_denied(place).await => {
                Err(Trouble::Status(403, Said::Denied))
            }
            other => other,
        };
        let step = || Step::Read { name: want.name.clone(), place, own: self.token.own };
        let document = by(self.work_end, retry::retrying(self.work_end, pauses, attempt))
            .await
            .map_err(|trouble| words::refusal(trouble, &self.cluster.peer(), &step()))?;
        if let Some(granted) = &document.lease {
            self.granted.borrow_mut().push(granted.clone());
            if self.leases == Leases::Refuse {
                return Err(words::unkept_lease(&want.name, place, self.lease(granted)));
            }
        }
        Ok(document)
    }

    /// A fresh token may be unknown to a replica for a moment, and then all is forbidden. Where the store knows it and says
    /// what it may do, a no is final. False where that cannot be asked.
    async fn is_denied(&self, place: &Location) -> bool {
        match self.capabilities(std::slice::from_ref(place)).await {
            Ok(found) => found.iter().all(|all| !all.has(used(place)) && !all.has(&["root"])),
            Err(_) => false,
        }
    }

    async fn get(&self, place: &Location) -> Result<Reply, Trouble> {
        let (mount, path) = (place.mount.clone(), place.rest.clone());
        let token = Some(&self.token.token);
        match &place.how {
            How::Kv1 => self.cluster.send(&GetSecretRequest { mount, path }, token).await,
            How::Kv2 { version } => {
                self.cluster.send(&ReadSecretRequest { mount, path, version: *version }, token).await
            }
            How::Read => self.cluster.send(&Call::read(place.path()), token).await,
            How::Write(parameters) => self.cluster.send(&Call::write(place.path(), json!(parameters)), token).await,
        }
    }

    /// What the token may do at each place beyond what is used.
    pub async fn beyond(&self, places: &[Location]) -> Result<Vec<Capabilities>, Refusal> {
        let pauses = |trouble: &Trouble| trouble.may_pass().then_some(OUTAGE);
        let asked = retry::retrying(self.work_end, pauses, async || self.capabilities(places).await);
        let found = by(self.work_end, asked)
            .await
            .map_err(|trouble| words::refusal(trouble, &self.cluster.peer(), &Step::Capabilities))?;
        Ok(found.iter().zip(places).map(|(all, place)| all.without(used(place))).collect())
    }

    /// A question: it changes nothing.
    async fn capabilities(&self, places: &[Location]) -> Result<Vec<Capabilities>, Trouble> {
        let paths: Vec<String> = places.iter().map(Location::policy_path).collect();
        let call = Call::write("sys/capabilities-self".to_owned(), json!({ "paths": paths }));
        answer::capabilities(&self.cluster.send(&call, Some(&self.token.token)).await?, &paths)
    }

    /// Which addresses of the cluster did not serve, and why.
    pub fn passed_over(&self) -> Vec<String> {
        self.cluster
            .peer()
            .passed_over
            .iter()
            .map(|why| format!("vault at {why}, and another address served"))
            .collect()
    }

    /// Whether values live as long as leases that nobody revokes.
    pub fn has_leases(&self) -> bool {
        !self.granted.borrow().is_empty()
    }

    /// What a lease that nobody keeps means, for the operator.
    pub fn lease_warnings(&self, wants: &[Want], fetched: &[Fetched]) -> Vec<String> {
        let leased = wants.iter().zip(fetched).filter_map(|(want, got)| Some((want, got.vouched.lease?)));
        let leased = leased.filter(|(_, lease)| lease.kept.is_none());
        leased.map(|(want, lease)| words::unkept(&want.name, lease)).collect()
    }

    /// Gives back the login's token, and with it every lease that it made; the leases alone where the token is an
    /// operator's. Says so if that failed.
    pub async fn give_up(self) -> Option<String> {
        // A quarter of what was set aside is for the way of the refusal to init, whose deadline is the same.
        let until = (self.work_end + (self.end - self.work_end) * 3 / 4).min(Instant::now() + REVOKE_LIMIT);
        if self.token.revocable {
            return self.revoke(until).await.err().map(|trouble| words::unrevoked(&trouble));
        }
        let granted = self.granted.take();
        if self.token.own {
            // A batch token and its leases end together, and cannot be revoked.
            return None;
        }
        let revoke = async |granted: &Granted| {
            let call = Call::write("sys/leases/revoke".to_owned(), json!({ "lease_id": granted.id }));
            answer::revoked(&by(until, self.cluster.send(&call, Some(&self.token.token))).await?)
        };
        let outcomes = join_all(granted.iter().map(revoke)).await;
        outcomes.into_iter().find_map(Result::err).map(|trouble| words::unrevoked_lease(&trouble))
    }

    async fn revoke(&self, until: Instant) -> Result<(), Trouble> {
        let work = self.cluster.send(&RevokeTokenSelfRequest {}, Some(&self.token.token));
        answer::revoked(&by(until, work).await?)
    }
}

/// The capabilities of which a place needs one.
fn used(place: &Location) -> &'static [&'static str] {
    if place.is_written() { &["create", "update"] } else { &["read"] }
}
