//! Credentials, from the one place that the config names.
//!
//! What comes over a link of this machine is asked for in version 2 of the metadata service alone: a GET without a session's
//! token, which a confused proxy could be made to send, is never sent.

use http::Request;
use rustls::ClientConfig;
use serde::Deserialize;
use tokio::time::Instant;

use crate::refusal::{Exit, Refusal};
use crate::secret::SecretText;

use super::http::{Reply, Server};
use super::sign::{self, Credentials};
use super::{Login, Store, answer, words};

/// A role's session lives as long as a fetch may take: the least that AWS takes.
const SESSION_SECONDS: u32 = 900;
const SESSION_NAME: &str = "portcullis";
/// The metadata session's life, in seconds.
const METADATA_SECONDS: &str = "60";

pub async fn credentials(store: &Store, tls: ClientConfig, end: Instant) -> Result<Credentials, Refusal> {
    let first = match &store.login {
        Login::Keys { access_key_id, secret } => {
            Credentials { id: access_key_id.clone(), secret: secret.clone(), token: None }
        }
        Login::Profile { file, profile } => of_profile(file, profile)?,
        Login::Container { uri, token } => container(uri, token.as_ref(), tls.clone(), end).await?,
        Login::Instance { endpoint } => instance(endpoint, tls.clone(), end).await?,
        Login::WebIdentity { role_arn, token } => web_identity(store, role_arn, token, tls.clone(), end).await?,
    };
    match &store.assume {
        None => Ok(first),
        Some((role, external)) => assume(store, role, external.as_deref(), &first, tls, end).await,
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    let mut form = reqwest::Url::parse("http://localhost/").expect("a constant");
    form.query_pairs_mut().extend_pairs(fields);
    form.query().unwrap_or_default().to_owned()
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");

async fn web_identity(
    store: &Store,
    role_arn: &str,
    token: &SecretText,
    tls: ClientConfig,
    end: Instant,
) -> Result<Credentials, Refusal> {
    let server = Server::over_tls(&store.sts, tls, end)?;
    let body = form(&[
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role_arn),
        ("RoleSessionName", SESSION_NAME),
        ("DurationSeconds", &SESSION_SECONDS.to_string()),
        ("WebIdentityToken", token.expose()),
    ]);
    let make = || {
        let request = Request::post(format!("{}/", server.base)).header(FORM.0, FORM.1);
        request.body(body.clone().into_bytes()).map_err(|_| Refusal::internal("a login at sts could not be built"))
    };
    let reply = server.send(make, answer::throttled_query).await?;
    session(&reply, role_arn, "the token in aws.auth.token_file")
}

async fn assume(
    store: &Store,
    role_arn: &str,
    external_id: Option<&str>,
    first: &Credentials,
    tls: ClientConfig,
    end: Instant,
) -> Result<Credentials, Refusal> {
    let server = Server::over_tls(&store.sts, tls, end)?;
    let seconds = SESSION_SECONDS.to_string();
    let mut fields = vec![
        ("Action", "AssumeRole"),
        ("Version", "2011-06-15"),
        ("RoleArn", role_arn),
        ("RoleSessionName", SESSION_NAME),
        ("DurationSeconds", &seconds),
    ];
    fields.extend(external_id.map(|id| ("ExternalId", id)));
    let body = form(&fields);
    let make = || sign::post(&server.base, "sts", &store.region, &[FORM], body.as_bytes(), first);
    let reply = server.send(make, answer::throttled_query).await?;
    session(&reply, role_arn, "the identity of aws.auth")
}

fn session(reply: &Reply, role: &str, who: &str) -> Result<Credentials, Refusal> {
    if reply.status != 200 {
        return Err(words::role_refused(&answer::query_code(&reply.body), role, who));
    }
    let text = std::str::from_utf8(&reply.body).unwrap_or_default();
    let field = |name: &str| answer::element(text, name).map(str::to_owned);
    match (field("AccessKeyId"), field("SecretAccessKey"), field("SessionToken")) {
        (Some(id), Some(secret), Some(token)) => {
            Ok(Credentials { id, secret: SecretText::new(secret), token: Some(SecretText::new(token)) })
        }
        _ => Err(words::nonsense("the security token service", "credentials for a role")),
    }
}

/// What ECS, EKS and the metadata service answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Lent {
    #[serde(default)]
    code: Option<String>,
    access_key_id: String,
    secret_access_key: String,
    token: String,
}

fn lent(reply: &Reply, by: &str) -> Result<Credentials, Refusal> {
    match serde_json::from_slice::<Lent>(&reply.body) {
        Ok(lent) if reply.status == 200 && lent.code.as_deref().is_none_or(|code| code == "Success") => {
            Ok(Credentials {
                id: lent.access_key_id,
                secret: SecretText::new(lent.secret_access_key),
                token: Some(SecretText::new(lent.token)),
            })
        }
        _ if reply.status != 200 => Err(words::not_lent(by, reply.status)),
        _ => Err(words::nonsense(by, "credentials")),
    }
}

async fn container(
    uri: &str,
    token: Option<&SecretText>,
    tls: ClientConfig,
    end: Instant,
) -> Result<Credentials, Refusal> {
    let server = Server::near(uri, tls, end)?;
    let make = || {
        let mut request = Request::get(uri).header("accept", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", token.expose());
        }
        request.body(Vec::new()).map_err(|_| Refusal::internal("a request for a container's credentials"))
    };
    lent(&server.send(make, |_| false).await?, "the container's credentials endpoint")
}

/// PUT for a session, GET with its token: IMDSv2.
async fn instance(endpoint: &str, tls: ClientConfig, end: Instant) -> Result<Credentials, Refusal> {
    const BY: &str = "the instance metadata service";
    let server = Server::near(endpoint, tls, end)?;
    let unbuilt = |_| Refusal::internal("a request to the instance metadata service");
    let session = server
        .send(
            || {
                Request::put(format!("{}/latest/api/token", server.base))
                    .header("x-aws-ec2-metadata-token-ttl-seconds", METADATA_SECONDS)
                    .body(Vec::new())
                    .map_err(unbuilt)
            },
            |_| false,
        )
        .await?;
    if session.status != 200 {
        return Err(words::no_metadata_session(session.status));
    }
    let token = one_word(&session.body).ok_or_else(|| words::nonsense(BY, "a session's token"))?;
    let get = async |path: String| {
        let make = || {
            Request::get(format!("{}/latest/meta-data/iam/security-credentials/{path}", server.base))
                .header("x-aws-ec2-metadata-token", token.expose())
                .body(Vec::new())
                .map_err(unbuilt)
        };
        server.send(make, |_| false).await
    };
    let role = get(String::new()).await?;
    if role.status != 200 {
        return Err(words::no_instance_role(role.status));
    }
    let role = one_word(&role.body).ok_or_else(|| words::nonsense(BY, "the name of a role"))?;
    lent(&get(role.expose().to_owned()).await?, BY)
}

/// A token or a name as a header or a path can carry it.
fn one_word(body: &[u8]) -> Option<SecretText> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let plain = |b: u8| b.is_ascii_graphic() && !b"/?#\\\"".contains(&b) || b == b'/' && text.len() > 40;
    (!text.is_empty() && text.len() <= 1024 && text.bytes().all(plain)).then(|| SecretText::new(text.to_owned()))
}

/// A section of a credentials file: `[name]`, then `key = value` lines.
fn of_profile(file: &SecretText, profile: &str) -> Result<Credentials, Refusal> {
    let (mut inside, mut id, mut secret, mut token) = (false, None, None, None);
    for line in file.expose().lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = name.trim() == profile;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| inside) {
            match key.trim() {
                "aws_access_key_id" => id = Some(value.trim().to_owned()),
                "aws_secret_access_key" => secret = Some(SecretText::new(value.trim().to_owned())),
                "aws_session_token" => token = Some(SecretText::new(value.trim().to_owned())),
                _ => {}
            }
        }
    }
    match (id.filter(|id| !id.is_empty()), secret.filter(|secret| !secret.is_empty())) {
        (Some(id), Some(secret)) => Ok(Credentials { id, secret, token }),
        _ => Err(Refusal::new(
            Exit::Config,
            format!("aws.auth.file has no section [{profile}] with aws_access_key_id and aws_secret_access_key"),
            "write both into it, or name another section with `profile`; sections that only lead to another are not followed",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_its_own_section_and_no_other() {
        let file = SecretText::new(
            "# x\n[other]\naws_access_key_id=O\naws_secret_access_key=o\n[bot]\naws_access_key_id = A\n\
             aws_secret_access_key = s/+=\n; y\naws_session_token=t\n[half]\naws_access_key_id=H\n"
                .to_owned(),
        );
        let bot = of_profile(&file, "bot").unwrap_or_else(|refusal| panic!("{refusal}"));
        assert_eq!((bot.id.as_str(), bot.secret.expose()), ("A", "s/+="));
        assert_eq!(bot.token.map(|token| token.expose().to_owned()), Some("t".to_owned()));
        for name in ["half", "none", ""] {
            assert!(of_profile(&file, name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_form_is_encoded() {
        assert_eq!(form(&[("A", "b c"), ("D", "e&f=/+")]), "A=b+c&D=e%26f%3D%2F%2B");
    }
}
