//! For the linker alone: a panic ends portcullis by its place, so the index of the tables to unwind by is for nobody. Tests and
//! benches unwind, and keep theirs; a config file's flags would take it from them too.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu") {
        println!("cargo:rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    }
}
