//! What portcullis costs, beside named peers in the same run: medians of interleaved starts, each with its target.
//!
//! ```text
//! cargo bench --bench figures                        everything, 40 runs
//! cargo bench --bench figures -- --runs 100 start    one section: cage, start, pid1, vault, shield, resident, peak or size
//! cargo bench --bench figures -- --smoke             3 runs: does it work at all
//! ```
//!
//! `PORTCULLIS_BIN` names another binary to measure; `tests/run` names the release build, which a bench build differs from
//! by the features that dev-dependencies turn on.
//!
//! A missed target is printed as missed and fails nothing: a figure is worth something on a quiet machine only. What
//! fails is a start that does not happen. `tests/prepare` installs the peers (tini, curl, jq, OpenBao).

mod cage;
mod peak;
mod pid1;
mod resident;
mod shield;
mod size;
mod stage;
mod start;
mod table;
mod vault;

#[path = "../../tests/support/mod.rs"]
mod support;

use stage::Stage;

type Section = (&'static str, fn(&Stage));

const SECTIONS: [Section; 8] = [
    ("cage", cage::section),
    ("start", start::section),
    ("pid1", pid1::section),
    ("vault", vault::section),
    ("shield", shield::section),
    ("resident", resident::section),
    ("peak", peak::section),
    ("size", size::section),
];

fn main() {
    let (mut runs, mut wanted) = (40, Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "cage-once" => return cage::once(&args.next().expect("a config")),
            // Cargo adds it for every bench.
            "--bench" => {}
            "--smoke" => runs = 3,
            "--runs" => runs = args.next().and_then(|n| n.parse().ok()).expect("--runs takes a number"),
            name => wanted.push(name.to_owned()),
        }
    }
    let known = |name: &String| SECTIONS.iter().any(|(section, _)| section == name);
    assert!(wanted.iter().all(known), "sections are {:?}", SECTIONS.map(|(name, _)| name));
    if stage::user() != 0 {
        // Half of the starts are root's, and other users' memory is read.
        println!("SKIP benches: root alone can start them all");
        return;
    }
    let stage = Stage::new(runs);
    println!("{} runs each, interleaved; {}", runs, stage.machine());
    for (name, section) in SECTIONS {
        if wanted.is_empty() || wanted.iter().any(|w| w == name) {
            section(&stage);
        }
    }
}
