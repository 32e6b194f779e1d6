//! Figures, not claims: what `fetch` takes on top of the bare HTTPS calls, and what it holds at its peak.
//!
//! Run by hand, in release, on a quiet machine: `cargo test --release --test vault_measure -- --ignored --nocapture`.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portcullis::config::model::{Leases, TlsVersion};
use portcullis::fetch::vault::{Credential, Engines, Login, Purpose, Store, Want, fetch};
use portcullis::secret::SecretText;
use serde_json::{Value, json};
use support::bao::Bao;
use support::faults::listen;
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

/// Both ways through `delay`: what a store in another zone is like. A thread a direction, in order, byte for byte.
fn slowed(bao: &Bao, delay: Duration) -> String {
    let port: u16 = bao.address.rsplit(':').next().unwrap().parse().unwrap();
    let carry = move |mut from: TcpStream, mut to: TcpStream| {
        let (send, receive) = std::sync::mpsc::channel::<(Instant, Vec<u8>)>();
        std::thread::spawn(move || {
            let mut buffer = [0; 16384];
            while let Ok(n @ 1..) = from.read(&mut buffer) {
                send.send((Instant::now() + delay, buffer[..n].to_vec())).ok();
            }
        });
        std::thread::spawn(move || {
            for (due, bytes) in receive {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if to.write_all(&bytes).is_err() {
                    return;
                }
            }
            to.shutdown(std::net::Shutdown::Write).ok();
        });
    };
    let port = listen(move |near| {
        let far = TcpStream::connect(("127.0.0.1", port)).expect("the store");
        near.set_nodelay(true).and_then(|()| far.set_nodelay(true)).expect("a socket");
        carry(near.try_clone().expect("a socket"), far.try_clone().expect("a socket"));
        carry(far, near);
    });
    format!("https://localhost:{port}")
}

/// Ten references on five paths, the login and the revocation, against the same seven requests one after the other.
#[test]
#[ignore = "prints figures"]
fn measure_many_paths_at_a_distance() {
    let Some(bao) = Bao::shared() else { return };
    let delay = Duration::from_millis(10);
    let mut wants = Vec::new();
    for at in 0..5 {
        bao.put("secret", &format!("far-{at}"), json!({"a": "value-of-a", "b": "value-of-b"}));
        for field in ["a", "b"] {
            let path = format!("secret/far-{at}");
            wants.push(Want { name: field.into(), path, field: field.into(), ..Want::default() });
        }
    }
    let role = bao.role(&["secret/data/far-*"]);
    let address = slowed(bao, delay);
    let ours = || {
        let begun = Instant::now();
        let secret_id = Credential::Plain(SecretText::new(role.secret_id.clone()));
        let store = Store {
            addresses: vec![address.clone()],
            namespace: None,
            ca_pem: bao.ca.pem.clone(),
            min_tls: TlsVersion::V13,
            engines: Engines::default(),
            identity: None,
            leases: Leases::Refuse,
            login: Login::AppRole { mount: "approle".into(), role_id: role.role_id.clone(), secret_id },
        };
        assert!(fetch(store, &wants, Duration::from_secs(10), Purpose::Start, &|| Ok(())).is_ok());
        begun.elapsed()
    };
    let bare = || {
        let begun = Instant::now();
        let mut https = Https::connect(&address, &bao.ca.pem).unwrap();
        let login = json!({"role_id": role.role_id, "secret_id": role.secret_id}).to_string();
        let auth = https.call("POST", "auth/approle/login", "", &login).unwrap().1;
        let token = auth["auth"]["client_token"].as_str().unwrap();
        for at in 0..5 {
            assert_eq!(https.call("GET", &format!("secret/data/far-{at}"), token, "").unwrap().0, 200);
        }
        assert_eq!(https.call("POST", "auth/token/revoke-self", token, "").unwrap().0, 204);
        begun.elapsed()
    };
    let (ours, bare) = (0..21).map(|_| (ours(), bare())).unzip();
    let round = 2 * delay;
    let (ours, bare) = (median(ours), median(bare));
    println!("five paths, {round:?} a round trip: fetch {ours:?}, one after the other {bare:?}");
    println!(
        "in round trips: fetch {:.1}, one after the other {:.1}",
        ours.div_duration_f64(round),
        bare.div_duration_f64(round)
    );
}

/// How long a final no takes, login and revocation included.
#[test]
#[ignore = "prints figures"]
fn measure_a_final_no() {
    let Some(bao) = Bao::shared() else { return };
    bao.put("secret", "no", json!({"k": "v"}));
    let role = bao.role(&["secret/data/no", "secret/data/absent"]);
    let time = |role_id: &str, path: &str| {
        let begun = Instant::now();
        let secret_id = Credential::Plain(SecretText::new(role.secret_id.clone()));
        let store = Store {
            addresses: vec![bao.address.clone()],
            namespace: None,
            ca_pem: bao.ca.pem.clone(),
            min_tls: TlsVersion::V13,
            engines: Engines::default(),
            identity: None,
            leases: Leases::Refuse,
            login: Login::AppRole { mount: "approle".into(), role_id: role_id.to_owned(), secret_id },
        };
        let want = Want { name: "k".into(), path: path.into(), field: "none".into(), ..Want::default() };
        assert!(fetch(store, &[want], Duration::from_secs(10), Purpose::Start, &|| Ok(())).is_err());
        begun.elapsed()
    };
    for (what, role_id, path) in [
        ("a wrong identity", "nobody", "secret/no"),
        ("a path that is forbidden", role.role_id.as_str(), "secret/forbidden"),
        ("a path that is absent", &role.role_id, "secret/absent"),
        ("a field that is missing", &role.role_id, "secret/no"),
    ] {
        let times = (0..21).map(|_| time(role_id, path)).collect();
        println!("{what}: refused after {:?}", median(times));
    }
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
