//! What `load.rs` promises, by example.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use tempfile::TempDir;

use super::*;

/// Whatever this machine has in `/etc`.
fn load(request: &Request) -> Result<Loaded, Refusal> {
    load_or(request, Path::new("/nonexistent/portcullis.toml"))
}

/// A folder with `portcullis.toml` in it, that only its owner may write.
fn folder(text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("portcullis.toml"), text).unwrap();
    folder
}

fn request(folder: &TempDir) -> Request {
    Request { file: Some(folder.path().join("portcullis.toml")), cwd: "/work-dir".into(), ..Request::default() }
}

fn command(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// What and hint, with the folder's name taken out.
fn refused(request: &Request, folder: &TempDir) -> String {
    let refusal = load(request).unwrap_err();
    assert_eq!(refusal.exit, crate::refusal::Exit::Config, "{refusal}");
    format!("{}\n{}", refusal.what, refusal.hint).replace(folder.path().to_str().unwrap(), "DIR")
}

const GOOD: &str = "[workload]\ncommand = [\"true\"]\n";

#[test]
fn a_file_is_loaded_with_its_text_its_folder_and_its_command() {
    let folder = folder(GOOD);
    let loaded = load(&request(&folder)).unwrap();
    assert_eq!(loaded.command, command(&["true"]));
    assert_eq!(loaded.text, GOOD);
    assert_eq!(loaded.folder, folder.path());
    assert_eq!(loaded.origin, Origin::File(folder.path().join("portcullis.toml")));
}

#[test]
fn a_relative_file_has_an_absolute_folder() {
    let folder = folder(GOOD);
    let here = std::env::current_dir().unwrap();
    let up = "../".repeat(here.components().count());
    let file = PathBuf::from(up).join(folder.path().join("portcullis.toml").strip_prefix("/").unwrap());
    let loaded = load(&Request { file: Some(file), cwd: here, ..Request::default() }).unwrap();
    assert!(loaded.folder.is_absolute(), "{:?}", loaded.folder);
    assert_eq!(loaded.folder.canonicalize().unwrap(), folder.path().canonicalize().unwrap());
}

#[test]
fn the_flag_wins_over_the_variable_and_the_variable_over_nothing() {
    let (one, two) = (folder("[workload]\ncommand = [\"one\"]\n"), folder("[workload]\ncommand = [\"two\"]\n"));
    let environment = Environment::from([(FILE_VARIABLE.into(), two.path().join("portcullis.toml").into_os_string())]);
    let both = Request { environment: environment.clone(), ..request(&one) };
    assert_eq!(load(&both).unwrap().command, command(&["one"]));
    let variable = Request { environment, cwd: "/".into(), ..Request::default() };
    assert_eq!(load(&variable).unwrap().command, command(&["two"]));
}

#[test]
fn a_command_alone_needs_no_file_and_keeps_bytes_that_are_no_utf8() {
    use std::os::unix::ffi::OsStringExt;
    let odd = OsString::from_vec(vec![b'a', 0xff]);
    let flags = Flags { command: vec!["echo".into(), odd.clone()], ..Flags::default() };
    let loaded = load(&Request { flags, cwd: "/work-dir".into(), ..Request::default() }).unwrap();
    assert_eq!(loaded.command, ["echo".into(), odd]);
    assert_eq!(loaded.folder, Path::new("/work-dir"));
    assert_eq!((loaded.text.as_str(), loaded.origin), ("", Origin::CommandLine));
}

#[test]
fn nothing_at_all_says_how_to_begin() {
    let refusal = load(&Request::default()).unwrap_err();
    assert_eq!(
        refusal.what,
        "there is no config: /nonexistent/portcullis.toml does not exist, and no command is given"
    );
    assert_eq!(
        refusal.hint,
        "name a config with -c FILE, scaffold one with `portcullis init DIR`, or write the command after `--`"
    );
}

#[test]
fn the_default_file_is_read_when_nothing_names_another_and_flags_lie_over_it() {
    let folder = folder(GOOD);
    let default = folder.path().join("portcullis.toml");
    assert_eq!(load_or(&Request::default(), &default).unwrap().origin, Origin::File(default.clone()));
    let flags = Flags { command: command(&["false"]), ..Flags::default() };
    let loaded = load_or(&Request { flags, cwd: "/".into(), ..Request::default() }, &default).unwrap();
    assert_eq!((loaded.command, loaded.origin), (command(&["false"]), Origin::File(default)));
}

#[test]
fn an_empty_name_is_no_name() {
    let folder = folder(GOOD);
    let empty = Request { file: Some("".into()), ..Request::default() };
    assert_eq!(refused(&empty, &folder), "-c names no config: it is empty\nname a file, or leave -c out");
    let environment = Environment::from([(FILE_VARIABLE.into(), "".into())]);
    let empty = Request { environment, ..Request::default() };
    assert_eq!(
        refused(&empty, &folder),
        "PORTCULLIS_CONFIG names no config: it is empty\nname a file, or leave PORTCULLIS_CONFIG out"
    );
}

#[test]
fn a_named_file_must_exist_even_when_flags_would_suffice() {
    let folder = folder(GOOD);
    let flags = Flags { command: command(&["true"]), ..Flags::default() };
    let missing = Request { file: Some(folder.path().join("nope.toml")), flags, ..Request::default() };
    assert_eq!(
        refused(&missing, &folder),
        "cannot read the config DIR/nope.toml: it does not exist\n\
         check the path, or scaffold a config with `portcullis init DIR`"
    );
    let beneath = Request { file: Some(folder.path().join("portcullis.toml/x")), ..Request::default() };
    assert_eq!(
        refused(&beneath, &folder),
        "cannot read the config DIR/portcullis.toml/x: a part of its path is no directory\ncheck the path"
    );
}

#[test]
fn directories_fifos_and_devices_are_refused_without_blocking() {
    let folder = folder(GOOD);
    nix::unistd::mkfifo(&folder.path().join("fifo"), Mode::S_IRWXU).unwrap();
    let start = Instant::now();
    for (file, is) in [(folder.path().to_owned(), "a directory"), (folder.path().join("fifo"), "no regular file")] {
        let request = Request { file: Some(file), ..Request::default() };
        let text = refused(&request, &folder);
        assert!(text.ends_with(&format!(" is {is}\nname the TOML file itself")), "{text}");
    }
    let zero = Request { file: Some("/dev/zero".into()), ..Request::default() };
    assert_eq!(refused(&zero, &folder), "the config /dev/zero is no regular file\nname the TOML file itself");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_second_look_refuses_a_fifo_too_and_does_not_block() {
    let folder = folder(GOOD);
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let file = open(&fifo).unwrap();
    assert!(must_be_regular(&fifo, &file.metadata().unwrap()).is_err());
}

#[test]
fn a_file_of_exactly_the_limit_is_read_and_one_more_byte_is_refused() {
    let folder = folder("");
    let path = folder.path().join("portcullis.toml");
    let mut text = GOOD.to_owned();
    text.push_str(&"#".repeat(MAX_BYTES as usize - GOOD.len()));
    std::fs::write(&path, &text).unwrap();
    assert_eq!(load(&request(&folder)).unwrap().text.len() as u64, MAX_BYTES);
    std::fs::write(&path, text + "#").unwrap();
    let large = "the config DIR/portcullis.toml is larger than 256 KiB\n\
                 is this the right file? a config holds references, no data";
    assert_eq!(refused(&request(&folder), &folder), large);
}

#[test]
fn a_file_of_2_gib_is_refused_by_its_size_and_one_that_lies_about_it_by_its_bytes() {
    let folder = folder("");
    File::create(folder.path().join("portcullis.toml")).unwrap().set_len(2 << 30).unwrap();
    let start = Instant::now();
    assert!(refused(&request(&folder), &folder).contains("larger than 256 KiB"));
    assert!(start.elapsed() < Duration::from_secs(1));
    let empty = File::open("/dev/null").unwrap();
    assert!(read_bounded(Path::new("x"), empty, MAX_BYTES + 1).is_err(), "by its size, without reading it");
    // Files of /proc are regular and say 0 bytes; /dev/zero stands in for an endless one.
    let endless = File::open("/dev/zero").unwrap();
    assert!(read_bounded(Path::new("x"), endless, 0).unwrap_err().what.contains("larger than 256 KiB"));
}

#[test]
fn a_file_that_is_no_utf8_is_refused_with_its_line() {
    let folder = folder("");
    std::fs::write(folder.path().join("portcullis.toml"), b"# one\n# \xff\n").unwrap();
    assert_eq!(
        refused(&request(&folder), &folder),
        "DIR/portcullis.toml:2: not valid UTF-8\nis this the right file? save it as UTF-8 text"
    );
}

#[test]
fn root_takes_no_orders_from_what_others_can_write() {
    let path = Path::new("/etc/x.toml");
    for mode in [0o100644, 0o100600, 0o100440, 0o102755] {
        assert_eq!(must_be_roots_alone(path, 0, mode), Ok(()), "{mode:o}");
    }
    for mode in [0o100664, 0o100646, 0o100666, 0o041777] {
        let refusal = must_be_roots_alone(path, 0, mode).unwrap_err();
        assert_eq!(refusal.hint, "chmod go-w /etc/x.toml");
    }
    let refusal = must_be_roots_alone(path, 1000, 0o100644).unwrap_err();
    assert_eq!(refusal.what, "started as root, but /etc/x.toml belongs to user 1000, who could change it");
    assert_eq!(refusal.hint, "chown root /etc/x.toml, or start as a plain user");
}

/// Needs root's own files, so it holds only where the tests run as root; the rule itself is tested above.
#[test]
fn the_rule_looks_at_the_file_behind_a_link_and_at_its_directory() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let (real, link) = (folder(GOOD), tempfile::tempdir().unwrap());
    symlink(real.path().join("portcullis.toml"), link.path().join("portcullis.toml")).unwrap();
    let linked = Request { as_root: true, ..request(&link) };
    assert!(load(&linked).is_ok());
    std::fs::set_permissions(real.path(), PermissionsExt::from_mode(0o777)).unwrap();
    assert_eq!(
        refused(&linked, &real),
        "started as root, but others than its owner may write DIR (mode 0777)\nchmod go-w DIR"
    );
    std::fs::set_permissions(real.path(), PermissionsExt::from_mode(0o1777)).unwrap();
    assert!(load(&linked).is_ok(), "in a sticky directory nobody replaces what is root's");
    std::fs::set_permissions(real.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let file = real.path().join("portcullis.toml");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
    assert!(load(&linked).unwrap_err().what.contains("may write"), "{:?}", load(&linked));
    assert!(load(&Request { as_root: false, ..linked }).is_ok(), "a plain user's config is the plain user's business");
}

#[test]
fn a_file_that_is_no_longer_the_opened_one_is_refused() {
    let folder = folder(GOOD);
    let path = folder.path().join("portcullis.toml");
    let opened = open(&path).unwrap().metadata().unwrap();
    std::fs::write(folder.path().join("other"), GOOD).unwrap();
    std::fs::rename(folder.path().join("other"), &path).unwrap();
    assert!(only_root_can_change(&path, &opened).unwrap_err().what.ends_with("was replaced while it was read"));
}

#[test]
fn a_fault_in_the_file_has_a_place_and_one_of_the_flags_has_none() {
    let folder = folder("[workload]\ncommand = [\"true\"]\n\n[confine]\nread = [\"/app\", \"/\"]\n");
    assert!(refused(&request(&folder), &folder).starts_with("DIR/portcullis.toml:5:17: `/` in read is no cage"));
    let good = self::folder(GOOD);
    let flags = Flags { read: vec!["/".parse().unwrap()], ..Flags::default() };
    let text = refused(&Request { flags: flags.clone(), ..request(&good) }, &good);
    assert!(text.starts_with("DIR/portcullis.toml: `/` in read is no cage"), "{text}");
    let alone =
        Request { flags: Flags { command: command(&["true"]), ..flags }, cwd: "/".into(), ..Request::default() };
    assert!(refused(&alone, &good).starts_with("`/` in read is no cage"));
}

#[test]
fn a_key_of_the_file_is_not_blamed_for_the_flag_that_replaced_it() {
    let folder = folder("[workload]\ncommand = [\"true\"]\n[secrets]\nk = \"file:/s#k\"\n");
    let flags = Flags { secrets: vec![("k".parse().unwrap(), "vault:a/b#k".parse().unwrap())], ..Flags::default() };
    let text = refused(&Request { flags, ..request(&folder) }, &folder);
    assert!(text.starts_with("DIR/portcullis.toml: `k` is in a vault, but there is no [vault]"), "{text}");
}
