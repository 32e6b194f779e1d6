//! Every trouble as a refusal: what, and the command or the line of a policy or config that mends it.
//!
//! One table a step: connections here, logins and reads in files of their own. Messages hold names from the config and
//! numbers from the store, never its text, but the one path at which a wrapping token says it was made.

mod login;
mod read;

use std::io::ErrorKind;
use std::time::Duration;

use crate::config::model::TlsVersion;
use crate::refusal::{Exit, Refusal};

pub use login::{made_elsewhere, unrevoked, unrevoked_lease};
pub use read::{unkept, unkept_lease};

use super::location::Location;
use super::trouble::{Said, Trouble};

/// Whom we talk to, for messages.
pub struct Peer {
    /// `https://host[:port]`
    pub address: String,
    pub host: String,
    pub min_tls: TlsVersion,
    pub connect_limit: Duration,
    /// Whether it ever answered.
    pub answered: bool,
    /// The other addresses that were tried, and what was wrong with each.
    pub passed_over: Vec<String>,
}

/// What was being done.
pub enum Step<'a> {
    Unwrap {
        expected: &'a [String],
    },
    AppRole {
        mount: String,
    },
    Kubernetes {
        mount: String,
        role: String,
    },
    Jwt {
        mount: String,
        role: String,
    },
    Cert {
        mount: String,
    },
    /// `own`: by a token of this start's login.
    Read {
        name: String,
        place: &'a Location,
        own: bool,
    },
    Capabilities,
}

pub fn refusal(trouble: Trouble, peer: &Peer, step: &Step) -> Refusal {
    let mut refusal = alone(trouble, peer, step);
    if refusal.exit == Exit::StoreUnavailable && !peer.passed_over.is_empty() {
        refusal.hint.push_str(&format!("; tried before: {}", peer.passed_over.join(", ")));
    }
    refusal
}

/// What is wrong with one server, in a few words.
pub fn in_short(trouble: &Trouble) -> String {
    match trouble {
        Trouble::NoAddress(_) => "has no address",
        Trouble::Refused => "refuses the connection",
        Trouble::Unreachable(kind) => io_words(*kind),
        Trouble::ConnectTimeout => "completes no connection in time",
        Trouble::NotTls | Trouble::OldTls | Trouble::Tls(_) => "does not speak the TLS that is asked for",
        Trouble::UnknownIssuer => "has a certificate of another CA",
        Trouble::Expired | Trouble::NotYetValid => "has a certificate that is not valid now",
        Trouble::WrongName => "has a certificate for another name",
        Trouble::BadCertificate => "has no acceptable certificate",
        Trouble::OurCertificate => "does not accept the client certificate",
        _ => "failed",
    }
    .to_owned()
}

fn alone(trouble: Trouble, peer: &Peer, step: &Step) -> Refusal {
    match trouble {
        Trouble::Status(status, said) => of_status(status, said, peer, step),
        Trouble::Deadline => Refusal::new(
            Exit::Deadline,
            format!("the deadline passed while {} at {}", doing(step), peer.address),
            "see why the store is slow (`vault status`), or raise the deadline",
        ),
        Trouble::Request => Refusal::internal(format!("no request could be built for {}", doing(step))),
        trouble => {
            let (what, hint) = of_connection(&trouble, peer).unwrap_or_else(|| of_answer(&trouble, peer, step));
            Refusal::new(Exit::StoreUnavailable, what, hint)
        }
    }
}

fn doing(step: &Step) -> String {
    match step {
        Step::Unwrap { .. } => "unwrapping the identity".to_owned(),
        Step::AppRole { mount } | Step::Kubernetes { mount, .. } | Step::Jwt { mount, .. } | Step::Cert { mount } => {
            format!("logging in at auth/{mount}")
        }
        Step::Read { name, place, .. } if place.is_written() => format!("writing for `{name}` ({})", place.path()),
        Step::Read { name, place, .. } => format!("reading `{name}` ({})", place.path()),
        Step::Capabilities => "asking what the token may do".to_owned(),
    }
}

/// Troubles before there is an answer.
fn of_connection(trouble: &Trouble, peer: &Peer) -> Option<(String, String)> {
    let Peer { address, host, .. } = peer;
    let showcerts = || format!("`openssl s_client -connect {} -showcerts`", address.trim_start_matches("https://"));
    let (what, hint) = match trouble {
        Trouble::NoAddress(why) => (
            format!("the vault host {host} has no address: {why}"),
            format!("`getent hosts {host}` must answer here; correct [vault] address, or this host's resolver"),
        ),
        Trouble::OurCertificate => (
            format!("vault at {address} does not accept the client certificate, or wants one"),
            "set tls.client_cert and tls.client_key to one that the listener's tls_client_ca_file signed, valid now and for clientAuth".to_owned(),
        ),
        Trouble::Refused => (
            format!("vault at {address} refuses the connection"),
            format!("start it, or correct [vault] address: `vault status -address={address}` must answer from here"),
        ),
        Trouble::Unreachable(kind) => {
            (format!("vault at {address} cannot be reached: {}", io_words(*kind)), reach_hint(address))
        }
        Trouble::ConnectTimeout => (
            format!("vault at {address} completes no TLS connection within {:.1?}", peer.connect_limit),
            reach_hint(address),
        ),
        Trouble::NotTls => (
            format!("{address} does not answer in TLS"),
            "give the listener tls_cert_file and tls_key_file and no tls_disable, or correct the port in [vault] address"
                .to_owned(),
        ),
        Trouble::OldTls => old_tls(peer),
        Trouble::UnknownIssuer => (
            format!("the certificate of vault at {address} is not signed by a CA in tls.ca"),
            format!("put the PEM of the CA that signed it in tls.ca; {} shows the issuer", showcerts()),
        ),
        Trouble::Expired => (
            format!("the certificate of vault at {address} has expired"),
            "renew it and reload the listener (SIGHUP to vault), or correct the clock of this host".to_owned(),
        ),
        Trouble::NotYetValid => (
            format!("the certificate of vault at {address} is not valid yet"),
            "correct the clock of this host, or issue the certificate anew".to_owned(),
        ),
        Trouble::WrongName => (
            format!("the certificate of vault at {address} is not for {host}"),
            format!("issue it with {host} as subjectAltName, or use one of its names; {} shows them", showcerts()),
        ),
        Trouble::BadCertificate => (
            format!("the certificate of vault at {address} is not acceptable for a server"),
            format!("issue it for serverAuth, signed by a CA and not itself one; {} shows it", showcerts()),
        ),
        Trouble::Tls(words) => (
            format!("TLS with vault at {address} failed: {words}"),
            "look at the listener's tls_ settings and at vault's log".to_owned(),
        ),
        _ => return None,
    };
    Some((what, hint))
}

fn reach_hint(address: &str) -> String {
    format!("look at routes and firewalls from here to there: `vault status -address={address}` must answer")
}

fn old_tls(peer: &Peer) -> (String, String) {
    let address = &peer.address;
    match peer.min_tls {
        TlsVersion::V13 => (
            format!("vault at {address} speaks only TLS 1.2, and tls.min_version is 1.3"),
            "set tls_max_version = \"tls13\" on the listener, or tls.min_version = \"1.2\" in [vault]".to_owned(),
        ),
        TlsVersion::V12 => (
            format!("vault at {address} speaks no common TLS 1.2 or 1.3"),
            "set tls_max_version = \"tls13\" on the listener".to_owned(),
        ),
    }
}

fn io_words(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::HostUnreachable => "no route to the host",
        ErrorKind::NetworkUnreachable => "no route to the network",
        ErrorKind::NetworkDown => "the network is down",
        ErrorKind::AddrNotAvailable => "no local address to start from",
        ErrorKind::PermissionDenied => "this host forbids the connection",
        _ => "the connection failed",
    }
}

/// Answers that are none of the store's.
fn of_answer(trouble: &Trouble, peer: &Peer, step: &Step) -> (String, String) {
    if matches!(trouble, Trouble::Broken) && !peer.answered {
        // TLS 1.3: a server judges the client's certificate after the client believes itself connected.
        return (
            format!("vault at {} broke off before its first answer, while {}", peer.address, doing(step)),
            format!(
                "see vault's log; if its listener wants a client certificate, set tls.client_cert and tls.client_key to one that its tls_client_ca_file signed; `curl -i {}/v1/sys/health` must show JSON",
                peer.address
            ),
        );
    }
    let fault = match trouble {
        Trouble::TooLarge => "is larger than 1 MiB",
        Trouble::Encoded => "is compressed, which was not asked for",
        Trouble::NotJson => "is not JSON",
        Trouble::Malformed => "is cut off or has not the shape of one",
        _ => "broke off or is no HTTP",
    };
    (
        format!("the answer of {} while {} {fault}", peer.address, doing(step)),
        format!("is that vault, or a proxy before it? `curl -i {}/v1/sys/health` must show JSON", peer.address),
    )
}

fn of_status(status: u16, said: Said, peer: &Peer, step: &Step) -> Refusal {
    let address = &peer.address;
    let down = |what: String, hint: &str| Refusal::new(Exit::StoreUnavailable, what, hint);
    match (status, said) {
        // A server that was never initialised says the same.
        (_, Said::Sealed) => down(
            format!("vault at {address} is sealed"),
            "unseal it: `vault operator unseal`; a new one is set up by `vault operator init`",
        ),
        (_, Said::NoLeader) => down(
            format!("vault at {address} is a standby, and its cluster has no active node"),
            "see `vault operator raft list-peers` and `vault status` on each node; an election takes some seconds",
        ),
        (300..=399, _) => down(
            format!("vault at {address} redirects ({status}) to where [vault] address does not lead"),
            "add the active node to the list in [vault] address: `vault status` names it as HA Cluster or Active Node Address",
        ),
        (472 | 473, _) => down(
            format!("vault at {address} is a standby that serves no requests ({status})"),
            "set [vault] address to the active node, which `vault status` names",
        ),
        (412, _) => down(
            format!("vault at {address} has not caught up with the cluster (412)"),
            "see `vault status` for a replica that lags behind, or name the active node first in [vault] address",
        ),
        (429, Said::Wait(seconds)) => down(
            format!("vault at {address} answers 429 and asks to wait {seconds} s, longer than this start has"),
            "see `vault read sys/quotas/config` and `vault list sys/quotas/rate-limit`; start fewer at a time, or raise the deadline",
        ),
        (429, _) => down(
            format!("vault at {address} answers 429: too many requests, or a standby"),
            "see `vault read sys/quotas/config` and `vault status`; start fewer at a time",
        ),
        (500, _) if matches!(step, Step::Kubernetes { .. }) => login::unreviewed(status, step),
        (500..=599, _) => down(
            format!("vault at {address} answered {status} while {}", doing(step)),
            "see vault's log and `vault status`; a proxy before it answers 502 or 504 when it is down",
        ),
        (400..=499, Said::Foreign) => down(
            format!("{address} answered {status} while {}, and not as vault does", doing(step)),
            "a proxy seems to answer: correct [vault] address, or let the proxy pass /v1/",
        ),
        _ => match step {
            Step::Read { name, place, own } => read::of_status(status, said, name, place, *own),
            Step::Capabilities => Refusal::new(
                Exit::StoreSaidNo,
                format!("vault does not say what the token may do ({status})"),
                "add to its policy: path \"sys/capabilities-self\" { capabilities = [\"update\"] }",
            ),
            login => login::of_status(status, said, login),
        },
    }
}
