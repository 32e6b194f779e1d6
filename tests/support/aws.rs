//! AWS for tests: moto with signatures verified, and recorders for what moto accepts blindly.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::Value;

use super::ca::Ca;
use super::faults::listen;

pub struct Moto {
    pub ca: Ca,
    /// Addresses, users, roles, versions: what `moto.py` printed.
    pub facts: Value,
    log: PathBuf,
    _child: Child,
}

/// Where moto is installed, if it is.
fn installed() -> Option<PathBuf> {
    let cached = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/.cache/moto");
    let path = std::env::var_os("PORTCULLIS_TEST_MOTO").map(PathBuf::from).unwrap_or(cached);
    path.join("moto").is_dir().then_some(path)
}

impl Moto {
    /// One for all tests of a binary; it ends with it, by the end of its standard input.
    pub fn shared() -> Option<&'static Moto> {
        static SHARED: OnceLock<Option<Moto>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| installed().map(|path| Moto::start(&path)));
        if shared.is_none() {
            super::skip("no moto at $PORTCULLIS_TEST_MOTO or tests/.cache/moto");
        }
        shared.as_ref()
    }

    fn start(installed: &Path) -> Moto {
        let dir = super::scratch("moto");
        let ca = Ca::new(&dir);
        let issued = ca.issue("moto");
        let log = dir.join("requests");
        std::fs::write(&log, "").expect("a log");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/aws/moto.py");
        let mut child = Command::new("/usr/bin/python3")
            .arg(script)
            .args([&issued.cert, &issued.key, &ca.file(), &log])
            .env("PYTHONPATH", installed)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(dir.join("said")).expect("a file"))
            .spawn()
            .expect("python3");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("a line");
        let said = std::fs::read_to_string(dir.join("said")).unwrap_or_default();
        let facts = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}\n{said}"));
        Moto { ca, facts, log, _child: child }
    }

    pub fn fact(&self, pointer: &str) -> String {
        self.facts.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no fact {pointer}")).to_owned()
    }

    /// What was asked since some number of lines; and the number now.
    pub fn requests(&self, since: usize) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).expect("the log");
        text.lines().skip(since).map(|line| serde_json::from_str(line).expect("a request")).collect()
    }
}

/// A plain HTTP server on loopback that answers by a script and remembers each request whole: a stand-in for the metadata
/// service and the container's endpoint, which cannot be had.
pub struct Recorder {
    pub address: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    /// The script gets the first line and the headers, in lower case, and gives a status and a body.
    pub fn start(script: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> Recorder {
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&seen);
        let port = listen(move |tcp| {
            let mut stream = BufReader::new(tcp);
            while let Some(head) = head(&mut stream) {
                log.lock().expect("the log").push(head.clone());
                let (status, body) = script(&head.to_ascii_lowercase());
                let answer =
                    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes();
                if stream.get_mut().write_all(&answer).is_err() {
                    return;
                }
            }
        });
        Recorder { address: format!("http://127.0.0.1:{port}"), seen }
    }

    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("the log").clone()
    }
}

fn head(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|n| *n > 0)?;
        if line.trim_end().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let length = head.to_ascii_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    std::io::copy(&mut stream.take(length.unwrap_or(0)), &mut std::io::sink()).ok()?;
    Some(head)
}
