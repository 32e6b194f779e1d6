//! The ways to log in: what each sends, what is checked before anything is sent, and the unwrapping of what is wrapped.
//!
//! Nothing that mints or uses something up is sent twice unless the store has surely not done it.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::time::Instant;
use vaultrs::api::auth::approle::requests::LoginWithApproleRequest;
use vaultrs::api::auth::kubernetes::requests::LoginWithKubernetesRequest;
use vaultrs::api::auth::oidc::requests::JWTLoginRequest;
use vaultrs::api::sys::requests::{UnwrapRequest, WrappingLookupRequest};
use zeroize::Zeroize;

use crate::refusal::Refusal;
use crate::secret::SecretText;

use super::answer::{self, Minted};
use super::call::Call;
use super::cluster::Cluster;
use super::location;
use super::retry::{self, OUTAGE};
use super::trouble::Trouble;
use super::words::{self, Step};
use super::{Credential, Login};

/// Called once what an identity's file holds is used up or may be.
pub type Used<'a> = &'a dyn Fn() -> Result<(), Refusal>;

/// Before anything is sent: an identity out of a file that is empty, holds more than the identity, or is meant for another.
pub fn check(login: &Login) -> Result<(), Refusal> {
    match login {
        Login::Token { token } => check_credential("token", token),
        Login::AppRole { mount, role_id, secret_id } => {
            location::auth_mount(mount)?;
            check_text("role id", role_id)?;
            check_credential("secret id", secret_id)
        }
        Login::Kubernetes { mount, role, jwt, audience } | Login::Jwt { mount, role, jwt, audience } => {
            location::auth_mount(mount)?;
            check_text("role", role)?;
            check_text("login token", jwt.expose())?;
            audience.as_deref().map_or(Ok(()), |audience| check_audience(jwt, audience))
        }
        Login::Cert { mount, .. } => location::auth_mount(mount).map(drop),
    }
}

fn check_credential(which: &str, credential: &Credential) -> Result<(), Refusal> {
    match credential {
        Credential::Plain(text) => check_text(which, text.expose()),
        Credential::Wrapped { token, .. } => check_text("wrapping token", token.expose()),
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

/// A token for another audience, such as the one for the cluster's own API, is not shown to the store.
fn check_audience(jwt: &SecretText, wanted: &str) -> Result<(), Refusal> {
    let payload = jwt.expose().split('.').nth(1).unwrap_or_default();
    let claims = BASE64_URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).unwrap_or_default();
    let Ok(claims) = serde_json::from_slice::<Value>(&claims) else {
        return Err(Refusal::config(
            "the vault login token is no JSON web token, so its audience cannot be seen",
            "name the file of the projected token as `token_file`",
        ));
    };
    let audiences: Vec<&str> = match &claims["aud"] {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if audiences.contains(&wanted) {
        return Ok(());
    }
    Err(Refusal::config(
        format!("the vault login token is not for the audience `{wanted}`, so it was not sent"),
        "set `audience` of the serviceAccountToken volume and `audience` in [vault.auth] to the same word",
    ))
}

/// A way to log in with whatever was wrapped unwrapped.
pub enum Open {
    AppRole {
        mount: String,
        role_id: String,
        secret_id: SecretText,
    },
    Kubernetes {
        mount: String,
        role: String,
        jwt: SecretText,
    },
    Jwt {
        mount: String,
        role: String,
        jwt: SecretText,
    },
    Cert {
        mount: String,
        role: Option<String>,
    },
    /// Minted by unwrapping: nobody else ever had it.
    Unwrapped(Minted),
    /// An operator's own.
    Token(SecretText),
}

/// Looks a wrapping token up, compares where it was made, and unwraps it once.
pub async fn open(cluster: &Cluster, login: Login, end: Instant, used: Used<'_>) -> Result<Open, Refusal> {
    Ok(match login {
        Login::AppRole { mount, role_id, secret_id } => {
            let mount = location::auth_mount(&mount)?.to_owned();
            let secret_id = match secret_id {
                Credential::Plain(secret_id) => secret_id,
                Credential::Wrapped { token, made_at } => {
                    let expected =
                        made_at.map_or_else(|| vec![format!("auth/{mount}/role/*/secret-id")], |at| vec![at]);
                    let reply = unwrap(cluster, &token, &expected, end, used).await?;
                    answer::unwrapped_secret_id(&reply).map_err(|trouble| told(cluster, trouble, &expected))?
                }
            };
            Open::AppRole { mount, role_id, secret_id }
        }
        Login::Token { token: Credential::Plain(token) } => Open::Token(token),
        Login::Token { token: Credential::Wrapped { token, made_at } } => {
            let usual = ["auth/token/create", "auth/token/create-orphan", "auth/token/create/*"];
            let expected = made_at.map_or_else(|| usual.map(str::to_owned).to_vec(), |at| vec![at]);
            let reply = unwrap(cluster, &token, &expected, end, used).await?;
            Open::Unwrapped(answer::login(&reply).map_err(|trouble| told(cluster, trouble, &expected))?)
        }
        Login::Kubernetes { mount, role, jwt, .. } => {
            Open::Kubernetes { mount: location::auth_mount(&mount)?.to_owned(), role, jwt }
        }
        Login::Jwt { mount, role, jwt, .. } => Open::Jwt { mount: location::auth_mount(&mount)?.to_owned(), role, jwt },
        Login::Cert { mount, role } => Open::Cert { mount: location::auth_mount(&mount)?.to_owned(), role },
    })
}

fn told(cluster: &Cluster, trouble: Trouble, expected: &[String]) -> Refusal {
    words::refusal(trouble, &cluster.peer(), &Step::Unwrap { expected })
}

async fn unwrap(
    cluster: &Cluster,
    token: &SecretText,
    expected: &[String],
    end: Instant,
    used: Used<'_>,
) -> Result<super::transport::Reply, Refusal> {
    let refused = |trouble| told(cluster, trouble, expected);
    let lookup = WrappingLookupRequest { token: token.expose().to_owned() };
    let harmless = |trouble: &Trouble| trouble.may_pass().then_some(OUTAGE);
    let look = async || answer::creation_path(&cluster.send(&lookup, None).await?);
    let made_at = super::by(end, retry::retrying(end, harmless, look)).await.map_err(refused)?;
    if !expected.iter().any(|pattern| location::matches(pattern, &made_at)) {
        return Err(words::made_elsewhere(&made_at, expected));
    }
    let minting = |trouble: &Trouble| trouble.surely_not_done().then_some(OUTAGE);
    let request = UnwrapRequest { token: None };
    let open = async || answer::unwrap_reply(cluster.send(&request, Some(token)).await?);
    let outcome = super::by(end, retry::retrying(end, minting, open)).await;
    tell_used(&outcome, used)?;
    outcome.map_err(refused)
}

/// What the store has judged a no is not used up; anything after which that cannot be known counts as used.
fn tell_used<T>(outcome: &Result<T, Trouble>, used: Used<'_>) -> Result<(), Refusal> {
    match outcome {
        Err(trouble) if trouble.is_a_no() || trouble.surely_not_done() || trouble.is_of_this_address() => Ok(()),
        _ => used(),
    }
}

/// Logs in, unless there is a token already.
pub async fn log_in(cluster: &Cluster, open: Open, end: Instant, used: Used<'_>) -> Result<Minted, Refusal> {
    let attempt = |trouble: &Trouble| trouble.surely_not_done().then_some(OUTAGE);
    let (step, outcome) = match open {
        Open::Token(token) => return Ok(Minted::by_an_operator(token)),
        Open::Unwrapped(minted) => return Ok(minted),
        Open::AppRole { mount, role_id, secret_id } => {
            let secret_id = secret_id.expose().to_owned();
            let mut request = LoginWithApproleRequest { mount: mount.clone(), role_id, secret_id };
            let send = async || answer::login(&cluster.send(&request, None).await?);
            let outcome = super::by(end, retry::retrying(end, attempt, send)).await;
            request.secret_id.zeroize();
            tell_used(&outcome, used)?;
            (Step::AppRole { mount }, outcome)
        }
        Open::Kubernetes { mount, role, jwt } => {
            let jwt = jwt.expose().to_owned();
            let mut request = LoginWithKubernetesRequest { mount: mount.clone(), role: role.clone(), jwt };
            let send = async || answer::login(&cluster.send(&request, None).await?);
            let outcome = super::by(end, retry::retrying(end, attempt, send)).await;
            request.jwt.zeroize();
            (Step::Kubernetes { mount, role }, outcome)
        }
        Open::Jwt { mount, role, jwt } => {
            let jwt = jwt.expose().to_owned();
            let mut request = JWTLoginRequest { mount: mount.clone(), role: Some(role.clone()), jwt };
            let send = async || answer::login(&cluster.send(&request, None).await?);
            let outcome = super::by(end, retry::retrying(end, attempt, send)).await;
            request.jwt.zeroize();
            (Step::Jwt { mount, role }, outcome)
        }
        Open::Cert { mount, role } => {
            let body = role.map_or_else(|| json!({}), |role| json!({ "name": role }));
            let request = Call::write(format!("auth/{mount}/login"), body);
            let send = async || answer::login(&cluster.send(&request, None).await?);
            let outcome = super::by(end, retry::retrying(end, attempt, send)).await;
            (Step::Cert { mount }, outcome)
        }
    };
    outcome.map_err(|trouble| words::refusal(trouble, &cluster.peer(), &step))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: Value) -> SecretText {
        SecretText::new(format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string())))
    }

    #[test]
    fn a_token_for_another_audience_is_not_sent() {
        assert!(check_audience(&jwt(json!({"aud": "vault"})), "vault").is_ok());
        assert!(check_audience(&jwt(json!({"aud": ["a", "vault"]})), "vault").is_ok());
        for claims in [json!({"aud": ["https://kubernetes.default.svc"]}), json!({"aud": []}), json!({})] {
            assert!(check_audience(&jwt(claims), "vault").unwrap_err().what.contains("audience `vault`"));
        }
        for text in ["", "a.b.c", "no token", "..", "a.e30"] {
            assert!(check_audience(&SecretText::new(text.to_owned()), "vault").is_err(), "{text}");
        }
    }
}
