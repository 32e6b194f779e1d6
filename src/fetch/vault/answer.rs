//! What the server's bodies mean. Small shapes of our own: what is not needed is not parsed into a value.
//!
//! No text of a body leaves here but a token, a secret's data, and enums. A JSON error is dropped, not shown: it can
//! quote what it met.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use zeroize::Zeroize;

use crate::secret::{Capabilities, Lease, SecretText};

use super::location::How;
use super::stamp;
use super::transport::Reply;
use super::trouble::{Said, Trouble};

/// The token that reads.
pub struct Minted {
    pub token: SecretText,
    /// Whether it was made for this start alone.
    pub own: bool,
    /// Batch tokens cannot be revoked, and need not be; an operator's own is not ours to revoke.
    pub revocable: bool,
    /// Its life in seconds, where the store says so.
    pub seconds: Option<u64>,
    pub renewable: bool,
}

impl Minted {
    pub fn by_an_operator(token: SecretText) -> Minted {
        Minted { token, own: false, revocable: false, seconds: None, renewable: false }
    }
}

/// One secret's data, and what the store vouches for. Wiped when dropped.
pub struct Document {
    pub data: Value,
    pub version: Option<u64>,
    pub set_at: Option<i64>,
    pub lease: Option<Granted>,
}

/// A lease, and what it is called at the store.
#[derive(Clone)]
pub struct Granted {
    pub id: String,
    pub lease: Lease,
}

impl Drop for Document {
    fn drop(&mut self) {
        wipe(&mut self.data);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[derive(Deserialize)]
struct LoginBody {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: String,
    token_type: String,
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
}

#[derive(Deserialize)]
struct EngineBody {
    #[serde(default)]
    lease_id: String,
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
    data: Map<String, Value>,
}

#[derive(Deserialize)]
struct SecretId {
    secret_id: String,
}

#[derive(Deserialize)]
struct Wrapping {
    creation_path: String,
}

#[derive(Deserialize)]
struct DataBody<T> {
    data: T,
}

#[derive(Deserialize)]
struct Kv2 {
    data: Option<Map<String, Value>>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    created_time: String,
    deletion_time: String,
    destroyed: bool,
    version: u64,
}

/// The answer to a login: 200 and a token.
pub fn login(reply: &Reply) -> Result<Minted, Trouble> {
    accept(reply)?;
    let auth = parse::<LoginBody>(reply)?.auth;
    let token = SecretText::new(auth.client_token);
    if token.is_empty() {
        // A login that wants a second factor answers with an empty token.
        return Err(Trouble::Status(reply.status, Said::NoToken));
    }
    let seconds = Some(auth.lease_duration).filter(|seconds| *seconds > 0);
    Ok(Minted { token, own: true, revocable: auth.token_type != "batch", seconds, renewable: auth.renewable })
}

/// Where a wrapping token was made, as the store says.
pub fn creation_path(reply: &Reply) -> Result<String, Trouble> {
    accept(reply)?;
    Ok(parse::<DataBody<Wrapping>>(reply)?.data.creation_path)
}

/// The answer to an unwrapping, if it is one.
pub fn unwrap_reply(reply: Reply) -> Result<Reply, Trouble> {
    accept(&reply).map(|()| reply)
}

/// The secret id that was wrapped.
pub fn unwrapped_secret_id(reply: &Reply) -> Result<SecretText, Trouble> {
    let secret_id = SecretText::new(parse::<DataBody<SecretId>>(reply)?.data.secret_id);
    if secret_id.is_empty() { Err(Trouble::Malformed) } else { Ok(secret_id) }
}

/// The answer to a read: 200 and an object.
pub fn secret(reply: &Reply, how: &How) -> Result<Document, Trouble> {
    accept(reply)?;
    match how {
        How::Kv1 => {
            let data = Value::Object(parse::<DataBody<Map<String, Value>>>(reply)?.data);
            Ok(Document { data, version: None, set_at: None, lease: None })
        }
        How::Kv2 { .. } => {
            let Kv2 { data, metadata } = parse::<DataBody<Kv2>>(reply)?.data;
            let Some(data) = data else { return Err(Trouble::Status(reply.status, said_of(&metadata))) };
            let set_at = stamp::unix_seconds(&metadata.created_time).ok_or(Trouble::Malformed)?;
            Ok(Document {
                data: Value::Object(data),
                version: Some(metadata.version),
                set_at: Some(set_at),
                lease: None,
            })
        }
        How::Read | How::Write(_) => {
            let body = parse::<EngineBody>(reply)?;
            let lease = Lease { seconds: body.lease_duration, renewable: body.renewable, kept: None };
            let lease = (!body.lease_id.is_empty()).then_some(Granted { id: body.lease_id, lease });
            Ok(Document { data: Value::Object(body.data), version: None, set_at: None, lease })
        }
    }
}

/// What a token may do at each path.
pub fn capabilities(reply: &Reply, paths: &[String]) -> Result<Vec<Capabilities>, Trouble> {
    accept(reply)?;
    let all = parse::<DataBody<HashMap<String, Value>>>(reply)?.data;
    let at = |path: &String| {
        let words = all.get(path).and_then(Value::as_array).ok_or(Trouble::Malformed)?;
        Ok(Capabilities::of(words.iter().filter_map(Value::as_str)))
    };
    paths.iter().map(at).collect()
}

/// How long something lasts from now on.
pub struct Renewal {
    /// `None` if it has no end.
    pub seconds: Option<u64>,
    pub renewable: bool,
}

#[derive(Deserialize)]
struct RenewedLease {
    lease_duration: u64,
    renewable: bool,
}

/// The answer to the renewal of a token; one that lasts for zero seconds has no end.
pub fn token_renewal(reply: &Reply) -> Result<Renewal, Trouble> {
    accept(reply)?;
    let auth = parse::<LoginBody>(reply)?.auth;
    Ok(Renewal { seconds: Some(auth.lease_duration).filter(|seconds| *seconds > 0), renewable: auth.renewable })
}

/// The answer to the renewal of a lease.
pub fn lease_renewal(reply: &Reply) -> Result<Renewal, Trouble> {
    accept(reply)?;
    let RenewedLease { lease_duration, renewable } = parse(reply)?;
    Ok(Renewal { seconds: Some(lease_duration), renewable })
}

/// The answer to a revocation: no content, or an empty answer.
pub fn revoked(reply: &Reply) -> Result<(), Trouble> {
    if matches!(reply.status, 200 | 204) { Ok(()) } else { Err(Trouble::Status(reply.status, said(reply))) }
}

/// 200 with JSON in it; an empty 204 is no answer to a question.
fn accept(reply: &Reply) -> Result<(), Trouble> {
    match (reply.status, reply.json) {
        (200, true) => Ok(()),
        (200..=299, _) => Err(Trouble::NotJson),
        (status, _) => Err(Trouble::Status(status, said(reply))),
    }
}

fn parse<T: DeserializeOwned>(reply: &Reply) -> Result<T, Trouble> {
    serde_json::from_slice(&reply.body).map_err(|_| Trouble::Malformed)
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    errors: Vec<String>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
}

/// What an error body says, as far as it changes what to do about it.
fn said(reply: &Reply) -> Said {
    if let (412 | 429 | 503, Some(seconds)) = (reply.status, reply.retry_after) {
        return Said::Wait(seconds);
    }
    if !reply.json {
        return Said::Foreign;
    }
    if let Ok(gone) = parse::<DataBody<Kv2>>(reply) {
        return said_of(&gone.data.metadata);
    }
    let Ok(body) = parse::<ErrorBody>(reply) else { return Said::Nothing };
    let lines = || body.errors.iter().chain(body.warnings.iter().flatten());
    let says = |phrase: &str| lines().any(|line| line.contains(phrase));
    match () {
        () if says("is sealed") => Said::Sealed,
        () if says("not renewable") => Said::NotRenewable,
        () if says("active cluster node not found") => Said::NoLeader,
        () if says("no handler for route") => Said::NoMount,
        () if says("versioned K/V") || says("Invalid path for a versioned") => Said::IsKv2,
        () => Said::Nothing,
    }
}

fn said_of(metadata: &Metadata) -> Said {
    match metadata {
        Metadata { destroyed: true, version, .. } => Said::Destroyed(*version),
        Metadata { deletion_time, version, .. } if !deletion_time.is_empty() => Said::Deleted(*version),
        _ => Said::NoData,
    }
}
