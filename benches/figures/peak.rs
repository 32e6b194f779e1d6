//! What the largest process of a start held at its peak (the fetcher, by far): an honest store, and one that answers with
//! 64 MiB, which must be refused.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::stage::Stage;
use crate::start::with_age;
use crate::support::bao::{Bao, Role};
use crate::support::faults::{FaultServer, Piece, Script};
use crate::table::{heading, value, verdict};
use crate::vault::with_vault;

pub fn section(stage: &Stage) {
    let Some(bao) = Bao::shared() else { return };
    heading("the largest process of a start, at its peak");
    let workload = stage.path("workload");
    let (none, code) = measure(stage, &stage.config("none.toml", &[workload.as_os_str()], "", ""));
    assert_eq!(code, 0, "{}", stage.log());
    value("no secrets", none, "MiB");
    let (age, code) = measure(stage, &with_age(stage, 0));
    assert_eq!(code, 0, "{}", stage.log());
    verdict("one secret by age:", age, 16.0, "MiB");

    bao.put("secret", "measured", json!({"api_key": "a-value-of-ordinary-length"}));
    let role = bao.role(&["secret/data/measured"]);
    let (honest, code) = measure(stage, &with_vault(stage, &bao.address, &bao.ca.pem, &role, 0));
    assert_eq!(code, 0, "{}", stage.log());
    verdict("one secret by vault:, an honest answer", honest, 8.0, "MiB");

    let floods: [(&str, Script); 2] = [("announced", announced), ("in chunks", chunked)];
    for (how, flood) in floods {
        let server = FaultServer::start(&bao.ca.issue("flood"), flood);
        let role = Role { name: String::new(), role_id: "role".to_owned(), secret_id: "secret-id".to_owned() };
        let (peak, code) = measure(stage, &with_vault(stage, &server.address, &bao.ca.pem, &role, 0));
        assert_ne!(code, 0, "64 MiB are refused");
        verdict(&format!("an answer of 64 MiB, {how}: refused with {code}"), peak, 96.0, "MiB");
    }

    let (scrypt, code) = measure(stage, &with_passphrase(stage));
    assert_eq!(code, 0, "{}", stage.log());
    verdict("one secret by age:, a passphrase at factor 18", scrypt, 272.0, "MiB");
}

/// A config with one secret in a file that the age tool sealed with a passphrase. It asks for one at a terminal only.
fn with_passphrase(stage: &Stage) -> PathBuf {
    const TYPE_IT: &str = r#"
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("age", ["age", "--passphrase", "--output", sys.argv[1], sys.argv[2]])
for prompt in (b"Enter passphrase", b"Confirm passphrase"):
    seen = b""
    while prompt not in seen:
        seen += os.read(terminal, 4096)
    os.write(terminal, b"correct horse battery staple\n")
try:
    while os.read(terminal, 4096):
        pass
except OSError:
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;
    let (sealed, open) =
        (stage.path("passphrase.age"), stage.write("open.env", "API_KEY=a-value-of-ordinary-length\n"));
    let typed = Command::new("/usr/bin/python3").args(["-c", TYPE_IT]).args([&sealed, &open]).status();
    assert!(typed.expect("python3").success(), "age seals with a passphrase");
    let passphrase = stage.private("passphrase", 0, "correct horse battery staple\n");
    let more =
        format!("[secrets]\napi_key = \"age:passphrase.age#API_KEY\"\n[age]\npassphrase_file = {passphrase:?}\n");
    stage.config("passphrase.toml", &[stage.path("workload").as_os_str()], "", &more)
}

const START: &str = r#"{"data":{"data":{"api_key":"right","more":""#;
const END: &str = r#""}}}"#;
const PIECE: usize = 1 << 16;
const PIECES: usize = 1 << 10;

/// A member of 64 MiB beside the right one, its length said beforehand.
fn announced(path: &str, _before: usize) -> Option<Vec<Piece>> {
    let length = START.len() + PIECE * PIECES + END.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{START}");
    let pieces = vec![
        Piece::Bytes(head.into_bytes()),
        Piece::Repeat(vec![b'x'; PIECE], PIECES),
        Piece::Bytes(END.as_bytes().to_vec()),
    ];
    path.starts_with("/v1/secret/").then_some(pieces)
}

/// The same, its length only known at the end.
fn chunked(path: &str, _before: usize) -> Option<Vec<Piece>> {
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len()).into_bytes();
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let pieces = vec![
        Piece::Bytes([&head[..], &chunk(START)].concat()),
        Piece::Repeat(chunk(&"x".repeat(PIECE)), PIECES),
        Piece::Bytes([&chunk(END)[..], b"0\r\n\r\n"].concat()),
    ];
    path.starts_with("/v1/secret/").then_some(pieces)
}

/// Starts it as root; the peak in MiB, and the exit code.
fn measure(stage: &Stage, config: &Path) -> (f64, i32) {
    let log = std::fs::File::create(stage.path("log")).expect("a log");
    let portcullis = stage.portcullis(config);
    let mut command = Command::new(stage.path("peak"));
    command.arg(portcullis.get_program()).args(portcullis.get_args()).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    assert!(command.status().expect("the meter runs").success());
    let log = stage.log();
    let line = log.lines().find_map(|l| l.strip_prefix("peak: ")).expect("the meter's line");
    let (kb, code) = line.split_once(" kB, status ").expect("two numbers");
    (kb.parse::<f64>().expect("a number") / 1024.0, code.parse().expect("a number"))
}
