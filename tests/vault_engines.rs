//! What is read beside the newest version of a KV secret: pinned versions, engines that mint, leases, values that are no texts;
//! against a real OpenBao and, for database users, a real PostgreSQL.

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use portcullis::config::model::{Leases, MountKind, TlsVersion};
use portcullis::fetch::vault::{Answer, Credential, Engines, Login, Purpose, Store, Want, fetch};
use portcullis::refusal::{Exit, Refusal};
use portcullis::secret::SecretText;
use serde_json::{Value, json};
use support::bao::{Bao, Role};
use support::database::Database;

const DEADLINE: Duration = Duration::from_secs(20);

fn store(bao: &Bao, login: Login) -> Store {
    let mounts = ["pki", "database"].map(|mount| (mount.to_owned(), MountKind::Read));
    let parameters = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let writes = BTreeMap::from([
        ("pki/issue/bot".to_owned(), parameters(&[("common_name", "bot.internal"), ("ttl", "1h")])),
        ("pki/issue/leased".to_owned(), parameters(&[("common_name", "bot.internal"), ("ttl", "1h")])),
        ("pki/issue/wrong".to_owned(), parameters(&[("common_name", "elsewhere.example")])),
        ("pki/cert/ca".to_owned(), BTreeMap::new()),
        ("pki/sign/bot".to_owned(), BTreeMap::new()),
    ]);
    Store {
        addresses: vec![bao.address.clone()],
        namespace: None,
        ca_pem: bao.ca.pem.clone(),
        identity: None,
        min_tls: TlsVersion::V13,
        engines: Engines { mounts: mounts.into(), writes },
        leases: Leases::Refuse,
        login,
    }
}

fn approle(role: &Role) -> Login {
    let secret_id = Credential::Plain(SecretText::new(role.secret_id.clone()));
    Login::AppRole { mount: "approle".into(), role_id: role.role_id.clone(), secret_id }
}

fn token(token: &str) -> Login {
    Login::Token { token: Credential::Plain(SecretText::new(token.to_owned())) }
}

/// A role with a policy of these lines.
fn role(bao: &Bao, lines: &str) -> Role {
    let role = bao.role(&[]);
    let policy = bao.policy(lines);
    bao.call("POST", &format!("auth/approle/role/{}", role.name), json!({ "token_policies": policy }));
    role
}

fn want(path: &str, field: &str) -> Want {
    Want { name: "k".into(), path: path.into(), field: field.into(), ..Want::default() }
}

fn version(path: &str, version: u64) -> Want {
    Want { version: Some(version), ..want(path, "k") }
}

fn start(store: Store, wants: &[Want]) -> Result<Answer, Refusal> {
    fetch(store, wants, DEADLINE, Purpose::Start, &|| Ok(()))
}

#[track_caller]
fn ok(outcome: Result<Answer, Refusal>) -> Answer {
    outcome.unwrap_or_else(|refusal| panic!("{refusal}"))
}

#[track_caller]
fn says(outcome: Result<Answer, Refusal>, exit: Exit, what: &str, hint: &str) {
    let refusal = outcome.err().expect("a refusal");
    println!("{refusal}");
    assert_eq!(refusal.exit, exit, "{refusal}");
    assert!(refusal.what.contains(what), "no `{what}` in: {refusal}");
    assert!(refusal.hint.contains(hint), "no `{hint}` in: {refusal}");
}

fn values(answer: &Answer) -> Vec<&str> {
    answer.fetched.iter().map(|fetched| fetched.value.expose()).collect()
}

#[test]
fn a_pinned_version_is_read_and_what_became_of_the_others_is_told_apart() {
    let Some(bao) = Bao::shared() else { return };
    for value in ["first", "second", "third", "fourth"] {
        bao.put("secret", "pinned", json!({ "k": value }));
    }
    bao.call("POST", "secret/delete/pinned", json!({"versions": [2]}));
    bao.call("PUT", "secret/destroy/pinned", json!({"versions": [3]}));
    let get = |wants: &[Want]| start(store(bao, token(&bao.root_token)), wants);
    let before = bao.requests("secret/data/pinned");
    let both = [version("secret/pinned", 1), want("secret/pinned", "k"), version("secret/pinned", 1)];
    let answer = ok(get(&both));
    assert_eq!(values(&answer), ["first", "fourth", "first"]);
    let versions: Vec<_> = answer.fetched.iter().map(|fetched| fetched.vouched.version).collect();
    assert_eq!(versions, [Some(1), Some(4), Some(1)]);
    assert_eq!(bao.requests("secret/data/pinned") - before, 2, "each version is asked for once");
    let no = Exit::StoreSaidNo;
    says(
        get(&[version("secret/pinned", 2)]),
        no,
        "is deleted (version 2)",
        "kv undelete -versions=2 -mount=secret pinned",
    );
    says(get(&[version("secret/pinned", 3)]), no, "is destroyed (version 3)", "cannot be brought back");
    says(get(&[version("secret/pinned", 9)]), no, "has no version 9", "vault kv metadata get -mount=secret pinned");
}

#[test]
fn what_is_no_text_is_handed_on_in_base64() {
    let Some(bao) = Bao::shared() else { return };
    bao.put("secret", "odd-kinds", json!({"n": 8217, "o": {"a": [1]}, "t": "text", "nul": "a\0b"}));
    let in_base64 = |field: &str| Want { base64: true, ..want("secret/odd-kinds", field) };
    let answer = ok(start(store(bao, token(&bao.root_token)), &["n", "o", "t", "nul"].map(in_base64)));
    assert_eq!(values(&answer), ["ODIxNw==", "eyJhIjpbMV19", "dGV4dA==", "YQBi"]);
}

#[test]
fn cubbyhole_is_read_without_being_listed() {
    let Some(bao) = Bao::shared() else { return };
    bao.call("POST", "cubbyhole/note", json!({"k": "in-the-cubbyhole"}));
    let answer = ok(start(store(bao, token(&bao.root_token)), &[want("cubbyhole/note", "k")]));
    assert_eq!(values(&answer), ["in-the-cubbyhole"]);
}

fn pki(bao: &Bao) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        bao.call("POST", "sys/mounts/pki", json!({"type": "pki"}));
        bao.call("POST", "pki/root/generate/internal", json!({"common_name": "a root", "ttl": "2h"}));
        let settings =
            json!({"allowed_domains": "internal", "allow_subdomains": true, "max_ttl": "1h", "generate_lease": false});
        bao.call("POST", "pki/roles/bot", settings.clone());
        bao.call("POST", "pki/roles/wrong", settings.clone());
        let mut leased = settings;
        leased["generate_lease"] = json!(true);
        bao.call("POST", "pki/roles/leased", leased);
    });
}

#[test]
fn a_certificate_is_issued_once_by_writing_and_its_key_belongs_to_it() {
    let Some(bao) = Bao::shared() else { return };
    pki(bao);
    let role = role(bao, "path \"pki/issue/*\" { capabilities = [\"create\", \"update\"] }");
    let wants = ["certificate", "private_key", "/ca_chain/0"].map(|field| want("pki/issue/bot", field));
    let answer = ok(start(store(bao, approle(&role)), &wants));
    assert_eq!(bao.requests("pki/issue/bot"), 1, "three fields come from one answer");
    let public = |what: &[&str], pem: &str| {
        use std::io::Write;
        let mut child = std::process::Command::new("openssl")
            .args(what)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(pem.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    let [certificate, key, _] = values(&answer)[..] else { panic!("three values") };
    let of_certificate = public(&["x509", "-pubkey", "-noout"], certificate);
    assert!(of_certificate.contains("BEGIN PUBLIC KEY"));
    assert_eq!(of_certificate, public(&["pkey", "-pubout"], key));
    assert!(answer.kept.is_none() && !bao.lives(&bao.accessors_of(&role)[0]), "without a lease the token goes");
    let get = |path| start(store(bao, approle(&role)), &[want(path, "certificate")]);
    let no = Exit::StoreSaidNo;
    says(get("pki/issue/wrong"), no, "vault refuses the request (400)", "vault write pki/issue/wrong common_name=...");
    says(
        get("pki/sign/bot"),
        no,
        "is forbidden to this token",
        "path \"pki/sign/bot\" { capabilities = [\"create\", \"update\"] }",
    );
    let by_root = |path| start(store(bao, token(&bao.root_token)), &[want(path, "certificate")]);
    says(by_root("pki/cert/ca"), no, "cannot be written to", "remove it from [vault.write]");
    says(by_root("pki/issue/leased"), Exit::Config, "is leased for", "leases = \"unkept\"");
    says(by_root("pki/roles/none"), no, "does not exist", "vault path-help pki");
}

/// A database user per read, which lives ten seconds and cannot log in afterwards.
struct Users<'a> {
    bao: &'a Bao,
    database: Database<'a>,
}

impl<'a> Users<'a> {
    fn new(bao: &'a Bao) -> Option<Users<'a>> {
        let database = Database::new(bao)?;
        database.kind("bot", "10s", "1m");
        Some(Users { bao, database })
    }

    /// How many there are now.
    fn count(&self) -> usize {
        let names = self.database.postgres.superuser("select count(*) from pg_roles where rolname like 'v-%'");
        names.parse().expect("a number")
    }

    fn wants() -> [Want; 2] {
        ["username", "password"].map(|field| want("database/creds/bot", field))
    }

    fn role(&self) -> Role {
        role(self.bao, "path \"database/creds/bot\" { capabilities = [\"read\"] }")
    }

    fn gone(&self, what: &str) {
        self.bao.wait_until(what, || self.count() == 0);
    }
}

/// One after the other: they count the same users.
#[test]
fn database_users_are_made_once_and_never_left_behind() {
    let Some(bao) = Bao::shared() else { return };
    let Some(users) = Users::new(bao) else { return };
    let role = users.role();
    let unkept = |login| Store { leases: Leases::Unkept, ..store(bao, login) };

    // Nothing renews a lease: unless the config takes that, the user is given back.
    let refusal = start(store(bao, approle(&role)), &Users::wants());
    says(refusal, Exit::Config, "is leased for 10 s, and nothing would renew it", "leases = \"unkept\"");
    users.gone("the refused user is revoked with its token");
    let (operators, accessor) = bao.token(&bao.policy(
        "path \"database/creds/bot\" { capabilities = [\"read\"] }\npath \"sys/leases/revoke\" { capabilities = [\"update\"] }",
    ));
    says(start(store(bao, token(&operators)), &Users::wants()), Exit::Config, "is leased for 10 s", "given back");
    users.gone("the refused user is revoked by its lease");
    assert!(bao.lives(&accessor), "an operator's token is not revoked");
    let (poor, _) = bao.token(&bao.policy("path \"database/creds/bot\" { capabilities = [\"read\"] }"));
    says(start(store(bao, token(&poor)), &Users::wants()), Exit::Config, "is leased", "path \"sys/leases/revoke\"");
    users.gone("that one ends with its lease");

    // One user for both fields; it works, and its token stays for as long as it does.
    let before = bao.requests("database/creds/bot");
    let begun = Instant::now();
    let answer = ok(start(unkept(approle(&role)), &Users::wants()));
    assert_eq!(bao.requests("database/creds/bot") - before, 1);
    let [name, password] = values(&answer)[..] else { panic!("two values") };
    assert_eq!(users.database.postgres.query(name, password, "select current_user").as_deref(), Ok(name));
    assert_eq!(answer.fetched[0].vouched.lease.map(|lease| (lease.seconds, lease.renewable)), Some((10, true)));
    assert!(answer.warnings[0].contains("ends in 10 s with its lease, which nothing renews"), "{:?}", answer.warnings);
    assert!(bao.lives(bao.accessors_of(&role).last().unwrap()), "the lease hangs on the token");
    drop(answer);
    users.gone("the store ends it with its lease");
    assert!(begun.elapsed() >= Duration::from_secs(9), "and not before");

    // A start that fails behind the fetch gives it up.
    let kept = ok(start(unkept(approle(&role)), &Users::wants())).kept.expect("something is kept");
    assert_eq!(users.count(), 1);
    assert_eq!(kept.give_up(), None);
    users.gone("given up");

    // A check fetches for nobody.
    let answer = ok(fetch(unkept(approle(&role)), &Users::wants(), DEADLINE, Purpose::Check, &|| Ok(())));
    assert!(answer.kept.is_none() && answer.fetched[0].vouched.lease.is_some());
    users.gone("a check gives back what it was granted");

    // A later path that is refused: the user made before is revoked.
    let mut wants = Vec::from(Users::wants());
    wants.push(want("secret/none", "k"));
    says(start(unkept(approle(&role)), &wants), Exit::StoreSaidNo, "secret/none is forbidden", "secret/data/none");
    users.gone("nothing is left of a fetch that failed");
}

#[test]
fn what_the_policy_allows_beyond_reading_is_told_by_a_check_alone() {
    let Some(bao) = Bao::shared() else { return };
    pki(bao);
    for path in ["rich", "poor"] {
        bao.put("secret", path, json!({"k": "v-of-the-rich"}));
    }
    let lines = "path \"secret/data/poor\" { capabilities = [\"read\"] }\npath \"secret/data/rich\" { capabilities = [\"read\", \"update\", \"delete\"] }\npath \"pki/issue/bot\" { capabilities = [\"create\", \"update\", \"read\"] }";
    let role = role(bao, lines);
    let wants = [want("secret/rich", "k"), want("secret/poor", "k"), want("pki/issue/bot", "serial_number")];
    let beyond = |answer: &Answer| -> Vec<Option<Vec<&str>>> {
        answer.fetched.iter().map(|fetched| fetched.vouched.beyond.map(|beyond| beyond.words())).collect()
    };
    let check = ok(fetch(store(bao, approle(&role)), &wants, DEADLINE, Purpose::Check, &|| Ok(())));
    assert_eq!(beyond(&check), [Some(vec!["update", "delete"]), Some(vec![]), Some(vec!["read"])]);
    let asked = bao.requests("sys/capabilities-self");
    let start = ok(start(store(bao, approle(&role)), &wants));
    assert_eq!((beyond(&start), bao.requests("sys/capabilities-self")), (vec![None, None, None], asked));
    let silent = bao.role_with(&["secret/data/poor"], json!({"token_no_default_policy": true}));
    let check = ok(fetch(store(bao, approle(&silent)), &wants[1..2], DEADLINE, Purpose::Check, &|| Ok(())));
    assert_eq!(beyond(&check), [None]);
    assert!(check.warnings[0].contains("path \"sys/capabilities-self\""), "{:?}", check.warnings);
    let root = ok(fetch(store(bao, token(&bao.root_token)), &wants[..1], DEADLINE, Purpose::Check, &|| Ok(())));
    assert_eq!(beyond(&root), [Some(vec!["root"])]);
}

#[test]
fn paths_are_read_at_once_over_one_connection() {
    let Some(bao) = Bao::shared() else { return };
    let mut wants = Vec::new();
    for at in 0..10 {
        let path = format!("at-once-{}", at / 2);
        bao.put("secret", &path, json!({"a": format!("a of {path}"), "b": format!("b of {path}")}));
        wants.push(want(&format!("secret/{path}"), if at % 2 == 0 { "a" } else { "b" }));
    }
    let role = role(bao, "path \"secret/data/*\" { capabilities = [\"read\"] }");
    let answer = ok(start(store(bao, approle(&role)), &wants));
    assert_eq!(values(&answer)[8..], ["a of at-once-4", "b of at-once-4"]);
    let accessor = bao.accessors_of(&role).remove(0);
    let audit = bao.audit();
    let ours: Vec<&Value> = audit
        .iter()
        .filter(|entry| entry["type"] == "request" && entry["auth"]["accessor"] == accessor.as_str())
        .filter(|entry| entry["request"]["path"].as_str().is_some_and(|path| path.starts_with("secret/data/")))
        .collect();
    assert_eq!(ours.len(), 5, "five paths, five requests");
    let ports: std::collections::BTreeSet<String> =
        ours.iter().map(|entry| entry["request"]["remote_port"].to_string()).collect();
    assert_eq!(ports.len(), 1, "one connection: {ports:?}");
}
