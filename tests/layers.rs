//! Under other Landlock domains: the kernel stacks sixteen, and the seventeenth is refused in words.

#[path = "support/mod.rs"]
mod support;

use landlock::{AccessFs, Ruleset, RulesetAttr, RulesetCreatedAttr};
use support::start::{Place, texts, user_line};

/// Starts `true` in its cage below so many domains. Domains are a thread's and its children's: this one enters them.
fn below(domains: usize) -> (String, String, Option<i32>) {
    let start = move || {
        let place = Place::new();
        let text = format!("[workload]\ncommand = [\"/bin/true\"]\n{}\n", user_line());
        let config = place.write("portcullis.toml", text, 0o644);
        for _ in 0..domains {
            let ruleset = Ruleset::default().handle_access(AccessFs::MakeSock).and_then(Ruleset::create);
            ruleset.expect("a ruleset").no_new_privs(true).restrict_self().expect("a domain");
        }
        texts(&place.run(&["run", "-c", config.to_str().expect("a path")]))
    };
    std::thread::spawn(start).join().expect("the start")
}

#[test]
fn fifteen_domains_around_it_are_no_matter() {
    let (_, err, code) = below(15);
    assert_eq!(code, Some(0), "{err}");
}

#[test]
fn the_seventeenth_domain_is_refused_in_words() {
    let (_, err, code) = below(16);
    assert_eq!(code, Some(71), "{err}");
    assert!(err.contains("portcullis: refused: 16 sandboxes already stand around this one by Landlock"), "{err}");
    assert!(err.contains("portcullis: hint: start it outside of some of them"), "{err}");
}
