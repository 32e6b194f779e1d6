//! A small HTTPS client for setting servers up and for comparing with: blocking, one connection, JSON.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

/// A connection that stays open between calls.
pub struct Https {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    host: String,
}

impl Https {
    /// `address` is `https://localhost:PORT` or the like.
    pub fn connect(address: &str, ca_pem: &[u8]) -> std::io::Result<Https> {
        let host = address.trim_start_matches("https://").to_owned();
        let name = host.rsplit_once(':').expect("a port").0.to_owned();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(ca_pem).map(|c| c.expect("PEM")));
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = ClientConnection::new(Arc::new(config), name.try_into().expect("a server name"))
            .map_err(std::io::Error::other)?;
        let tcp = TcpStream::connect(&host)?;
        tcp.set_nodelay(true)?;
        Ok(Https { stream: BufReader::new(StreamOwned::new(tls, tcp)), host })
    }

    pub fn call(&mut self, method: &str, path: &str, token: &str, body: &str) -> std::io::Result<(u16, Value)> {
        self.call_with(method, path, token, body, "")
    }

    /// With more headers, each with its line end.
    pub fn call_with(
        &mut self,
        method: &str,
        path: &str,
        token: &str,
        body: &str,
        headers: &str,
    ) -> std::io::Result<(u16, Value)> {
        let head = format!(
            "{method} /v1/{path} HTTP/1.1\r\nHost: {}\r\nX-Vault-Token: {token}\r\n{headers}Content-Length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        let out = self.stream.get_mut();
        out.write_all(head.as_bytes())?;
        out.write_all(body.as_bytes())?;
        out.flush()?;
        let (status, body) = self.answer()?;
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn answer(&mut self) -> std::io::Result<(u16, Vec<u8>)> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|s| s.parse().ok());
        let status = status.ok_or_else(|| std::io::Error::other(format!("no HTTP answer: {first}")))?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match line.split_once(':') {
                None => break,
                Some(("content-length", value)) => length = value.trim().parse().expect("a length"),
                Some(("transfer-encoding", value)) => chunked = value.trim() == "chunked",
                Some(_) => {}
            }
        }
        let mut body = Vec::new();
        if chunked {
            self.chunks(&mut body)?;
            return Ok((status, body));
        }
        self.stream.by_ref().take(length as u64).read_to_end(&mut body)?;
        Ok((status, body))
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> std::io::Result<()> {
        loop {
            let length = u64::from_str_radix(&self.line()?, 16).expect("a chunk's length");
            self.stream.by_ref().take(length).read_to_end(body)?;
            self.line()?;
            if length == 0 {
                return Ok(());
            }
        }
    }
}
