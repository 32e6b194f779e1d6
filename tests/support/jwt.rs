//! JSON web tokens by the `openssl` command, and a stand-in for the one call that OpenBao makes to a Kubernetes API server.
//!
//! The stand-in is no Kubernetes: it reviews tokens by comparing them with the one it was given. What a real server checks
//! in a token (signature, expiry, audience, whether the pod still lives) is not shown by it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::ca::Issued;
use super::faults::{Asked, listen_tls, next_request, play};

/// An issuer: an RSA key in a directory.
pub struct Issuer {
    key: PathBuf,
    pub public_pem: String,
}

impl Issuer {
    pub fn new(dir: &Path) -> Issuer {
        let key = dir.join("jwt.key");
        openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"], Some(&key), b"");
        let public = openssl(&["pkey", "-pubout", "-in"], Some(&key), b"");
        Issuer { key, public_pem: String::from_utf8(public).expect("PEM") }
    }

    /// A token that is good for ten minutes from now, or was until ten minutes ago.
    pub fn token(&self, mut claims: Value, expired: bool) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
        let end = if expired { now - 600 } else { now + 600 };
        claims["iat"] = json!(end - 1200);
        claims["nbf"] = json!(end - 1200);
        claims["exp"] = json!(end);
        let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(json!({"alg": "RS256", "typ": "JWT"})), part(claims));
        let signature = openssl(&["dgst", "-sha256", "-sign"], Some(&self.key), text.as_bytes());
        format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

fn openssl(words: &[&str], file: Option<&Path>, input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(words).args(file).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the openssl command");
    child.stdin.take().expect("its input").write_all(input).expect("writes");
    let out = child.wait_with_output().expect("ends");
    assert!(out.status.success(), "openssl {words:?}");
    out.stdout
}

/// Listens as the API server does for TokenReviews, and knows one good token, of `system:serviceaccount:bots:mm1`.
pub fn token_reviews(issued: &Issued, good: String) -> u16 {
    listen_tls(issued, move |stream| {
        while let Some(Asked { path, body, .. }) = next_request(stream) {
            let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
            let known = path.ends_with("/tokenreviews") && asked["spec"]["token"] == good.as_str();
            let status = match known {
                true => {
                    json!({"authenticated": true, "audiences": asked["spec"]["audiences"], "user": {"username": "system:serviceaccount:bots:mm1",
                    "uid": "a-uid", "groups": ["system:serviceaccounts", "system:serviceaccounts:bots"]}})
                }
                false => json!({"authenticated": false, "error": "no such token"}),
            };
            let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status});
            if play(stream.get_mut(), super::faults::json("201 Created", &review.to_string())).is_none() {
                return;
            }
        }
    })
}
