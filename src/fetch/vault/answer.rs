//! What the server's bodies mean. Small shapes of our own: what is not needed is not parsed into a value.
//!
//! No text of a body leaves here but a token, a secret's data, and enums. A JSON error is dropped, not shown: it can
//! quote what it met.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use zeroize::Zeroize;

use crate::config::model::MountKind;
use crate::secret::SecretText;

use super::stamp;
use super::transport::Reply;
use super::trouble::{Said, Trouble};

/// What a login gave.
pub struct Minted {
    pub token: SecretText,
    /// Batch tokens cannot be revoked, and need not be.
    pub revocable: bool,
}

/// One secret's data, and what the store vouches for. Wiped when dropped.
pub struct Document {
    pub data: Value,
    pub version: Option<u64>,
    pub set_at: Option<i64>,
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
    Ok(Minted { token, revocable: auth.token_type != "batch" })
}

/// The answer to a read: 200 and an object.
pub fn secret(reply: &Reply, kind: MountKind) -> Result<Document, Trouble> {
    accept(reply)?;
    match kind {
        MountKind::Kv1 => {
            let data = Value::Object(parse::<DataBody<Map<String, Value>>>(reply)?.data);
            Ok(Document { data, version: None, set_at: None })
        }
        MountKind::Kv2 => {
            let Kv2 { data, metadata } = parse::<DataBody<Kv2>>(reply)?.data;
            let Some(data) = data else { return Err(Trouble::Status(reply.status, said_of(&metadata))) };
            let set_at = stamp::unix_seconds(&metadata.created_time).ok_or(Trouble::Malformed)?;
            Ok(Document { data: Value::Object(data), version: Some(metadata.version), set_at: Some(set_at) })
        }
    }
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
        () if says("no handler for route") => Said::NoMount,
        () if says("versioned K/V") => Said::IsKv2,
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
