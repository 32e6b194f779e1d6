//! Every source that needs no server, end to end: sealed files in all their forms, and files that an orchestrator mounts.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{SystemTime, UNIX_EPOCH};

use portcullis::seal::stamp;

use crate::sealing;
use crate::stage::{STARTERS, Stage, Starter, is_root, printed, shared};

/// Prints the JSON itself: the values here are tests.
const CAT: [&str; 3] = ["sh", "-c", "cat <&3"];

fn age_config(secrets: &str) -> String {
    format!("[secrets]\n{secrets}\n")
}

#[test]
fn dotenv_json_armoured_and_several_files_in_one_start() {
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        stage.seal("env.age", "A=from-dotenv\nB='with \"quotes\"'\n", &[]);
        stage.seal("json.age", r#"{"a": "from-json", "deep": {"er": ["x", "from-a-pointer"]}}"#, &[]);
        stage.seal("armoured.age", "A=from-armour\n", &["-a"]);
        assert!(fs::read(stage.path("armoured.age")).unwrap().starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----"));
        let secrets = "one = \"age:env.age#A\"\ntwo = \"age:env.age#B\"\nthree = \"age:json.age#a\"\n\
            four = \"age:json.age#/deep/er/1\"\nfive = \"age:armoured.age#A\"";
        stage.config_with(&CAT, &age_config(secrets));
        let expected = serde_json::json!({"one": "from-dotenv", "two": "with \"quotes\"", "three": "from-json",
            "four": "from-a-pointer", "five": "from-armour"});
        let read: serde_json::Value = serde_json::from_str(&stage.ok()).unwrap();
        assert_eq!(read, expected, "{:?}", stage.starter);
    }
}

#[test]
fn a_sealed_file_at_its_bounds_is_read_in_the_fetchers_memory() {
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        let long = "x".repeat(190);
        let lines: Vec<String> = (1..20_000).map(|i| format!("A{i}={long}")).collect();
        stage.seal("env.age", &format!("{}\nKEY=the-last-of-20000\n", lines.join("\n")), &[]);
        let members: Vec<String> = (1..19_990).map(|i| format!("\"A{i}\": \"{long}\"")).collect();
        stage.seal("json.age", &format!("{{{}, \"KEY\": \"the-last-one\"}}", members.join(",")), &[]);
        stage.config_with(&CAT, &age_config("one = \"age:env.age#KEY\"\ntwo = \"age:json.age#KEY\""));
        let read: serde_json::Value = serde_json::from_str(&stage.ok()).unwrap();
        let expected = serde_json::json!({"one": "the-last-of-20000", "two": "the-last-one"});
        assert_eq!(read, expected, "{:?}", stage.starter);
    }
}

#[test]
fn a_passphrase_file_opens_what_seal_made_with_it() {
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        let phrase = stage.write("passphrase", "correct horse battery staple\n", 0o400);
        let mut create = std::process::Command::new(shared().join("portcullis"));
        create
            .args(["seal", "create", "--stdin", "-f"])
            .arg(stage.path("made.age"))
            .arg("--passphrase-file")
            .arg(phrase);
        let output = sealing::feed(&mut create, b"KEY=behind-a-passphrase\n");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let sealed = fs::read(stage.path("made.age")).unwrap();
        stage.write("made.age", sealed, 0o400);
        stage.config_with(&CAT, &age_config("key = \"age:made.age#KEY\""));
        let config = fs::read_to_string(stage.path("portcullis.toml")).unwrap();
        let config = config.replace("identity = \"age.key\"", "passphrase_file = \"passphrase\"");
        fs::set_permissions(stage.path("portcullis.toml"), Permissions::from_mode(0o644)).unwrap();
        stage.write("portcullis.toml", config, 0o444);
        assert_eq!(stage.ok(), "{\"key\":\"behind-a-passphrase\"}", "{:?}", stage.starter);
    }
}

/// A sealed file whose `KEY` was set so many seconds ago, by the clock of `seal`.
fn sealed_ago(stage: &Stage, seconds: i64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let text = format!("# portcullis:set KEY {}\nKEY=aged-value\n", stamp::format(now - seconds));
    stage.seal("aged.age", &text, &[]);
}

#[test]
fn max_age_lets_a_young_value_pass_and_refuses_an_older_one() {
    const DAY: i64 = 86_400;
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        stage.config_with(&CAT, &age_config("key = { from = \"age:aged.age#KEY\", max_age = \"45d\" }"));
        for young in [0, 44 * DAY, 45 * DAY - 60] {
            sealed_ago(&stage, young);
            assert_eq!(stage.ok(), "{\"key\":\"aged-value\"}", "{young} seconds, {:?}", stage.starter);
        }
        sealed_ago(&stage, 45 * DAY + 60);
        assert!(stage.refused(77).contains("was set 45 days ago, and max_age is 45 days"));
        sealed_ago(&stage, -DAY);
        assert!(stage.refused(77).contains("set in the future"));
        stage.seal("aged.age", "KEY=aged-value\n", &[]);
        assert!(stage.refused(77).contains("no time that its store vouches for"));
    }
}

#[test]
fn check_live_shows_the_age_of_a_sealed_value() {
    let Some(stage) = Stage::new(Starter::Plain) else { return };
    stage.config_with(&CAT, &age_config("key = { from = \"age:aged.age#KEY\", max_age = \"45d\" }"));
    sealed_ago(&stage, 3 * 86_400 + 60);
    let output = stage.command(&["check", "--live"]).output().unwrap();
    assert!(printed(&output).contains("key from age:aged.age#KEY, at most 45d old: fetched, set 3d ago"));
}

#[test]
fn dockers_secrets_are_read_by_root_and_closed_to_the_workload() {
    let Some(stage) = Stage::new(Starter::Root) else { return };
    fs::create_dir(stage.path("secrets")).unwrap();
    stage.write("secrets/api_key", "docker-key\n", 0o400);
    stage.write("secrets/api_secret", "two\nlines\n\n", 0o400);
    let look = format!("cat <&3; echo; cat {} 2>&1", stage.path("secrets/api_key").display());
    let secrets = "api_key = \"file:secrets#api_key\"\napi_secret = \"file:secrets#api_secret\"";
    stage.config_with(&["sh", "-c", &look], &age_config(secrets));
    let output = stage.run();
    let text = String::from_utf8(output.stdout).unwrap();
    let (json, denied) = text.split_once('\n').unwrap();
    assert_eq!(json, r#"{"api_key":"docker-key","api_secret":"two\nlines\n"}"#);
    assert!(denied.contains("Permission denied") && !output.status.success(), "{denied}");
}

#[test]
fn a_path_to_the_secrets_files_is_refused_as_a_grant() {
    let Some(stage) = Stage::new(Starter::Plain) else { return };
    stage.write("app/api_key", "lies-open", 0o400);
    stage.config_with(&CAT, &age_config("api_key = \"file:app#api_key\""));
    assert!(stage.refused(78).contains("the workload could read the secret's file"));
}

/// As the kubelet lays it out: names are links through `..data`, which an update swaps for another folder.
fn kubernetes_volume(stage: &Stage, generation: &str, value: &str) {
    let volume = stage.path("volume");
    fs::create_dir_all(volume.join(generation)).unwrap();
    stage.write(&format!("volume/{generation}/api_key"), value, 0o440);
    symlink(generation, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    if fs::symlink_metadata(volume.join("api_key")).is_err() {
        symlink("..data/api_key", volume.join("api_key")).unwrap();
    }
}

#[test]
fn a_kubernetes_volume_is_followed_anew_at_each_start() {
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        kubernetes_volume(&stage, "..2026_11_24_08_00_00.1", "first-key");
        stage.config_with(&CAT, &age_config("api_key = \"file:volume#api_key\""));
        assert_eq!(stage.ok(), r#"{"api_key":"first-key"}"#, "{:?}", stage.starter);
        kubernetes_volume(&stage, "..2026_11_24_09_00_00.2", "second-key");
        fs::remove_dir_all(stage.path("volume/..2026_11_24_08_00_00.1")).unwrap();
        assert_eq!(stage.ok(), r#"{"api_key":"second-key"}"#, "{:?}", stage.starter);
    }
}

/// Two names of one volume, while it is swapped as fast as can be: a start sees one generation or none, never two.
#[test]
fn names_of_one_kubernetes_volume_are_of_one_generation() {
    let Some(stage) = Stage::new(Starter::Plain) else { return };
    let volume = stage.path("volume");
    for value in ["old", "new"] {
        let generation = format!("..{value}");
        fs::create_dir_all(volume.join(&generation)).unwrap();
        for name in ["api_key", "api_secret"] {
            stage.write(&format!("volume/{generation}/{name}"), format!("the-{value}-one"), 0o440);
        }
    }
    symlink("..old", volume.join("..data")).unwrap();
    for name in ["api_key", "api_secret"] {
        symlink(format!("..data/{name}"), volume.join(name)).unwrap();
    }
    let secrets = "a = \"file:volume#api_key\"\nb = \"file:volume#api_secret\"";
    stage.config_with(&CAT, &age_config(secrets));
    let over = std::sync::atomic::AtomicBool::new(false);
    let seen: Vec<String> = std::thread::scope(|scope| {
        scope.spawn(|| {
            for generation in ["..new", "..old"].into_iter().cycle() {
                symlink(generation, volume.join("..data_tmp")).unwrap();
                fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
                if over.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
            }
        });
        let seen = (0..60).map(|_| stage.ok()).collect();
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        seen
    });
    let whole = ["old", "new"].map(|value| format!(r#"{{"a":"the-{value}-one","b":"the-{value}-one"}}"#));
    assert!(seen.iter().all(|read| whole.contains(read)), "{seen:?}");
}

#[test]
fn systemd_credentials_are_found_by_their_variable_and_refused_without_it() {
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        fs::create_dir(stage.path("credentials")).unwrap();
        stage.write("credentials/api_key", "systemd-key", 0o400);
        stage.config_with(&CAT, &age_config("api_key = \"file:$CREDENTIALS_DIRECTORY#api_key\""));
        let output = stage.command(&["run"]).env("CREDENTIALS_DIRECTORY", stage.path("credentials")).output().unwrap();
        assert_eq!(printed(&output), r#"{"api_key":"systemd-key"}"#, "{:?}", stage.starter);
        assert!(stage.refused(78).contains("$CREDENTIALS_DIRECTORY, and this start has none"));
    }
}

#[test]
fn the_scaffold_of_init_runs_at_once_and_everything_it_tries_is_refused() {
    for stage in STARTERS.into_iter().filter_map(Stage::new) {
        if stage.starter == Starter::Plain && is_root() {
            let home = stage.path("home");
            fs::create_dir(&home).unwrap();
            std::os::unix::fs::chown(&home, Some(65532), Some(65532)).unwrap();
        } else {
            fs::create_dir(stage.path("home")).unwrap();
        }
        let demo = stage.path("home/demo");
        let portcullis = shared().join("portcullis");
        printed(&stage.bare().arg(&portcullis).arg("init").arg(&demo).output().unwrap());
        let run = stage.bare().arg(&portcullis).args(["run", "-c"]).arg(demo.join("portcullis.toml")).output().unwrap();
        let text = printed(&run);
        assert!(text.contains("everything was refused") && !text.contains("GOT IT"), "{:?}: {text}", stage.starter);
        assert!(text.contains("api_key") && text.contains("not shown"), "{text}");
    }
}

#[test]
fn a_missing_name_and_an_empty_value_are_refused() {
    let Some(stage) = Stage::new(Starter::Plain) else { return };
    stage.seal("env.age", "A=\nB=there-is-one\n", &[]);
    for name in ["A", "C"] {
        stage.config_with(&CAT, &age_config(&format!("key = \"age:env.age#{name}\"")));
        stage.refused(77);
    }
    // Not asked for, so not judged.
    stage.config_with(&CAT, &age_config("key = \"age:env.age#B\""));
    assert_eq!(stage.ok(), "{\"key\":\"there-is-one\"}");
}
