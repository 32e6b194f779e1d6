//! What `errors.rs` promises, by example.

use serde::Deserialize;
use toml::de::DeTable;

use super::super::{Config, tree};
use super::*;

/// The refusal of a text, as `line:column: what / hint`.
fn refused(text: &str) -> String {
    let origin = Origin::File("x".into());
    let refusal = match DeTable::parse(text) {
        Err(error) => origin.refuse_syntax(text, &error),
        Ok(root) => {
            let document = toml::Spanned::new(root.span(), toml::de::DeValue::Table(root.into_inner()));
            let fault = Config::deserialize(tree::Node::new(&document)).expect_err(text);
            origin.refuse(text, &fault)
        }
    };
    assert_eq!(refusal.exit, crate::refusal::Exit::Config);
    format!("{} / {}", refusal.what.strip_prefix("x:").unwrap(), refusal.hint)
}

#[test]
fn syntax_errors_are_told_in_plain_words() {
    for (text, words) in [
        ("mode =\n", "1:7: no value after `=` / write one, or remove the line"),
        ("mode = bot.py", "1:8: a text without quotes / write texts between quotes, such as \"30s\""),
        ("a = True", "1:5: neither true nor false / write true or false in lower case, and texts between quotes"),
        ("a = \"b\n", "1:7: a text without its closing quote / close it on the same line"),
        ("a = 'b\n", "1:7: a text without its closing quote / close it on the same line"),
        ("a = \"\\q\"", "1:7: a `\\` that escapes nothing / write `\\\\` for one, or use single quotes"),
        ("a = 1 b = 2", "1:9: something stands after the value / write one key and its value a line"),
        ("mode: x", "1:7: a key without `=` / write key = value"),
        ("[a\n", "1:3: a table without its closing bracket / write [workload] on a line of its own"),
        ("\n\n[a]\nb.c = 1\nb = 2", "5:1: `b` is given twice / keep one of the two"),
        ("a = {x = 1, x = 2}", "1:13: `x` is given twice / keep one of the two"),
        (
            "a = 1979-13-01",
            "1:5: not valid TOML: invalid date, expected month between 01 and 12 / \
             correct this line; https://toml.io shows how",
        ),
    ] {
        assert_eq!(refused(text), words, "{text}");
    }
}

#[test]
fn columns_count_characters_and_lines_count_from_one() {
    assert_eq!(position("", 0), (1, 1));
    assert_eq!(position("äö = 1\nß = 2", 5), (1, 4));
    assert_eq!(position("a\r\n\nbc", 5), (3, 2));
    assert_eq!(position("ab", 99), (1, 3), "past the end is the end");
    assert!(refused("log_format = \"text\"\n\"mödé\" = 1").starts_with("2:1: unknown key `mödé` at the top level"));
}

#[test]
fn a_key_of_another_table_is_sent_home() {
    for (text, home) in [
        ("user = \"x\"", "fetch] or [workload"),
        ("[workload]\nread = []", "confine"),
        ("[confine]\nidentity = \"x\"", "age"),
        ("[workload]\naddress = \"x\"", "vault"),
        ("[vault]\nstdin = true", "deliver"),
    ] {
        assert!(refused(text).ends_with(&format!("belongs in [{home}]")), "{}", refused(text));
    }
}

#[test]
fn a_suggestion_is_near_or_not_made() {
    let known = &["connect", "bind", "dns", "read"];
    for (word, near) in [
        ("conect", Some("connect")),
        ("Connect", Some("connect")),
        ("conetc", Some("connect")),
        ("dsn", Some("dns")),
        ("raed", Some("read")),
        ("write", None),
        ("x", None),
        ("", None),
    ] {
        assert_eq!(nearest(word, known), near, "{word}");
    }
    assert_eq!(nearest("max-age", &["from", "max_age"]), Some("max_age"));
    assert_eq!(nearest(&"x".repeat(100_000), known), None);
}

#[test]
fn no_list_stands_in_for_a_table() {
    for text in
        ["workload = []", "confine = [[\"/\"]]", "[deliver]\nfile = [[\"X\", \"raw\"]]", "age = \"x\"", "vault = 1"]
    {
        assert!(refused(text).contains("must be a table, not"), "{}", refused(text));
    }
}

#[test]
fn no_value_is_echoed_beyond_sixty_characters_or_unescaped() {
    let long = "y".repeat(5_000);
    for text in [
        format!("mode = \"{long}\""),
        format!("deadline = \"{long}\""),
        format!("{long} = 1"),
        format!("[secrets]\n{long} = \"file:/s#k\""),
        format!("[secrets]\nk = \"file:{long}\""),
        format!("[confine]\nread = [\"{long}\"]"),
        format!("[workload.env.set]\n{long} = 1"),
        format!("{long} = 1\n{long} = 2"),
    ] {
        let said = refused(&text);
        assert!(!said.contains(&"y".repeat(61)), "{said}");
        assert!(said.contains('…') && said.len() < 400, "{said}");
    }
    assert!(refused("mode = \"a\\u001b[31m\\n\"").contains("`mode` cannot be \"a\\u{1b}[31m\\u{a}\""));
}

#[test]
fn what_may_be_the_secret_itself_is_not_echoed() {
    for value in ["hunter2", "AKIA:IOSFODNN7", "sk_live_4eC39HqLyjWDarjtT1zdp7dc#x"] {
        let said = refused(&format!("[secrets]\nk = \"{value}\""));
        assert!(!said.contains(value) && !said.contains(&value[..4]), "{said}");
        assert!(said.contains("never the value itself"), "{said}");
    }
}

#[test]
fn the_method_may_stand_anywhere_and_faults_beside_it_keep_their_place() {
    let said = refused("[vault.auth]\nsecret_id_file = 5\nrole_id = \"x\"\nmethod = \"approle\"");
    assert_eq!(said, "2:18: `secret_id_file` must be a text, not a number / write it between quotes");
    let said = refused("[vault.auth]\ntoken_fil = \"x\"\nmethod = \"token\"");
    assert_eq!(said, "2:1: unknown key `token_fil` in [vault.auth] / did you mean `token_file`?");
}

#[test]
fn deep_nesting_is_refused_and_does_not_overflow_the_stack() {
    for (open, close) in [("[", "]"), ("{a=", "}")] {
        let text = format!("a = {}1{}", open.repeat(50_000), close.repeat(50_000));
        assert!(refused(&text).starts_with("1:"), "{}", refused(&text));
    }
    let dotted = vec!["a"; 50_000].join(".") + " = 1";
    assert!(refused(&dotted).starts_with("1:"), "{}", refused(&dotted));
}

#[test]
fn garbage_is_refused_and_never_panics() {
    let mut seed = 1u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize
    };
    let good = include_str!("../../../tests/configs/good/first-run.toml");
    for _ in 0..2_000 {
        let mut bytes = good.as_bytes().to_vec();
        for _ in 0..=next() % 3 {
            let at = next() % bytes.len();
            match next() % 3 {
                0 => bytes[at] = b"\"[]{}=#.\n\\'0a"[next() % 13],
                1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let text = String::from_utf8(bytes).unwrap();
        if let Ok(root) = DeTable::parse(&text) {
            let document = toml::Spanned::new(root.span(), toml::de::DeValue::Table(root.into_inner()));
            if let Err(fault) = Config::deserialize(tree::Node::new(&document)) {
                assert!(Origin::CommandLine.refuse(&text, &fault).what.starts_with("the command line:"));
            }
        } else {
            refused(&text);
        }
    }
}
