//! Files that the real `age` makes open here, files made here open there, and where `age` refuses we do.

use std::path::Path;
use std::process::Command;

use portcullis::seal::document::{Document, Format};
use portcullis::seal::keys::{self, Key};
use portcullis::seal::open::{OpenError, open, read_file};
use portcullis::seal::pick::pick;
use portcullis::seal::write::{Target, encrypt};
use portcullis::secret::SecretText;

#[path = "support/sealing.rs"]
mod sealing;
use sealing::{Bench, keygen, on_a_terminal};

const TEXT: &str = "# ours\nAPI_KEY=hunter2\nPEM='two\nlines'\n";

fn key(path: &Path) -> Key {
    Key::identity_file(path).unwrap_or_else(|refusal| panic!("{refusal}"))
}

fn passphrase(text: &str) -> Key {
    Key::Passphrase(SecretText::new(text.to_owned()))
}

#[track_caller]
fn opened(path: &Path, key: &Key) -> Document {
    open(&read_file(path).unwrap(), key).unwrap_or_else(|error| panic!("{}: {error:?}", path.display()))
}

fn api_key(document: &Document) -> String {
    pick(document, "API_KEY", "file").unwrap_or_else(|refusal| panic!("{refusal}")).value.expose().to_owned()
}

#[test]
fn files_of_age_open_here_binary_and_armoured_for_one_and_for_several() {
    let bench = Bench::new();
    let other = keygen(&bench.path("other"));
    for (name, args) in [
        ("one", vec!["-r", &bench.recipient]),
        ("one.asc", vec!["-a", "-r", &bench.recipient]),
        ("two", vec!["-r", &other, "-r", &bench.recipient]),
        ("two.asc", vec!["-a", "-r", &other, "-r", &bench.recipient]),
        ("own", vec!["-e", "-i", "key"]),
    ] {
        let output = bench.age(&[args, vec!["-o", name]].concat(), TEXT.as_bytes());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let document = opened(&bench.path(name), &key(&bench.path("key")));
        assert_eq!(*document.render(), TEXT, "{name}");
        assert_eq!(api_key(&document), "hunter2");
    }
    let two = key(&bench.path("other"));
    assert_eq!(api_key(&opened(&bench.path("two"), &two)), "hunter2");
    assert_eq!(open(&read_file(&bench.path("one")).unwrap(), &two).err(), Some(OpenError::WrongIdentity));
}

#[test]
fn a_passphrase_file_of_age_opens_here() {
    let bench = Bench::new();
    bench.write("plain", TEXT);
    let steps = [("passphrase", "correct horse\n"), ("onfirm passphrase", "correct horse\n")];
    for (name, args) in [("p", vec!["age", "-p"]), ("p.asc", vec!["age", "-p", "-a"])] {
        let (shown, code, _) = on_a_terminal(bench.dir(), &[args, vec!["-o", name, "plain"]].concat(), &steps);
        assert_eq!(code, 0, "{shown}");
        assert_eq!(*opened(&bench.path(name), &passphrase("correct horse")).render(), TEXT);
    }
    let file = read_file(&bench.path("p")).unwrap();
    assert_eq!(open(&file, &passphrase("battery staple")).err(), Some(OpenError::WrongPassphrase));
    assert_eq!(open(&file, &key(&bench.path("key"))).err(), Some(OpenError::NeedsPassphrase));
}

#[test]
fn files_made_here_are_decrypted_by_age() {
    let bench = Bench::new();
    let other = keygen(&bench.path("other"));
    let recipients = [&bench.recipient, &other].map(|text| keys::recipient(text).unwrap());
    let target = Target::Recipients(recipients.to_vec());
    for armored in [false, true] {
        let mut document = Document::parse(TEXT.as_bytes()).unwrap_or_else(|syntax| panic!("{syntax}"));
        bench.write("ours", encrypt(&mut document, &target, armored).unwrap());
        let expected = format!("# portcullis:recipients {} {other}\n{TEXT}", bench.recipient);
        assert_eq!(bench.decrypted("key", "ours"), expected);
        assert_eq!(bench.decrypted("other", "ours"), expected);
    }
}

#[test]
fn a_passphrase_file_made_here_is_decrypted_by_age() {
    let bench = Bench::new();
    let mut document = Document::parse(TEXT.as_bytes()).unwrap_or_else(|syntax| panic!("{syntax}"));
    let target = Target::Passphrase(SecretText::new("correct horse".to_owned()));
    bench.write("ours", encrypt(&mut document, &target, false).unwrap());
    let steps = [("passphrase", "correct horse\n")];
    let (shown, code, _) = on_a_terminal(bench.dir(), &["age", "-d", "-o", "plain", "ours"], &steps);
    assert_eq!(code, 0, "{shown}");
    assert_eq!(std::fs::read_to_string(bench.path("plain")).unwrap(), TEXT);
}

#[test]
fn a_json_document_and_a_long_one_survive_the_way_through_age() {
    let bench = Bench::new();
    let long = format!("{{\"API_KEY\": \"hunter2\", \"filler\": \"{}\"}}", "x".repeat(3 << 20));
    for text in ["{\"API_KEY\": \"hunter2\", \"n\": 5}", &long] {
        assert!(bench.age(&["-r", &bench.recipient, "-o", "f"], text.as_bytes()).status.success());
        let document = opened(&bench.path("f"), &key(&bench.path("key")));
        assert_eq!(document.format(), Format::Json);
        assert_eq!(api_key(&document), "hunter2");
        std::fs::remove_file(bench.path("f")).unwrap();
    }
}

#[test]
fn recipients_that_only_other_programs_can_serve_are_named() {
    let bench = Bench::new();
    let ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN alice";
    assert!(bench.age(&["-r", ssh, "-o", "f"], TEXT.as_bytes()).status.success());
    let error = open(&read_file(&bench.path("f")).unwrap(), &key(&bench.path("key"))).err();
    assert_eq!(error, Some(OpenError::Unsupported("ssh-ed25519".to_owned())));
}

#[test]
fn an_identity_file_that_age_encrypted_is_refused_by_name() {
    let bench = Bench::new();
    let steps = [("passphrase", "x y z\n"), ("onfirm passphrase", "x y z\n")];
    for args in [vec!["age", "-p"], vec!["age", "-p", "-a"]] {
        let (shown, code, _) = on_a_terminal(bench.dir(), &[args, vec!["-o", "locked", "key"]].concat(), &steps);
        assert_eq!(code, 0, "{shown}");
        let Err(refusal) = Key::identity_file(&bench.path("locked")) else { panic!("accepted") };
        assert!(
            refusal.what.ends_with("is itself encrypted, and nobody is there to ask for its passphrase"),
            "{refusal}"
        );
        std::fs::remove_file(bench.path("locked")).unwrap();
    }
}

#[test]
fn where_age_refuses_a_cut_or_changed_file_we_refuse_it_too() {
    let bench = Bench::new();
    assert!(bench.age(&["-r", &bench.recipient, "-o", "whole"], TEXT.as_bytes()).status.success());
    let whole = std::fs::read(bench.path("whole")).unwrap();
    let key = key(&bench.path("key"));
    let mut variants: Vec<Vec<u8>> = (0..whole.len()).step_by(7).map(|cut| whole[..cut].to_vec()).collect();
    variants.extend((0..whole.len()).step_by(5).map(|i| {
        let mut changed = whole.clone();
        changed[i] ^= 0x20;
        changed
    }));
    variants.push([whole.clone(), b"\n".to_vec()].concat());
    variants.push(whole);
    let mut accepted = 0;
    for variant in variants {
        let ours = open(&variant, &key).is_ok();
        bench.write("variant", &variant);
        let theirs = bench.age(&["-d", "-i", "key", "variant"], b"").status.success();
        assert_eq!(ours, theirs, "{variant:?}");
        accepted += usize::from(ours);
    }
    assert_eq!(accepted, 1);
}

#[test]
fn a_shell_reads_what_age_decrypts_from_a_file_made_here() {
    let bench = Bench::new();
    let mut document = Document::new(Format::Dotenv);
    let values = [("PLAIN", "AKIA/+="), ("SPACE", "a  b # c"), ("DOLLAR", "a$b\\c"), ("QUOTE", "it's $HOME \"x\" \\")];
    for (name, value) in values {
        document.set(name, SecretText::new(value.to_owned()), 0);
    }
    let target = Target::Recipients(vec![keys::recipient(&bench.recipient).unwrap()]);
    bench.write("f", encrypt(&mut document, &target, false).unwrap());
    bench.write("plain", bench.decrypted("key", "f"));
    for (name, value) in values {
        let script = format!(". ./plain; printf %s \"${name}\"");
        let output = Command::new("sh").args(["-c", &script]).current_dir(bench.dir()).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), value, "{name}");
    }
}
