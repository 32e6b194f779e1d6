//! What `vault.rs` promises, by example.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::*;

fn config(vault: &str) -> Config {
    toml::from_str(&format!("[vault]\n{vault}\nauth = {{ method = \"token\", token_file = \"t\" }}")).unwrap()
}

fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
}

fn filled(vault: &str, pairs: &[(&str, &str)]) -> Vault {
    let mut config = config(vault);
    fill_from_environment(&mut config, &environment(pairs), Path::new("/work")).unwrap();
    config.vault.unwrap()
}

#[test]
fn the_environment_fills_what_is_missing_and_overrides_nothing() {
    let all = [("VAULT_ADDR", "https://env"), ("VAULT_NAMESPACE", "ns"), ("VAULT_CACERT", "/env.pem")];
    let vault = filled("", &all);
    assert_eq!(vault.address.0, ["https://env"]);
    assert_eq!((vault.namespace.as_deref(), vault.tls.ca.as_deref()), (Some("ns"), Some("/env.pem")));
    let own = "address = \"https://own\"\nnamespace = \"own\"\ntls = { ca = \"own.pem\" }";
    let vault = filled(own, &all);
    assert_eq!(vault.address.0, ["https://own"]);
    assert_eq!((vault.namespace.as_deref(), vault.tls.ca.as_deref()), (Some("own"), Some("own.pem")));
}

#[test]
fn an_empty_variable_is_an_absent_one_and_a_relative_ca_is_under_the_working_directory() {
    let vault = filled("", &[("VAULT_ADDR", ""), ("VAULT_NAMESPACE", ""), ("VAULT_CACERT", "")]);
    assert_eq!((vault.address.0.len(), vault.namespace, vault.tls.ca), (0, None, None));
    assert_eq!(filled("", &[("VAULT_CACERT", "ca.pem")]).tls.ca.as_deref(), Some("/work/ca.pem"));
}

#[test]
fn without_a_vault_the_environment_makes_none() {
    let mut config = Config::default();
    fill_from_environment(&mut config, &environment(&[("VAULT_ADDR", "http://x")]), Path::new("/")).unwrap();
    assert_eq!(config, Config::default());
}

#[test]
fn a_variable_that_is_no_utf8_is_refused_where_it_is_used() {
    let odd = Environment::from([("VAULT_ADDR".into(), OsString::from_vec(vec![0xff]))]);
    let refusal = fill_from_environment(&mut config(""), &odd, Path::new("/")).unwrap_err();
    assert_eq!(refusal.what, "VAULT_ADDR is not valid UTF-8");
    let mut own = config("address = \"https://own\"");
    assert_eq!(fill_from_environment(&mut own, &odd, Path::new("/")), Ok(()));
}

#[test]
fn an_order_to_skip_verification_is_refused_with_or_without_a_vault() {
    let set = |value: &str| {
        fill_from_environment(&mut Config::default(), &environment(&[("VAULT_SKIP_VERIFY", value)]), Path::new("/"))
    };
    for value in ["", "0", "f", "F", "false", "FALSE", "False"] {
        assert_eq!(set(value), Ok(()), "{value}");
    }
    for value in ["1", "true", "TRUE", "t", "yes", "no", "off", " ", "fAlSe", "00"] {
        let refusal = set(value).unwrap_err();
        assert_eq!(refusal.what, format!("VAULT_SKIP_VERIFY is set to `{value}`, which portcullis will not do"));
        assert_eq!(refusal.hint, "remove it, and name the private CA with `ca` in [vault.tls] or in VAULT_CACERT");
    }
}

#[test]
fn an_address_is_one_server_over_tls() {
    for address in [
        "https://vault",
        "https://vault.internal:8200",
        "https://vault:8200/",
        "https://10.0.0.1:1",
        "https://[::1]",
        "https://[fd00::1]:65535",
        "https://my_vault-1.svc",
    ] {
        assert_eq!(address_is_a_server(address), Ok(()), "{address}");
    }
    for address in [
        "",
        "https://",
        "https:///",
        "https://vault//",
        "HTTPS//vault",
        "https://vault:",
        "https://vault:0",
        "https://vault:+1",
        "https://vault:65536",
        "https://va ult",
        "https://vault\n",
        "https://vault\\x",
        "https://[::1",
        "https://[x]",
        "https://[::1]8200",
        "https://::1",
        "unix:///run/vault.sock",
        "http://vault",
        "HTTP://vault",
    ] {
        assert!(address_is_a_server(address).is_err(), "{address}");
    }
}

#[test]
fn a_password_in_an_address_is_refused_and_not_echoed_whatever_else_is_wrong() {
    for address in ["https://u:hunter2@vault", "http://u:hunter2@vault", "u:hunter2@vault", "https://vault/x@hunter2"] {
        let said = format!("{:?}", address_is_a_server(address).unwrap_err());
        assert!(said.contains("has a user or a password in it") && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn the_longest_listed_mount_wins_and_only_at_a_slash() {
    let vault = config("mounts = { kv = \"kv1\", \"kv/team\" = \"kv2\", old = \"kv1\" }").vault.unwrap();
    for (path, mount, kind) in [
        ("kv/x", "kv", MountKind::Kv1),
        ("kv/team/x", "kv/team", MountKind::Kv2),
        ("kv/teams/x", "kv", MountKind::Kv1),
        ("kvx/y", "kvx", MountKind::Kv2),
        ("old/data/x", "old", MountKind::Kv1),
        ("secret/x/y", "secret", MountKind::Kv2),
    ] {
        assert_eq!(mount_of(&vault.mounts, path), (mount, kind), "{path}");
    }
}

#[test]
fn data_is_refused_after_a_kv2_mount_alone() {
    let judge = |path: &str| {
        let vault = config("mounts = { old = \"kv1\" }").vault.unwrap();
        let secret = Secret { from: format!("vault:{path}#k").parse().unwrap(), max_age: None, encoding: None };
        reference(&vault, &"k".parse().unwrap(), &secret)
    };
    for path in ["secret/data/x", "secret/data"] {
        assert!(judge(path).is_err(), "{path}");
    }
    for path in ["old/data/x", "secret/x/data", "secret/database", "data/x"] {
        assert_eq!(judge(path), Ok(()), "{path}");
    }
}
