//! A page of the documentation as its blocks: each has a language and, in a comment above it, what holds it beside being run.

#![allow(dead_code)]

pub struct Block {
    pub language: String,
    /// Kind and argument of the comment above: `<!-- KIND: WHAT -->`.
    pub mark: Option<(String, String)>,
    pub text: String,
}

/// Every block of the page at this path.
pub fn blocks(path: impl AsRef<std::path::Path>) -> Vec<Block> {
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()));
    let mut lines = text.lines();
    let (mut all, mut above) = (Vec::new(), "");
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let inner: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let comment = above.strip_prefix("<!-- ").and_then(|text| text.strip_suffix(" -->"));
            let mark = comment.map(|text| text.split_once(": ").expect("KIND: WHAT"));
            let mark = mark.map(|(kind, what)| (kind.to_owned(), what.to_owned()));
            all.push(Block { language: language.to_owned(), mark, text: inner.join("\n") });
        }
        above = line;
    }
    all
}

/// Every line that is shown must have been printed: digits may differ, `...` stands for anything.
#[track_caller]
pub fn printed(shown: &str, real: &str) {
    for line in shown.lines().filter(|line| *line != "...") {
        assert!(has(line, real), "the page shows\n{line}\nand it printed\n{real}");
    }
}

/// Whether a line that is shown is among these.
pub fn has(shown: &str, real: &str) -> bool {
    let shown = masked(shown);
    real.lines().any(|line| fits(&shown, &masked(line)))
}

/// The file must have each line that the page shows of it.
#[track_caller]
pub fn lines_of(file: &str, shown: &str) {
    let held = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let missing: Vec<&str> = shown.lines().filter(|line| !held.contains(line)).collect();
    assert!(missing.is_empty(), "{file} has no {missing:#?}");
}

fn masked(line: &str) -> String {
    line.chars()
        .map(|c| if c.is_ascii_digit() { '#' } else { c })
        .collect::<String>()
        .replace("##", "#")
        .replace("##", "#")
}

fn fits(shown: &str, real: &str) -> bool {
    let mut rest = real;
    for (index, part) in shown.split("...").enumerate() {
        let Some(at) = rest.find(part) else { return false };
        if index == 0 && at != 0 {
            return false;
        }
        rest = &rest[at + part.len()..];
    }
    rest.is_empty() || shown.ends_with("...")
}
