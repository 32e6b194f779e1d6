//! Whole starts by every login, and what they leave of the identity: a single-use file is gone, a lease is told, a key stays out
//! of reach, a stopped store ends the start at its deadline.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::bao::{Bao, Role};
use support::jwt::Issuer;
use support::postgres::Postgres;
use support::start::{Place, is_root, texts, user_line};

const PRINT: &str = "import json, os\nprint(json.dumps(json.load(os.fdopen(int(os.environ['PORTCULLIS_CREDENTIALS_FD']))), sort_keys=True))";

/// What differs between configs.
struct Config<'a> {
    auth: &'a str,
    secrets: &'a str,
    addresses: &'a str,
    /// More lines of `[vault]`.
    vault: &'a str,
    program: &'a str,
}

impl Default for Config<'_> {
    fn default() -> Self {
        Config { auth: "", secrets: "key = \"vault:secret/ready#ready\"", addresses: "", vault: "", program: PRINT }
    }
}

fn write(place: &Place, bao: &Bao, config: &Config<'_>) -> String {
    place.write("ca.pem", &bao.ca.pem, 0o644);
    place.write("app/bot.py", config.program, 0o644);
    let addresses =
        if config.addresses.is_empty() { format!("\"{}\"", bao.address) } else { config.addresses.to_owned() };
    let text = format!(
        "deadline = \"20s\"\n[workload]\ncommand = [\"/usr/bin/python3\", \"{app}/bot.py\"]\n{user}\n[secrets]\n{secrets}\n[vault]\naddress = {addresses}\nauth = {auth}\ntls.ca = \"ca.pem\"\n{vault}\n[confine]\nread = [\"{app}\"]\n",
        app = place.app(),
        user = user_line(),
        secrets = config.secrets,
        auth = config.auth,
        vault = config.vault,
    );
    place.write("portcullis.toml", text, 0o644).display().to_string()
}

/// In a directory of its own, which a single-use file can be removed from.
fn wrapped(place: &Place, bao: &Bao, role: &Role) -> String {
    let token = bao.wrapped(&format!("auth/approle/role/{}/secret-id", role.name), json!({}));
    std::fs::create_dir_all(place.path("run")).unwrap();
    place.write("run/secret-id", format!("{token}\n"), 0o600);
    format!(
        "{{ method = \"approle\", role_id = \"{}\", secret_id_file = \"run/secret-id\", wrapped = true, single_use = true }}",
        role.role_id
    )
}

#[test]
fn a_wrapped_single_use_secret_id_is_gone_after_its_use() {
    let Some(bao) = Bao::shared() else { return };
    let role = bao.role(&["secret/data/ready"]);
    let place = Place::new();
    let auth = wrapped(&place, bao, &role);
    let config = write(&place, bao, &Config { auth: &auth, ..Config::default() });
    let (shown, _, _) = texts(&place.run(&["check", "-c", &config]));
    assert!(is_root() || shown.contains("is removed as soon as it was used"), "{shown}");
    assert!(shown.contains("is good for one use, and `check --live` is one"), "{shown}");
    assert!(place.path("run/secret-id").exists(), "a check without --live uses nothing");
    let (out, err, code) = texts(&place.run(&["run", "-c", &config]));
    assert_eq!((out.as_str(), code), ("{\"key\": \"yes\"}\n", Some(0)), "{err}");
    assert!(!place.path("run/secret-id").exists(), "it is removed");
    let (_, err, code) = texts(&place.run(&["run", "-c", &config]));
    assert_eq!(code, Some(78), "{err}");
    assert!(
        err.contains("secret-id` does not exist") && err.contains("an earlier start removes it after its use"),
        "{err}"
    );
    assert!(!err.contains("stolen"), "an earlier start of one's own is no thief: {err}");
}

#[test]
fn a_wrapping_token_that_somebody_else_used_is_told_as_such_and_stays() {
    let Some(bao) = Bao::shared() else { return };
    let role = bao.role(&["secret/data/ready"]);
    let place = Place::new();
    let auth = wrapped(&place, bao, &role);
    let token = std::fs::read_to_string(place.path("run/secret-id")).unwrap();
    bao.call("POST", "sys/wrapping/unwrap", json!({"token": token.trim()}));
    let config = write(&place, bao, &Config { auth: &auth, ..Config::default() });
    let begun = Instant::now();
    let (out, err, code) = texts(&place.run(&["run", "-c", &config]));
    assert_eq!((out.as_str(), code), ("", Some(77)), "{err}");
    assert!(err.contains("may have been stolen") && !err.contains(token.trim()), "{err}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(place.path("run/secret-id").exists(), "what was not used is left for who looks into it");
}

#[test]
fn a_single_use_file_goes_with_its_use_even_where_the_read_is_refused() {
    let Some(bao) = Bao::shared() else { return };
    let role = bao.role(&["secret/data/ready"]);
    let place = Place::new();
    std::fs::create_dir_all(place.path("run")).unwrap();
    place.write("run/secret-id", &role.secret_id, 0o600);
    let auth = format!(
        "{{ method = \"approle\", role_id = \"{}\", secret_id_file = \"run/secret-id\", single_use = true }}",
        role.role_id
    );
    let secrets = "key = \"vault:secret/ready#none\"";
    let config = write(&place, bao, &Config { auth: &auth, secrets, ..Config::default() });
    let (_, err, code) = texts(&place.run(&["run", "-c", &config]));
    assert_eq!(code, Some(77), "{err}");
    assert!(!place.path("run/secret-id").exists(), "{err}");
    // A login that was refused used nothing up.
    place.write("run/secret-id", "00000000-0000-0000-0000-000000000000", 0o600);
    let (_, err, code) = texts(&place.run(&["run", "-c", &config]));
    assert_eq!(code, Some(77), "{err}");
    assert!(place.path("run/secret-id").exists(), "{err}");
}

/// For root a mount that is read-only, for a plain user a directory of others.
#[test]
fn a_single_use_file_that_cannot_be_removed_is_not_used() {
    let Some(bao) = Bao::shared() else { return };
    let place = Place::new();
    let closed = place.path("closed");
    std::fs::create_dir(&closed).unwrap();
    place.write("closed/token", &bao.root_token, 0o600);
    let auth = "{ method = \"token\", token_file = \"closed/token\", single_use = true }";
    let config =
        write(&place, bao, &Config { auth, secrets: "key = \"vault:secret/unremovable#k\"", ..Config::default() });
    let output = match is_root() {
        true => {
            let script = "mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\" && exec \"$2\" run -c \"$3\"";
            let mut unshare = std::process::Command::new("unshare");
            unshare.args(["-m", "sh", "-c", script, "sh"]).arg(&closed).arg(support::start::binary()).arg(&config);
            unshare.current_dir(place.path(".")).output().expect("unshare")
        }
        false => {
            std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o555)).unwrap();
            let output = place.run(&["run", "-c", &config]);
            std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o755)).unwrap();
            output
        }
    };
    let (_, err, code) = texts(&output);
    assert_eq!(code, Some(78), "{err}");
    assert!(err.contains("cannot be removed after its use") && err.contains("leave out single_use"), "{err}");
    assert_eq!(bao.requests("secret/data/unremovable"), 0, "nothing was asked");
}

#[test]
fn a_bot_logs_in_by_a_projected_token_through_the_second_address() {
    let Some(bao) = Bao::shared() else { return };
    let issuer = Issuer::new(&support::scratch("start-issuer"));
    bao.call("POST", "sys/auth/start-jwt", json!({"type": "jwt"}));
    bao.call("POST", "auth/start-jwt/config", json!({"jwt_validation_pubkeys": [issuer.public_pem]}));
    let policy = bao.policy("path \"secret/data/ready\" { capabilities = [\"read\"] }");
    let role = json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "token_policies": policy});
    bao.call("POST", "auth/start-jwt/role/bot", role);
    let place = Place::new();
    let token = issuer.token(json!({"sub": "mm1", "aud": "vault"}), false);
    place.write("token", &token, 0o600);
    let auth =
        "{ method = \"jwt\", role = \"bot\", mount = \"start-jwt\", token_file = \"token\", audience = \"vault\" }";
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let addresses = format!("[\"https://localhost:{nobody}\", \"{}\"]", bao.address);
    let config = write(&place, bao, &Config { auth, addresses: &addresses, ..Config::default() });
    let mut command = place.command(&["run", "-c", &config]);
    let (out, err, code) = texts(&command.env("PORTCULLIS_LOG", "trace").output().unwrap());
    assert_eq!((out.as_str(), code), ("{\"key\": \"yes\"}\n", Some(0)), "{err}");
    assert!(err.contains(&format!("localhost:{nobody} refuses the connection, and another address served")), "{err}");
    assert!(!err.contains(&token) && !err.contains(token.split('.').nth(1).unwrap()), "{err}");
}

#[test]
fn the_client_key_stays_out_of_the_bots_reach() {
    let Some(bao) = Bao::shared() else { return };
    bao.call("POST", "sys/auth/start-cert", json!({"type": "cert"}));
    let policy = bao.policy("path \"secret/data/ready\" { capabilities = [\"read\"] }");
    let role = json!({"certificate": String::from_utf8_lossy(&bao.ca.pem), "allowed_common_names": "start-bot", "token_policies": policy});
    bao.call("POST", "auth/start-cert/certs/bots", role);
    let issued = bao.ca.issue("start-bot");
    let place = Place::new();
    place.write("bot.pem", std::fs::read(&issued.cert).unwrap(), 0o644);
    place.write("bot.key", std::fs::read(&issued.key).unwrap(), 0o600);
    let auth = "{ method = \"cert\", role = \"bots\", mount = \"start-cert\" }";
    let vault = "tls.client_cert = \"bot.pem\"\ntls.client_key = \"bot.key\"";
    let addresses = format!("\"{}\"", bao.address_mtls);
    let program = format!(
        "{PRINT}\ntry:\n    open({:?})\n    print('open')\nexcept OSError as e:\n    print(e.errno)",
        place.path("bot.key")
    );
    let config =
        write(&place, bao, &Config { auth, vault, addresses: &addresses, program: &program, ..Config::default() });
    let (out, err, code) = texts(&place.run(&["run", "-c", &config]));
    assert_eq!((out.as_str(), code), ("{\"key\": \"yes\"}\n13\n", Some(0)), "{err}");
    place.write("app/bot.key", std::fs::read(&issued.key).unwrap(), 0o600);
    let within = vault.replace("bot.key", "app/bot.key");
    let config = write(&place, bao, &Config { auth, vault: &within, addresses: &addresses, ..Config::default() });
    let (_, err, code) = texts(&place.run(&["run", "-c", &config]));
    assert_eq!(code, Some(78), "{err}");
    assert!(err.contains("the workload could read the store's identity"), "{err}");
}

#[test]
fn a_bot_gets_a_database_user_and_a_check_tells_its_lease_and_leaves_none() {
    let Some(bao) = Bao::shared() else { return };
    let Some(postgres) = Postgres::start() else { return support::skip("no PostgreSQL in /usr/lib/postgresql") };
    bao.call("POST", "sys/mounts/database", json!({"type": "database"}));
    let url =
        format!("postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/postgres?sslmode=disable", postgres.port);
    bao.call(
        "POST",
        "database/config/db",
        json!({"plugin_name": "postgresql-database-plugin", "connection_url": url, "allowed_roles": "*",
            "username": "postgres", "password": postgres.password}),
    );
    let make = "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';";
    bao.call(
        "POST",
        "database/roles/bot",
        json!({"db_name": "db", "creation_statements": [make], "default_ttl": "1m", "max_ttl": "5m"}),
    );
    bao.put("secret", "watched", json!({"k": "value-of-the-watched"}));
    bao.put("secret", "watched", json!({"k": "a newer one", "n": 5}));
    let role = bao.role(&["database/creds/bot"]);
    let policy = bao.policy("path \"database/creds/bot\" { capabilities = [\"read\"] }\npath \"secret/data/watched\" { capabilities = [\"read\", \"delete\"] }");
    bao.call("POST", &format!("auth/approle/role/{}", role.name), json!({ "token_policies": policy }));
    let place = Place::new();
    place.write("secret-id", &role.secret_id, 0o600);
    let auth = format!("{{ method = \"approle\", role_id = \"{}\", secret_id_file = \"secret-id\" }}", role.role_id);
    let secrets = "user = \"vault:database/creds/bot#username\"\npassword = \"vault:database/creds/bot#password\"\npinned = { from = \"vault:secret/watched#k?version=1\", max_age = \"1h\" }\nn = { from = \"vault:secret/watched#n\", encoding = \"base64\" }";
    let vault = "mounts = { database = \"read\" }\nleases = \"unkept\"";
    let config = write(&place, bao, &Config { auth: &auth, secrets, vault, ..Config::default() });
    let users = || postgres.superuser("select count(*) from pg_roles where rolname like 'v-%'");

    let (out, err, code) = texts(&place.run(&["check", "--live", "-c", &config]));
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.contains("user from vault:database/creds/bot#username: fetched, leased for 60s, renewable, given back"),
        "{out}"
    );
    assert!(
        out.contains("pinned from vault:secret/watched#k?version=1, at most 60m old: fetched, version 1, set "),
        "{out}"
    );
    assert!(out.contains("the identity may do more at secret/watched than this start needs: delete"), "{out}");
    bao.wait_until("a check leaves no user", || users() == "0");
    let (out, _, _) = texts(&place.run(&["check", "--live", "--json", "-c", &config]));
    let plan: Value = serde_json::from_str(&out).expect("JSON");
    let of = |name: &str| plan["secrets"].as_array().unwrap().iter().find(|secret| secret["name"] == name).unwrap();
    assert_eq!((&of("user")["lease_seconds"], &of("user")["renewable"]), (&json!(60), &json!(true)));
    assert_eq!((&of("n")["version"], &of("n")["allowed_beyond"]), (&json!(2), &json!(["delete"])));

    let mut command = place.command(&["run", "-c", &config]);
    let (out, err, code) = texts(&command.env("PORTCULLIS_LOG", "trace").output().unwrap());
    assert_eq!(code, Some(0), "{err}");
    let got: Value = serde_json::from_str(&out).expect("the bundle");
    let text = |key: &str| got[key].as_str().unwrap();
    assert_eq!(postgres.query(text("user"), text("password"), "select current_user").as_deref(), Ok(text("user")));
    assert_eq!((text("pinned"), text("n")), ("value-of-the-watched", "NQ=="));
    assert!(err.contains("`password` ends in 60 s with its lease, which nothing renews"), "{err}");
    for secret in [text("password"), text("pinned"), &role.secret_id, &bao.root_token] {
        assert!(!err.contains(secret), "{err}");
    }

    // A value that stands in the config too is refused behind the fetch: the user is given up again.
    bao.call("POST", "sys/leases/revoke-prefix/database/creds/bot", json!({}));
    bao.wait_until("no user is left", || users() == "0");
    let shown = format!("{secrets}\n# value-of-the-watched");
    let config = write(&place, bao, &Config { auth: &auth, secrets: &shown, vault, ..Config::default() });
    let (_, err, code) = texts(&place.run(&["run", "-c", &config]));
    assert_eq!(code, Some(78), "{err}");
    bao.wait_until("a refused start leaves no user", || users() == "0");
    let refusing = write(
        &place,
        bao,
        &Config {
            auth: &auth,
            secrets,
            vault: "mounts = { database = \"read\" }\nleases = \"refuse\"",
            ..Config::default()
        },
    );
    let (_, err, code) = texts(&place.run(&["run", "-c", &refusing]));
    assert_eq!(code, Some(78), "{err}");
    assert!(err.contains("is leased for 60 s, and nothing would renew it"), "{err}");
    bao.wait_until("a refused lease leaves no user", || users() == "0");
}

#[test]
fn a_store_that_stands_still_ends_the_start_at_its_deadline() {
    if Bao::shared().is_none() {
        return;
    }
    let bao = Bao::own().expect("a server of one's own");
    let place = Place::new();
    place.write("token", &bao.root_token, 0o600);
    let config =
        write(&place, &bao, &Config { auth: "{ method = \"token\", token_file = \"token\" }", ..Config::default() });
    let frozen = bao.frozen();
    let begun = Instant::now();
    let (out, err, code) = texts(&place.run(&["run", "--deadline", "2s", "-c", &config]));
    let took = begun.elapsed();
    assert_eq!(out, "", "{err}");
    assert!(matches!(code, Some(69 | 124)), "{code:?} {err}");
    assert!(took < Duration::from_millis(2500), "{took:?}");
    drop(frozen);
    let (out, err, code) = texts(&place.run(&["run", "-c", &config]));
    assert_eq!((out.as_str(), code), ("{\"key\": \"yes\"}\n", Some(0)), "it goes on as if nothing had been: {err}");
}
