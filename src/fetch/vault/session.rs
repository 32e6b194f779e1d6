//! The conversation: log in, read each path once, revoke what the login minted, whatever came in between.
//!
//! Nothing that mints is sent twice unless the store has surely not done it. An operator's token is never revoked.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use vaultrs::api::auth::approle::requests::LoginWithApproleRequest;
use vaultrs::api::kv1::requests::GetSecretRequest;
use vaultrs::api::kv2::requests::ReadSecretRequest;
use vaultrs::api::token::requests::RevokeTokenSelfRequest;
use zeroize::Zeroize;

use crate::config::model::MountKind;
use crate::refusal::Refusal;
use crate::secret::{Fetched, SecretText};

use super::answer::{self, Document, Minted};
use super::location::{self, Location};
use super::retry::{self, LAG, OUTAGE};
use super::transport::{Reply, Transport};
use super::trouble::Trouble;
use super::words::{self, Peer, Step};
use super::{Answer, Login, Want, field};

/// A revocation is a courtesy: it may not eat the start's time.
const REVOKE_LIMIT: Duration = Duration::from_secs(1);

/// Logged in.
pub struct Session {
    transport: Transport,
    peer: Peer,
    token: SecretText,
    /// Whether the token is this session's own.
    minted: bool,
    /// Whether it can and must be revoked.
    revocable: bool,
    /// Until when reads may take; what is left to `end` belongs to the revocation.
    work_end: Instant,
    end: Instant,
}

/// Before anything is sent: an identity out of a file that is empty, or holds more than the identity.
pub fn check(login: &Login) -> Result<(), Refusal> {
    match login {
        Login::Token { token } => check_text("token", token.expose()),
        Login::AppRole { mount, role_id, secret_id } => {
            location::auth_mount(mount)?;
            check_text("role id", role_id)?;
            check_text("secret id", secret_id.expose())
        }
    }
}

fn check_text(which: &str, text: &str) -> Result<(), Refusal> {
    let fault = match text {
        "" => "is empty",
        text if text.trim() != text => "begins or ends with white space",
        text if text.contains(char::is_control) => "holds a line break or another control character",
        _ => return Ok(()),
    };
    Err(Refusal::config(format!("the vault {which} {fault}"), format!("its file or key must hold the {which} alone")))
}

impl Session {
    pub async fn open(transport: Transport, peer: Peer, login: Login, end: Instant) -> Result<Session, Refusal> {
        let left = end.saturating_duration_since(Instant::now());
        let work_end = end - (left / 8).min(REVOKE_LIMIT / 2);
        let (minted, own) = match login {
            Login::Token { token } => (Minted { token, revocable: false }, false),
            Login::AppRole { mount, role_id, secret_id } => {
                let mount = location::auth_mount(&mount)?;
                let work = log_in(&transport, mount, role_id, secret_id, work_end);
                let minted = by(work_end, work).await.map_err(|t| words::refusal(t, &peer, &Step::Login { mount }))?;
                (minted, true)
            }
        };
        let Minted { token, revocable } = minted;
        Ok(Session { transport, peer, token, minted: own, revocable, work_end, end })
    }

    /// One value a want. Wants of one path come from one answer, so they belong together.
    pub async fn read_all(&self, wants: &[Want], places: &[Location]) -> Result<Vec<Fetched>, Refusal> {
        let mut documents: Vec<(&Location, Document)> = Vec::new();
        let mut fetched = Vec::with_capacity(wants.len());
        for (want, place) in wants.iter().zip(places) {
            if !documents.iter().any(|(known, _)| *known == place) {
                documents.push((place, self.read(want, place).await?));
            }
            let document = documents.iter().find(|(known, _)| *known == place).map(|(_, document)| document);
            let document = document.ok_or_else(|| Refusal::internal("a document that was read is not there"))?;
            let value = SecretText::new(field::pick(&document.data, want, place)?.to_owned());
            fetched.push(Fetched { value, version: document.version, set_at: document.set_at });
        }
        Ok(fetched)
    }

    async fn read(&self, want: &Want, place: &Location) -> Result<Document, Refusal> {
        let pauses = |trouble: &Trouble| match trouble {
            Trouble::Status(403, _) if self.minted => Some(LAG),
            trouble if trouble.may_pass() => Some(OUTAGE),
            _ => None,
        };
        let attempt = async || answer::secret(&self.get(place).await?, place.kind);
        by(self.work_end, retry::retrying(self.work_end, pauses, attempt))
            .await
            .map_err(|trouble| words::refusal(trouble, &self.peer, &Step::Read { name: &want.name, place }))
    }

    async fn get(&self, place: &Location) -> Result<Reply, Trouble> {
        let (mount, path) = (place.mount.clone(), place.rest.clone());
        match place.kind {
            MountKind::Kv1 => self.transport.send(&GetSecretRequest { mount, path }, Some(&self.token)).await,
            MountKind::Kv2 => {
                self.transport.send(&ReadSecretRequest { mount, path, version: None }, Some(&self.token)).await
            }
        }
    }

    /// Gives back the login's token, after a failed read too, and says so if that failed.
    pub async fn close(self, read: Result<Vec<Fetched>, Refusal>) -> Result<Answer, Refusal> {
        let unrevoked = match self.revocable {
            true => self.revoke().await.err().map(|trouble| words::unrevoked(&trouble)),
            false => None,
        };
        match read {
            Ok(fetched) => Ok(Answer { fetched, warnings: unrevoked.into_iter().collect() }),
            Err(mut refusal) => {
                refusal.hint.extend(unrevoked.map(|warning| format!("; also, {warning}")));
                Err(refusal)
            }
        }
    }

    async fn revoke(&self) -> Result<(), Trouble> {
        let until = self.end.min(Instant::now() + REVOKE_LIMIT);
        let work = self.transport.send(&RevokeTokenSelfRequest {}, Some(&self.token));
        answer::revoked(&by(until, work).await?)
    }
}

async fn log_in(
    transport: &Transport,
    mount: &str,
    role_id: String,
    secret_id: SecretText,
    end: Instant,
) -> Result<Minted, Trouble> {
    let mut request =
        LoginWithApproleRequest { mount: mount.to_owned(), role_id, secret_id: secret_id.expose().to_owned() };
    let pauses = |trouble: &Trouble| trouble.surely_not_done().then_some(OUTAGE);
    let outcome = retry::retrying(end, pauses, async || answer::login(&transport.send(&request, None).await?)).await;
    request.secret_id.zeroize();
    outcome
}

async fn by<T>(end: Instant, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    timeout_at(end, work).await.unwrap_or(Err(Trouble::Deadline))
}
