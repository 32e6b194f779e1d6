//! Each way to fail is told from the others. Files that the real `age` makes are in `tests/age_files.rs`.

use std::io::Write;

use super::*;
use age::Encryptor;
use age::armor::{ArmoredWriter, Format};
use age::x25519;

use crate::secret::SecretText;

fn encrypt(recipient: &dyn age::Recipient, armor: bool, plaintext: &[u8]) -> Vec<u8> {
    let format = if armor { Format::AsciiArmor } else { Format::Binary };
    let output = ArmoredWriter::wrap_output(Vec::new(), format).unwrap();
    let mut writer = Encryptor::with_recipients(std::iter::once(recipient)).unwrap().wrap_output(output).unwrap();
    writer.write_all(plaintext).unwrap();
    writer.finish().unwrap().finish().unwrap()
}

fn with_passphrase(passphrase: &str, work_factor: u8, plaintext: &[u8]) -> Vec<u8> {
    let mut recipient = age::scrypt::Recipient::new(passphrase.to_owned().into());
    recipient.set_work_factor(work_factor);
    encrypt(&recipient, false, plaintext)
}

fn passphrase(text: &str) -> Key {
    Key::Passphrase(SecretText::new(text.to_owned()))
}

fn pair() -> (x25519::Recipient, Key) {
    let identity = x25519::Identity::generate();
    (identity.to_public(), Key::Identities(vec![identity]))
}

fn fails(file: &[u8], key: &Key) -> OpenError {
    match open(file, key) {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

fn opens(file: &[u8], key: &Key) -> String {
    match open(file, key) {
        Ok(document) => document.render().to_string(),
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn files_open_armoured_or_not_and_with_any_of_several_identities() {
    let (recipient, Key::Identities(mut identities)) = pair() else { panic!() };
    identities.insert(0, x25519::Identity::generate());
    let key = Key::Identities(identities);
    for armor in [false, true] {
        let file = encrypt(&recipient, armor, b"A=x\n");
        assert_eq!(is_armored(&file), armor);
        assert_eq!(opens(&file, &key), "A=x\n");
    }
    let spaced = [b"\r\n \n".to_vec(), encrypt(&recipient, true, b"A=x\n"), b"\n\n".to_vec()].concat();
    assert_eq!(opens(&spaced, &key), "A=x\n");
    let windows = String::from_utf8(encrypt(&recipient, true, b"A=x\n")).unwrap().replace('\n', "\r\n");
    assert_eq!(opens(windows.as_bytes(), &key), "A=x\n");
}

#[test]
fn a_wrong_key_is_told_from_a_key_of_the_wrong_kind() {
    let (recipient, right) = pair();
    let (_, wrong) = pair();
    let file = encrypt(&recipient, false, b"A=x\n");
    assert_eq!(fails(&file, &wrong), OpenError::WrongIdentity);
    assert_eq!(fails(&file, &passphrase("p")), OpenError::NeedsIdentity);
    let file = with_passphrase("p", 4, b"A=x\n");
    assert_eq!(opens(&file, &passphrase("p")), "A=x\n");
    assert_eq!(fails(&file, &passphrase("q")), OpenError::WrongPassphrase);
    assert_eq!(fails(&file, &right), OpenError::NeedsPassphrase);
}

#[test]
fn an_absurd_work_factor_is_refused_at_once() {
    let file = with_passphrase("p", 4, b"A=x\n");
    for factor in ["19", "30", "63", "255", "4000000000"] {
        let text = String::from_utf8_lossy(&file).into_owned();
        let header = text.lines().nth(1).unwrap();
        let changed = header.strip_suffix('4').unwrap().to_owned() + factor;
        let at = file.windows(header.len()).position(|window| window == header.as_bytes()).unwrap();
        let hostile = [&file[..at], changed.as_bytes(), &file[at + header.len()..]].concat();
        let before = std::time::Instant::now();
        assert_eq!(fails(&hostile, &passphrase("p")), OpenError::WorkFactor(factor.parse().unwrap()));
        assert!(before.elapsed().as_secs() < 2);
    }
}

#[test]
fn every_cut_of_a_file_is_refused() {
    let (recipient, key) = pair();
    let file = encrypt(&recipient, false, b"A=x\n");
    assert_eq!(fails(b"", &key), OpenError::Empty);
    for cut in 1..file.len() {
        let error = fails(&file[..cut], &key);
        assert!(matches!(error, OpenError::Truncated | OpenError::Damaged), "{cut}: {error:?}");
    }
    let armored = encrypt(&recipient, true, b"A=x\n");
    // Without the last line end it is still whole.
    for cut in 35..armored.len() - 1 {
        let error = fails(&armored[..cut], &key);
        assert!(matches!(error, OpenError::Truncated | OpenError::Damaged), "{cut}: {error:?}");
    }
}

#[test]
fn a_long_file_that_ends_between_two_chunks_is_cut_short() {
    let (recipient, key) = pair();
    let line = format!("A='{}'\n", "x".repeat(200_000));
    let file = encrypt(&recipient, false, line.as_bytes());
    let payload = file.len() - (200_005 + 4 * 16);
    assert_eq!(fails(&file[..payload + 2 * (65_536 + 16)], &key), OpenError::Truncated);
    assert_eq!(opens(&file, &key), line);
}

#[test]
fn every_changed_byte_is_noticed() {
    let (recipient, key) = pair();
    let file = encrypt(&recipient, false, b"A=x\n");
    for i in 0..file.len() {
        let mut changed = file.clone();
        changed[i] ^= 1;
        fails(&changed, &key);
    }
    assert_eq!(fails(&[file, b"x".to_vec()].concat(), &key), OpenError::Damaged);
}

#[test]
fn what_is_no_age_file_or_too_large_is_said() {
    let (recipient, key) = pair();
    assert_eq!(fails(b"A=x\n", &key), OpenError::NotAge);
    assert_eq!(fails(&vec![b'x'; MAX_ENCRYPTED + 1], &key), OpenError::TooLarge);
    let most = encrypt(&recipient, false, &[b"#".to_vec(), vec![b'x'; MAX_PLAINTEXT - 1]].concat());
    assert_eq!(opens(&most, &key).len(), MAX_PLAINTEXT + 1);
    let more = encrypt(&recipient, false, &[b"#".to_vec(), vec![b'x'; MAX_PLAINTEXT]].concat());
    assert_eq!(fails(&more, &key), OpenError::TooLargeInside);
}

#[test]
fn recipients_of_another_kind_are_named() {
    let (recipient, key) = pair();
    let text = encrypt(&recipient, false, b"A=x\n");
    let at = text.windows(6).position(|window| window == b"X25519").unwrap();
    let mut other = text.clone();
    other[at..at + 6].copy_from_slice(b"piv-pq");
    assert_eq!(fails(&other, &key), OpenError::Unsupported("piv-pq".into()));
}

#[test]
fn a_document_that_breaks_its_grammar_is_refused_with_its_place() {
    let (recipient, key) = pair();
    let error = fails(&encrypt(&recipient, false, b"A=x\nA='hunter2'\n"), &key);
    let refusal = error.refusal("s.age");
    assert_eq!(refusal.what, "the sealed file s.age opens, but cannot be read at line 2, column 1: `A` is given twice");
    assert_eq!(refusal.exit, Exit::StoreSaidNo);
}

#[test]
fn every_failure_says_what_and_what_to_do_in_lower_case_without_a_full_stop() {
    use OpenError::*;
    let content = Content(Syntax { line: 1, column: 1, what: "x".into() });
    for error in [
        Empty,
        NotAge,
        Version,
        LongHeader,
        Truncated,
        Damaged,
        TooLarge,
        TooLargeInside,
        WrongIdentity,
        WrongPassphrase,
        NeedsPassphrase,
        NeedsIdentity,
        Unsupported("ssh-rsa".into()),
        WorkFactor(30),
        content,
    ] {
        let Refusal { what, hint, .. } = error.refusal("s.age");
        for line in [&what, &hint] {
            assert!(!line.ends_with('.') && !line.starts_with(char::is_uppercase), "{line}");
        }
        assert!(what.starts_with("the sealed file s.age "), "{what}");
    }
}

#[test]
fn a_sealed_file_that_is_not_there_is_refused_with_78_and_an_endless_one_with_77() {
    for (path, exit) in [("/nonexistent", Exit::Config), ("/", Exit::Config), ("/dev/zero", Exit::StoreSaidNo)] {
        assert_eq!(read_file(Path::new(path)).unwrap_err().exit, exit, "{path}");
    }
}
