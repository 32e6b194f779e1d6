//! Whom an edit seals for, names and ages. The commands as a user runs them are in `tests/seal_commands.rs`.

use super::*;

fn sealed(document: &mut Document, recipients: &[&x25519::Identity]) -> Vec<u8> {
    let recipients = recipients.iter().map(|identity| identity.to_public()).collect();
    encrypt(document, &Target::Recipients(recipients), false).unwrap()
}

/// The target of an edit, as names.
fn edited(file: &[u8], document: &Document, key: &Key, given: &[&x25519::Identity]) -> Result<Vec<String>, String> {
    let given: Vec<_> = given.iter().map(|identity| identity.to_public().to_string()).collect();
    target(Path::new("s.age"), file, document, key, &given).map(|target| target.names()).map_err(|refusal| refusal.what)
}

#[test]
fn an_edit_seals_for_exactly_those_the_file_was_sealed_for() {
    let [a, b, c] = [(); 3].map(|()| x25519::Identity::generate());
    let name = |identity: &x25519::Identity| identity.to_public().to_string();
    let key = Key::Identities(vec![c.clone(), a.clone()]);
    let mut recorded = Document::new(Format::Dotenv);
    let two = sealed(&mut recorded, &[&a, &b]);
    for given in [&[&b][..], &[&a, &b], &[&b, &a]] {
        assert_eq!(edited(&two, &recorded, &key, given), Ok(vec![name(&a), name(&b)]));
    }
    assert!(edited(&two, &recorded, &key, &[&b, &c]).unwrap_err().contains("says itself"));
    assert_eq!(
        edited(&two, &recorded, &Key::Identities(vec![a.clone(), b.clone()]), &[]),
        Ok(vec![name(&a), name(&b)])
    );

    let unrecorded = Document::new(Format::Dotenv);
    let one = sealed(&mut unrecorded.clone(), &[&a]);
    assert_eq!(edited(&one, &unrecorded, &key, &[]), Ok(vec![name(&a)]), "the identity that opens it, and no other");
    assert!(edited(&two, &unrecorded, &key, &[]).unwrap_err().contains("2 recipients"));
    assert_eq!(edited(&two, &unrecorded, &key, &[&a, &b]), Ok(vec![name(&a), name(&b)]));
}

#[test]
fn a_recipient_that_stands_in_the_file_alone_gets_nothing() {
    let [mine, thief] = [(); 2].map(|()| x25519::Identity::generate());
    let key = Key::Identities(vec![mine.clone()]);
    // Anybody who knows a public key can make this.
    let mut planted = Document::new(Format::Dotenv);
    let file = sealed(&mut planted, &[&mine, &thief]);
    for given in [&[][..], &[&mine]] {
        let refusal = edited(&file, &planted, &key, given).unwrap_err();
        assert!(refusal.contains(&thief.to_public().to_string()), "{refusal}");
    }
}

#[test]
fn an_edit_that_would_lock_its_author_out_is_refused() {
    let [a, b] = [(); 2].map(|()| x25519::Identity::generate());
    let key = Key::Identities(vec![a.clone()]);
    let unrecorded = Document::new(Format::Dotenv);
    let one = sealed(&mut unrecorded.clone(), &[&a]);
    assert!(edited(&one, &unrecorded, &key, &[&b]).unwrap_err().contains("could not open"));
    let mut recorded = Document::new(Format::Dotenv);
    recorded.recipients = vec![b.to_public().to_string()];
    assert!(edited(&one, &recorded, &key, &[&b]).unwrap_err().contains("could not open"));
}

#[test]
fn names_are_what_every_format_can_hold() {
    for name in ["A", "_", "api.key-2", &"x".repeat(128)] {
        assert!(check_name(name).is_ok(), "{name}");
    }
    for name in ["", "2", "a b", "a=b", "ключ", "a\n", "#portcullis", &"x".repeat(129)] {
        assert_eq!(check_name(name).unwrap_err().exit, Exit::Usage, "{name}");
    }
}

#[test]
fn ages_are_one_number_and_one_unit() {
    let day = 86_400;
    for (seconds, text) in
        [(0, "0s"), (59, "59s"), (60, "1m"), (3_599, "59m"), (day - 1, "23h"), (12 * day, "12d"), (-1, "in the future")]
    {
        assert_eq!(age_text(seconds), text);
    }
}
