//! The images, each made once: portcullis's own by its Dockerfile, the bots', and stand-ins for what a registry would give.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::engine::{docker, run, text as text_of};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The binary under test: the release build where the runner names it, else the one that cargo built for this test.
pub fn binary() -> PathBuf {
    std::env::var_os("PORTCULLIS_BIN").map_or_else(|| env!("CARGO_BIN_EXE_portcullis").into(), PathBuf::from)
}

/// Builds an image from a directory of exactly these files.
fn build(tag: &str, dockerfile: &Path, files: &[(&Path, &str)]) {
    let context = TempDir::new().expect("a directory");
    for (from, to) in files {
        std::fs::copy(from, context.path().join(to)).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    }
    std::fs::copy(dockerfile, context.path().join("Dockerfile")).expect("copied");
    docker(&["build", "--quiet", "--tag", tag, &context.path().display().to_string()]);
}

/// Builds an image from lines.
fn build_from(tag: &str, lines: &str, files: &[(&Path, &str)]) {
    let dir = TempDir::new().expect("a directory");
    let dockerfile = dir.path().join("lines");
    std::fs::write(&dockerfile, lines).expect("written");
    build(tag, &dockerfile, files);
}

/// docker/Dockerfile, by the command that it gives, with the folder of the binary under test in place of the release's.
pub fn portcullis() -> &'static str {
    static IMAGE: OnceLock<()> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let text = std::fs::read_to_string(root().join("docker/Dockerfile")).expect("docker/Dockerfile");
        let line = text.lines().find_map(|line| line.strip_prefix("#   tar c ")).expect("a line that builds it");
        let (binary, release) = (binary(), "../target/x86_64-unknown-linux-gnu/release");
        assert!(line.contains(release) && binary.is_absolute(), "{line}");
        let folder = binary.parent().expect("a folder").display().to_string();
        let script = format!("set -o pipefail; cd {}; tar c {}", root().display(), line.replace(release, &folder));
        let output = run("bash", &["-c", &script], b"");
        assert!(output.status.success(), "{script}: {}", text_of(&output));
    });
    "portcullis:latest"
}

/// A bot of one static file, on portcullis's image.
pub fn static_bot() -> &'static str {
    static IMAGE: OnceLock<()> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let dir = TempDir::new().expect("a directory");
        let (source, bot) = (root().join("tests/docker/bot.c"), dir.path().join("bot"));
        let (source, target) = (source.display().to_string(), bot.display().to_string());
        assert!(run("cc", &["-O1", "-static", "-o", &target, &source], b"").status.success(), "the bot compiles");
        build_from("static-bot", &format!("FROM {}\nCOPY bot /bot\n", portcullis()), &[(&bot, "bot")]);
    });
    "static-bot"
}

/// The same with a binary that may be read, for who has to copy it out: a plain user's fetcher then runs from a copy.
pub fn readable() -> &'static str {
    static IMAGE: OnceLock<()> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let dir = TempDir::new().expect("a directory");
        let copy = dir.path().join("portcullis");
        std::fs::copy(binary(), &copy).expect("copied");
        std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o555)).expect("mode set");
        let lines = format!("FROM {}\nCOPY portcullis /portcullis\n", static_bot());
        build_from("readable", &lines, &[(&copy, "portcullis")]);
    });
    "readable"
}

/// The Debian base under the name that the Dockerfiles use; its python3 is in /usr/bin, the public one's in /usr/local/bin.
pub fn python() -> &'static str {
    static IMAGE: OnceLock<()> = OnceLock::new();
    const NAME: &str = "python:3.11-slim-bookworm";
    IMAGE.get_or_init(|| {
        let base = root().join("tests/.cache/debian-python.tar");
        assert!(base.exists(), "{} is made by tests/prepare docker", base.display());
        docker(&["import", &base.display().to_string(), NAME]);
    });
    NAME
}

/// docker/python-bot.Dockerfile.
pub fn python_bot() -> &'static str {
    static IMAGE: OnceLock<()> = OnceLock::new();
    IMAGE.get_or_init(|| {
        portcullis();
        python();
        let docker = root().join("docker");
        let files = ["bot.py", "portcullis.toml"].map(|name| (docker.join("bot").join(name), name));
        let files: Vec<(&Path, &str)> = files.iter().map(|(path, name)| (path.as_path(), *name)).collect();
        build("python-bot:latest", &docker.join("python-bot.Dockerfile"), &files);
    });
    "python-bot:latest"
}

/// A store under the public image's name: a shell and `bao` in the PATH is all that compose.yaml asks of it.
pub fn openbao() -> &'static str {
    static IMAGE: OnceLock<()> = OnceLock::new();
    const NAME: &str = "openbao/openbao:2.7.2";
    IMAGE.get_or_init(|| {
        let bao = root().join("tests/.cache/bin/bao");
        build_from(NAME, &format!("FROM {}\nCOPY bao /usr/bin/bao\n", python()), &[(&bao, "bao")]);
    });
    NAME
}
