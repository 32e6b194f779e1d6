//! What the undumpable copy costs: the loader's, on a small dynamic program, and a whole interpreter's.

use std::ffi::OsStr;

use crate::stage::Stage;
use crate::table::{Arm, heading, interleave, ms, times, value, verdict};

/// The workload's stamp, from Python.
const PYTHON: &str =
    "import os, time\nos.write(1, b'STAMPED:' + time.clock_gettime_ns(1).to_bytes(8, 'little'))\nos.read(0, 1)";

pub fn section(stage: &Stage) {
    heading("the undumpable copy, as root");
    let dynamic = stage.path("dynamic");
    let python = ["/usr/bin/python3", "-I", "-S", "-c", PYTHON].map(OsStr::new);
    let config = |name: &str, command: &[&OsStr], shield: &str| {
        stage.config(&format!("{name}-{shield}.toml"), command, &format!("shield = \"{shield}\""), "")
    };
    let configs = [
        ("small dynamic program, shield off", config("dynamic", &[dynamic.as_os_str()], "off")),
        ("small dynamic program, its loader copied", config("dynamic", &[dynamic.as_os_str()], "loader")),
        ("python3, shield off", config("python", &python, "off")),
        ("python3, its loader copied", config("python", &python, "loader")),
        ("python3, the whole program copied", config("python", &python, "program")),
    ];
    let arms: Vec<Arm> = configs
        .iter()
        .map(|(name, config)| -> Arm { (name, Box::new(|| stage.start(&mut stage.portcullis(config), 0))) })
        .collect();
    let all = interleave(stage.runs, &arms);
    times(&all, &all[0], "the first row's");
    let more = |with: usize, without: usize| ms(all[with].median()) - ms(all[without].median());
    verdict("the loader's copy adds", more(1, 0), 1.0, "ms");
    value("the loader's copy adds, to python3", more(3, 2), "ms");
    value("the whole program's copy adds, to python3", more(4, 2), "ms");
}
