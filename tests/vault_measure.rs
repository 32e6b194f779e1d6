//! Figures, not claims: what `fetch` takes on top of the bare HTTPS calls, and what it holds at its peak.
//!
//! Run by hand, in release, on a quiet machine: `cargo test --release --test vault_measure -- --ignored --nocapture`.

mod support;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portcullis::config::model::{Leases, TlsVersion};
use portcullis::fetch::vault::{Credential, Engines, Login, Purpose, Store, Want, fetch};
use portcullis::secret::SecretText;
use serde_json::{Value, json};
use support::bao::Bao;
use support::https::Https;

const ROUNDS: usize = 101;

/// What one identity needs; sent to the child, whose memory is measured.
fn job(bao: &Bao) -> Value {
    bao.put("secret", "measured", json!({"key": "a-value-of-ordinary-length"}));
    let role = bao.role(&["secret/data/measured"]);
    json!({"address": bao.address, "ca": String::from_utf8_lossy(&bao.ca.pem),
        "role_id": role.role_id, "secret_id": role.secret_id})
}

fn by_fetch(job: &Value) {
    let text = |key: &str| job[key].as_str().unwrap().to_owned();
    let secret_id = SecretText::new(text("secret_id"));
    let store = Store {
        addresses: vec![text("address")],
        namespace: None,
        ca_pem: text("ca").into_bytes(),
        min_tls: TlsVersion::V13,
        engines: Engines::default(),
        identity: None,
        leases: Leases::Refuse,
        login: Login::AppRole {
            mount: "approle".into(),
            role_id: text("role_id"),
            secret_id: Credential::Plain(secret_id),
        },
    };
    let want = Want { name: "k".into(), path: "secret/measured".into(), field: "key".into(), ..Want::default() };
    assert!(fetch(store, &[want], Duration::from_secs(10), Purpose::Start, &|| Ok(())).is_ok());
}

fn by_bare_calls(job: &Value) {
    let text = |key: &str| job[key].as_str().unwrap();
    let mut https = Https::connect(text("address"), text("ca").as_bytes()).unwrap();
    let login = json!({"role_id": text("role_id"), "secret_id": text("secret_id")}).to_string();
    let auth = https.call("POST", "auth/approle/login", "", &login).unwrap().1;
    let token = auth["auth"]["client_token"].as_str().unwrap();
    assert_eq!(https.call("GET", "secret/data/measured", token, "").unwrap().0, 200);
    assert_eq!(https.call("POST", "auth/token/revoke-self", token, "").unwrap().0, 204);
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
#[ignore = "prints figures"]
fn measure() {
    let Some(bao) = Bao::shared() else { return };
    let job = job(bao);
    let time = |work: fn(&Value)| {
        let start = Instant::now();
        work(&job);
        start.elapsed()
    };
    // Taken in turn, so that a noisy moment hits both.
    let (ours, bare) = (0..ROUNDS).map(|_| (time(by_fetch), time(by_bare_calls))).unzip();
    println!("login + read + revoke, median of {ROUNDS}: fetch {:?}, bare calls {:?}", median(ours), median(bare));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "measured_child", "--nocapture", "--ignored"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(job.to_string().as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
#[ignore = "the child of measure"]
fn measured_child() {
    let job: Value = serde_json::from_reader(std::io::stdin()).unwrap();
    let line = |key: &str| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        status.lines().find(|line| line.starts_with(key)).unwrap_or_default().replace('\t', " ")
    };
    let before = (line("VmHWM"), line("RssAnon"));
    let start = Instant::now();
    by_fetch(&job);
    println!("one fetch, cold: {:?}; before {before:?}, after {:?}", start.elapsed(), (line("VmHWM"), line("RssAnon")));
}
