//! `run --explain-files`: each thing that is not granted is told with its line, and the block at the end is what was missing.

#[path = "support/mod.rs"]
mod support;

use std::net::TcpListener;

use support::start::{Place, UID, is_root, texts, user_line};

/// Tries everything by the paths that it is given, and says what worked.
const PROGRAM: &str = r#"
import os, socket, subprocess, sys
place, port, own = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
worked = []
def tries(name, call):
    try:
        call()
        worked.append(name)
    except OSError:
        pass
def relative():
    os.chdir(place + "/outside")
    open("relative").read()
def by_descriptor():
    fd = os.open(place + "/outside", os.O_PATH)
    os.close(os.open("descriptor", os.O_RDONLY, dir_fd=fd))
def served():
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", own))
tries("read", lambda: open(place + "/outside/plain").read())
tries("relative", relative)
tries("descriptor", by_descriptor)
tries("link", lambda: open(place + "/granted/link").read())
tries("write", lambda: open(place + "/data/new", "w").write("x"))
tries("execute", lambda: subprocess.run([place + "/tools/tool"], check=True))
tries("connect", lambda: socket.create_connection(("127.0.0.1", port)).close())
tries("bind", served)
tries("missing", lambda: open(place + "/outside/missing").read())
print(" ".join(worked))
"#;

struct Stage {
    place: Place,
    port: u16,
    own: u16,
    _listener: TcpListener,
}

impl Stage {
    fn new() -> Stage {
        let place = Place::new();
        for dir in ["outside", "granted", "data", "tools"] {
            std::fs::create_dir(place.path(dir)).expect("a directory");
        }
        for name in ["plain", "relative", "descriptor", "linked"] {
            place.write(&format!("outside/{name}"), "x", 0o644);
        }
        std::os::unix::fs::symlink(place.path("outside/linked"), place.path("granted/link")).expect("a link");
        place.write("tools/tool", "#!/bin/sh\nexit 0\n", 0o755);
        place.write("app/tries.py", PROGRAM, 0o644);
        if is_root() {
            std::os::unix::fs::chown(place.path("data"), Some(UID), Some(UID)).expect("an owner");
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let own = TcpListener::bind("127.0.0.1:0").expect("a listener").local_addr().expect("an address").port();
        Stage { place, port, own, _listener: listener }
    }

    fn run(&self, confine: &str, flags: &[&str]) -> (String, String, Option<i32>) {
        let place = self.place.path("").display().to_string();
        let place = place.trim_end_matches('/');
        let script = self.place.path("app/tries.py");
        let text = format!(
            "[workload]\ncommand = [\"/usr/bin/python3\", {script:?}, {place:?}, \"{}\", \"{}\"]\n{}\n{confine}",
            self.port,
            self.own,
            user_line()
        );
        let config = self.place.write("portcullis.toml", text, 0o644);
        let args = [&["run", "-c", config.to_str().expect("a path")], flags].concat();
        texts(&self.place.run(&args))
    }

    fn first(&self) -> String {
        format!("[confine]\nread = [{:?}, {:?}]\n", self.place.path("app"), self.place.path("granted"))
    }
}

#[test]
fn what_is_told_is_what_was_missing() {
    let stage = Stage::new();
    let (out, err, code) = stage.run(&stage.first(), &["--explain-files"]);
    assert_eq!((out.trim_end(), code), ("", Some(0)), "Landlock stays the judge: {err}");
    let path = |name: &str| format!("[{:?}]", stage.place.path(name));
    for line in [
        format!("confine.read = {}", path("outside/plain")),
        format!("confine.read = {}", path("outside/relative")),
        format!("confine.read = {}", path("outside/descriptor")),
        format!("confine.read = {}", path("outside/linked")),
        format!("confine.write = {}", path("data")),
        format!("confine.execute = {}", path("tools/tool")),
        format!("confine.connect = [{}]", stage.port),
        format!("confine.bind = [{}]", stage.own),
    ] {
        let told = err.lines().filter(|l| l.starts_with("portcullis: not granted: ") && l.ends_with(&line)).count();
        assert_eq!(told, 1, "{line}: {err}");
    }
    assert!(!err.contains("outside/missing"), "a missing file is missing whatever is granted: {err}");

    // The block, pasted, is all that was missing.
    let start = err.find("\n[confine]\n").expect("the block") + 1;
    let block: Vec<&str> = err[start..].lines().take_while(|line| !line.starts_with("portcullis: ")).collect();
    let first = format!("read = [{:?}, {:?}, ", stage.place.path("app"), stage.place.path("granted"));
    let block = format!("{}\n", block.join("\n").replace("read = [", &first));
    let (out, err, code) = stage.run(&block, &["--explain-files"]);
    assert_eq!(out.trim_end(), "read relative descriptor link write execute connect bind", "{err}");
    assert_eq!(code, Some(0));
    assert!(!err.contains("not granted"), "{err}");
}

#[test]
fn a_shield_that_the_config_insists_on_is_refused() {
    let stage = Stage::new();
    let (_, err, code) = stage.run(&stage.first(), &["--explain-files", "--shield", "loader"]);
    assert_eq!(code, Some(78), "{err}");
    assert!(err.contains("workload.shield keeps everybody out of it"), "{err}");
}

#[test]
fn what_is_denied_stays_denied_while_files_are_explained() {
    let place = Place::new();
    let script = place.write(
        "app/denied.py",
        "import ctypes, os, socket\nlibc = ctypes.CDLL(None, use_errno=True)\nassert libc.ptrace(16, os.getppid(), 0, 0) == -1\n\
         try:\n    socket.socket(socket.AF_UNIX)\nexcept PermissionError:\n    print('denied')\n",
        0o644,
    );
    let command = format!("[\"/usr/bin/python3\", {script:?}]");
    let text = format!("[workload]\ncommand = {command}\n{}\n[confine]\nread = [{:?}]\n", user_line(), place.app());
    let config = place.write("portcullis.toml", text, 0o644);
    let (out, err, code) = texts(&place.run(&["run", "-c", config.to_str().expect("a path"), "--explain-files"]));
    assert_eq!((out.as_str(), code), ("denied\n", Some(0)), "{err}");
    assert!(err.contains("portcullis: denied: ptrace(PTRACE_ATTACH) by "), "{err}");
}
