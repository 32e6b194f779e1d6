//! The `aws:` source: AWS Secrets Manager in one region, by every login that a machine has there.
//!
//! Requests are signed by AWS's own `aws-sigv4`; credentials come from the one place that the config names, never from a chain
//! that ends somewhere. One thread, one deadline, bounded answers, no redirect; no message contains a byte of an answer but
//! the names of AWS's own error codes.

mod answer;
mod http;
mod login;
mod secrets;
mod sign;
mod words;

use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::config::model::TlsVersion;
use crate::refusal::Refusal;
use crate::secret::{Fetched, SecretText};

use super::vault::tls;
use http::Server;

/// A region's store, whom to trust about it, and how to log in.
pub struct Store {
    pub region: String,
    /// `https://host[:port]`.
    pub endpoint: String,
    pub sts: String,
    /// PEM certificates: the only roots that are trusted.
    pub ca_pem: Zeroizing<Vec<u8>>,
    pub min_tls: TlsVersion,
    pub login: Login,
    /// A role to take on, and the external id that it asks for.
    pub assume: Option<(String, Option<String>)>,
}

/// The identity that fetches.
pub enum Login {
    WebIdentity { role_arn: String, token: SecretText },
    Container { uri: String, token: Option<SecretText> },
    Instance { endpoint: String },
    Profile { file: SecretText, profile: String },
    Keys { access_key_id: String, secret: SecretText },
}

/// One value that is asked for.
pub struct Want {
    /// The secret's name, for messages.
    pub name: String,
    /// A name or an ARN.
    pub id: String,
    /// Empty for the whole value.
    pub field: String,
    pub stage: Option<String>,
    pub version: Option<String>,
    /// Hand on whatever it is, in base64.
    pub base64: bool,
}

/// What the store gave, and what stops no start and is worth a line.
pub struct Answer {
    pub fetched: Vec<Fetched>,
    pub notes: Vec<String>,
}

/// A clock cannot be asked for all the time there is.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Logs in, asks for each secret once, and with `check` for how each is rotated.
pub fn fetch(store: Store, wants: &[Want], deadline: Duration, check: bool) -> Result<Answer, Refusal> {
    let end = Instant::now() + deadline.min(LONGEST);
    let roots = tls::client(&store.ca_pem, store.min_tls, None).map_err(words::of_aws)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| Refusal::internal(format!("no runtime for the aws source: {}", error.kind())))?;
    runtime.block_on(async {
        let credentials = login::credentials(&store, roots.config.clone(), end).await?;
        let server = Server::over_tls(&store.endpoint, roots.config, end)?;
        let session = secrets::Session { server, credentials, region: store.region };
        let fetched = session.read_all(wants).await?;
        let mut notes: Vec<String> = roots.warning.into_iter().map(|warning| warning.replace("vault", "aws")).collect();
        if check {
            notes.extend(session.rotation(wants).await?);
        }
        Ok(Answer { fetched, notes })
    })
}
