//! What is kept, what is refused, and that an edit touches only what it edits.

use super::*;

fn read(text: &str) -> Document {
    match Document::parse(text.as_bytes()) {
        Ok(document) => document,
        Err(syntax) => panic!("{text}\n{syntax}"),
    }
}

fn refused(text: &[u8]) -> Syntax {
    match Document::parse(text) {
        Ok(_) => panic!("accepted: {}", String::from_utf8_lossy(text)),
        Err(syntax) => syntax,
    }
}

fn value<'a>(document: &'a Document, name: &str) -> &'a str {
    match &document.get(name).unwrap().value {
        Node::Text(text) => text.expose(),
        other => other.kind(),
    }
}

fn secret(text: &str) -> SecretText {
    SecretText::new(text.to_owned())
}

const NOW: i64 = 1_795_509_000; // 2026-11-24T08:30:00Z

#[test]
fn the_format_is_told_by_the_first_character() {
    for (text, format) in [
        ("", Format::Dotenv),
        ("A=b", Format::Dotenv),
        ("\u{feff}A={}", Format::Dotenv),
        ("{}", Format::Json),
        ("\u{feff} \r\n\t{\"A\": \"b\"}", Format::Json),
    ] {
        assert_eq!(read(text).format(), format, "{text:?}");
    }
    assert_eq!(refused(b"[1]").line, 1);
    assert_eq!(refused(b"A=b\nC=\xff\n"), Syntax { line: 2, column: 3, what: "this is not UTF-8 text".into() });
}

#[test]
fn a_dotenv_document_is_changed_only_where_it_is_edited() {
    let text = "# ours\n\nexport A='x y' # why\nB=\"1\\n2\"\n  # tail";
    let mut document = read(text);
    assert_eq!(*document.render(), format!("{text}\n"));
    document.recipients = vec!["age1a".into(), "age1b".into()];
    document.set("B", secret("it's"), NOW);
    document.set("NEW", secret("n"), NOW);
    let expected = "# portcullis:recipients age1a age1b\n# ours\n\nexport A='x y' # why\n\
        # portcullis:set B 2026-11-24T08:30:00Z\nB=\"it's\"\n  # tail\n\
        # portcullis:set NEW 2026-11-24T08:30:00Z\nNEW=n\n";
    assert_eq!(*document.render(), expected);
    let again = read(expected);
    assert_eq!(*again.render(), expected);
    assert_eq!(again.recipients, ["age1a", "age1b"]);
    assert_eq!(again.get("B").unwrap().set_at, Some(NOW));
    assert_eq!(again.get("A").unwrap().set_at, None);
}

#[test]
fn a_json_document_is_changed_only_where_it_is_edited() {
    let mut document =
        read("{\"n\": 1.50e300,\n \"big\": 123456789012345678901234567890, \"o\": {\"b\":[null]}, \"A\": \"\\u0041\"}");
    document.recipients = vec!["age1a".into()];
    document.set("A", secret("q\"\n"), NOW);
    let expected = "{\n  \"#portcullis\": {\"recipients\":[\"age1a\"],\"set\":{\"A\":\"2026-11-24T08:30:00Z\"}},\n  \
        \"n\": 1.50e300,\n  \"big\": 123456789012345678901234567890,\n  \"o\": {\"b\":[null]},\n  \"A\": \"q\\\"\\n\"\n}\n";
    assert_eq!(*document.render(), expected);
    let again = read(expected);
    assert_eq!(*again.render(), expected);
    assert_eq!(value(&again, "A"), "q\"\n");
    assert_eq!(again.get("A").unwrap().set_at, Some(NOW));
    assert!(again.get(RESERVED).is_none());
}

#[test]
fn empty_documents_come_back_empty() {
    for format in [Format::Dotenv, Format::Json] {
        let document = Document::new(format);
        let again = read(&document.render());
        assert_eq!(again.format(), format);
        assert_eq!(again.entries().count(), 0);
    }
}

#[test]
fn removing_takes_the_value_and_its_time_and_says_if_there_was_none() {
    for text in ["# portcullis:set A 2026-11-24T08:30:00Z\nA=1\nB=2\n", "{\"A\": \"1\", \"B\": \"2\"}"] {
        let mut document = read(text);
        assert!(document.remove("A"));
        assert!(!document.remove("A"));
        assert!(!document.render().contains("A"), "{}", *document.render());
        assert_eq!(value(&read(&document.render()), "B"), "2");
    }
}

#[test]
fn a_time_belongs_to_its_name_wherever_it_stands_and_goes_with_it() {
    let document = read("# portcullis:set GONE 2026-11-24T08:30:00Z\nA=1\n  # portcullis:set A 2026-11-24T08:30:00Z\n");
    assert_eq!(document.get("A").unwrap().set_at, Some(NOW));
    assert_eq!(*document.render(), "# portcullis:set A 2026-11-24T08:30:00Z\nA=1\n");
}

#[test]
fn a_damaged_note_of_seal_is_refused() {
    for text in [
        "A=1\n# portcullis:set A yesterday",
        "A=1\n# portcullis:set A",
        "A=1\n# portcullis:set 9 2026-11-24T08:30:00Z",
        "A=1\n# portcullis:recipients",
        "A=1\n# portcullis:unknown x",
        "# portcullis:set A 2026-11-24T08:30:00Z\n# portcullis:set A 2026-11-24T08:30:01Z",
        "\n{\"A\": \"1\", \"#portcullis\": 1}",
    ] {
        assert_eq!(refused(text.as_bytes()).line, 2, "{text}");
    }
    for kept in ["[]", "{\"set\": {\"A\": \"x\"}}", "{\"set\": 1}", "{\"recipients\": [1]}", "{\"more\": 1}"] {
        assert_eq!(refused(format!("{{\"#portcullis\": {kept}}}").as_bytes()).column, 17, "{kept}");
    }
    // Any other comment is the user's own.
    assert_eq!(read("# portcullis is set\n#portcullis:set\nA=1").entries().count(), 1);
}

#[test]
fn wrong_kinds_are_kept_with_their_kind() {
    let document = read(r#"{"n": 1, "b": true, "z": null, "l": [], "o": {}, "t": "x"}"#);
    let kinds: Vec<_> = document.entries().map(|(_, entry)| entry.value.kind()).collect();
    assert_eq!(kinds, ["a number", "a true or false", "null", "a list", "an object", "a text"]);
}

#[test]
fn taking_over_gives_a_time_to_texts_that_have_none() {
    let mut document = read(r##"{"#portcullis": {"set": {"A": "1970-01-01T00:00:01Z"}}, "A": "1", "B": "2", "n": 3}"##);
    document.stamp_all(NOW);
    let times: Vec<_> = document.entries().map(|(_, entry)| entry.set_at).collect();
    assert_eq!(times, [Some(1), Some(NOW), None]);
}
