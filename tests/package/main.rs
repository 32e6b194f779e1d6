//! The Debian package in a machine that has nothing else of portcullis: installed, used, and removed.
//!
//! Ignored in a plain `cargo test`, since it needs the machine that `tests/systemd/with-machine` boots and the package that
//! `examples/systemd/make-deb` makes (in $PORTCULLIS_DEB): `tests/run homes` does all three.

#[path = "../systemd/machine.rs"]
#[allow(dead_code)] // the suite on systemd uses the rest
mod machine;

use std::fs;

use machine::{Bot, at, run, said, text, write};

/// What makes a bot's unit available here: the package.
fn install() {
    let deb = std::env::var_os("PORTCULLIS_DEB").expect("run by tests/run homes, which makes the package");
    write("/root/portcullis.deb", fs::read(deb).expect("the package"));
    said(&DPKG);
}

/// The machine's tree is made without documentation; the package's own is wanted.
const DPKG: [&str; 4] = ["dpkg", "--path-include=/usr/share/doc/portcullis/*", "--install", "/root/portcullis.deb"];

/// Each file with its mode, and what must be in it where it is a text.
const FILES: [(&str, &str, Option<&str>); 8] = [
    ("/usr/bin/portcullis", "111 root:root", None),
    ("/usr/share/man/man1/portcullis.1.gz", "644 root:root", None),
    ("/usr/share/bash-completion/completions/portcullis", "644 root:root", Some("_portcullis")),
    ("/usr/share/zsh/vendor-completions/_portcullis", "644 root:root", Some("#compdef portcullis")),
    ("/usr/share/fish/vendor_completions.d/portcullis.fish", "644 root:root", Some("complete -c portcullis")),
    ("/usr/lib/systemd/system/portcullis@.service", "644 root:root", Some("ExecStart=portcullis run")),
    ("/usr/lib/systemd/system/portcullis@.socket", "644 root:root", Some("ListenStream=")),
    ("/usr/share/doc/portcullis/copyright", "644 root:root", Some("Permission is hereby granted")),
];

fn is_there() {
    for (path, mode, holds) in FILES {
        assert_eq!(said(&["stat", "--format=%a %U:%G", path]), mode, "{path}");
        let content = fs::read(at(path)).expect("read");
        assert!(holds.is_none_or(|text| String::from_utf8_lossy(&content).contains(text)), "{path}");
    }
    assert!(said(&["sh", "-c", "zcat /usr/share/man/man1/portcullis.1.gz"]).starts_with(".TH PORTCULLIS 1"));
    let complete = ". /usr/share/bash-completion/completions/portcullis && complete -p portcullis";
    assert!(said(&["bash", "-c", complete]).contains("_portcullis"));
    let version = said(&["portcullis", "--version"]);
    assert_eq!(
        version,
        format!(
            "portcullis {}",
            said(&["dpkg-query", "--show", "--showformat=${Version}", "portcullis"]).trim_end_matches("-1")
        )
    );
    // Whoever may execute it may not read it.
    assert!(run(&["setpriv", "--reuid=65534", "--clear-groups", "portcullis", "schema"]).status.success());
    assert!(!run(&["setpriv", "--reuid=65534", "--clear-groups", "cat", "/usr/bin/portcullis"]).status.success());
    assert!(run(&["dpkg", "--verify", "portcullis"]).stdout.is_empty(), "as it was packed");
}

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn the_package_is_installed_used_and_removed() {
    // Its first start installs it.
    let bot = Bot::new("packaged", &["lives"]);
    is_there();
    bot.start();
    bot.line("bot: lives as ");
    // By 252 the same folder is called /lib.
    assert!(bot.show("FragmentPath").ends_with("/lib/systemd/system/portcullis@.service"));

    // The same package once more, as an upgrade: a bot that runs goes on.
    let main = bot.show("MainPID");
    said(&DPKG);
    assert_eq!((bot.show("ActiveState"), bot.show("MainPID")), ("active".into(), main), "{}", bot.log());

    // Removed under a bot that runs: it ends in order, and its config stays.
    let removed = run(&["dpkg", "--remove", "portcullis"]);
    assert!(removed.status.success(), "{}", text(&removed));
    bot.ended_well();
    assert_eq!(bot.count("bot: last word"), 1, "{}", bot.log());
    for (path, ..) in FILES {
        assert!(!at(path).exists(), "{path} was left");
    }
    bot.fails_to_start();
    assert!(at("/etc/portcullis/packaged.toml").exists());
    said(&["dpkg", "--purge", "portcullis"]);
    assert!(at("/etc/portcullis/packaged.toml").exists());

    // Without a file of anybody's in it, the folder goes too.
    drop(bot);
    install();
    said(&["dpkg", "--purge", "portcullis"]);
    assert!(!at("/etc/portcullis").exists());
}
