//! What `reference.rs` promises, by example.

use super::*;

fn takes(text: &str) -> Reference {
    text.parse().unwrap_or_else(|bad| panic!("{text:?}: {bad}"))
}

fn refuses(text: &str) -> String {
    text.parse::<Reference>().expect_err(text).to_string()
}

#[test]
fn a_reference_is_source_path_field_and_query() {
    let reference = takes("vault:secret/bots/mm1#api_key?version=3&x=a=b");
    assert_eq!(reference.source, Source::Vault);
    assert_eq!((reference.path.as_str(), reference.field.as_str()), ("secret/bots/mm1", "api_key"));
    assert_eq!(reference.query["version"], "3");
    assert_eq!(reference.query["x"], "a=b", "a value may have a `=`");
}

#[test]
fn only_the_first_of_each_separator_separates() {
    let reference = takes("age:c:d/e.age#f#g");
    assert_eq!((reference.path.as_str(), reference.field.as_str()), ("c:d/e.age", "f#g"));
    assert_eq!(takes("age:x#k?a=?#").query["a"], "?#");
}

#[test]
fn a_reference_is_shown_as_it_reads_back() {
    for text in [
        "age:secrets.env.age#API_KEY",
        "age:/abs/s.json#/nested/a~1b/0",
        "file:/run/secrets#..data_key",
        "file:secrets#.key",
        "vault:secret/a/data/b#x.y",
        "vault:kv/a#k?a=1&b=2",
        "exec:bws",
        "aws:prod/bot?stage=AWSPREVIOUS",
        "aws:arn:aws:secretsmanager:eu-central-1:123456789012:secret:bot-AbCdEf#key?version=1-2",
        "exec:bws?a=1",
        "exec:bws#/a/0",
    ] {
        assert_eq!(takes(text).to_string(), text);
    }
}

#[test]
fn every_source_is_in_the_table_by_its_name() {
    for source in Source::ALL {
        assert_eq!(takes(&format!("{}:a#c", source.name())).source, source);
    }
}

#[test]
fn what_lacks_a_part_is_no_reference() {
    for (text, why) in [
        ("age:x", "it names no field after `#`"),
        ("age:#k", "its path is empty"),
        ("age:x#", "its field is empty"),
        ("age:x#?a=1", "its field is empty"),
        ("age:x#k?", "`` after `?` is not key=value"),
        ("age:x#k?a", "`a` after `?` is not key=value"),
        ("age:x#k?=1", "`=1` after `?` is not key=value"),
        ("age:x#k?a=", "`a=` after `?` is not key=value"),
        ("age:x#k?a=1&", "`` after `?` is not key=value"),
        ("age:x#k?a=1&a=1", "`a` is given twice after `?`"),
        ("vault:a/b?version=2#k", "it has a `?` before the field"),
        ("age:x\u{7f}#k", "it has control characters in it"),
        ("age:x\0#k", "it has control characters in it"),
    ] {
        let said = refuses(text);
        assert!(said.contains(&format!("is no reference: {why}; ")), "{text}: {said}");
    }
}

#[test]
fn an_unknown_source_is_not_echoed_unless_it_is_nearly_one() {
    assert_eq!(refuses("valt:a/b#c"), "`valt:` is no source of secrets; did you mean `vault:`?");
    assert_eq!(refuses("File:a#b"), "`File:` is no source of secrets; did you mean `file:`?");
    for text in ["", "hunter2", "correct horse#battery", "https://user:password@host/#x", ":a#b"] {
        assert_eq!(
            refuses(text),
            "this is no reference: it starts with none of age:, aws:, exec:, file:, vault:; \
             write where the value is, never the value itself, such as \"age:secrets.env.age#API_KEY\""
        );
    }
}

#[test]
fn a_pointer_escapes_only_tilde_and_slash() {
    for field in ["/", "/a", "//", "/a~0b~1c", "/0/x", "plain~2", "a.b"] {
        assert_eq!(takes(&format!("age:x#{field}")).field, field);
        assert_eq!(takes(&format!("vault:a/b#{field}")).field, field);
    }
    for field in ["/~", "/a~2", "/a~~0"] {
        assert!(refuses(&format!("age:x#{field}")).contains("neither `~0` nor `~1`"), "{field}");
    }
}

#[test]
fn a_file_field_names_one_file_of_its_directory() {
    for field in ["/etc/shadow", "../x", "a/b", "a/"] {
        assert!(refuses(&format!("file:/run/secrets#{field}")).contains("its field has a `/`"), "{field}");
    }
    for field in [".", ".."] {
        assert!(refuses(&format!("file:/run/secrets#{field}")).contains("its field is no file name"), "{field}");
    }
}

#[test]
fn a_vault_path_has_plain_parts_alone() {
    for (path, why) in [
        ("/secret/x", "starts or ends with `/`"),
        ("secret/x/", "starts or ends with `/`"),
        ("/", "starts or ends with `/`"),
        ("secret//x", "has an empty part"),
        ("secret/../sys/raw", "has a `.` or `..`"),
        ("../x", "has a `.` or `..`"),
        ("secret/./x", "has a `.` or `..`"),
        ("secret/..", "has a `.` or `..`"),
    ] {
        assert!(refuses(&format!("vault:{path}#k")).contains(why), "{path}");
    }
    takes("vault:secret/..x/.y/z..#k");
}

#[test]
fn an_exec_path_is_the_name_of_a_table() {
    for path in ["a/b", "1a", "a-b", "a b", "ä"] {
        assert!(refuses(&format!("exec:{path}#k")).contains("no name of a table"), "{path}");
    }
    assert_eq!(takes("exec:bws").field, "");
    for text in ["exec:bws#", "exec:bws#?a=1"] {
        assert!(refuses(text).contains("its field is empty"), "{text}");
    }
}
