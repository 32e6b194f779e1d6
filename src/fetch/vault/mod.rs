//! The `vault:` source: Vault or OpenBao over TLS, any engine by reading or writing, by every login a machine has.
//!
//! One thread, one connection, one deadline. Nothing here reads the environment or a file, follows a redirect to where it
//! was not sent, trusts a root that was not handed in, or keeps or logs a body: what a library's error may hold is turned
//! into a closed `Trouble` at the border. The paths and bodies of requests are `vaultrs`'s where it has them; its client
//! and transport stay out, because they read answers without a bound and keep error bodies in errors that print.

pub(super) mod address;
mod answer;
mod call;
mod cluster;
mod field;
mod keep;
mod location;
mod login;
pub(super) mod retry;
mod session;
mod stamp;
pub(super) mod tls;
mod transport;
pub(super) mod trouble;
pub(super) mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::{Instant, timeout_at};

use crate::config::model::{Leases, MountKind, TlsVersion};
use crate::refusal::Refusal;
use crate::secret::{Fetched, SecretText};
use crate::wire::slice;

use cluster::Cluster;
pub use keep::{Errand, Estate, KeptStore};
pub use login::Used;
use session::Session;
pub use tls::Identity;
use trouble::Trouble;

/// A cluster, whom to trust about it, and how to log in.
pub struct Store {
    /// `https://host[:port]` each; the port is 443 if not given. Tried in this order.
    pub addresses: Vec<String>,
    pub namespace: Option<String>,
    /// PEM certificates: the only roots that are trusted.
    pub ca_pem: Vec<u8>,
    /// For a server that asks who we are before anything else.
    pub identity: Option<Identity>,
    pub min_tls: TlsVersion,
    pub engines: Engines,
    pub leases: Leases,
    pub login: Login,
}

/// Which request reads a path.
#[derive(Default)]
pub struct Engines {
    /// Mount path to kind; the longest that is a prefix of a secret's path counts, else its first segment, KV 2.
    pub mounts: BTreeMap<String, MountKind>,
    /// Paths that are written to, with these parameters.
    pub writes: BTreeMap<String, BTreeMap<String, String>>,
}

/// The identity that fetches. The token of a login is revoked after the reads; an operator's is used, never revoked.
pub enum Login {
    AppRole {
        mount: String,
        role_id: String,
        secret_id: Credential,
    },
    Kubernetes {
        mount: String,
        role: String,
        jwt: SecretText,
        audience: Option<String>,
    },
    Jwt {
        mount: String,
        role: String,
        jwt: SecretText,
        audience: Option<String>,
    },
    /// By the client certificate of the connection.
    Cert {
        mount: String,
        role: Option<String>,
    },
    Token {
        token: Credential,
    },
}

/// What stands in an identity's file.
pub enum Credential {
    Plain(SecretText),
    /// A wrapping token: looked up, compared with where it must have been made, and unwrapped once.
    Wrapped {
        token: SecretText,
        /// The path, with `*` for one segment; the usual ones of the login if not given.
        made_at: Option<String>,
    },
}

/// One value that is asked for.
#[derive(Default)]
pub struct Want {
    /// The secret's name, for messages.
    pub name: String,
    /// `mount/rest`, as `vault kv get` takes it: no `data/`, no leading slash.
    pub path: String,
    /// A top-level name, or an RFC 6901 pointer if it starts with `/`.
    pub field: String,
    /// Of a KV 2 mount; the newest if not given.
    pub version: Option<u64>,
    /// Hand on whatever it is, in base64.
    pub base64: bool,
}

/// What the store gave: one value a want, in the order of the wants.
pub struct Answer {
    pub fetched: Vec<Fetched>,
    /// What did not go as it should and stops no start, such as a token that could not be revoked.
    pub warnings: Vec<String>,
    /// What has to be given up if the start fails from here on.
    pub kept: Option<Kept>,
}

/// A token that leases hang on: it was not revoked.
pub struct Kept {
    runtime: Runtime,
    session: Session,
}

impl Kept {
    /// What a keeper has to keep, if that is wanted.
    pub fn estate(&self) -> Option<(Estate, Vec<slice::Kept>)> {
        self.session.is_kept().then(|| self.session.estate())
    }

    /// Revokes it, and its leases with it. Blocks for a second at most; says so if that failed.
    pub fn give_up(self) -> Option<String> {
        self.runtime.block_on(self.session.give_up())
    }
}

/// What a fetch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Start,
    /// Everything is given up again at the end, and what the policy allows is looked at.
    Check,
}

/// A clock cannot be asked for all the time there is.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Logs in, reads each path once, and gives up the login's token, unless values live as long as it does.
///
/// Blocks for at most `deadline`, except that a name is resolved by the system's resolver, which has its own limits:
/// the caller kills a fetcher that outlives its deadline anyway. `used` is called once what the identity's file holds is
/// used up.
pub fn fetch(
    store: Store,
    wants: &[Want],
    deadline: Duration,
    purpose: Purpose,
    used: Used<'_>,
) -> Result<Answer, Refusal> {
    let end = Instant::now() + deadline.min(LONGEST);
    let places = location::of_wants(wants, &store.engines)?;
    login::check(&store.login)?;
    let tls = tls::client(&store.ca_pem, store.min_tls, store.identity.as_ref())?;
    let cluster = Cluster::new(&store.addresses, tls.config, store.namespace.as_deref(), store.min_tls, end)?;
    let runtime = runtime()?;

    let (outcome, session) = runtime.block_on(async {
        let session = Session::open(cluster, store.login, store.leases, end, used).await?;
        let outcome = converse(&session, wants, &places, purpose).await;
        Ok::<_, Refusal>((outcome, session))
    })?;
    let stays = purpose == Purpose::Start && outcome.is_ok() && session.has_leases();
    let (kept, unrevoked) = match stays {
        true => (Some(Kept { runtime, session }), None),
        false => (None, runtime.block_on(session.give_up())),
    };
    match outcome {
        Ok((fetched, mut warnings)) => {
            warnings.extend(unrevoked.into_iter().chain(tls.warning));
            Ok(Answer { fetched, warnings, kept })
        }
        Err(mut refusal) => {
            refusal.hint.extend(unrevoked.map(|warning| format!("; also, {warning}")));
            Err(refusal)
        }
    }
}

async fn converse(
    session: &Session,
    wants: &[Want],
    places: &[location::Location],
    purpose: Purpose,
) -> Result<(Vec<Fetched>, Vec<String>), Refusal> {
    let mut fetched = session.read_all(wants, places).await?;
    let mut warnings = session.passed_over();
    if purpose == Purpose::Check {
        match session.beyond(places).await {
            Ok(all) => fetched.iter_mut().zip(all).for_each(|(got, beyond)| got.vouched.beyond = Some(beyond)),
            // The fetch itself went well: what could not be asked is told, and refuses nothing.
            Err(refusal) => warnings.push(format!("{}; {}", refusal.what, refusal.hint)),
        }
    } else {
        warnings.extend(session.lease_warnings(wants, &fetched));
    }
    Ok((fetched, warnings))
}

/// One thread, for the network and for time.
fn runtime() -> Result<Runtime, Refusal> {
    let made = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    made.map_err(|error| Refusal::internal(format!("no runtime for the vault source: {}", error.kind())))
}

async fn by<T>(end: Instant, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    timeout_at(end, work).await.unwrap_or(Err(Trouble::Deadline))
}
