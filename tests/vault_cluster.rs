//! Several addresses of one cluster: which is asked, what leads to the next, and that nothing is sent anywhere else.
//!
//! The misbehaving ones are the fault server; a sealed one and one that serves are real OpenBaos.

mod support;

use std::net::TcpListener;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use portcullis::config::model::{Leases, MountKind, TlsVersion};
use portcullis::fetch::vault::{Answer, Credential, Engines, Login, Purpose, Store, Want, fetch};
use portcullis::refusal::{Exit, Refusal};
use portcullis::secret::SecretText;
use support::bao::Bao;
use support::ca::{Ca, Issued};
use support::faults::{FaultServer, Piece, Script, TOKEN, answer, json, listen};

const DEADLINE: Duration = Duration::from_secs(4);
const READ: &str = "/v1/secret/data/a";
const LOGIN: &str = "/v1/auth/approle/login";
const REVOKE: &str = "/v1/auth/token/revoke-self";

fn ca() -> &'static (Ca, Issued) {
    static CA: OnceLock<(Ca, Issued)> = OnceLock::new();
    CA.get_or_init(|| {
        let ca = Ca::new(&support::scratch("cluster"));
        let issued = ca.issue("node");
        (ca, issued)
    })
}

fn node(script: Script) -> FaultServer {
    FaultServer::start(&ca().1, script)
}

fn good() -> FaultServer {
    node(|_, _| None)
}

fn store(addresses: &[&str]) -> Store {
    let secret_id = Credential::Plain(SecretText::new("s3cr3t-id".into()));
    Store {
        addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
        namespace: None,
        ca_pem: ca().0.pem.clone(),
        identity: None,
        min_tls: TlsVersion::V13,
        engines: Engines { mounts: [("engine".to_owned(), MountKind::Read)].into(), ..Engines::default() },
        leases: Leases::Refuse,
        login: Login::AppRole { mount: "approle".into(), role_id: "bot".into(), secret_id },
    }
}

fn get_path(store: Store, path: &str) -> Result<Answer, Refusal> {
    let want = Want { name: "k".into(), path: path.into(), field: "x".into(), ..Want::default() };
    let begun = Instant::now();
    let outcome = fetch(store, &[want], DEADLINE, Purpose::Start, &|| Ok(()));
    assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
    outcome
}

fn get(addresses: &[&str]) -> Result<Answer, Refusal> {
    get_path(store(addresses), "secret/a")
}

#[track_caller]
fn served(outcome: Result<Answer, Refusal>, passed_over: &[&str]) {
    let answer = outcome.unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!(answer.fetched[0].value.expose(), "good-value");
    assert_eq!(answer.warnings.len(), passed_over.len(), "{:?}", answer.warnings);
    for (warning, words) in answer.warnings.iter().zip(passed_over) {
        assert!(warning.contains(words), "no `{words}` in {warning}");
    }
}

fn nobody() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("https://127.0.0.1:{port}")
}

#[test]
fn the_first_that_serves_is_asked_and_no_other() {
    let (first, second) = (good(), good());
    served(get(&[&first.address, &second.address]), &[]);
    assert_eq!(first.seen(), [LOGIN, READ, REVOKE]);
    assert_eq!(second.seen(), [""; 0]);
}

#[test]
fn one_that_cannot_be_talked_to_leads_to_the_next() {
    let foreign = FaultServer::start(&Ca::new(&support::scratch("foreign-node")).issue("node"), |_, _| None);
    let expired = FaultServer::start(&ca().0.issue_for("expired", "DNS:localhost", -1), |_, _| None);
    let hole = listen(|_tcp| std::thread::sleep(Duration::from_secs(60)));
    let hole = format!("https://127.0.0.1:{hole}");
    for (address, why) in [
        (nobody(), "refuses the connection"),
        ("https://no-such-host.invalid".to_owned(), "has no address"),
        (foreign.address.clone(), "has a certificate of another CA"),
        (expired.address.clone(), "has a certificate that is not valid now"),
        (hole, "completes no connection in time"),
    ] {
        let next = good();
        served(get(&[&address, &next.address]), &[why]);
        assert_eq!(next.seen(), [LOGIN, READ, REVOKE]);
    }
    assert_eq!((foreign.seen(), expired.seen()), (vec![], vec![]), "nothing was sent");
}

#[test]
fn a_standby_and_a_sealed_one_lead_to_the_next() {
    for script in [
        (|p, _| (p == LOGIN).then(|| json("473 Standby", "{}"))) as Script,
        |p, _| (p == LOGIN).then(|| json("472 DR", "{}")),
        |p, _| (p == LOGIN).then(|| json("503 Unavailable", "{\"errors\":[\"Vault is sealed\"]}")),
    ] {
        let (standby, next) = (node(script), good());
        served(get(&[&standby.address, &next.address]), &["is a standby, sealed or down"]);
        assert_eq!((standby.seen().len(), next.seen().len()), (1, 3));
    }
    let Some(bao) = Bao::shared() else { return };
    let sealed = Bao::sealed().expect("a second server");
    let role = bao.role(&["secret/data/ready"]);
    let secret_id = Credential::Plain(SecretText::new(role.secret_id.clone()));
    let real = Store {
        ca_pem: [sealed.ca.pem.as_slice(), &bao.ca.pem].concat(),
        login: Login::AppRole { mount: "approle".into(), role_id: role.role_id, secret_id },
        ..store(&[&sealed.address, &bao.address])
    };
    let want = Want { name: "k".into(), path: "secret/ready".into(), field: "ready".into(), ..Want::default() };
    let answer =
        fetch(real, &[want], DEADLINE, Purpose::Start, &|| Ok(())).unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!(answer.fetched[0].value.expose(), "yes");
    assert!(answer.warnings[0].contains(&format!("{} is a standby, sealed or down (503)", sealed.address)));
}

#[test]
fn one_that_falls_after_the_login_leads_to_the_next_with_the_same_token() {
    let (falls, next) = (node(|p, _| (p == READ).then(|| json("473 Standby", "{}"))), good());
    served(get(&[&falls.address, &next.address]), &["is a standby"]);
    assert_eq!(falls.seen(), [LOGIN, READ]);
    assert_eq!(next.seen(), [READ, REVOKE]);
    assert_eq!(next.tokens(), [TOKEN, TOKEN]);
}

#[test]
fn a_login_that_may_have_been_made_is_made_nowhere_else() {
    for script in [
        (|p, _| (p == LOGIN).then(|| vec![Piece::Close])) as Script,
        |p, _| (p == LOGIN).then(|| json("500 Oops", "{}")),
        |p, _| (p == LOGIN).then(|| json("502 Bad Gateway", "{}")),
    ] {
        let (first, second) = (node(script), good());
        let refusal = get(&[&first.address, &second.address]).err().expect("a refusal");
        assert_eq!(refusal.exit, Exit::StoreUnavailable, "{refusal}");
        assert_eq!((first.seen(), second.seen()), (vec![LOGIN.to_owned()], vec![]));
    }
    let (first, second) = (node(|p, _| (p == LOGIN).then(|| json("400 Bad", "{\"errors\":[\"no\"]}"))), good());
    let refusal = get(&[&first.address, &second.address]).err().expect("a refusal");
    assert_eq!((refusal.exit, second.seen().len()), (Exit::StoreSaidNo, 0), "a no is a no: {refusal}");
}

#[test]
fn what_mints_is_asked_for_once_unless_it_was_surely_not_done() {
    const CREDS: &str = "/v1/engine/creds";
    let good = "{\"data\":{\"x\":\"good-value\"},\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":0}";
    for (script, times) in [
        ((|p, _| (p == CREDS).then(|| vec![Piece::Close])) as Script, 1),
        (|p, _| (p == CREDS).then(|| json("500 Oops", "{}")), 1),
        (|p, _| (p == CREDS).then(|| json("502 Bad Gateway", "{}")), 1),
        (|p, _| (p == CREDS).then(|| json("200 OK", "{\"data\":{\"x\":")), 1),
        (|p, _| (p == CREDS).then(|| json("503 Unavailable", "{}")), 3),
    ] {
        let server = node(script);
        let refusal = get_path(store(&[&server.address]), "engine/creds").err().expect("a refusal");
        assert_eq!(refusal.exit, Exit::StoreUnavailable, "{refusal}");
        assert_eq!(server.seen().iter().filter(|path| *path == CREDS).count(), times, "{refusal}");
        assert_eq!(server.seen().last().map(String::as_str), Some(REVOKE), "what may have been made is given back");
    }
    let heals: Script = |p, before| (p == CREDS && before == 0).then(|| json("503 Unavailable", "{}"));
    let server = FaultServer::start_with(&ca().1, heals, Some((CREDS, good)));
    served(get_path(store(&[&server.address]), "engine/creds"), &[]);
    assert_eq!(server.seen().iter().filter(|path| *path == CREDS).count(), 2);
}

#[test]
fn a_redirect_is_followed_to_a_listed_address_alone() {
    static ACTIVE: OnceLock<FaultServer> = OnceLock::new();
    static ELSEWHERE: OnceLock<FaultServer> = OnceLock::new();
    let (active, elsewhere) = (ACTIVE.get_or_init(good), ELSEWHERE.get_or_init(good));
    let to_active: Script =
        |p, _| Some(answer("307 Temporary", &format!("Location: {}{p}\r\n", ACTIVE.get().unwrap().address), ""));
    let standby = node(to_active);
    served(get(&[&standby.address, &active.address]), &["redirects to another"]);
    assert_eq!(
        (standby.seen(), active.seen()),
        (vec![LOGIN.to_owned()], [LOGIN, READ, REVOKE].map(str::to_owned).to_vec())
    );

    let to_elsewhere: Script = |p, _| {
        (p == READ)
            .then(|| answer("307 Temporary", &format!("Location: {}{p}\r\n", ELSEWHERE.get().unwrap().address), ""))
    };
    let strays = node(to_elsewhere);
    let refusal = get(&[&strays.address, &active.address]).err().expect("a refusal");
    assert!(refusal.what.contains("redirects (307) to where [vault] address does not lead"), "{refusal}");
    assert!(refusal.hint.contains("add the active node to the list"), "{refusal}");
    assert_eq!(elsewhere.seen(), [""; 0], "no token arrives there");

    let in_a_circle: Script =
        |p, _| (p == LOGIN).then(|| answer("307 Temporary", &format!("Location: https://localhost{p}\r\n"), ""));
    let circle = node(in_a_circle);
    let refusal = get(&[&circle.address]).err().expect("a refusal");
    assert!(refusal.what.contains("redirects (307)"), "{refusal}");
}

#[test]
fn where_none_serves_each_is_named_with_its_fault() {
    let standby = node(|p, _| (p == LOGIN).then(|| json("473 Standby", "{}")));
    let dead = nobody();
    let refusal = get(&[&dead, "https://no-such-host.invalid", &standby.address]).err().expect("a refusal");
    println!("{refusal}");
    assert_eq!(refusal.exit, Exit::StoreUnavailable);
    assert!(refusal.what.contains("is a standby that serves no requests (473)"), "{refusal}");
    assert!(refusal.hint.contains(&format!("tried before: {dead} refuses the connection")), "{refusal}");
    assert!(refusal.hint.contains("https://no-such-host.invalid has no address"), "{refusal}");
}

#[test]
fn lag_and_limits_heal_and_a_limit_of_an_hour_is_told_at_once() {
    let ok = |script: Script, pause: Duration| {
        let server = node(script);
        let begun = Instant::now();
        served(get(&[&server.address]), &[]);
        assert!(begun.elapsed() >= pause, "{:?}", begun.elapsed());
        assert_eq!(server.seen().iter().filter(|path| *path == READ).count(), 2);
    };
    ok(|p, n| (p == READ && n == 0).then(|| json("412 Precondition Failed", "{\"errors\":[]}")), Duration::ZERO);
    ok(|p, n| (p == READ && n == 0).then(|| json("429 Too Many", "{\"errors\":[]}")), Duration::ZERO);
    ok(
        |p, n| {
            let wait = "Retry-After: 1\r\nContent-Type: application/json\r\n";
            (p == READ && n == 0).then(|| answer("429 Too Many", wait, "{\"errors\":[]}"))
        },
        Duration::from_secs(1),
    );
    for seconds in ["3600", "18446744073709551615"] {
        static SECONDS: std::sync::Mutex<&str> = std::sync::Mutex::new("");
        *SECONDS.lock().unwrap() = seconds;
        let server = node(|p, _| {
            let wait = format!("Retry-After: {}\r\nContent-Type: application/json\r\n", SECONDS.lock().unwrap());
            (p == READ).then(|| answer("429 Too Many", &wait, "{\"errors\":[]}"))
        });
        let begun = Instant::now();
        let refusal = get(&[&server.address]).err().expect("a refusal");
        assert!(refusal.what.contains(&format!("asks to wait {seconds} s")), "{refusal}");
        assert!(begun.elapsed() < Duration::from_secs(1), "at once: {:?}", begun.elapsed());
    }
}

#[test]
fn a_store_that_is_unsealed_in_time_serves_and_one_that_stays_sealed_says_so() {
    if Bao::shared().is_none() {
        return;
    }
    let bao = Bao::own().expect("a server of one's own");
    let role = bao.role(&["secret/data/ready"]);
    let attempt = || {
        let secret_id = Credential::Plain(SecretText::new(role.secret_id.clone()));
        let login = Login::AppRole { mount: "approle".into(), role_id: role.role_id.clone(), secret_id };
        let store = Store { ca_pem: bao.ca.pem.clone(), login, ..store(&[&bao.address]) };
        let want = Want { name: "k".into(), path: "secret/ready".into(), field: "ready".into(), ..Want::default() };
        fetch(store, &[want], DEADLINE, Purpose::Start, &|| Ok(()))
    };
    bao.seal();
    let begun = Instant::now();
    let refusal = attempt().err().expect("a refusal");
    assert!(refusal.what.contains("is sealed") && refusal.hint.contains("vault operator unseal"), "{refusal}");
    assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
    let answer = std::thread::scope(|scope| {
        let fetching = scope.spawn(attempt);
        bao.unseal();
        fetching.join().expect("the fetch ends")
    });
    let answer = answer.unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!(answer.fetched[0].value.expose(), "yes");
}

#[test]
fn a_token_that_has_expired_is_told_so() {
    let Some(bao) = Bao::shared() else { return };
    let made = bao.call("POST", "auth/token/create", serde_json::json!({"ttl": "1s", "policies": ["default"]}));
    let accessor = made["auth"]["accessor"].as_str().unwrap();
    bao.wait_until("the token has expired", || !bao.lives(accessor));
    let token = SecretText::new(made["auth"]["client_token"].as_str().unwrap().to_owned());
    let by_token = Store {
        ca_pem: bao.ca.pem.clone(),
        login: Login::Token { token: Credential::Plain(token) },
        ..store(&[&bao.address])
    };
    let refusal = get_path(by_token, "secret/ready").err().expect("a refusal");
    assert_eq!(refusal.exit, Exit::StoreSaidNo);
    assert!(refusal.hint.contains("it may have expired (`vault token lookup`)"), "{refusal}");
}
