//! Every way to log in, against a real OpenBao: what each takes, what it refuses, what is left of the identity.
//!
//! For Kubernetes the API server is stood in for: see `support/jwt.rs`.

mod support;

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use portcullis::config::model::{Leases, TlsVersion};
use portcullis::fetch::vault::{Answer, Credential, Engines, Identity, Login, Purpose, Store, Want, fetch};
use portcullis::refusal::{Exit, Refusal};
use portcullis::secret::SecretText;
use serde_json::{Value, json};
use support::bao::Bao;
use support::jwt::{Issuer, token_reviews};

const DEADLINE: Duration = Duration::from_secs(20);
const MAY_READ: &str = "path \"secret/data/ready\" { capabilities = [\"read\"] }";

fn store(bao: &Bao, login: Login) -> Store {
    Store {
        addresses: vec![bao.address.clone()],
        namespace: None,
        ca_pem: bao.ca.pem.clone(),
        identity: None,
        min_tls: TlsVersion::V13,
        engines: Engines::default(),
        leases: Leases::Refuse,
        login,
    }
}

/// One fetch, and whether it said that the identity was used.
fn get(store: Store) -> (Result<Answer, Refusal>, bool) {
    let used = Cell::new(false);
    let want = Want { name: "k".into(), path: "secret/ready".into(), field: "ready".into(), ..Want::default() };
    let tell = || {
        used.set(true);
        Ok(())
    };
    let outcome = fetch(store, &[want], DEADLINE, Purpose::Start, &tell);
    (outcome, used.get())
}

#[track_caller]
fn gets(store: Store) -> bool {
    let (outcome, used) = get(store);
    let answer = outcome.unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!(answer.fetched[0].value.expose(), "yes");
    assert_eq!(answer.warnings, [""; 0]);
    used
}

#[track_caller]
fn refused(store: Store, exit: Exit, what: &str, hint: &str) -> (Refusal, bool) {
    let begun = Instant::now();
    let (outcome, used) = get(store);
    let took = begun.elapsed();
    let refusal = outcome.err().expect("a refusal");
    println!("{refusal}");
    assert_eq!(refusal.exit, exit, "{refusal}");
    assert!(refusal.what.contains(what), "no `{what}` in: {refusal}");
    assert!(refusal.hint.contains(hint), "no `{hint}` in: {refusal}");
    assert!(took < Duration::from_secs(2), "a final no is told at once: {took:?}");
    (refusal, used)
}

fn text(text: &str) -> SecretText {
    SecretText::new(text.to_owned())
}

fn issuer() -> &'static Issuer {
    static ISSUER: OnceLock<Issuer> = OnceLock::new();
    ISSUER.get_or_init(|| Issuer::new(&support::scratch("issuer")))
}

/// An auth method at a mount of the test's own, so that tests do not meet.
fn enable(bao: &Bao, mount: &str, kind: &str) {
    bao.call("POST", &format!("sys/auth/{mount}"), json!({ "type": kind }));
}

fn jwt_login(mount: &str, role: &str, token: &str, audience: Option<&str>) -> Login {
    Login::Jwt { mount: mount.into(), role: role.into(), jwt: text(token), audience: audience.map(str::to_owned) }
}

#[test]
fn a_json_web_token_logs_in_and_its_token_is_revoked() {
    let Some(bao) = Bao::shared() else { return };
    enable(bao, "workloads/jwt", "jwt");
    bao.call("POST", "auth/workloads/jwt/config", json!({"jwt_validation_pubkeys": [issuer().public_pem]}));
    let role = json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "token_policies": bao.policy(MAY_READ)});
    bao.call("POST", "auth/workloads/jwt/role/bot", role);
    let good = issuer().token(json!({"sub": "mm1", "aud": "vault"}), false);
    assert!(!gets(store(bao, jwt_login("workloads/jwt", "bot", &good, Some("vault")))));
    let accessors = bao.accessors_at("auth/workloads/jwt/login");
    assert_eq!(accessors.len(), 1, "one login");
    assert!(!bao.lives(&accessors[0]), "the token of this login outlives it");

    let refused = |role: &str, token: &str, what: &str, hint: &str| {
        refused(store(bao, jwt_login("workloads/jwt", role, token, None)), Exit::StoreSaidNo, what, hint)
    };
    let hint = "vault read auth/workloads/jwt/role/bot";
    refused("bot", &issuer().token(json!({"sub": "mm1", "aud": "vault"}), true), "expired or of another issuer", hint);
    refused("bot", &issuer().token(json!({"sub": "mm1", "aud": "other"}), false), "refuses the login", hint);
    let foreign = Issuer::new(&support::scratch("foreign-issuer"));
    refused("bot", &foreign.token(json!({"sub": "mm1", "aud": "vault"}), false), "refuses the login", hint);
    refused("none", &good, "the role `none` does not exist", "auth/workloads/jwt/role/none");
}

#[test]
fn a_token_for_another_audience_is_not_shown_to_the_store() {
    let Some(bao) = Bao::shared() else { return };
    let token = issuer().token(json!({"sub": "mm1", "aud": "https://kubernetes.default.svc"}), false);
    let login = jwt_login("never-asked", "bot", &token, Some("vault"));
    refused(
        store(bao, login),
        Exit::Config,
        "is not for the audience `vault`, so it was not sent",
        "serviceAccountToken",
    );
    assert_eq!(bao.requests("auth/never-asked/login"), 0);
}

#[test]
fn a_service_account_logs_in_by_a_token_review() {
    let Some(bao) = Bao::shared() else { return };
    let claims = json!({"sub": "system:serviceaccount:bots:mm1", "aud": ["vault"], "iss": "kubernetes/serviceaccount",
        "kubernetes.io": {"namespace": "bots", "serviceaccount": {"name": "mm1", "uid": "a-uid"}}});
    let good = issuer().token(claims, false);
    let port = token_reviews(&bao.ca.issue("kube"), good.clone());
    enable(bao, "kubernetes", "kubernetes");
    bao.call(
        "POST",
        "auth/kubernetes/config",
        json!({"kubernetes_host": format!("https://localhost:{port}"), "kubernetes_ca_cert": String::from_utf8_lossy(&bao.ca.pem),
            "token_reviewer_jwt": issuer().token(json!({"sub": "reviewer"}), false), "disable_local_ca_jwt": true}),
    );
    let role = |account: &str| {
        json!({"bound_service_account_names": account, "bound_service_account_namespaces": "bots",
            "token_policies": bao.policy(MAY_READ)})
    };
    bao.call("POST", "auth/kubernetes/role/bot", role("mm1"));
    bao.call("POST", "auth/kubernetes/role/other", role("mm2"));
    let login = |role: &str, token: &str| Login::Kubernetes {
        mount: "kubernetes".into(),
        role: role.into(),
        jwt: text(token),
        audience: Some("vault".into()),
    };
    gets(store(bao, login("bot", &good)));
    assert!(!bao.lives(&bao.accessors_at("auth/kubernetes/login")[0]));
    let no = Exit::StoreSaidNo;
    refused(store(bao, login("other", &good)), no, "is not for this service account", "auth/kubernetes/role/other");
    refused(store(bao, login("none", &good)), no, "the role `none` does not exist", "auth/kubernetes/role/none");
    let stale = issuer().token(
        json!({"sub": "system:serviceaccount:bots:gone", "aud": "vault", "iss": "x",
        "kubernetes.io": {"namespace": "bots", "serviceaccount": {"name": "mm1", "uid": "a-uid"}}}),
        false,
    );
    let away = Exit::StoreUnavailable;
    refused(
        store(bao, login("bot", &stale)),
        away,
        "the service account's token was not reviewed (500)",
        "system:auth-delegator",
    );
}

fn client(bao: &Bao, name: &str) -> Identity {
    let issued = bao.ca.issue(name);
    let read = |path| std::fs::read(path).expect("PEM").into();
    Identity { cert_pem: read(&issued.cert), key_pem: read(&issued.key) }
}

#[test]
fn a_client_certificate_logs_in_and_opens_a_listener_that_wants_one() {
    let Some(bao) = Bao::shared() else { return };
    enable(bao, "cert", "cert");
    let role = json!({"certificate": String::from_utf8_lossy(&bao.ca.pem), "allowed_common_names": "bot", "token_policies": bao.policy(MAY_READ)});
    bao.call("POST", "auth/cert/certs/bots", role);
    let login = |role: Option<&str>| Login::Cert { mount: "cert".into(), role: role.map(str::to_owned) };
    let with = |identity, role| Store { identity, ..store(bao, login(role)) };
    gets(with(Some(client(bao, "bot")), Some("bots")));
    gets(with(Some(client(bao, "bot")), None));
    let no = Exit::StoreSaidNo;
    let cure = "vault list auth/cert/certs";
    refused(with(Some(client(bao, "someone-else")), Some("bots")), no, "no role takes this client certificate", cure);
    refused(with(Some(client(bao, "bot")), Some("none")), no, "no role takes this client certificate", cure);
    refused(with(None, Some("bots")), no, "no role takes this client certificate", cure);

    let mtls =
        |identity| Store { addresses: vec![bao.address_mtls.clone()], identity, ..store(bao, login(Some("bots"))) };
    gets(mtls(Some(client(bao, "bot"))));
    // The alert may be lost when the server closes at once behind it; both ways of saying so name the keys.
    let away = Exit::StoreUnavailable;
    refused(mtls(None), away, &bao.address_mtls, "set tls.client_cert and tls.client_key");
    let foreign = support::ca::Ca::new(&support::scratch("foreign-client")).issue("bot");
    let read = |path| std::fs::read(path).expect("PEM").into();
    let foreign = Identity { cert_pem: read(&foreign.cert), key_pem: read(&foreign.key) };
    refused(mtls(Some(foreign)), away, &bao.address_mtls, "set tls.client_cert and tls.client_key");

    let mixed = Identity { cert_pem: client(bao, "bot").cert_pem, key_pem: client(bao, "someone-else").key_pem };
    refused(with(Some(mixed), None), Exit::Config, "do not belong together", "openssl pkey -pubout");
    let torn = Identity { cert_pem: b"no PEM".to_vec().into(), key_pem: client(bao, "bot").key_pem };
    refused(with(Some(torn), None), Exit::Config, "is no PEM certificate", "tls.client_cert");
    let torn = Identity { cert_pem: client(bao, "bot").cert_pem, key_pem: b"no PEM".to_vec().into() };
    refused(with(Some(torn), None), Exit::Config, "is no PEM private key", "openssl pkey");
}

fn wrapped_secret_id(bao: &Bao, role: &support::bao::Role, token: &str, made_at: Option<&str>) -> Store {
    let secret_id = Credential::Wrapped { token: text(token), made_at: made_at.map(str::to_owned) };
    store(bao, Login::AppRole { mount: "approle".into(), role_id: role.role_id.clone(), secret_id })
}

#[test]
fn a_wrapped_secret_id_is_unwrapped_once_and_a_used_token_may_be_stolen() {
    let Some(bao) = Bao::shared() else { return };
    let role = bao.role(&["secret/data/ready"]);
    let path = format!("auth/approle/role/{}/secret-id", role.name);
    let token = bao.wrapped(&path, json!({}));
    assert!(gets(wrapped_secret_id(bao, &role, &token, None)), "its use is told");
    let (refusal, used) = refused(
        wrapped_secret_id(bao, &role, &token, None),
        Exit::StoreSaidNo,
        "it was used already, has expired, or never was one, so what it wrapped may have been stolen",
        "vault write -wrap-ttl=5m -f auth/approle/role/ROLE/secret-id",
    );
    assert!(!used && !refusal.to_string().contains(&token));
    refused(wrapped_secret_id(bao, &role, "s.nobodys", None), Exit::StoreSaidNo, "may have been stolen", "audit log");
    let exact = bao.wrapped(&path, json!({}));
    gets(wrapped_secret_id(bao, &role, &exact, Some(&path)));
}

#[test]
fn a_wrapping_token_made_elsewhere_is_not_unwrapped() {
    let Some(bao) = Bao::shared() else { return };
    let role = bao.role(&["secret/data/ready"]);
    let forged = bao.wrapped("sys/wrapping/wrap", json!({"secret_id": role.secret_id}));
    let (_, used) = refused(
        wrapped_secret_id(bao, &role, &forged, None),
        Exit::StoreSaidNo,
        "made at sys/wrapping/wrap and not at auth/approle/role/*/secret-id: it was exchanged",
        "it was not unwrapped",
    );
    assert!(!used);
    let (status, _) = bao.try_call("POST", "sys/wrapping/lookup", json!({"token": forged})).unwrap();
    assert_eq!(status, 200, "it can still be looked at: nobody unwrapped it");
    let other = bao.role(&[]);
    let others = bao.wrapped(&format!("auth/approle/role/{}/secret-id", other.name), json!({}));
    let mine = format!("auth/approle/role/{}/secret-id", role.name);
    refused(wrapped_secret_id(bao, &role, &others, Some(&mine)), Exit::StoreSaidNo, "it was exchanged", "wrapped_path");
}

#[test]
fn a_wrapped_token_is_this_starts_own_and_is_revoked() {
    let Some(bao) = Bao::shared() else { return };
    let policy = bao.policy(MAY_READ);
    let wrapping = bao.wrapped("auth/token/create", json!({"policies": [policy], "ttl": "5m"}));
    let accessor = bao.call("POST", "sys/wrapping/lookup", json!({"token": wrapping}));
    assert_eq!(accessor["data"]["creation_path"], "auth/token/create");
    let login = || Login::Token { token: Credential::Wrapped { token: text(&wrapping), made_at: None } };
    let before: Value = bao.call("LIST", "auth/token/accessors", Value::Null);
    assert!(gets(store(bao, login())));
    let after: Value = bao.call("LIST", "auth/token/accessors", Value::Null);
    let count = |list: &Value| list["data"]["keys"].as_array().map_or(0, Vec::len);
    assert!(count(&after) < count(&before), "the token is gone, and the wrapping token with it");
    refused(store(bao, login()), Exit::StoreSaidNo, "may have been stolen", "-f auth/token/create");
}

#[test]
fn a_namespace_is_where_the_login_and_the_secrets_are() {
    let Some(bao) = Bao::shared() else { return };
    bao.call("POST", "sys/namespaces/team-b", json!({}));
    let inside = |method: &str, path: &str, body: Value| bao.call(method, &format!("team-b/{path}"), body);
    inside("POST", "sys/auth/approle", json!({"type": "approle"}));
    inside("POST", "sys/mounts/secret", json!({"type": "kv", "options": {"version": "1"}}));
    inside("POST", "secret/ready", json!({"ready": "yes"}));
    inside("PUT", "sys/policies/acl/reads", json!({"policy": "path \"secret/ready\" { capabilities = [\"read\"] }"}));
    inside("POST", "auth/approle/role/bot", json!({"token_policies": "reads"}));
    let role_id = inside("GET", "auth/approle/role/bot/role-id", Value::Null)["data"]["role_id"].clone();
    let role =
        support::bao::Role { name: "bot".into(), role_id: role_id.as_str().unwrap().into(), secret_id: String::new() };
    let token = bao.wrapped("team-b/auth/approle/role/bot/secret-id", json!({}));
    let mut here = wrapped_secret_id(bao, &role, &token, Some("auth/approle/role/bot/secret-id"));
    here.namespace = Some("team-b".into());
    here.engines.mounts.insert("secret".into(), portcullis::config::model::MountKind::Kv1);
    gets(here);
}
