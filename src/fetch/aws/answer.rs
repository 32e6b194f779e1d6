//! What AWS's answers say: error codes by `__type` or by their element, versions, and the few elements of a login.

use serde::Deserialize;

use super::http::Reply;

/// A secret's version.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Version {
    #[serde(rename = "ARN")]
    pub arn: String,
    pub name: String,
    #[serde(default)]
    pub version_stages: Vec<String>,
    #[serde(default)]
    pub version_id: String,
    pub secret_string: Option<zeroize::Zeroizing<String>>,
    /// In base64.
    pub secret_binary: Option<zeroize::Zeroizing<String>>,
    /// When this version was made, in seconds since 1970.
    pub created_date: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Batch {
    #[serde(default)]
    pub secret_values: Vec<Version>,
    #[serde(default)]
    pub errors: Vec<BatchError>,
    pub next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BatchError {
    #[serde(default)]
    pub secret_id: String,
    #[serde(default)]
    pub error_code: String,
}

/// How a secret is rotated.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Description {
    pub rotation_enabled: Option<bool>,
    pub rotation_rules: Option<Rules>,
    pub last_rotated_date: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Rules {
    pub automatically_after_days: Option<u64>,
    pub schedule_expression: Option<String>,
}

/// The error's name, whatever stands before it: `com.amazonaws...#ResourceNotFoundException`. Nothing else of the answer. What
/// stands before the service, and judges signatures, may answer in the other form.
pub fn code(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Error {
        #[serde(rename = "__type")]
        kind: String,
    }
    match serde_json::from_slice::<Error>(body) {
        Ok(error) => word(error.kind.rsplit('#').next().unwrap_or_default()),
        Err(_) => query_code(body),
    }
}

/// The same of a query answer.
pub fn query_code(body: &[u8]) -> String {
    word(std::str::from_utf8(body).ok().and_then(|text| element(text, "Code")).unwrap_or_default())
}

/// A name as AWS gives errors; anything else is none.
fn word(text: &str) -> String {
    let plain = !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric());
    if plain { text.to_owned() } else { "an unnamed error".to_owned() }
}

/// The text of the one element of this name that has no children; what has an entity in it is none of what is looked for.
pub fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, after) = rest.split_once(&format!("</{name}>"))?;
    let alone = !after.contains(&format!("<{name}>")) && !value.contains(['<', '&']);
    Some(value.trim()).filter(|value| alone && !value.is_empty())
}

const THROTTLED: [&str; 3] = ["ThrottlingException", "Throttling", "TooManyRequestsException"];

pub fn throttled(reply: &Reply) -> bool {
    reply.status == 429 || reply.status == 400 && THROTTLED.contains(&code(&reply.body).as_str())
}

pub fn throttled_query(reply: &Reply) -> bool {
    reply.status == 429 || reply.status == 400 && THROTTLED.contains(&query_code(&reply.body).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_its_name_and_nothing_of_its_words() {
        assert_eq!(code(br#"{"__type": "com.amazonaws#X", "Message": "hunter2"}"#), "X");
        assert_eq!(code(br#"{"__type": "ResourceNotFoundException"}"#), "ResourceNotFoundException");
        for odd in [&b"hunter2"[..], br#"{"__type": "a b\n"}"#, br#"{"message": "x"}"#, br#"{"__type": ""}"#] {
            assert_eq!(code(odd), "an unnamed error");
        }
        assert_eq!(code(b"<E><Code>AccessDenied</Code></E>"), "AccessDenied");
        assert_eq!(query_code(b"<E><Code>AccessDenied</Code><Message>x</Message></E>"), "AccessDenied");
    }

    #[test]
    fn an_element_stands_alone() {
        assert_eq!(element("<a><b> v </b></a>", "b"), Some("v"));
        for text in ["<b>v</b><b>w</b>", "<b>v", "<b></b>", "<b><c>v</c></b>", "<b>&lt;</b>", ""] {
            assert_eq!(element(text, "b"), None, "{text}");
        }
    }
}
