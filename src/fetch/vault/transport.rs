//! Bounded requests to one address: HTTP/2 or HTTP/1.1 over TLS, no redirect, no proxy, no compression, no referer.
//!
//! Status, headers and body are data here; what they mean is decided in `answer`. A body is read up to a bound and
//! wiped when dropped. `rustify` would read it whole and keep it in its errors, so its endpoints build a request and
//! its client is not used.

use std::time::Duration;

use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use http::{Method, Request, Uri, Version};
use rustify::Endpoint;
use rustls::ClientConfig;
use zeroize::Zeroizing;

use crate::secret::SecretText;

use super::address::Place;
use super::trouble::Trouble;

/// The longest answer that is read: far above any secret, far below what hurts.
pub const BODY_LIMIT: usize = 1024 * 1024;
const HEADER_LIMIT: usize = 64;
/// The same for HTTP/2, in bytes.
const HEADER_BYTES: u32 = 16 * 1024;
/// HTTP/2 lets a server send this much unasked, for one answer and for all of them (RFC 9113, section 5.2).
const WINDOW: u32 = 64 * 1024;
const WINDOW_OF_ALL: u32 = 256 * 1024;
const AGENT: &str = concat!("portcullis/", env!("CARGO_PKG_VERSION"));
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// Vault's agent and proxy can demand it, against requests that a browser is tricked into.
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");

/// An answer of at most [`BODY_LIMIT`] bytes.
pub struct Reply {
    pub status: u16,
    /// Whether the header says so.
    pub json: bool,
    pub body: Zeroizing<Vec<u8>>,
    /// Where a redirect leads.
    pub location: Option<String>,
    /// How long to wait before the next try, in seconds.
    pub retry_after: Option<u64>,
    /// Several requests may be under way on this connection at once.
    pub multiplexed: bool,
}

/// The connection to one server.
#[derive(Clone)]
pub struct Transport {
    client: reqwest::Client,
    base: String,
    namespace: Option<HeaderValue>,
}

impl Transport {
    pub fn new(
        place: &Place,
        tls: ClientConfig,
        namespace: Option<HeaderValue>,
        connect: Duration,
    ) -> Result<Self, Trouble> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .http1_max_headers(HEADER_LIMIT)
            .http2_max_header_list_size(HEADER_BYTES)
            .http2_initial_stream_window_size(WINDOW)
            .http2_initial_connection_window_size(WINDOW_OF_ALL)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent(AGENT)
            .connect_timeout(connect)
            .pool_max_idle_per_host(1)
            .resolve_to_addrs(&place.host, &place.addrs)
            .build()
            .map_err(|_| Trouble::Request)?;
        Ok(Transport { client, base: place.base.clone(), namespace })
    }

    /// Sends what an endpoint says, with the token if there is one.
    pub async fn send(&self, endpoint: &impl Endpoint, token: Option<&SecretText>) -> Result<Reply, Trouble> {
        let mut request = endpoint.request(&self.base).map_err(|_| Trouble::Request)?;
        *request.uri_mut() = self.versioned(request.uri())?;
        self.dress(&mut request, token)?;
        let request = reqwest::Request::try_from(request).map_err(|_| Trouble::Request)?;
        let response = self.client.execute(request).await?;
        read(response).await
    }

    /// Endpoints say `auth/...` or `/auth/...`; the API is below `/v1/`, and a double slash would be a redirect.
    fn versioned(&self, uri: &Uri) -> Result<Uri, Trouble> {
        let path = uri.path().trim_start_matches('/');
        let query = uri.query().filter(|query| !query.is_empty()).map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}/v1/{path}{query}", self.base).parse().map_err(|_| Trouble::Request)
    }

    fn dress(&self, request: &mut Request<Vec<u8>>, token: Option<&SecretText>) -> Result<(), Trouble> {
        let posts = request.method() == Method::POST;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, JSON);
        headers.insert(REQUEST, HeaderValue::from_static("true"));
        if posts {
            headers.insert(CONTENT_TYPE, JSON);
        }
        if let Some(namespace) = &self.namespace {
            headers.insert(NAMESPACE, namespace.clone());
        }
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token.expose()).map_err(|_| Trouble::Request)?;
            value.set_sensitive(true);
            headers.insert(TOKEN, value);
        }
        Ok(())
    }
}

async fn read(mut response: reqwest::Response) -> Result<Reply, Trouble> {
    let encoded = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
    if response.headers().get_all(CONTENT_ENCODING).iter().any(encoded) {
        return Err(Trouble::Encoded);
    }
    let headers = response.headers();
    let (status, json) = (response.status().as_u16(), is_json(headers));
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let location = text(LOCATION).map(str::to_owned);
    let retry_after = text(RETRY_AFTER).and_then(|seconds| seconds.trim().parse().ok());
    let multiplexed = response.version() == Version::HTTP_2;
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
    Ok(Reply { status, json, body, location, retry_after, multiplexed })
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}
