//! What `values.rs` promises, by example.

use super::*;

fn takes<T: FromStr<Err = BadValue>>(text: &str) -> T {
    text.parse().unwrap_or_else(|bad| panic!("{text:?}: {bad}"))
}

fn refuses<T: FromStr<Err = BadValue>>(text: &str) -> String {
    match text.parse::<T>() {
        Err(bad) => bad.to_string(),
        Ok(_) => panic!("{text:?} is taken"),
    }
}

#[test]
fn a_span_is_a_whole_number_and_one_unit() {
    for (text, millis) in [
        ("1ms", 1),
        ("500ms", 500),
        ("30s", 30_000),
        ("5m", 300_000),
        ("12h", 43_200_000),
        ("45d", 3_888_000_000),
        ("007s", 7_000),
        ("3650d", TEN_YEARS),
    ] {
        assert_eq!(takes::<Span>(text).duration(), Duration::from_millis(millis), "{text}");
    }
    for text in ["", "s", "30", "30 s", " 30s", "30s ", "+30s", "-1s", "1.5h", "1h30m", "30S", "30sec", "0x10s", "３s"]
    {
        assert!(refuses::<Span>(text).contains("is no duration; write a whole number"), "{text}");
    }
    for text in ["0s", "0ms", "000d"] {
        assert!(refuses::<Span>(text).contains("is no time at all; a duration is more than zero"), "{text}");
    }
    for text in ["3651d", "315360000001ms", "18446744073709551615d", "99999999999999999999s"] {
        assert!(refuses::<Span>(text).contains("is longer than ten years"), "{text}");
    }
}

#[test]
fn a_span_is_shown_in_its_largest_whole_unit_and_reads_back() {
    for text in ["1ms", "1500ms", "30s", "90s", "5m", "12h", "45d"] {
        assert_eq!(takes::<Span>(text).to_string(), text);
    }
    assert_eq!(takes::<Span>("120s").to_string(), "2m");
    let mut millis = 1u64;
    while millis < TEN_YEARS {
        let span = Span(Duration::from_millis(millis));
        assert_eq!(takes::<Span>(&span.to_string()), span);
        millis = millis * 7 / 3 + 1;
    }
}

#[test]
fn a_size_is_a_whole_number_with_a_binary_unit_or_none() {
    for (text, count) in
        [("0", 0), ("1024", 1024), ("64KiB", 65_536), ("512MiB", 536_870_912), ("2GiB", 2_147_483_648), ("0GiB", 0)]
    {
        assert_eq!(takes::<Size>(text).get(), count, "{text}");
    }
    for text in ["", "KiB", "1KB", "1kib", "1 KiB", "-1", "1.5GiB", "0x10", "1_000"] {
        assert!(refuses::<Size>(text).contains("is no size; write a whole number"), "{text}");
    }
    for text in ["18446744073709551616", "17179869184GiB"] {
        assert!(refuses::<Size>(text).contains("is larger than any size"), "{text}");
    }
    assert_eq!(takes::<Size>("18446744073709551615").get(), u64::MAX);
}

#[test]
fn a_port_is_1_to_65535() {
    for n in [1, 443, 65535] {
        assert_eq!(takes::<Port>(&n.to_string()).get(), n);
    }
    for text in ["0", "65536", "-1", "", "https", "443/tcp", "4294967739", "99999999999999999999"] {
        assert!(refuses::<Port>(text).contains("is no port; ports are whole numbers from 1 to 65535"), "{text}");
    }
}

#[test]
fn an_absolute_path_means_what_it_says() {
    for text in ["/", "/app", "/app/", "//app", "/a b/ü", "/..data", "/...", "/.hidden", "/a/.b./c.."] {
        assert_eq!(takes::<AbsPath>(text).as_path(), Path::new(text));
    }
    for text in ["", "app", "./app", "../app", "~/app", "$HOME/app"] {
        assert!(refuses::<AbsPath>(text).contains("is a relative path"), "{text}");
    }
    for text in ["/.", "/..", "/a/../b", "/a/./b", "/a/.."] {
        assert!(refuses::<AbsPath>(text).contains("has a `.` or `..` in it"), "{text}");
    }
    assert!(refuses::<AbsPath>("/a\0b").contains("`/a\\u{0}b` has a NUL byte in it"));
}

#[test]
fn names_are_identifiers_of_at_most_64() {
    let longest = "x".repeat(64);
    for text in ["a", "_", "API_KEY", "api_key2", "_9", &longest] {
        assert_eq!(takes::<SecretName>(text).as_str(), text);
        assert_eq!(takes::<EnvName>(text).as_str(), text);
    }
    for text in ["", "9a", "a-b", "a b", "a=b", "ä", "a\0", "a\n", "a.b", &"x".repeat(65)] {
        assert!(refuses::<SecretName>(text).contains("is no secret name"), "{text:?}");
        assert!(refuses::<EnvName>(text).contains("is no variable name"), "{text:?}");
    }
}

#[test]
fn a_user_is_a_name_or_a_number_with_an_optional_group() {
    let number = |n| Id::Number(n);
    let name = |text: &str| Id::Name(text.to_owned());
    for (text, user, group) in [
        ("65532", number(65532), None),
        ("65532:65532", number(65532), Some(number(65532))),
        ("bot", name("bot"), None),
        ("bot:trading", name("bot"), Some(name("trading"))),
        ("0:0", number(0), Some(number(0))),
        ("007", number(7), None),
        ("4294967294", number(4_294_967_294), None),
        ("-1", name("-1"), None),
    ] {
        assert_eq!(takes::<UserSpec>(text), UserSpec { user, group }, "{text}");
    }
    for text in ["", ":", "bot:", ":bot", "a:b:c", "a\0", "a\nb"] {
        assert!(refuses::<UserSpec>(text).contains("is no user or group"), "{text:?}");
    }
    // (uid_t)-1 would leave the id unchanged.
    for text in ["4294967295", "4294967296", "99999999999999999999", "1:4294967295"] {
        assert!(refuses::<UserSpec>(text).contains("is no id; ids are 0 to 4294967294"), "{text}");
    }
}

#[test]
fn a_user_is_shown_as_written() {
    for text in ["65532:65532", "bot", "bot:0"] {
        assert_eq!(takes::<UserSpec>(text).to_string(), text);
    }
}
