//! The vault source against a real OpenBao: what it fetches, what it refuses, what it leaves behind.
//!
//! Servers that misbehave are in `vault_faults.rs`.

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use portcullis::config::model::{Leases, MountKind, TlsVersion};
use portcullis::fetch::vault::{Answer, Credential, Engines, Login, Purpose, Store, Want, fetch};
use portcullis::refusal::{Exit, Refusal};
use portcullis::secret::SecretText;
use serde_json::{Value, json};
use support::bao::{Bao, Role};

const DEADLINE: Duration = Duration::from_secs(20);

fn store(bao: &Bao, login: Login) -> Store {
    Store {
        addresses: vec![bao.address.clone()],
        namespace: None,
        ca_pem: bao.ca.pem.clone(),
        min_tls: TlsVersion::V13,
        engines: Engines {
            mounts: BTreeMap::from([("old".to_owned(), MountKind::Kv1), ("teams/kv".to_owned(), MountKind::Kv2)]),
            ..Engines::default()
        },
        identity: None,
        leases: Leases::Refuse,
        login,
    }
}

fn approle(role: &Role) -> Login {
    Login::AppRole {
        mount: "approle".into(),
        role_id: role.role_id.clone(),
        secret_id: Credential::Plain(SecretText::new(role.secret_id.clone())),
    }
}

fn root(bao: &Bao) -> Login {
    Login::Token { token: Credential::Plain(SecretText::new(bao.root_token.clone())) }
}

fn want(path: &str, field: &str) -> Want {
    Want { name: "api_key".into(), path: path.into(), field: field.into(), ..Want::default() }
}

fn values(answer: &Answer) -> Vec<&str> {
    answer.fetched.iter().map(|fetched| fetched.value.expose()).collect()
}

/// The refusal of a fetch that must not succeed.
fn refused(store: Store, path: &str, field: &str) -> Refusal {
    let refusal = fetch(store, &[want(path, field)], DEADLINE, Purpose::Start, &|| Ok(())).err().expect("a refusal");
    println!("{refusal}");
    refusal
}

#[track_caller]
fn says(refusal: &Refusal, exit: Exit, what: &str, hint: &str) {
    assert_eq!(refusal.exit, exit, "{refusal}");
    assert!(refusal.what.contains(what), "no `{what}` in: {refusal}");
    assert!(refusal.hint.contains(hint), "no `{hint}` in: {refusal}");
}

#[test]
fn approle_reads_kv2_with_version_and_time() {
    let Some(bao) = Bao::shared() else { return };
    bao.put("secret", "bots/mm1", json!({"key": "first"}));
    bao.put("secret", "bots/mm1", json!({"key": "s3cr3t-\u{e9}\"\\\n"}));
    let role = bao.role(&["secret/data/bots/mm1"]);
    let answer =
        fetch(store(bao, approle(&role)), &[want("secret/bots/mm1", "key")], DEADLINE, Purpose::Start, &|| Ok(()))
            .ok()
            .unwrap();
    assert_eq!(values(&answer), ["s3cr3t-\u{e9}\"\\\n"]);
    assert_eq!(answer.fetched[0].vouched.version, Some(2));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    assert!((now - answer.fetched[0].vouched.set_at.unwrap()).abs() < 60);
    assert_eq!(answer.warnings, [""; 0]);
}

#[test]
fn kv1_has_no_version_and_a_mount_of_two_segments_is_found() {
    let Some(bao) = Bao::shared() else { return };
    bao.call("POST", "old/plain", json!({"key": "from-kv1"}));
    bao.put("teams/kv", "deep/er", json!({"key": "from-teams"}));
    let wants = [want("old/plain", "key"), want("teams/kv/deep/er", "key")];
    let answer = fetch(store(bao, root(bao)), &wants, DEADLINE, Purpose::Start, &|| Ok(())).ok().unwrap();
    assert_eq!(values(&answer), ["from-kv1", "from-teams"]);
    assert_eq!((answer.fetched[0].vouched.version, answer.fetched[0].vouched.set_at), (None, None));
}

#[test]
fn fields_of_one_path_cost_one_request() {
    let Some(bao) = Bao::shared() else { return };
    bao.put("secret", "two-fields", json!({"a": "1st", "b": {"c": ["2nd"]}}));
    bao.put("secret", "other", json!({"a": "3rd"}));
    let wants = [want("secret/two-fields", "a"), want("secret/other", "a"), want("secret/two-fields", "/b/c/0")];
    let answer = fetch(store(bao, root(bao)), &wants, DEADLINE, Purpose::Start, &|| Ok(())).ok().unwrap();
    assert_eq!(values(&answer), ["1st", "3rd", "2nd"]);
    assert_eq!(bao.requests("secret/data/two-fields"), 2, "one write and one read");
}

#[test]
fn a_path_is_sent_as_it_is_written() {
    let Some(bao) = Bao::shared() else { return };
    for path in ["with space", "q?x=1", "hash#y", "per%2fcent", "\u{fc}ml"] {
        let encoded: String = path.bytes().map(|b| format!("%{b:02x}")).collect();
        bao.call("POST", &format!("secret/data/{encoded}"), json!({"data": {"k": path}}));
        let answer =
            fetch(store(bao, root(bao)), &[want(&format!("secret/{path}"), "k")], DEADLINE, Purpose::Start, &|| Ok(()));
        assert_eq!(values(&answer.ok().unwrap()), [path]);
    }
}

#[test]
fn what_is_not_there_is_told_apart() {
    let Some(bao) = Bao::shared() else { return };
    for path in ["deleted", "destroyed", "fields"] {
        bao.put("secret", path, json!({"api_kez": "s3cr3t", "n": 8217}));
    }
    bao.put("secret", "no-data", Value::Null);
    bao.call("POST", "old/kv1", json!({"k": "v"}));
    bao.call("DELETE", "secret/data/deleted", Value::Null);
    bao.call("PUT", "secret/destroy/destroyed", json!({"versions": [1]}));
    let refused = |path: &str, field: &str| refused(store(bao, root(bao)), path, field);
    let no = Exit::StoreSaidNo;
    says(&refused("secret/missing", "k"), no, "does not exist", "vault kv put -mount=secret missing");
    says(&refused("secret/data/fields", "k"), no, "does not exist", "leave out data/: secret/fields");
    says(
        &refused("secret/deleted", "k"),
        no,
        "is deleted (version 1)",
        "kv undelete -versions=1 -mount=secret deleted",
    );
    says(&refused("secret/destroyed", "k"), no, "is destroyed (version 1)", "cannot be brought back");
    says(&refused("secret/no-data", "k"), no, "holds no data", "vault kv put");
    says(&refused("nowhere/x", "k"), no, "nothing is mounted at nowhere/", "vault secrets list");
    says(&refused("secret/fields", "api_key"), no, "does not exist", "did you mean `api_kez`?");
    says(&refused("old/missing", "k"), no, "does not exist", "vault kv put");
    let mut wrong_kind = store(bao, root(bao));
    wrong_kind.engines.mounts.insert("secret".into(), MountKind::Kv1);
    says(&self::refused(wrong_kind, "secret/fields", "k"), no, "KV 2 mount", "mounts.secret = \"kv2\"");
}

#[test]
fn what_is_no_usable_text_is_refused() {
    let Some(bao) = Bao::shared() else { return };
    let data =
        json!({"number": 8217, "object": {"in": "s3cr3t"}, "empty": "", "nul": "s3cr3t\0", "null": null, "list": []});
    bao.put("secret", "odd", data);
    for (field, fault) in [
        ("number", "is a number, not a text"),
        ("object", "is an object, not a text"),
        ("list", "is an array, not a text"),
        ("empty", "is empty"),
        ("null", "is null"),
        ("nul", "holds a NUL byte"),
    ] {
        let refusal = refused(store(bao, root(bao)), "secret/odd", field);
        says(&refusal, Exit::StoreSaidNo, fault, "");
        assert!(!refusal.to_string().contains("s3cr3t") && !refusal.to_string().contains("8217"));
    }
}

#[test]
fn a_wrong_identity_is_refused() {
    let Some(bao) = Bao::shared() else { return };
    let role = bao.role(&["secret/data/ready"]);
    let wrong = Role { secret_id: "00000000-0000-0000-0000-000000000000".into(), ..bao.role(&[]) };
    let bad_secret_id = refused(store(bao, approle(&wrong)), "secret/ready", "ready");
    says(&bad_secret_id, Exit::StoreSaidNo, "role id or the secret id is wrong", "role/ROLE/secret-id");
    let elsewhere = Login::AppRole {
        mount: "nowhere".into(),
        role_id: role.role_id.clone(),
        secret_id: Credential::Plain(SecretText::new(role.secret_id.clone())),
    };
    let bad_mount = refused(store(bao, elsewhere), "secret/ready", "ready");
    says(&bad_mount, Exit::StoreSaidNo, "forbids the login at auth/nowhere", "vault auth list");
    let bad_token = Login::Token { token: Credential::Plain(SecretText::new("s.nobodys".into())) };
    says(&refused(store(bao, bad_token), "secret/ready", "ready"), Exit::StoreSaidNo, "is forbidden", "policy");
    for (token, fault) in [("s.line\nbreak", "control"), ("", "is empty"), ("s.x\n", "white space")] {
        let login = Login::Token { token: Credential::Plain(SecretText::new(token.into())) };
        says(&refused(store(bao, login), "secret/ready", "ready"), Exit::Config, fault, "must hold the token alone");
    }
}

#[test]
fn what_the_policy_forbids_is_told_at_once_and_names_its_line() {
    let Some(bao) = Bao::shared() else { return };
    bao.put("secret", "forbidden/x", json!({"k": "v"}));
    let role = bao.role(&["secret/data/other"]);
    let line = "path \"secret/data/forbidden/x\" { capabilities = [\"read\"] }";
    says(&refused(store(bao, approle(&role)), "secret/forbidden/x", "k"), Exit::StoreSaidNo, "is forbidden", line);
    assert_eq!(bao.requests("secret/data/forbidden/x"), 1 + 1, "a write and a read: the store knows the token");
    assert!(!bao.lives(&bao.accessors_of(&role)[0]), "revoked after a failed read too");
    // Where the token may not ask what it may do, the moment of a replica is waited for.
    let silent = bao.role_with(&["secret/data/other"], json!({"token_no_default_policy": true}));
    says(&refused(store(bao, approle(&silent)), "secret/forbidden/x", "k"), Exit::StoreSaidNo, "is forbidden", line);
    assert_eq!(bao.requests("secret/data/forbidden/x"), 2 + 3);
}

#[test]
fn the_logins_own_token_is_revoked_and_an_operators_is_not() {
    let Some(bao) = Bao::shared() else { return };
    let role = bao.role(&["secret/data/ready"]);
    fetch(store(bao, approle(&role)), &[want("secret/ready", "ready")], DEADLINE, Purpose::Start, &|| Ok(()))
        .ok()
        .unwrap();
    let accessors = bao.accessors_of(&role);
    assert_eq!(accessors.len(), 1, "one login");
    assert!(!bao.lives(&accessors[0]));

    let made = bao.call("POST", "auth/token/create", json!({"ttl": "5m"}));
    let token = SecretText::new(made["auth"]["client_token"].as_str().unwrap().to_owned());
    fetch(
        store(bao, Login::Token { token: Credential::Plain(token) }),
        &[want("secret/ready", "ready")],
        DEADLINE,
        Purpose::Start,
        &|| Ok(()),
    )
    .ok()
    .unwrap();
    assert!(bao.lives(made["auth"]["accessor"].as_str().unwrap()));
}

#[test]
fn a_token_that_cannot_be_revoked_is_a_warning_and_a_batch_token_is_none() {
    let Some(bao) = Bao::shared() else { return };
    let wants = [want("secret/ready", "ready")];
    let role = bao.role_with(&["secret/data/ready"], json!({"token_no_default_policy": true}));
    let answer = fetch(store(bao, approle(&role)), &wants, DEADLINE, Purpose::Start, &|| Ok(())).ok().unwrap();
    assert_eq!(values(&answer), ["yes"]);
    assert!(answer.warnings[0].contains("auth/token/revoke-self"), "{:?}", answer.warnings);
    assert!(bao.lives(&bao.accessors_of(&role)[0]));

    let batch = bao.role_with(&["secret/data/ready"], json!({"token_type": "batch"}));
    let answer = fetch(store(bao, approle(&batch)), &wants, DEADLINE, Purpose::Start, &|| Ok(())).ok().unwrap();
    assert_eq!((values(&answer), answer.warnings.len()), (vec!["yes"], 0));
}

#[test]
fn a_sealed_server_and_a_fresh_one_say_so() {
    if Bao::shared().is_none() {
        return;
    }
    for (bao, what, hint) in [
        (Bao::sealed().unwrap(), "is sealed", "vault operator unseal"),
        (Bao::uninitialised().unwrap(), "is sealed", "vault operator init"),
    ] {
        let login = Login::Token { token: Credential::Plain(SecretText::new("s.any".into())) };
        says(&refused(store(&bao, login), "secret/a", "k"), Exit::StoreUnavailable, what, hint);
    }
}

#[test]
fn tls_is_by_the_given_roots_and_from_the_given_version() {
    let Some(bao) = Bao::shared() else { return };
    let away = Exit::StoreUnavailable;
    let mut other_ca = store(bao, root(bao));
    other_ca.ca_pem = support::ca::Ca::new(&support::scratch("other-ca")).pem;
    says(&refused(other_ca, "secret/ready", "ready"), away, "not signed by a CA in tls.ca", "openssl s_client");

    let tls12 = |min_tls| Store { addresses: vec![bao.address_tls12.clone()], min_tls, ..store(bao, root(bao)) };
    let refusal = refused(tls12(TlsVersion::V13), "secret/ready", "ready");
    says(&refusal, away, "speaks only TLS 1.2, and tls.min_version is 1.3", "tls_max_version");
    let allowed = fetch(tls12(TlsVersion::V12), &[want("secret/ready", "ready")], DEADLINE, Purpose::Start, &|| Ok(()));
    assert_eq!(values(&allowed.ok().unwrap()), ["yes"]);
}

#[test]
fn a_namespace_is_sent() {
    let Some(bao) = Bao::shared() else { return };
    bao.call("POST", "sys/namespaces/team-a", json!({}));
    let mut inside = store(bao, root(bao));
    inside.namespace = Some("team-a".into());
    says(&refused(inside, "secret/ready", "ready"), Exit::StoreSaidNo, "nothing is mounted at secret/", "");
}

/// Run again as a child of its own, so that all it prints, at any level, can be searched, and its threads be counted.
#[test]
fn no_secret_is_printed_at_trace_level_and_no_thread_is_started() {
    let Some(bao) = Bao::shared() else { return };
    bao.put("secret", "traced", json!({"key": "s3cr3t-value-traced", "n": 8217_8217}));
    let role = bao.role(&["secret/data/traced"]);
    let token = bao.call("POST", "auth/token/create", json!({}))["auth"]["client_token"].as_str().unwrap().to_owned();
    let job = json!({"address": bao.address, "ca": String::from_utf8(bao.ca.pem.clone()).unwrap(),
        "role_id": role.role_id, "secret_id": role.secret_id, "token": token});
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "traced_child", "--nocapture", "--ignored"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(job.to_string().as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let all = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{all}");
    assert!(all.contains("TRACE") && all.contains("secret/data/traced"), "tracing was on: {all}");
    for secret in ["s3cr3t-value-traced", "82178217", &role.secret_id, &token, "client_token"] {
        assert!(!all.contains(secret), "`{secret}` in: {all}");
    }
    // The tokens that its logins got are unknown here, but their form is not: `s.` and 24 letters and digits.
    let token_like = |(at, _)| all[at + 2..].chars().take_while(char::is_ascii_alphanumeric).count() >= 24;
    assert!(!all.match_indices("s.").any(token_like), "a token in: {all}");
}

#[test]
#[ignore = "the child of the test above"]
fn traced_child() {
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(std::io::stderr).init();
    let before = threads();
    let most = std::thread::spawn(most_threads_of_a_second);
    let job: Value = serde_json::from_reader(std::io::stdin()).unwrap();
    let text = |key: &str| job[key].as_str().unwrap().to_owned();
    let store = |login| Store {
        addresses: vec![text("address")],
        namespace: None,
        ca_pem: text("ca").into_bytes(),
        min_tls: TlsVersion::V13,
        engines: Engines::default(),
        identity: None,
        leases: Leases::Refuse,
        login,
    };
    let approle = || Login::AppRole {
        mount: "approle".into(),
        role_id: text("role_id"),
        secret_id: Credential::Plain(SecretText::new(text("secret_id"))),
    };
    let token = || Login::Token { token: Credential::Plain(SecretText::new(text("token"))) };
    assert!(fetch(store(approle()), &[want("secret/traced", "key")], DEADLINE, Purpose::Start, &|| Ok(())).is_ok());
    assert!(fetch(store(approle()), &[want("secret/forbidden", "key")], DEADLINE, Purpose::Start, &|| Ok(())).is_err());
    assert!(fetch(store(token()), &[want("secret/absent", "key")], DEADLINE, Purpose::Start, &|| Ok(())).is_err());
    for (login, field) in [(approle(), "keyy"), (approle(), "n"), (token(), "key/x")] {
        let refusal = fetch(store(login), &[want("secret/traced", field)], DEADLINE, Purpose::Start, &|| Ok(()))
            .err()
            .expect("a refusal");
        eprintln!("{refusal} {refusal:?}");
    }
    let wrong = Login::AppRole {
        mount: "nowhere".into(),
        role_id: text("role_id"),
        secret_id: Credential::Plain(SecretText::new(text("secret_id"))),
    };
    eprintln!(
        "{}",
        fetch(store(wrong), &[want("secret/traced", "key")], DEADLINE, Purpose::Start, &|| Ok(()))
            .err()
            .expect("a refusal")
    );
    assert_eq!(most.join().unwrap(), before + 1, "the one that counts, and no other");
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// The forbidden read pauses for half a second between its tries: a thread that a resolver left would be seen.
fn most_threads_of_a_second() -> usize {
    let samples = (0..500).map(|_| {
        std::thread::sleep(Duration::from_millis(2));
        threads()
    });
    samples.max().unwrap_or_default()
}
