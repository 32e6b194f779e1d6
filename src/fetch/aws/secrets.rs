//! Each secret once: several in one request where all are asked for as they are now, else one by one, always by stage or
//! version; then the field that was asked for.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use zeroize::Zeroizing;

use crate::refusal::Refusal;
use crate::seal::document::{Document, Format};
use crate::seal::pick;
use crate::secret::{Fetched, SecretText, Vouched};

use super::answer::{self, Batch, Description, Version};
use super::http::{Reply, Server};
use super::sign::{self, Credentials};
use super::{Want, words};

const CURRENT: &str = "AWSCURRENT";
/// The most ids in one BatchGetSecretValue.
const BATCH: usize = 20;

pub struct Session {
    pub server: Server,
    pub credentials: Credentials,
    pub region: String,
}

/// What makes two wants one request: id, stage, version.
type Key = (String, Option<String>, Option<String>);

fn key(want: &Want) -> Key {
    let stage = match (&want.stage, &want.version) {
        (None, None) => Some(CURRENT.to_owned()),
        (stage, _) => stage.clone(),
    };
    (want.id.clone(), stage, want.version.clone())
}

impl Session {
    pub async fn read_all(&self, wants: &[Want]) -> Result<Vec<Fetched>, Refusal> {
        let mut versions: BTreeMap<Key, Version> = BTreeMap::new();
        let current = |key: &Key| key.1.as_deref() == Some(CURRENT) && key.2.is_none();
        let mut ids: Vec<String> = wants.iter().map(key).filter(current).map(|key| key.0).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() > 1 {
            for ids in ids.chunks(BATCH) {
                for (id, version) in self.batch(ids, wants).await? {
                    versions.insert((id, Some(CURRENT.to_owned()), None), version);
                }
            }
        }
        let mut fetched = Vec::with_capacity(wants.len());
        for want in wants {
            let key = key(want);
            if !versions.contains_key(&key) {
                versions.insert(key.clone(), self.get(want, &key).await?);
            }
            fetched.push(picked(want, &versions[&key])?);
        }
        Ok(fetched)
    }

    async fn call(&self, action: &str, body: serde_json::Value) -> Result<Reply, Refusal> {
        let (target, body) = (format!("secretsmanager.{action}"), body.to_string());
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let make = || {
            sign::post(&self.server.base, "secretsmanager", &self.region, &headers, body.as_bytes(), &self.credentials)
        };
        self.server.send(make, answer::throttled).await
    }

    async fn batch(&self, ids: &[String], wants: &[Want]) -> Result<Vec<(String, Version)>, Refusal> {
        let reply = self.call("BatchGetSecretValue", json!({ "SecretIdList": ids })).await?;
        if reply.status != 200 {
            return Err(words::batch_refused(&answer::code(&reply.body)));
        }
        let batch: Batch =
            serde_json::from_slice(&reply.body).map_err(|_| words::nonsense(&self.server.base, "secrets"))?;
        if let Some(error) = batch.errors.first() {
            let want = wants.iter().find(|want| is_of(&want.id, &error.secret_id, &error.secret_id));
            return Err(words::refused(&error.error_code, want.or(wants.first()), &self.region));
        }
        let mut left = batch.secret_values;
        let mut found = Vec::new();
        for id in ids {
            let Some(at) = left.iter().position(|version| is_of(id, &version.arn, &version.name)) else {
                let want = wants.iter().find(|want| want.id == *id);
                return Err(words::refused("ResourceNotFoundException", want, &self.region));
            };
            let version = left.swap_remove(at);
            // The request has no word for a stage: the answer says which it is.
            if !version.version_stages.iter().any(|stage| stage == CURRENT) {
                return Err(words::nonsense(&self.server.base, "the current version of a secret"));
            }
            found.push((id.clone(), version));
        }
        match batch.next_token {
            None => Ok(found),
            Some(_) => Err(words::nonsense(&self.server.base, "all secrets at once")),
        }
    }

    async fn get(&self, want: &Want, (id, stage, version): &Key) -> Result<Version, Refusal> {
        let mut body = json!({ "SecretId": id });
        if let Some(stage) = stage {
            body["VersionStage"] = stage.as_str().into();
        }
        if let Some(version) = version {
            body["VersionId"] = version.as_str().into();
        }
        let reply = self.call("GetSecretValue", body).await?;
        if reply.status != 200 {
            return Err(words::refused(&answer::code(&reply.body), Some(want), &self.region));
        }
        let got: Version =
            serde_json::from_slice(&reply.body).map_err(|_| words::nonsense(&self.server.base, "a secret"))?;
        let as_asked = is_of(id, &got.arn, &got.name)
            && stage.as_ref().is_none_or(|stage| got.version_stages.contains(stage))
            && version.as_ref().is_none_or(|version| got.version_id == *version);
        if as_asked { Ok(got) } else { Err(words::nonsense(&self.server.base, "the version that was asked for")) }
    }

    /// For `check --live`: a line for each secret about its rotation.
    pub async fn rotation(&self, wants: &[Want]) -> Result<Vec<String>, Refusal> {
        let mut ids: Vec<&str> = wants.iter().map(|want| want.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut lines = Vec::new();
        for id in ids {
            let reply = self.call("DescribeSecret", json!({ "SecretId": id })).await?;
            let described = serde_json::from_slice::<Description>(&reply.body).ok().filter(|_| reply.status == 200);
            lines.push(match described {
                Some(description) => rotation_of(id, &description),
                None => format!(
                    "warning: aws does not say how {id} is rotated ({}): allow secretsmanager:DescribeSecret",
                    answer::code(&reply.body)
                ),
            });
        }
        Ok(lines)
    }
}

fn rotation_of(id: &str, description: &Description) -> String {
    if description.rotation_enabled != Some(true) {
        return format!("warning: rotation of {id} is off in aws");
    }
    let rules = description.rotation_rules.as_ref();
    let every = rules.and_then(|rules| rules.automatically_after_days).map(|days| format!("every {days} days"));
    let scheduled = rules.and_then(|rules| rules.schedule_expression.as_ref()).map(|rule| format!("by {rule}"));
    let last = if description.last_rotated_date.is_some() { "" } else { "; it was never rotated yet" };
    format!("rotation of {id} is on in aws, {}{last}", scheduled.or(every).unwrap_or("by a rule of its own".into()))
}

/// An id is a name, an ARN, or an ARN without the six characters that AWS adds at its end.
fn is_of(id: &str, arn: &str, name: &str) -> bool {
    let random = |rest: &str| rest.len() == 7 && rest.starts_with('-');
    id == name || id == arn || (id.starts_with("arn:") && arn.strip_prefix(id).is_some_and(random))
}

fn picked(want: &Want, version: &Version) -> Result<Fetched, Refusal> {
    let vouched = Vouched { set_at: version.created_date.map(|at| at as i64), ..Vouched::default() };
    let value = match (&version.secret_string, &version.secret_binary) {
        (Some(text), None) => of_text(want, text)?,
        (None, Some(bytes)) => of_bytes(want, bytes)?,
        _ => return Err(words::no_value(want, "has neither a text nor bytes", "put a value into this version")),
    };
    Ok(Fetched { value, vouched })
}

fn of_text(want: &Want, text: &Zeroizing<String>) -> Result<SecretText, Refusal> {
    let value = match want.field.as_str() {
        "" => SecretText::new(text.to_string()),
        field => of_field(want, field, text)?,
    };
    match want.base64 {
        true => Ok(SecretText::new(BASE64_STANDARD.encode(value.expose()))),
        false => Ok(value),
    }
}

fn of_field(want: &Want, field: &str, text: &str) -> Result<SecretText, Refusal> {
    let no_json = || {
        words::no_value(
            want,
            "is no JSON object, and has no fields",
            &format!("write \"aws:{}\" without a field for the whole of it", want.id),
        )
    };
    let document = Document::parse(text.as_bytes()).map_err(|_| no_json())?;
    if document.format() != Format::Json {
        return Err(no_json());
    }
    let picked = pick::pick(&document, field, &want.id).map_err(|refusal| Refusal {
        hint: "a field is a top-level key of the secret's JSON, or a pointer such as `#/data/value`, and a text that is not empty".to_owned(),
        ..refusal
    })?;
    Ok(picked.value)
}

fn of_bytes(want: &Want, bytes: &Zeroizing<String>) -> Result<SecretText, Refusal> {
    if !want.field.is_empty() {
        return Err(words::no_value(want, "is binary, and has no fields", "name the whole of it, without a field"));
    }
    if !want.base64 {
        return Err(words::no_value(want, "is binary", "write encoding = \"base64\" to hand it on so"));
    }
    match BASE64_STANDARD.decode(bytes.as_bytes()).map(Zeroizing::new) {
        Ok(decoded) if !decoded.is_empty() => Ok(SecretText::new(bytes.to_string())),
        _ => Err(words::no_value(want, "has bytes that are empty or no base64", "put a value into this version")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(field: &str, base64: bool) -> Want {
        Want { name: "k".into(), id: "bot".into(), field: field.into(), stage: None, version: None, base64 }
    }

    fn version(text: Option<&str>, bytes: Option<&str>) -> Version {
        Version {
            arn: String::new(),
            name: "bot".into(),
            version_stages: Vec::new(),
            version_id: String::new(),
            secret_string: text.map(|text| Zeroizing::new(text.to_owned())),
            secret_binary: bytes.map(|bytes| Zeroizing::new(bytes.to_owned())),
            created_date: Some(1_795_509_000.25),
        }
    }

    fn got(want: &Want, version: &Version) -> Option<(String, Option<i64>)> {
        picked(want, version).ok().map(|got| (got.value.expose().to_owned(), got.vouched.set_at))
    }

    #[test]
    fn an_id_is_a_name_or_an_arn_with_or_without_its_end() {
        const ARN: &str = "arn:aws:secretsmanager:eu-central-1:1:secret:bot-AbCdEf";
        for id in ["bot", ARN, "arn:aws:secretsmanager:eu-central-1:1:secret:bot"] {
            assert!(is_of(id, ARN, "bot"), "{id}");
        }
        for id in ["bo", "bot-AbCdEf", "arn:aws:secretsmanager:eu-central-1:1:secret:bo", "arn:"] {
            assert!(!is_of(id, ARN, "bot"), "{id}");
        }
    }

    #[test]
    fn texts_fields_and_bytes() {
        let text = version(Some(r#"{"a": "v", "b": {"c": "w"}, "n": 1}"#), None);
        let at = Some(1_795_509_000);
        assert_eq!(got(&want("a", false), &text), Some(("v".into(), at)));
        assert_eq!(got(&want("/b/c", false), &text), Some(("w".into(), at)));
        assert_eq!(got(&want("a", true), &text), Some(("dg==".into(), at)));
        assert_eq!(got(&want("", false), &version(Some("plain"), None)), Some(("plain".into(), at)));
        assert_eq!(got(&want("", true), &version(None, Some("AP8="))), Some(("AP8=".into(), at)));
        for (want, version) in [
            (want("n", false), &text),
            (want("zzz", false), &text),
            (want("a", false), &version(Some("a=v"), None)),
            (want("", false), &version(None, Some("AP8="))),
            (want("a", true), &version(None, Some("AP8="))),
            (want("", true), &version(None, Some("??"))),
            (want("", true), &version(None, None)),
        ] {
            assert_eq!(got(&want, version), None);
        }
    }
}
