//! Each rule of the grammar, and that what the writer writes the parser reads.

use super::*;

/// Names and values; panics with the place if the text is refused.
fn pairs(text: &str) -> Vec<(String, String)> {
    match parse(text) {
        Ok(items) => items.into_iter().filter_map(pair).collect(),
        Err(syntax) => panic!("{syntax}"),
    }
}

fn pair(item: Item) -> Option<(String, String)> {
    match item {
        Item::Pair(pair) => Some((pair.name.to_owned(), pair.value.expose().to_owned())),
        Item::Other { .. } => None,
    }
}

fn refused(text: &str) -> Syntax {
    match parse(text) {
        Ok(_) => panic!("accepted: {text:?}"),
        Err(syntax) => syntax,
    }
}

#[track_caller]
fn reads(text: &str, value: &str) {
    assert_eq!(pairs(text), [("A".to_owned(), value.to_owned())], "{text:?}");
}

#[test]
fn unquoted_values_are_trimmed_and_end_at_a_blank_and_a_hash() {
    reads("A=b", "b");
    reads("A=b\n", "b");
    reads("A=  b c \t\n", "b c");
    reads("A=b # note", "b");
    reads("A=b\t# note", "b");
    reads("A=b#c", "b#c");
    reads("A=#b", "#b");
    reads("A= #b", "");
    reads("A=", "");
    reads("A=\n", "");
    reads("A==b=", "=b=");
    reads("  A = b", "b");
}

#[test]
fn unquoted_values_are_verbatim() {
    reads(r"A=a\nb\\", r"a\nb\\");
    reads(r#"A=it's "so""#, r#"it's "so""#);
    reads("A=$HOME", "$HOME");
    reads("A=p$$1$", "p$$1$");
    reads("A=ключ", "ключ");
}

#[test]
fn single_quotes_are_verbatim_and_may_span_lines() {
    reads("A=''", "");
    reads("A=' b # c '", " b # c ");
    reads(r"A='a\n\\${X}$(y)'", r"a\n\\${X}$(y)");
    reads("A='b\nc=d\n#e'\n", "b\nc=d\n#e");
    reads("A='b' # note", "b");
}

#[test]
fn double_quotes_have_six_escapes_and_may_span_lines() {
    reads("A=\"\"", "");
    reads(r#"A="\n\r\t\\\"\$""#, "\n\r\t\\\"$");
    reads("A=\"b\nc\"", "b\nc");
    reads("A=\" b # c \"", " b # c ");
    reads(r#"A="\${X}""#, "${X}");
    reads(r#"A="$X it's $""#, "$X it's $");
    reads("A=\"b\"\t# note", "b");
}

#[test]
fn comments_blank_lines_export_and_windows_line_ends_are_accepted() {
    let text = "\u{feff}# first\r\n\r\n  \t\nexport A=b\r\nexport\tB='c'\r\nexport_C=d\n   # last";
    let expected = [("A", "b"), ("B", "c"), ("export_C", "d")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(pairs(text), expected);
    assert_eq!(pairs(""), []);
    assert_eq!(pairs("\u{feff}"), []);
}

#[test]
fn names_are_letters_digits_underscore_dot_and_dash() {
    assert_eq!(pairs("_a.B-9=x")[0].0, "_a.B-9");
    for name in ["9A", ".A", "-A", "Ä", "A B", "A/B", "A:B", "\"A\""] {
        assert_eq!(refused(&format!("{name}=x")).line, 1, "{name}");
        assert!(!is_name(name), "{name}");
    }
    assert!(!is_name(""));
}

#[test]
fn what_is_not_the_grammar_is_refused_with_its_place() {
    for (text, line, column, part) in [
        ("A=1\nB", 2, 2, "no `=`"),
        ("A=1\nexport B", 2, 9, "no `=`"),
        ("A=1\n  export =x", 2, 10, "no name"),
        ("=x", 1, 1, "no name"),
        ("A=1\r\nB='x\ny", 2, 3, "single quote is never closed"),
        ("A=\"x", 1, 3, "double quote is never closed"),
        ("A=\"x\\", 1, 5, "unknown escape"),
        (r#"A="x\q""#, 1, 5, "unknown escape"),
        ("A='x'y", 1, 6, "closing quote"),
        ("A='x'#y", 1, 6, "closing quote"),
        ("A=\"x\" y", 1, 7, "only a comment"),
        ("A=`x`", 1, 3, "backtick"),
        ("A=x${B}", 1, 4, "not substituted"),
        ("A=ä$(b)${c}", 1, 4, "not substituted"),
        ("A=\"${B}\"", 1, 4, "not substituted"),
        ("A=x\ry", 1, 4, "carriage return"),
        ("A=x\r", 1, 4, "carriage return"),
        ("A=1\n#\nA=2", 3, 1, "`A` is given twice"),
        ("A=1\n\u{feff}B=2", 2, 1, "no name"),
    ] {
        let syntax = refused(text);
        assert_eq!((syntax.line, syntax.column), (line, column), "{text:?}: {syntax}");
        assert!(syntax.what.contains(part), "{text:?}: {syntax}");
    }
}

#[test]
fn no_refusal_echoes_a_value() {
    for text in ["A='hunter2", "A=\"hunter2", "A=hunter2${x}", "A='hunter2'hunter2", "hunter2hunter2", "A=hunter2\rx"] {
        assert!(!refused(text).to_string().contains("hunter2"), "{text}");
    }
}

#[test]
fn nothing_is_taken_from_the_environment() {
    // PATH is always set here.
    reads("A=$PATH", "$PATH");
    reads("A=\"$PATH\"", "$PATH");
}

#[test]
fn what_the_writer_writes_the_parser_reads() {
    let nasty = [
        "",
        " ",
        "plain",
        "a b",
        " lead and trail ",
        "#",
        "a #b",
        "'",
        "\"",
        "'\"`",
        "it's",
        "\\",
        "\\n",
        "a\\",
        "$",
        "${X}",
        "$(x)",
        "a\nb",
        "\n",
        "a\r\nb\r",
        "\t",
        "\u{feff}",
        "\u{0}\u{1b}[31m\u{7f}\u{85}",
        "=",
        "export A=b",
        "ключ🔑\u{2028}",
        "-----BEGIN KEY-----\nMIIB+/==\n-----END KEY-----\n",
        "{\"a\": [1, 'b']}",
    ];
    let mut all: Vec<String> = nasty.map(str::to_owned).to_vec();
    // Every pair of two of them too.
    all.extend(nasty.iter().flat_map(|a| nasty.iter().map(move |b| format!("{a}{b}"))));
    for value in all {
        let line = format!("A={}", *quote(&value));
        reads(&line, &value);
        reads(&format!("{line} # note\n"), &value);
        reads(&format!("{line}\r\n"), &value);
    }
}

#[test]
fn the_writer_quotes_only_what_needs_it() {
    assert_eq!(*quote("AKIA0/+=x"), "AKIA0/+=x");
    assert_eq!(*quote("a b"), "'a b'");
    assert_eq!(*quote("it's $1"), "\"it's \\$1\"");
}
