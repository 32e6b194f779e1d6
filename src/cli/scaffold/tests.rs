//! What `init` makes, what it refuses up front, and that a failure leaves nothing.

use super::*;
use crate::config::Config;
use crate::seal::keys::Key;
use crate::seal::open;
use crate::seal::pick::pick;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    folder
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn init(dir: &Path) -> Result<(), Refusal> {
    Place::survey(dir, is_root())?.build(is_root())
}

fn refused(dir: &Path) -> String {
    let refusal = init(dir).unwrap_err();
    assert_eq!(refusal.exit, Exit::Usage);
    refusal.what
}

#[test]
fn what_it_makes_fits_together() {
    let folder = folder();
    let dir = folder.path().join("demo");
    init(&dir).unwrap();
    let key = Key::identity_file(&dir.join("age.key")).unwrap();
    let sealed = open::read_file(&dir.join("secrets.env.age")).unwrap();
    let Ok(document) = open::open(&sealed, &key) else { panic!() };
    let config: Config = toml::from_str(&fs::read_to_string(dir.join("portcullis.toml")).unwrap()).unwrap();
    for secret in config.secrets.values() {
        assert_eq!(dir.join(&secret.from.path), dir.join("secrets.env.age"));
        let fetched = pick(&document, &secret.from.field, "s").unwrap();
        assert!(fetched.value.expose().starts_with("sample-") && fetched.value.len() > 20);
        assert!(fetched.vouched.set_at.is_some(), "max_age needs a time");
    }
    assert_eq!(config.secrets.len(), 2);
    assert_eq!(config.age.identity.as_deref(), Some("age.key"));
    assert_eq!(config.workload.user.is_some(), is_root());
    let app = dir.canonicalize().unwrap().join("app");
    assert_eq!(config.confine.read.iter().map(|path| path.as_path()).collect::<Vec<_>>(), [app.as_path()]);
    assert_eq!(config.workload.workdir.unwrap().as_path(), app);
    assert!(config.confine.write.is_empty());
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    let folder = folder();
    let dir = folder.path().join("demo");
    init(&dir).unwrap();
    for (name, mode) in [
        ("", 0o755),
        ("age.key", 0o600),
        ("secrets.env.age", 0o600),
        ("portcullis.toml", 0o644),
        ("app", 0o755),
        ("app/bot.py", 0o644),
    ] {
        assert_eq!(fs::metadata(dir.join(name)).unwrap().mode() & 0o7777, mode, "{name}");
    }
}

#[test]
fn two_runs_share_no_secret() {
    let folder = folder();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    init(&a).unwrap();
    init(&b).unwrap();
    let key = |dir: &Path| fs::read_to_string(dir.join("age.key")).unwrap();
    assert_ne!(key(&a).lines().nth(2), key(&b).lines().nth(2));
}

#[test]
fn a_folder_that_is_there_is_used_and_nothing_in_it_is_overwritten() {
    let folder = folder();
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    init(folder.path()).unwrap();
    assert!(folder.path().join("app/bot.py").exists());
    assert!(refused(folder.path()).contains("age.key is there already"));
    for name in MADE {
        let other = self::folder();
        std::os::unix::fs::symlink("nowhere", other.path().join(name)).unwrap();
        assert!(refused(other.path()).contains("is there already"), "{name}");
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1, "{name}");
    }
}

#[test]
fn a_failure_removes_what_was_made_and_nothing_else() {
    let folder = folder();
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    for exists in [true, false] {
        let dir = if exists { folder.path().to_owned() } else { folder.path().join("demo") };
        let place = Place::survey(&dir, is_root()).unwrap();
        let mut made = Made(Vec::new());
        place.fill(&mut made, is_root()).unwrap();
        assert_eq!(made.0.len(), if exists { 5 } else { 6 });
        drop(made);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{exists}");
    }
    let place = Place::survey(folder.path(), is_root()).unwrap();
    // It comes between the look and the making.
    fs::write(folder.path().join("app"), "theirs").unwrap();
    assert!(place.build(is_root()).unwrap_err().what.contains("file exists"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    assert_eq!(fs::read_to_string(folder.path().join("app")).unwrap(), "theirs");
}

#[test]
fn places_where_a_first_run_could_not_work_are_refused_up_front() {
    let folder = folder();
    let path = folder.path();
    assert!(refused(&path.join("a/b")).contains("no such file"));
    fs::write(path.join("file"), "").unwrap();
    assert!(refused(&path.join("file")).contains("not a folder"));
    assert!(refused(Path::new("/usr/share/demo")).contains("under /usr"));
    assert!(refused(&path.join("a\nb")).contains("plain text"));
    for name in MADE {
        assert!(!path.join(name).exists());
    }
}

#[test]
fn for_root_the_folder_must_be_reachable_by_the_bot_and_writable_by_root_alone() {
    let folder = folder();
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    let refused = |dir: &Path| Place::survey(dir, true).err().unwrap().what;
    if is_root() {
        assert!(refused(&closed.join("demo")).contains("cannot pass through"));
        assert!(refused(&closed).contains("cannot pass through"));
    }
    fs::set_permissions(&closed, Permissions::from_mode(0o775)).unwrap();
    assert!(refused(&closed).contains("may write"));
    assert!(Place::survey(&closed, false).is_ok());
}

#[test]
fn any_path_becomes_a_toml_string_and_a_shell_word() {
    let app = Path::new("/a \"b\"\\c'd/ключ");
    let config: Config = toml::from_str(&config(app, true)).unwrap();
    assert_eq!(config.workload.workdir.unwrap().as_path(), app);
    assert_eq!(shell_word("/srv/bot-1"), "/srv/bot-1");
    assert_eq!(shell_word("a b'c"), "'a b'\\''c'");
}
