//! A server's address: an `https://host[:port]` and where that host is, resolved once.
//!
//! The HTTP client's own resolver would start a thread; this one blocks, while nothing else is under way. Nothing is sent
//! here.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use reqwest::Url;

use crate::refusal::Refusal;

use super::trouble::Trouble;

/// A server, as it was written.
#[derive(Debug, Clone)]
pub struct Address {
    /// `https://host[:port]`, without a slash at the end.
    pub base: String,
    /// An IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
}

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

impl Address {
    pub fn parse(address: &str) -> Result<Address, Refusal> {
        let url = parse(address)?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().unwrap_or(443);
        Ok(Address { base: url.as_str().trim_end_matches('/').to_owned(), host, port })
    }

    /// Whether a URL leads to this very server: scheme, host and port, whatever its path.
    pub fn is_of(&self, url: &str) -> bool {
        Url::parse(url).is_ok_and(|url| {
            let host = url.host_str().map(|host| host.trim_matches(['[', ']']));
            url.scheme() == "https" && host == Some(&self.host) && url.port_or_known_default() == Some(self.port)
        })
    }

    pub fn resolve(&self) -> Result<Place, Trouble> {
        let is_number = self.host.parse::<IpAddr>().is_ok();
        let addrs = if is_number { Vec::new() } else { lookup(&self.host, self.port)? };
        Ok(Place { base: self.base.clone(), host: self.host.clone(), addrs })
    }
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

fn lookup(host: &str, port: u16) -> Result<Vec<SocketAddr>, Trouble> {
    let addrs = (host, port).to_socket_addrs().map_err(|error| Trouble::NoAddress(in_short(&error)))?;
    let addrs: Vec<_> = addrs.collect();
    match addrs.is_empty() {
        true => Err(Trouble::NoAddress("the resolver returned nothing".to_owned())),
        false => Ok(addrs),
    }
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
        let address = Address::parse("https://127.0.0.1:8200/").unwrap();
        assert_eq!((address.base.as_str(), address.host.as_str()), ("https://127.0.0.1:8200", "127.0.0.1"));
        assert_eq!(Address::parse("https://[::1]:8200").unwrap().host, "::1");
        for bad in [
            "http://vault:8200",
            "vault:8200",
            "https://u:hunter2@vault",
            "https://vault/v1",
            "https://vault?x",
            "ftp://vault",
            "",
        ] {
            let refusal = Address::parse(bad).unwrap_err();
            assert_eq!(refusal.exit, crate::refusal::Exit::Config, "{bad}");
            assert!(!refusal.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn a_url_is_of_a_server_by_scheme_host_and_port() {
        let address = Address::parse("https://vault.internal").unwrap();
        for url in ["https://vault.internal/v1/x", "https://vault.internal:443/", "https://VAULT.internal/v1/a?b"] {
            assert!(address.is_of(url), "{url}");
        }
        for url in [
            "http://vault.internal:443/v1/x",
            "https://vault.internal:8200/v1/x",
            "https://vault.internal.evil/v1/x",
            "https://vault.internal@evil/v1/x",
            "/v1/x",
            "",
        ] {
            assert!(!address.is_of(url), "{url}");
        }
        assert!(Address::parse("https://[::1]:8200").unwrap().is_of("https://[::1]:8200/v1/x"));
    }
}
