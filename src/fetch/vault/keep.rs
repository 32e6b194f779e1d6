//! After the start: renewing what the values live by, and giving it up at the end. For a process that does one of the two
//! and dies.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;
use vaultrs::api::token::requests::RevokeTokenSelfRequest;
use zeroize::{Zeroize, Zeroizing};

use crate::config::model::TlsVersion;
use crate::refusal::Refusal;
use crate::secret::SecretText;
use crate::wire::Reason;

use super::answer::{self, Renewal};
use super::call::Call;
use super::cluster::Cluster;
use super::trouble::{Said, Trouble};
use super::{Identity, by, runtime, tls};

/// What the values live by: a token, and the leases that it made. It has no `Debug`.
pub struct Estate {
    pub token: SecretText,
    /// Made for this start: its end is ours to bring about.
    pub own: bool,
    /// A batch token ends by itself, and its leases with it.
    pub revocable: bool,
    /// By their ids at the store.
    pub leases: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    token: String,
    own: bool,
    revocable: bool,
    leases: Vec<String>,
}

impl Drop for Written {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}

impl Estate {
    /// As it stands in hidden memory: JSON.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let (token, leases) = (self.token.expose().to_owned(), self.leases.clone());
        let written = Written { token, own: self.own, revocable: self.revocable, leases };
        serde_json::to_vec(&written).map(Zeroizing::new).map_err(|_| Refusal::internal("writing what is to be kept"))
    }

    /// `None` if that is no estate.
    pub fn from_bytes(bytes: &[u8]) -> Option<Estate> {
        let mut written: Written = serde_json::from_slice(bytes).ok()?;
        let (token, leases) = (std::mem::take(&mut written.token), std::mem::take(&mut written.leases));
        Some(Estate { token: SecretText::new(token), own: written.own, revocable: written.revocable, leases })
    }
}

/// How to talk to the store when the login is over.
pub struct KeptStore {
    pub addresses: Vec<String>,
    pub namespace: Option<String>,
    pub ca_pem: Vec<u8>,
    pub identity: Option<Identity>,
    pub min_tls: TlsVersion,
}

/// A conversation of one errand.
pub struct Errand<'a> {
    cluster: Cluster,
    estate: &'a Estate,
    end: Instant,
    runtime: tokio::runtime::Runtime,
}

impl<'a> Errand<'a> {
    /// `limit` bounds all of it.
    pub fn begin(store: &KeptStore, estate: &'a Estate, limit: Duration) -> Result<Errand<'a>, Refusal> {
        let end = Instant::now() + limit;
        let tls = tls::client(&store.ca_pem, store.min_tls, store.identity.as_ref())?;
        let cluster = Cluster::new(&store.addresses, tls.config, store.namespace.as_deref(), store.min_tls, end)?;
        Ok(Errand { cluster, estate, end, runtime: runtime()? })
    }

    /// Renews the token (0) or a lease (from 1), and says how long it lasts from now on.
    pub fn renew(&self, which: usize) -> Result<Renewal, Reason> {
        let outcome = match which.checked_sub(1) {
            None => self.ask(Call::write("auth/token/renew-self".to_owned(), json!({})), answer::token_renewal),
            Some(at) => {
                let id = self.estate.leases.get(at).ok_or(Reason::Broken)?;
                let call = Call::write("sys/leases/renew".to_owned(), json!({ "lease_id": id }));
                self.ask(call, answer::lease_renewal)
            }
        };
        outcome.map_err(|trouble| reason(&trouble))
    }

    fn ask<T>(&self, call: Call, read: impl Fn(&super::transport::Reply) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let token = Some(&self.estate.token);
        self.runtime.block_on(by(self.end, async { read(&self.cluster.send(&call, token).await?) }))
    }

    /// Gives up what was minted: our own token and all that hangs on it, or the leases alone where it is an operator's.
    pub fn give_up(&self) -> Result<(), Reason> {
        let estate = self.estate;
        if estate.revocable {
            let work =
                async { answer::revoked(&self.cluster.send(&RevokeTokenSelfRequest {}, Some(&estate.token)).await?) };
            return self.runtime.block_on(by(self.end, work)).map_err(|trouble| reason(&trouble));
        }
        if estate.own {
            return Ok(());
        }
        let revoke = |id: &String| {
            let call = Call::write("sys/leases/revoke".to_owned(), json!({ "lease_id": id }));
            self.ask(call, answer::revoked).map_err(|trouble| reason(&trouble))
        };
        // All are tried, whatever one says.
        let outcomes: Vec<Result<(), Reason>> = estate.leases.iter().map(revoke).collect();
        outcomes.into_iter().collect()
    }
}

fn reason(trouble: &Trouble) -> Reason {
    match trouble {
        Trouble::Status(400, Said::NotRenewable) => Reason::NotRenewable,
        Trouble::Status(400 | 404, _) => Reason::Lost,
        // A token that was revoked is answered as one that may not: nothing tells them apart.
        Trouble::Status(401 | 403, _) => Reason::Denied,
        Trouble::Status(..) | Trouble::NotJson | Trouble::Malformed | Trouble::TooLarge | Trouble::Encoded => {
            Reason::Unavailable
        }
        Trouble::Request => Reason::Broken,
        _ => Reason::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estate_survives_its_region() {
        let leases = vec!["database/creds/bot/1".to_owned(), "database/creds/bot/2".to_owned()];
        let estate = Estate { token: SecretText::new("t0ken".into()), own: true, revocable: true, leases };
        let read = Estate::from_bytes(&estate.to_bytes().unwrap()).expect("an estate");
        assert_eq!((read.token.expose(), read.own, read.revocable), ("t0ken", true, true));
        assert_eq!(read.leases, estate.leases);
        assert!(Estate::from_bytes(b"").is_none() && Estate::from_bytes(b"{}").is_none());
    }

    #[test]
    fn an_outage_is_told_from_a_no_and_a_no_from_the_end() {
        assert_eq!(reason(&Trouble::Refused), Reason::Unreachable);
        assert_eq!(reason(&Trouble::Deadline), Reason::Unreachable);
        assert_eq!(reason(&Trouble::Status(503, Said::Sealed)), Reason::Unavailable);
        assert_eq!(reason(&Trouble::Status(429, Said::Nothing)), Reason::Unavailable);
        assert_eq!(reason(&Trouble::Status(403, Said::Nothing)), Reason::Denied);
        assert_eq!(reason(&Trouble::Status(400, Said::Nothing)), Reason::Lost);
        assert_eq!(reason(&Trouble::Status(400, Said::NotRenewable)), Reason::NotRenewable);
    }
}
