//! What integration tests share: a CA, a real OpenBao, a server that misbehaves, a small HTTPS client.
//!
//! Nothing here may use the crate under test: it would prove itself by itself.

#![allow(dead_code)] // each test binary uses a part

pub mod aws;
pub mod bao;
pub mod ca;
pub mod database;
pub mod faults;
pub mod https;
pub mod jwt;
pub mod memory;
pub mod page;
pub mod postgres;
pub mod sealing;
pub mod start;

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A fresh directory below cargo's own; those of processes that are gone are removed.
pub fn scratch(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("scratch");
    for old in std::fs::read_dir(&root).into_iter().flatten().flatten() {
        let pid = old.file_name().to_string_lossy().split('-').next().unwrap_or_default().to_owned();
        if !PathBuf::from("/proc").join(pid).exists() {
            std::fs::remove_dir_all(old.path()).ok();
        }
    }
    let dir = root.join(format!("{}-{name}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    std::fs::create_dir_all(&dir).expect("a scratch directory");
    dir
}

/// Says which test does not run and why; under `CI=true` that is a failure.
pub fn skip(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped under CI: {why}");
    // Past the capture of a test's output, which swallows what a passing test prints: tests/run counts these lines.
    let thread = std::thread::current();
    writeln!(std::io::stderr(), "SKIP {}: {why}", thread.name().unwrap_or("test")).ok();
}
