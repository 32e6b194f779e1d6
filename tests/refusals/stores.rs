//! Stores for the cases that name one: a real OpenBao, started when the first case asks, and servers that misbehave.

use std::sync::OnceLock;
use std::time::Duration;

use super::support::bao::{Bao, Role};
use super::support::ca::Ca;
use super::support::faults::{FaultServer, Piece, listen};
use super::support::jwt::Issuer;
use serde_json::json;

/// What cases may write, and what stands for it.
struct Stores {
    words: Vec<(&'static str, String)>,
    _sealed: Option<Bao>,
}

static STORES: OnceLock<Option<Stores>> = OnceLock::new();

fn stores() -> Result<&'static Stores, String> {
    STORES.get_or_init(start).as_ref().ok_or("there is no OpenBao here: run tests/prepare".to_owned())
}

fn start() -> Option<Stores> {
    let bao = Bao::shared()?;
    let sealed = Bao::sealed();
    bao.put(
        "secret",
        "bots/mm1",
        json!({"api_key": "a-value-of-the-store", "number": 5, "empty": "", "object": {"a": 1}}),
    );
    let role: Role = bao.role(&["secret/data/bots/mm1", "secret/data/bots/none"]);
    let ca = Ca::new(&super::support::scratch("refusals-ca"));
    let slow = listen(|stream| {
        // Says nothing until the other side gives up.
        std::io::Read::read(&mut &stream, &mut [0u8; 1]).ok();
        std::io::Read::read_to_end(&mut &stream, &mut Vec::new()).ok();
    });
    let stalls = FaultServer::start(&ca.issue("stalls"), |path, _| {
        path.starts_with("/v1/secret/").then(|| vec![Piece::Pause(Duration::from_secs(30))])
    });
    let words = vec![
        ("{{ADDRESS}}", bao.address.clone()),
        ("{{TLS12}}", bao.address_tls12.clone()),
        ("{{CA}}", bao.ca.file().display().to_string()),
        ("{{OTHER_CA}}", ca.file().display().to_string()),
        ("{{ROLE_ID}}", role.role_id.clone()),
        ("{{SECRET_ID}}", role.secret_id.clone()),
        ("{{TOKEN}}", bao.root_token.clone()),
        ("{{WRAPPED_USED}}", used(bao, &role)),
        ("{{WRAPPED_FORGED}}", bao.wrapped("sys/wrapping/wrap", json!({"secret_id": role.secret_id}))),
        ("{{JWT}}", Issuer::new(&super::support::scratch("refusals-jwt")).token(json!({"aud": "elsewhere"}), false)),
        ("{{SLOW}}", format!("https://127.0.0.1:{slow}")),
        ("{{STALLS}}", stalls.address.clone()),
        ("{{SEALED}}", sealed.as_ref().map(|bao| bao.address.clone()).unwrap_or_default()),
        ("{{SEALED_CA}}", sealed.as_ref().map(|bao| bao.ca.file().display().to_string()).unwrap_or_default()),
    ];
    Some(Stores { words, _sealed: sealed })
}

/// A wrapping token that somebody has used before.
fn used(bao: &Bao, role: &Role) -> String {
    let token = bao.wrapped(&format!("auth/approle/role/{}/secret-id", role.name), json!({}));
    bao.call("POST", "sys/wrapping/unwrap", json!({ "token": token }));
    token
}

pub fn fill(text: &str) -> Result<String, String> {
    if !text.contains("{{") {
        return Ok(text.to_owned());
    }
    Ok(stores()?.words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value)))
}

/// Addresses, and what a clock says, differ each time.
pub fn redact(said: &str) -> String {
    let said = number_between(&number_between(said, "was set ", " seconds ago"), "within ", "ms");
    let Some(stores) = STORES.get().and_then(Option::as_ref) else { return said };
    let known = stores.words.iter().filter(|(_, value)| !value.is_empty());
    known
        .fold(said, |said, (word, value)| said.replace(value, word).replace(value.trim_start_matches("https://"), word))
}

/// Replaces a number between two words by `[N]`.
fn number_between(said: &str, before: &str, behind: &str) -> String {
    let Some((head, tail)) = said.split_once(before) else { return said.to_owned() };
    match tail.split_once(behind) {
        Some((number, rest)) if number.chars().all(|c| c.is_ascii_digit() || c == '.') => {
            format!("{head}{before}[N]{behind}{rest}")
        }
        _ => said.to_owned(),
    }
}
