//! Bounded requests to one server: HTTP/1.1, no redirect, no proxy, no compression. Over TLS, but for the addresses on this
//! machine's own links that the config's checks have taken.

use std::time::Duration;

use http::header::{CONTENT_ENCODING, HeaderValue};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use crate::refusal::Refusal;

use super::super::vault::address::Address;
use super::super::vault::retry::{self, OUTAGE};
use super::super::vault::trouble::{Said, Trouble};
use super::words;

/// The longest answer that is read: twenty secrets of 64 KiB, escaped, and more.
const BODY_LIMIT: usize = 4 << 20;
const HEADER_LIMIT: usize = 64;
const AGENT: &str = concat!("portcullis/", env!("CARGO_PKG_VERSION"));

pub struct Reply {
    pub status: u16,
    pub body: Zeroizing<Vec<u8>>,
}

pub struct Server {
    client: reqwest::Client,
    /// `https://host[:port]`, for messages too.
    pub base: String,
    end: Instant,
}

impl Server {
    pub fn over_tls(address: &str, tls: ClientConfig, end: Instant) -> Result<Server, Refusal> {
        let address = Address::parse(address).map_err(words::of_aws)?;
        let place = address.resolve().map_err(|trouble| words::unreachable(&address.base, &trouble))?;
        let builder = builder(end).tls_backend_preconfigured(one_protocol(tls)).https_only(true);
        let client = builder.resolve_to_addrs(&place.host, &place.addrs).build();
        Ok(Server { client: client.map_err(|_| unbuilt())?, base: place.base, end })
    }

    /// An address on this machine's own links, by number.
    pub fn near(base: &str, tls: ClientConfig, end: Instant) -> Result<Server, Refusal> {
        let client = builder(end).tls_backend_preconfigured(tls).build().map_err(|_| unbuilt())?;
        Ok(Server { client, base: base.trim_end_matches('/').to_owned(), end })
    }

    /// Sends what `make` makes, anew for each try, for a signature has its time; up to three, where the trouble may pass.
    pub async fn send(
        &self,
        make: impl Fn() -> Result<http::Request<Vec<u8>>, Refusal>,
        throttled: fn(&Reply) -> bool,
    ) -> Result<Reply, Refusal> {
        let attempt = async || {
            let request = make().map_err(|_| Trouble::Request)?;
            let request = reqwest::Request::try_from(request).map_err(|_| Trouble::Request)?;
            let reply = read(self.client.execute(request).await?).await?;
            match reply.status >= 500 || throttled(&reply) {
                true => Err(Trouble::Status(reply.status, Said::Nothing)),
                false => Ok(reply),
            }
        };
        let pauses = |trouble: &Trouble| {
            let passes = trouble.may_pass() || matches!(trouble, Trouble::Status(400 | 500, _));
            passes.then_some(OUTAGE)
        };
        let work = retry::retrying(self.end, pauses, attempt);
        let outcome = timeout_at(self.end, work).await.unwrap_or(Err(Trouble::Deadline));
        outcome.map_err(|trouble| words::unreachable(&self.base, &trouble))
    }
}

fn unbuilt() -> Refusal {
    Refusal::internal("the HTTP client does not take its settings")
}

/// Half of what is left, ten seconds at most: a port that swallows packets is told from a store that is slow.
fn builder(end: Instant) -> reqwest::ClientBuilder {
    let connect = (end.saturating_duration_since(Instant::now()) / 2).min(Duration::from_secs(10));
    reqwest::Client::builder()
        .http1_only()
        .http1_max_headers(HEADER_LIMIT)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .user_agent(AGENT)
        .connect_timeout(connect)
        .pool_max_idle_per_host(1)
}

fn one_protocol(mut tls: ClientConfig) -> ClientConfig {
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    tls
}

async fn read(mut response: reqwest::Response) -> Result<Reply, Trouble> {
    let encoded = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
    if response.headers().get_all(CONTENT_ENCODING).iter().any(encoded) {
        return Err(Trouble::Encoded);
    }
    let announced = response.content_length().unwrap_or(0);
    if announced > BODY_LIMIT as u64 {
        return Err(Trouble::TooLarge);
    }
    let mut body = Zeroizing::new(Vec::with_capacity(announced as usize));
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > BODY_LIMIT {
            return Err(Trouble::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply { status: response.status().as_u16(), body })
}
