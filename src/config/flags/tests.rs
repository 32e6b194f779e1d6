//! What `flags.rs` promises, by example.

use std::os::unix::ffi::OsStringExt;

use super::*;
use crate::config::model::FileFormat;

const FILE: &str = r#"
deadline = "10s"
[workload]
command = ["from", "file"]
user = "1000"
groups = ["audio"]
env = { pass = ["TZ", "LANG"], set = { MODE = "dry", LEVEL = "1" } }
limits = { nofile = 10, nproc = 20 }
[secrets]
a = "file:/s#a"
b = "file:/s#b"
[deliver]
env = ["A"]
[[deliver.file]]
var = "F"
format = "json"
[age]
identity = "key"
[confine]
read = ["/app"]
connect = [443]
optional = ["landlock-tcp"]
[vault]
address = "https://file"
namespace = "one"
auth = { method = "approle", role_id = "r", secret_id_file = "s", mount = "m" }
mounts = { secret = "kv1", old = "kv1" }
"#;

fn file() -> Config {
    toml::from_str(FILE).unwrap()
}

fn over(mut config: Config, flags: Flags) -> Result<Config, Refusal> {
    flags.overlay(&mut config, &Origin::File("x".into()), Path::new("/work"))?;
    Ok(config)
}

fn over_file(flags: Flags) -> Config {
    over(file(), flags).unwrap()
}

fn v<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn shown<T: ToString>(list: &[T]) -> Vec<String> {
    list.iter().map(T::to_string).collect()
}

#[test]
fn no_flags_change_nothing() {
    assert_eq!(over_file(Flags::default()), file());
}

#[test]
fn a_single_value_replaces_the_files() {
    let config = over_file(Flags {
        deadline: Some(v("1m")),
        mode: Some(Mode::Replace),
        log_format: Some(LogFormat::Json),
        user: Some(v("2000:3000")),
        workdir: Some(v("/w")),
        stop_timeout: Some(v("2s")),
        stop_signal: Some(v("INT")),
        stop_before: vec![StopBefore { signal: v("USR1"), wait: v("1s") }],
        rewrite: vec![(v("HUP"), v("USR2"))],
        shield: Some(Shield::Off),
        fetch_user: Some(v("9:9")),
        dns: Some(Dns::Tcp),
        profile: Some(Profile::Strict),
        devices: vec![v("/dev/x")],
        explain_files: false,
        sockets: true,
        notify: Some(Notify::Pass),
        ..Flags::default()
    });
    assert_eq!((config.deadline, config.mode, config.log_format), (v("1m"), Mode::Replace, LogFormat::Json));
    let workload = &config.workload;
    assert_eq!((&workload.user, &workload.workdir), (&Some(v("2000:3000")), &Some(v("/w"))));
    assert_eq!((workload.stop_timeout, workload.shield, workload.sockets), (v("2s"), Shield::Off, true));
    assert_eq!(workload.notify, Notify::Pass);
    assert_eq!((workload.stop_signal, workload.stop_before.len(), workload.rewrite.len()), (v("INT"), 1, 1));
    assert_eq!((config.fetch.user, config.confine.dns), (v("9:9"), Dns::Tcp));
    assert_eq!((config.confine.profile, config.confine.devices), (Profile::Strict, vec![v("/dev/x")]));
}

#[test]
fn a_list_is_added_to_and_holds_nothing_twice() {
    let config = over_file(Flags {
        groups: vec![v("video"), v("audio")],
        read: vec![v("/data"), v("/app"), v("/data")],
        write: vec![v("/w")],
        execute: vec![v("/x")],
        connect: vec![v("443"), v("8200")],
        bind: vec![v("80")],
        optional: vec![Optional::LandlockTcp, Optional::LandlockScopes],
        require: vec![Require::BoundingSet],
        deliver_env: vec![v("B"), v("A")],
        ..Flags::default()
    });
    assert_eq!(shown(&config.workload.groups), ["audio", "video"]);
    let confine = &config.confine;
    assert_eq!(shown(&confine.read), ["/app", "/data"]);
    assert_eq!((shown(&confine.write), shown(&confine.execute)), (vec!["/w".to_owned()], vec!["/x".to_owned()]));
    assert_eq!((shown(&confine.connect), shown(&confine.bind)), (shown(&[443, 8200]), shown(&[80])));
    assert_eq!(confine.optional, [Optional::LandlockTcp, Optional::LandlockScopes]);
    assert_eq!(confine.require, [Require::BoundingSet]);
    assert_eq!(shown(&config.deliver.env), ["A", "B"]);
}

#[test]
fn a_named_value_replaces_the_one_of_its_name() {
    let delivery = FileDelivery { var: v("F"), format: FileFormat::Raw, template: None, secrets: Some(vec![v("a")]) };
    let config = over_file(Flags {
        secrets: vec![(v("b"), v("age:/x#y")), (v("c"), v("file:/s#c"))],
        max_ages: vec![(v("b"), v("3d"))],
        limits: vec![(Limit::Nofile, v("99"))],
        deliver_file: vec![delivery.clone()],
        ..Flags::default()
    });
    let secrets: Vec<String> = config.secrets.iter().map(|(name, secret)| format!("{name}={}", secret.from)).collect();
    assert_eq!(secrets, ["a=file:/s#a", "b=age:/x#y", "c=file:/s#c"]);
    assert_eq!(config.secrets[&v("b")].max_age, Some(v("3d")));
    assert_eq!(config.workload.limits, [(Limit::Nofile, v("99")), (Limit::Nproc, v("20"))].into());
    assert_eq!(config.deliver.file, [delivery]);
}

#[test]
fn a_max_age_of_no_secret_is_refused() {
    let refusal = over(file(), Flags { max_ages: vec![(v("z"), v("3d"))], ..Flags::default() }).unwrap_err();
    assert_eq!(refusal.exit, Exit::Usage);
    assert_eq!(refusal.what, "--max-age is for `z`, but there is no secret of that name");
    assert_eq!(refusal.hint, "add --secret z=REFERENCE, or correct the name");
}

#[test]
fn the_last_word_on_a_variable_wins() {
    let env = vec![
        EnvFlag::Set(v("MODE"), "live".into()),
        EnvFlag::Set(v("TZ"), "UTC".into()),
        EnvFlag::Pass(v("LEVEL")),
        EnvFlag::Pass(v("LANG")),
        EnvFlag::Set(v("NEW"), String::new()),
    ];
    let env = over_file(Flags { env, ..Flags::default() }).workload.env;
    assert_eq!(shown(&env.pass), ["LANG", "LEVEL"]);
    let set: Vec<String> = env.set.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(set, ["MODE=live", "NEW=", "TZ=UTC"]);
}

#[test]
fn the_command_replaces_the_files_and_keeps_its_bytes() {
    let odd = OsString::from_vec(vec![b'x', 0xfe]);
    let flags = Flags { command: vec!["bot".into(), odd.clone()], ..Flags::default() };
    let config = over_file(flags.clone());
    assert_eq!(flags.command_or(&config), [OsString::from("bot"), odd]);
    assert_eq!(config.workload.command, ["bot", "x\u{fffd}"]);
    assert_eq!(Flags::default().command_or(&file()), ["from", "file"]);
}

#[test]
fn the_pipe_can_be_turned_off_and_nothing_turns_it_on_again() {
    assert!(!over_file(Flags { no_pipe: true, ..Flags::default() }).deliver.pipe);
    let mut off = file();
    off.deliver.pipe = false;
    off.deliver.stdin = true;
    let config = over(off, Flags::default()).unwrap();
    assert!(!config.deliver.pipe && config.deliver.stdin);
    assert!(over_file(Flags { deliver_stdin: true, ..Flags::default() }).deliver.stdin);
}

#[test]
fn either_age_flag_replaces_either_key() {
    let config = over_file(Flags { age_passphrase_file: Some("/p".into()), ..Flags::default() });
    assert_eq!((config.age.identity, config.age.passphrase_file), (None, Some("/p".into())));
    let config = over_file(Flags { age_identity: Some("/i".into()), ..Flags::default() });
    assert_eq!((config.age.identity, config.age.passphrase_file), (Some("/i".into()), None));
}

#[test]
fn file_names_of_flags_mean_the_working_directory_beside_a_file() {
    let template =
        FileDelivery { var: v("T"), format: FileFormat::Template, template: Some("t".into()), secrets: None };
    let flags = Flags {
        secrets: vec![(v("x"), v("age:s.age#k")), (v("y"), v("file:/abs#k")), (v("z"), v("vault:a/b#k"))],
        age_identity: Some("key".into()),
        deliver_file: vec![template],
        vault: VaultFlags { ca: Some("ca".into()), secret_id_file: Some("sid".into()), ..VaultFlags::default() },
        ..Flags::default()
    };
    let config = over_file(flags.clone());
    let path = |config: &Config, name: &str| config.secrets[&v::<SecretName>(name)].from.path.clone();
    assert_eq!(path(&config, "x"), "/work/s.age");
    assert_eq!((path(&config, "y"), path(&config, "z")), ("/abs".into(), "a/b".into()));
    assert_eq!(config.age.identity.as_deref(), Some("/work/key"));
    assert_eq!(config.deliver.file[1].template.as_deref(), Some("/work/t"));
    let vault = config.vault.unwrap();
    assert_eq!(vault.tls.ca.as_deref(), Some("/work/ca"));
    assert!(matches!(vault.auth, VaultAuth::Approle { secret_id_file, .. } if secret_id_file == "/work/sid"));

    // Alone, they stay as written: the config's folder is the working directory then.
    let mut alone = file();
    flags.overlay(&mut alone, &Origin::CommandLine, Path::new("/work")).unwrap();
    assert_eq!(path(&alone, "x"), "s.age");
}

#[test]
fn a_working_directory_that_is_no_utf8_is_refused_only_where_it_is_needed() {
    let cwd = PathBuf::from(OsString::from_vec(b"/w\xff".to_vec()));
    let overlay = |file: &str| {
        let flags = Flags { age_identity: Some(file.into()), ..Flags::default() };
        flags.overlay(&mut Config::default(), &Origin::File("x".into()), &cwd)
    };
    assert_eq!(overlay("/abs"), Ok(()));
    assert!(overlay("rel").unwrap_err().what.contains("working directory's name is not valid UTF-8"));
}

#[test]
fn vault_flags_override_a_vault_key_by_key() {
    let vault = VaultFlags {
        address: Some("https://flag".into()),
        ca: Some("/ca".into()),
        role_id: Some("other".into()),
        mounts: vec![("secret".into(), MountKind::Kv2), ("new".into(), MountKind::Kv1)],
        ..VaultFlags::default()
    };
    let vault = over_file(Flags { vault, ..Flags::default() }).vault.unwrap();
    assert_eq!(vault.address.0, ["https://flag"]);
    assert_eq!(vault.namespace.as_deref(), Some("one"));
    assert_eq!(vault.tls.ca.as_deref(), Some("/ca"));
    let auth = VaultAuth::Approle {
        role_id: "other".into(),
        secret_id_file: "s".into(),
        mount: "m".into(),
        wrapping: Wrapping::default(),
    };
    assert_eq!(vault.auth, auth);
    let mounts = [("new", MountKind::Kv1), ("old", MountKind::Kv1), ("secret", MountKind::Kv2)];
    assert_eq!(vault.mounts, mounts.map(|(mount, kind)| (mount.to_owned(), kind)).into());
}

#[test]
fn a_token_file_replaces_the_whole_way_to_log_in() {
    let vault = VaultFlags { token_file: Some("/t".into()), ..VaultFlags::default() };
    let vault = over_file(Flags { vault, ..Flags::default() }).vault.unwrap();
    assert_eq!(vault.auth, VaultAuth::Token { token_file: "/t".into(), wrapping: Wrapping::default() });
}

#[test]
fn vault_flags_alone_make_a_vault_if_they_say_how_to_log_in() {
    let overlay = |vault| over(Config::default(), Flags { vault, ..Flags::default() }).map(|config| config.vault);
    let both = VaultFlags {
        role_id: Some("r".into()),
        secret_id_file: Some("/s".into()),
        address: Some("https://v".into()),
        ..VaultFlags::default()
    };
    let vault = overlay(both.clone()).unwrap().unwrap();
    let auth = VaultAuth::Approle {
        role_id: "r".into(),
        secret_id_file: "/s".into(),
        mount: "approle".into(),
        wrapping: Wrapping::default(),
    };
    assert_eq!((vault.auth, vault.address.0), (auth, vec!["https://v".to_owned()]));
    for half in [
        VaultFlags { role_id: None, ..both.clone() },
        VaultFlags { secret_id_file: None, ..both.clone() },
        VaultFlags { address: Some("https://v".into()), ..VaultFlags::default() },
    ] {
        let refusal = overlay(half).unwrap_err();
        assert_eq!(refusal.exit, Exit::Usage);
        assert_eq!(refusal.what, "the flags do not say how to log in to the vault");
    }
    let two = VaultFlags { token_file: Some("/t".into()), ..both };
    assert_eq!(overlay(two).unwrap_err().what, "--vault-token-file and --vault-role-id are two ways to log in");
    assert_eq!(overlay(VaultFlags::default()).unwrap(), None);
}
