//! examples/systemd/README.md: every command on it is run in the machine, in its order, in a folder like a checkout.

#[path = "../support/page.rs"]
mod blocks;

use std::fs;

use crate::machine::{at, binary, checkout, run, text, write};
use blocks::Block;

/// Where the machine has what the page takes from a checkout.
const CHECKOUT: &str = "/root/checkout";

fn page() -> Vec<Block> {
    blocks::blocks(checkout().join("examples/systemd/README.md"))
}

/// Runs a block; both outputs together.
fn shell(script: &str) -> (String, bool) {
    let script = format!("exec 2>&1; cd {CHECKOUT}; export REAL_KEY=a-real-key-0123456789; {script}");
    let output = run(&["bash", "-euo", "pipefail", "-c", &script]);
    (text(&output), output.status.success())
}

/// The page's first commands, by which each test here gets its binary and its units.
pub fn install() {
    let folder = fs::read_dir(checkout().join("examples/systemd")).expect("the folder");
    for file in folder.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()) {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        write(&format!("{CHECKOUT}/examples/systemd/{name}"), fs::read(&file).expect("a file"));
    }
    let release = "target/x86_64-unknown-linux-gnu/release/portcullis";
    write(&format!("{CHECKOUT}/{release}"), fs::read(binary()).expect("the binary"));
    let block = page().into_iter().find(|block| block.language == "sh").expect("a block");
    assert!(block.text.contains(release), "{}", block.text);
    let (said, success) = shell(&block.text);
    assert!(success, "{}\n{said}", block.text);
}

#[test]
#[ignore = "needs a machine: tests/run homes"]
fn the_pages_commands_run_and_print_what_it_shows() {
    crate::machine::installed();
    // The first is `install`.
    let mut runs = 0;
    for block in page() {
        let mark = block.mark.as_ref().map(|(kind, what)| (kind.as_str(), what.as_str()));
        match (block.language.as_str(), mark) {
            ("sh", None) if runs == 0 => runs = 1,
            ("sh", None) => {
                let (said, success) = shell(&block.text);
                assert!(success, "{}\n{said}", block.text);
                runs += 1;
            }
            ("console", None) => {
                let (command, shown) = block.text.split_once('\n').expect("a command and what it prints");
                let command = command.strip_prefix("$ ").expect("a command after `$ `");
                let complete = || {
                    let (said, _) = shell(command);
                    shown.lines().all(|line| line == "..." || blocks::has(line, &said)).then_some(said)
                };
                // The bot's own lines come when it has got that far.
                let begun = std::time::Instant::now();
                while complete().is_none() && begun.elapsed() < std::time::Duration::from_secs(20) {
                    std::thread::sleep(std::time::Duration::from_millis(100));
                }
                blocks::printed(shown, &shell(command).0);
                runs += 1;
            }
            ("sh", Some(("run by", file))) => {
                let held = fs::read_to_string(checkout().join(file)).expect("a script");
                assert!(held.contains(&block.text), "{file} does not run `{}`", block.text);
            }
            (_, Some(("lines of", file))) => {
                blocks::lines_of(&checkout().join(file).display().to_string(), &block.text);
            }
            (language, mark) => panic!("nothing holds the block of `{language}` with {mark:?}:\n{}", block.text),
        }
    }
    assert!(runs >= 7, "only {runs} blocks were run");
    let journal = text(&run(&["journalctl", "--no-pager", "--output=cat", "--unit=portcullis@mm1"]));
    for once in ["bot: reads its settings anew", "bot: last word: no order left open"] {
        assert_eq!(journal.lines().filter(|line| *line == once).count(), 1, "{once}: {journal}");
    }
    assert!(!journal.contains("a-real-key") && !at("/run/mm1").exists());
    shell(
        "systemctl disable --now portcullis@mm1; rm -r /etc/systemd/system/portcullis@mm1.service.d /opt/mm1 /etc/portcullis/mm1.*",
    );
}

#[test]
fn what_the_page_points_at_is_there() {
    let folder = checkout().join("examples/systemd");
    let text = fs::read_to_string(folder.join("README.md")).expect("the page");
    let links: Vec<&str> = text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() >= 4);
    let gone: Vec<&&str> = links.iter().filter(|link| !folder.join(link).exists()).collect();
    assert!(gone.is_empty(), "the page links to {gone:?}");
}
