//! Values that break careless readers, and what a program must have seen of them.

use std::process::Command;

use crate::sealing;

/// Quotes, backslashes, newlines, unicode, shell and template syntax, control characters; blanks at both ends.
pub const NASTY: &str = " \t\"quoted\" 'single' back\\slash \\n \\u0041 $HOME ${x} $(id) `id` %s &amp; </script>\r\nsecond line\n\
    \u{1}\u{7}\u{8}\u{b}\u{c}\u{1b}[31m\u{7f}\u{85} é ß 漢字 😀👩\u{200d}🚀 \u{feff}\u{2028}\u{2029} {\"json\": [1]} # no comment \n";

/// 60 KiB: with the rest around it the bundle is more than a pipe holds unasked.
pub fn long() -> String {
    "k3y-\"\n".repeat(60 * 1024 / 6)
}

/// Most of what one value may be: 512 KiB.
pub fn longest() -> String {
    "0123456789abcdef".repeat(512 * 1024 / 16)
}

/// The lines that `programs` print.
pub fn report(values: &[(&str, &str)]) -> String {
    let mut lines: Vec<String> =
        values.iter().map(|(name, value)| format!("{name} {} {}\n", value.len(), sha256(value.as_bytes()))).collect();
    lines.sort();
    lines.concat()
}

/// By coreutils: an implementation that is neither ours nor any runtime's.
pub fn sha256(bytes: &[u8]) -> String {
    let output = sealing::feed(&mut Command::new("sha256sum"), bytes);
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

/// What a program printed, brought to lines: the Rust ones hand on the JSON itself.
pub fn told(runtime: &str, printed: &str) -> String {
    if !runtime.starts_with("rust") {
        return printed.to_owned();
    }
    let values: std::collections::BTreeMap<String, String> = serde_json::from_str(printed).unwrap();
    let pairs: Vec<(&str, &str)> = values.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    report(&pairs)
}
