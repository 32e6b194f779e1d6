//! Whole starts with a real OpenBao: login, read, hand-over, and what is left of the identity afterwards.

mod support;

use serde_json::json;
use support::bao::{Bao, Role};
use support::start::{Place, texts, user_line};

/// A config with these secrets, this login and this program.
fn config(place: &Place, bao: &Bao, auth: &str, secrets: &str, program: &str) -> String {
    place.write("ca.pem", &bao.ca.pem, 0o644);
    place.write("app/bot.py", program, 0o644);
    let text = format!(
        r#"
[workload]
command = ["/usr/bin/python3", "{app}/bot.py"]
{user}
[secrets]
{secrets}
[vault]
address = "{address}"
auth = {auth}
tls = {{ ca = "ca.pem" }}
mounts = {{ old = "kv1" }}
[confine]
read = ["{app}"]
"#,
        app = place.app(),
        user = user_line(),
        address = bao.address,
    );
    place.write("portcullis.toml", text, 0o644).display().to_string()
}

fn approle(place: &Place, role: &Role) -> String {
    place.write("secret-id", format!("{}\n", role.secret_id), 0o600);
    format!(r#"{{ method = "approle", role_id = "{}", secret_id_file = "secret-id" }}"#, role.role_id)
}

const PRINT: &str = "import json, os\nprint(json.dumps(json.load(os.fdopen(int(os.environ['PORTCULLIS_CREDENTIALS_FD']))), sort_keys=True))";

#[test]
fn a_bot_gets_kv2_and_kv1_values_by_approle() {
    let Some(bao) = Bao::shared() else { return };
    bao.put("secret", "bots/start", json!({"api_key": "key-of-the-bot-1", "nested": {"deep": "value-in-depth"}}));
    bao.call("POST", "old/bots/start", json!({"password": "from the old mount"}));
    let role = bao.role(&["secret/data/bots/start", "old/bots/start"]);
    let place = Place::new();
    let secrets = "a = \"vault:secret/bots/start#api_key\"\nb = \"vault:old/bots/start#password\"\nc = \"vault:secret/bots/start#/nested/deep\"";
    let config = config(&place, bao, &approle(&place, &role), secrets, PRINT);
    let before = bao.requests("secret/data/bots/start");
    let (out, err, code) = texts(&place.run(&["run", "-c", &config]));
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(out, "{\"a\": \"key-of-the-bot-1\", \"b\": \"from the old mount\", \"c\": \"value-in-depth\"}\n");
    assert!(err.contains("a from vault, b from vault"), "{err}");
    assert_eq!(bao.requests("secret/data/bots/start") - before, 1, "two fields of one path cost one request");
    for accessor in bao.accessors_of(&role) {
        assert!(!bao.lives(&accessor), "the token that this start minted outlives it");
    }
}

#[test]
fn an_operators_token_serves_and_stays() {
    let Some(bao) = Bao::shared() else { return };
    bao.put("secret", "bots/by-token", json!({"key": "value-by-a-token"}));
    let place = Place::new();
    place.write("token", &bao.root_token, 0o600);
    let auth = r#"{ method = "token", token_file = "token" }"#;
    let config = config(&place, bao, auth, "key = \"vault:secret/bots/by-token#key\"", PRINT);
    let (out, err, code) = texts(&place.run(&["run", "-c", &config]));
    assert_eq!((out.as_str(), code), ("{\"key\": \"value-by-a-token\"}\n", Some(0)), "{err}");
    assert!(bao.try_call("GET", "auth/token/lookup-self", json!({})).is_ok_and(|(status, _)| status == 200));
}

#[test]
fn a_version_older_than_max_age_starts_nothing() {
    let Some(bao) = Bao::shared() else { return };
    bao.put("secret", "bots/aged", json!({"key": "value-of-some-age"}));
    let role = bao.role(&["secret/data/bots/aged"]);
    let place = Place::new();
    let auth = approle(&place, &role);
    let young = config(&place, bao, &auth, "key = { from = \"vault:secret/bots/aged#key\", max_age = \"1h\" }", PRINT);
    assert_eq!(place.run(&["run", "-c", &young]).status.code(), Some(0));
    // The store's clock has whole seconds here: wait until the version is older than one of them.
    let written = std::time::Instant::now();
    while written.elapsed() < std::time::Duration::from_millis(2100) {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let old = config(&place, bao, &auth, "key = { from = \"vault:secret/bots/aged#key\", max_age = \"1s\" }", PRINT);
    let (out, err, code) = texts(&place.run(&["run", "-c", &old]));
    assert_eq!((out.as_str(), code), ("", Some(77)), "{err}");
    assert!(err.contains("seconds ago, and max_age is 1 seconds"), "{err}");
}

#[test]
fn check_live_tells_version_and_age_and_no_value() {
    let Some(bao) = Bao::shared() else { return };
    bao.put("secret", "bots/checked", json!({"key": "never-shown-by-check"}));
    bao.put("secret", "bots/checked", json!({"key": "never-shown-by-check"}));
    let role = bao.role(&["secret/data/bots/checked"]);
    let place = Place::new();
    let config =
        config(&place, bao, &approle(&place, &role), "key = \"vault:secret/bots/checked#key\"", "print('RAN')");
    let (out, err, code) = texts(&place.run(&["check", "--live", "-c", &config]));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("key from vault:secret/bots/checked#key: fetched, version 2, set "), "{out}");
    let (json, _, _) = texts(&place.run(&["check", "--live", "--json", "-c", &config]));
    let plan: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(plan["secrets"][0]["version"], 2);
    for text in [&out, &err, &json] {
        assert!(!text.contains("never-shown") && !text.contains(&role.secret_id) && !text.contains("RAN"), "{text}");
    }
}

#[test]
fn the_bot_cannot_read_the_secret_id_nor_reach_the_store() {
    let Some(bao) = Bao::shared() else { return };
    bao.put("secret", "bots/thief", json!({"key": "value-for-a-thief"}));
    let role = bao.role(&["secret/data/bots/thief"]);
    let place = Place::new();
    let port = bao.address.rsplit(':').next().unwrap();
    let program = format!(
        "import socket\nfor name, attempt in [('file', lambda: open({:?})), ('net', lambda: socket.create_connection(('127.0.0.1', {port})))]:\n    try:\n        attempt()\n        print(name, 'open')\n    except OSError as error:\n        print(name, error.errno)",
        place.path("secret-id")
    );
    let config = config(&place, bao, &approle(&place, &role), "key = \"vault:secret/bots/thief#key\"", &program);
    let (out, err, code) = texts(&place.run(&["run", "-c", &config]));
    assert_eq!((out.as_str(), code), ("file 13\nnet 13\n", Some(0)), "{err}");
}
