//! A TLS server that misbehaves as a test scripts it: what it sends for each request, to the byte and the second.
//!
//! It answers logins and revocations as Vault does unless the script says otherwise.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::ca::Issued;

/// One step of an answer.
#[derive(Clone)]
pub enum Piece {
    Bytes(Vec<u8>),
    /// The same bytes again and again.
    Repeat(Vec<u8>, usize),
    Pause(Duration),
    /// Ends the connection, without a goodbye in TLS.
    Close,
}

/// A script: the request's path, and how often it came before, to an answer; `None` for the usual one.
pub type Script = fn(&str, usize) -> Option<Vec<Piece>>;

pub struct FaultServer {
    pub address: String,
    seen: Arc<Mutex<Vec<String>>>,
    tokens: Arc<Mutex<Vec<String>>>,
}

pub const TOKEN: &str = "hvs.fault-server-token";

impl FaultServer {
    pub fn start(issued: &Issued, script: Script) -> FaultServer {
        FaultServer::start_with(issued, script, None)
    }

    /// With one more path that has a usual answer, in JSON.
    pub fn start_with(issued: &Issued, script: Script, more: Option<(&'static str, &'static str)>) -> FaultServer {
        let (seen, tokens) = (Arc::new(Mutex::new(Vec::<String>::new())), Arc::new(Mutex::new(Vec::new())));
        let (log, token_log) = (Arc::clone(&seen), Arc::clone(&tokens));
        let port = listen_tls(issued, move |stream| {
            while let Some(Asked { path, token, .. }) = next_request(stream) {
                token_log.lock().expect("the log").extend(token);
                let before = log.lock().expect("the log").iter().filter(|old| **old == path).count();
                log.lock().expect("the log").push(path.clone());
                let pieces = script(&path, before).unwrap_or_else(|| match more {
                    Some((one, body)) if one == path => json("200 OK", body),
                    _ => usual(&path),
                });
                if play(stream.get_mut(), pieces).is_none() {
                    return;
                }
            }
        });
        FaultServer { address: format!("https://localhost:{port}"), seen, tokens }
    }

    /// The tokens that came with requests, in order.
    pub fn tokens(&self) -> Vec<String> {
        self.tokens.lock().expect("the log").clone()
    }

    /// The paths that were asked for, in order.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("the log").clone()
    }
}

/// What a TLS server reads and writes.
pub type TlsStream = BufReader<StreamOwned<ServerConnection, TcpStream>>;

/// A TLS port on loopback, a thread a connection.
pub fn listen_tls(issued: &Issued, serve: impl Fn(&mut TlsStream) + Send + Sync + 'static) -> u16 {
    let certs = CertificateDer::pem_file_iter(&issued.cert).expect("a certificate").map(|c| c.expect("PEM")).collect();
    let key = PrivateKeyDer::from_pem_file(&issued.key).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .expect("a certificate and its key");
    let config = Arc::new(config);
    listen(move |tcp| {
        let tls = ServerConnection::new(Arc::clone(&config)).expect("a TLS session");
        serve(&mut BufReader::new(StreamOwned::new(tls, tcp)));
    })
}

/// A TCP port on loopback, a thread a connection; the address is for `https://`.
pub fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(tcp));
        }
    });
    port
}

/// A whole answer.
pub fn answer(status: &str, headers: &str, body: &str) -> Vec<Piece> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
    vec![Piece::Bytes(head.into_bytes())]
}

/// A whole answer in JSON.
pub fn json(status: &str, body: &str) -> Vec<Piece> {
    answer(status, "Content-Type: application/json\r\n", body)
}

/// A good KV 2 answer with one field, `x`.
pub fn kv2(value: &str) -> Vec<Piece> {
    json(
        "200 OK",
        &format!(
            "{{\"data\":{{\"data\":{{\"x\":\"{value}\"}},\"metadata\":{{\"created_time\":\"2026-11-24T08:25:46.5Z\",\"deletion_time\":\"\",\"destroyed\":false,\"version\":7}}}}}}"
        ),
    )
}

fn usual(path: &str) -> Vec<Piece> {
    match path {
        "/v1/auth/approle/login" => json(
            "200 OK",
            &format!("{{\"auth\":{{\"client_token\":\"{TOKEN}\",\"token_type\":\"service\"}},\"data\":null}}"),
        ),
        "/v1/auth/token/revoke-self" => answer("204 No Content", "", ""),
        _ => kv2("good-value"),
    }
}

/// A request.
pub struct Asked {
    pub path: String,
    pub token: Option<String>,
    pub body: Vec<u8>,
}

pub fn next_request(stream: &mut impl BufRead) -> Option<Asked> {
    let mut first = String::new();
    stream.read_line(&mut first).ok().filter(|n| *n > 0)?;
    let (mut length, mut token, mut line) = (0, None, String::new());
    loop {
        line.clear();
        stream.read_line(&mut line).ok().filter(|n| *n > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "x-vault-token" => token = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = Vec::new();
    stream.take(length).read_to_end(&mut body).ok()?;
    first.split(' ').nth(1).map(|path| Asked { path: path.to_owned(), token, body })
}

pub fn play(stream: &mut impl Write, pieces: Vec<Piece>) -> Option<()> {
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => stream.write_all(&bytes).ok()?,
            Piece::Repeat(bytes, times) => {
                for _ in 0..times {
                    stream.write_all(&bytes).ok()?;
                }
            }
            Piece::Pause(time) => {
                stream.flush().ok()?;
                std::thread::sleep(time);
            }
            Piece::Close => {
                stream.flush().ok();
                return None;
            }
        }
    }
    stream.flush().ok()
}
