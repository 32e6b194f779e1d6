//! What the largest process of a start held at its peak (the fetcher, by far): an honest store, and one that answers with
//! 64 MiB, which must be refused.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::stage::Stage;
use crate::start::with_age;
use crate::support::bao::{Bao, Role};
use crate::support::faults::{FaultServer, Piece};
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
    let (honest, code) = measure(stage, &with_vault(stage, &bao.address, &bao.ca.pem, &role));
    assert_eq!(code, 0, "{}", stage.log());
    verdict("one secret by vault:, an honest answer", honest, 16.0, "MiB");

    let server = FaultServer::start(&bao.ca.issue("flood"), flood);
    let role = Role { name: String::new(), role_id: "role".to_owned(), secret_id: "secret-id".to_owned() };
    let (flood, code) = measure(stage, &with_vault(stage, &server.address, &bao.ca.pem, &role));
    assert_ne!(code, 0, "64 MiB are refused");
    verdict(&format!("an answer of 64 MiB, refused with {code}"), flood, 96.0, "MiB");
}

/// A member of 64 MiB beside the right one.
fn flood(path: &str, _before: usize) -> Option<Vec<Piece>> {
    let (start, end) = (r#"{"data":{"data":{"api_key":"right","more":""#, r#""}}}"#);
    let (chunk, times) = (vec![b'x'; 1 << 16], 1 << 10);
    let length = start.len() + (chunk.len() * times) + end.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{start}");
    path.starts_with("/v1/secret/").then(|| {
        vec![Piece::Bytes(head.into_bytes()), Piece::Repeat(chunk, times), Piece::Bytes(end.as_bytes().to_vec())]
    })
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
