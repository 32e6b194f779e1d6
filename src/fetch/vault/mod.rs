//! The `vault:` source: Vault or OpenBao over TLS, KV version 2 and 1, by AppRole or by a token.
//!
//! One thread, one connection, one deadline. Nothing here reads the environment or a file, follows a redirect, trusts a
//! root that was not handed in, or keeps or logs a body: what a library's error may hold is turned into a closed `Trouble` at
//! the border. The paths and bodies of requests are `vaultrs`'s; its client and transport stay out, because they read
//! answers without a bound and keep error bodies in errors that print.

mod address;
mod answer;
mod field;
mod location;
mod retry;
mod session;
mod stamp;
mod tls;
mod transport;
mod trouble;
mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::model::{MountKind, TlsVersion};
use crate::refusal::Refusal;
use crate::secret::{Fetched, SecretText};

use session::Session;
use transport::Transport;
use words::Peer;

/// A server, whom to trust about it, and how to log in.
pub struct Store {
    /// `https://host[:port]`; the port is 443 if not given.
    pub address: String,
    pub namespace: Option<String>,
    /// PEM certificates: the only roots that are trusted.
    pub ca_pem: Vec<u8>,
    pub min_tls: TlsVersion,
    /// Mount path to kind; the longest that is a prefix of a secret's path counts, else its first segment, KV 2.
    pub mounts: BTreeMap<String, MountKind>,
    pub login: Login,
}

/// The identity that fetches.
pub enum Login {
    /// The token of this login is revoked after the reads.
    AppRole { mount: String, role_id: String, secret_id: SecretText },
    /// An operator's token: used, never revoked.
    Token { token: SecretText },
}

/// One value that is asked for.
pub struct Want {
    /// The secret's name, for messages.
    pub name: String,
    /// `mount/rest`, as `vault kv get` takes it: no `data/`, no leading slash.
    pub path: String,
    /// A top-level name, or an RFC 6901 pointer if it starts with `/`.
    pub field: String,
}

/// What the store gave: one value a want, in the order of the wants.
pub struct Answer {
    pub fetched: Vec<Fetched>,
    /// What did not go as it should and stops no start, such as a token that could not be revoked.
    pub warnings: Vec<String>,
}

/// A clock cannot be asked for all the time there is.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Logs in, reads each path once, revokes the login's token.
///
/// Blocks for at most `deadline`, except that a name is resolved by the system's resolver, which has its own limits:
/// the caller kills a fetcher that outlives its deadline anyway.
pub fn fetch(store: Store, wants: &[Want], deadline: Duration) -> Result<Answer, Refusal> {
    let end = Instant::now() + deadline.min(LONGEST);
    let places = location::of_wants(wants, &store.mounts)?;
    session::check(&store.login)?;
    let tls = tls::client(&store.ca_pem, store.min_tls)?;
    let place = address::resolve(&store.address)?;
    let connect_limit = connect_limit(end);
    let peer = Peer { address: place.base.clone(), host: place.host.clone(), min_tls: store.min_tls, connect_limit };
    let transport = Transport::new(&place, tls.config, store.namespace.as_deref(), connect_limit)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| Refusal::internal(format!("no runtime for the vault source: {}", error.kind())))?;

    let mut answer = runtime.block_on(async {
        let session = Session::open(transport, peer, store.login, end).await?;
        let read = session.read_all(wants, &places).await;
        session.close(read).await
    })?;
    answer.warnings.extend(tls.warning);
    Ok(answer)
}

/// A port that swallows packets is told from a store that is slow: half of what is left, at most ten seconds.
fn connect_limit(end: Instant) -> Duration {
    (end.saturating_duration_since(Instant::now()) / 2).min(Duration::from_secs(10))
}
