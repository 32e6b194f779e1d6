//! The binary itself: its size, and that it needs nothing beside it. An image `FROM scratch` is this one file.

use std::process::Command;

use crate::stage::Stage;
use crate::table::{heading, verdict};

pub fn section(stage: &Stage) {
    heading("the binary");
    let path = stage.path("portcullis");
    let size = std::fs::metadata(&path).expect("the binary").len();
    verdict("size, and the scratch image's", size as f64 / f64::from(1 << 20), 6.0, "MiB");
    let mut readelf = Command::new("readelf");
    readelf.args(["--file-header", "--program-headers", "--dynamic", "--wide"]).arg(&path);
    let output = readelf.output().expect("readelf (binutils)");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let pie = text.lines().any(|line| line.contains("(FLAGS_1)") && line.ends_with("PIE"));
    for (what, holds) in [
        ("static-pie", text.contains("DYN (Position-Independent") && pie),
        ("no interpreter", !text.contains("INTERP")),
        ("no shared library", !text.contains("(NEEDED)")),
    ] {
        println!(
            "  {what:<44} {:>9}      target       yes   {}",
            if holds { "yes" } else { "no" },
            if holds { "MET" } else { "MISSED" }
        );
    }
}
