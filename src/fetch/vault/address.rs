//! The server's address: an `https://host[:port]` and where that host is, resolved once.
//!
//! The HTTP client's own resolver would start a thread; this one blocks, before there is a runtime. Nothing is sent here.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use reqwest::Url;

use crate::refusal::{Exit, Refusal};

/// A server, found.
#[derive(Debug)]
pub struct Place {
    /// `https://host[:port]`, without a slash at the end.
    pub base: String,
    /// As it stands in the address; an IPv6 address without its brackets.
    pub host: String,
    /// Empty where the host is an address already.
    pub addrs: Vec<SocketAddr>,
}

/// Parses and resolves.
pub fn resolve(address: &str) -> Result<Place, Refusal> {
    let url = parse(address)?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let addrs = if host.parse::<IpAddr>().is_ok() { Vec::new() } else { lookup(&host, port)? };
    Ok(Place { base: url.as_str().trim_end_matches('/').to_owned(), host, addrs })
}

fn parse(address: &str) -> Result<Url, Refusal> {
    let bad = |why: &str| {
        Refusal::config(
            format!("the vault address is unusable: {why}"),
            "write [vault] address as https://host or https://host:8200, without a path",
        )
    };
    // The address is not repeated in the message: it may hold a password.
    let url = Url::parse(address).map_err(|error| bad(&error.to_string()))?;
    match url.scheme() {
        "https" => {}
        "http" => return Err(bad("it is plain http, and credentials are fetched over TLS alone")),
        _ => return Err(bad("its scheme is not https")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("it holds a user name or a password"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(bad("it has more than a host and a port"));
    }
    Ok(url)
}

fn lookup(host: &str, port: u16) -> Result<Vec<SocketAddr>, Refusal> {
    let unknown = |why: &str| {
        Refusal::new(
            Exit::StoreUnavailable,
            format!("the vault host {host} has no address: {why}"),
            format!("`getent hosts {host}` must answer here; correct [vault] address, or this host's resolver"),
        )
    };
    let addrs: Vec<_> = (host, port).to_socket_addrs().map_err(|error| unknown(&in_short(&error)))?.collect();
    if addrs.is_empty() { Err(unknown("the resolver returned nothing")) } else { Ok(addrs) }
}

/// The resolver's own words, without Rust's before them.
fn in_short(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(": ").map_or(text.as_str(), |(_, words)| words).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_https_host_and_port_is_an_address() {
        let place = resolve("https://127.0.0.1:8200/").unwrap();
        assert_eq!((place.base.as_str(), place.host.as_str()), ("https://127.0.0.1:8200", "127.0.0.1"));
        assert_eq!(resolve("https://[::1]:8200").unwrap().host, "::1");
        for bad in [
            "http://vault:8200",
            "vault:8200",
            "https://u:hunter2@vault",
            "https://vault/v1",
            "https://vault?x",
            "ftp://vault",
            "",
        ] {
            let refusal = resolve(bad).unwrap_err();
            assert_eq!(refusal.exit, Exit::Config, "{bad}");
            assert!(!refusal.to_string().contains("hunter2"));
        }
    }
}
