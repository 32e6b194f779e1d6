//! Every trouble as a refusal: what, and the command or the line of a policy or config that mends it.
//!
//! One table a step. Messages hold names from the config and numbers from the store, never its text.

use std::io::ErrorKind;
use std::time::Duration;

use crate::config::model::{MountKind, TlsVersion};
use crate::refusal::{Exit, Refusal};

use super::location::Location;
use super::trouble::{Said, Trouble};

/// Whom we talk to, for messages.
pub struct Peer {
    /// `https://host[:port]`
    pub address: String,
    pub host: String,
    pub min_tls: TlsVersion,
    pub connect_limit: Duration,
}

/// What was being done.
pub enum Step<'a> {
    Login { mount: &'a str },
    Read { name: &'a str, place: &'a Location },
}

pub fn refusal(trouble: Trouble, peer: &Peer, step: &Step) -> Refusal {
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

/// A revocation that failed: the caller goes on and tells.
pub fn unrevoked(trouble: &Trouble) -> String {
    const LIVES: &str = "the token of this login could not be revoked and lives until its ttl ends";
    match trouble {
        Trouble::Status(403, _) => {
            format!("{LIVES}: its policy lacks path \"auth/token/revoke-self\" {{ capabilities = [\"update\"] }}")
        }
        Trouble::Status(status, _) => format!("{LIVES}: the store answered {status}"),
        Trouble::Deadline => format!("{LIVES}: the store did not answer in time"),
        _ => format!("{LIVES}: the connection failed"),
    }
}

fn doing(step: &Step) -> String {
    match step {
        Step::Login { mount } => format!("logging in at auth/{mount}"),
        Step::Read { name, place } => format!("reading `{name}` ({}/{})", place.mount, place.rest),
    }
}

/// Troubles before there is an answer.
fn of_connection(trouble: &Trouble, peer: &Peer) -> Option<(String, String)> {
    let Peer { address, host, .. } = peer;
    let showcerts = || format!("`openssl s_client -connect {} -showcerts`", address.trim_start_matches("https://"));
    let (what, hint) = match trouble {
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
    let fault = match trouble {
        Trouble::TooLarge => "is larger than 1 MiB",
        Trouble::Encoded => "is compressed, which was not asked for",
        Trouble::NotJson => "is not JSON",
        Trouble::Malformed => "is cut off or has not the shape of one",
        _ => "broke off or is no HTTP/1.1",
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
        (300..=399, _) => down(
            format!("vault at {address} redirects ({status}), and a redirect is not followed"),
            "set [vault] address to the active node, which `vault status` names as HA Cluster or Active Node Address",
        ),
        (472 | 473, _) => down(
            format!("vault at {address} is a standby that serves no requests ({status})"),
            "set [vault] address to the active node, which `vault status` names",
        ),
        (429, _) => down(
            format!("vault at {address} answers 429: too many requests, or a standby"),
            "see `vault read sys/quotas/config` and `vault status`; start fewer at a time",
        ),
        (500..=599, _) => down(
            format!("vault at {address} answered {status} while {}", doing(step)),
            "see vault's log and `vault status`; a proxy before it answers 502 or 504 when it is down",
        ),
        (400..=499, Said::Foreign) => down(
            format!("{address} answered {status} while {}, and not as vault does", doing(step)),
            "a proxy seems to answer: correct [vault] address, or let the proxy pass /v1/",
        ),
        _ => match step {
            Step::Login { mount } => of_login(status, said, mount),
            Step::Read { name, place } => of_read(status, said, name, place),
        },
    }
}

fn of_login(status: u16, said: Said, mount: &str) -> Refusal {
    let no = |what: String, hint: String| Refusal::new(Exit::StoreSaidNo, what, hint);
    match (status, said) {
        (200, _) => no(
            format!("the login at auth/{mount} gave no token"),
            "a login that asks for a second factor cannot be made unattended: exempt the role from MFA".to_owned(),
        ),
        (400, _) => no(
            format!(
                "vault refuses the login at auth/{mount}: the role id or the secret id is wrong, used up or expired"
            ),
            format!(
                "issue a new one: `vault write -f auth/{mount}/role/ROLE/secret-id`, and compare `vault read auth/{mount}/role/ROLE/role-id`"
            ),
        ),
        (403 | 404, _) => no(
            format!("vault forbids the login at auth/{mount} ({status})"),
            format!("`vault auth list` must show {mount}/ in this namespace; see the role's secret_id_bound_cidrs"),
        ),
        _ => no(format!("vault answers {status} to the login at auth/{mount}"), "see vault's log".to_owned()),
    }
}

fn of_read(status: u16, said: Said, name: &str, place: &Location) -> Refusal {
    let no = |what: String, hint: String| Refusal::new(Exit::StoreSaidNo, what, hint);
    let Location { mount, rest, .. } = place;
    let at = format!("`{name}`: {mount}/{rest}");
    match (status, said) {
        (_, Said::Deleted(version)) => no(
            format!("{at} is deleted (version {version})"),
            format!("bring it back: `vault kv undelete -versions={version} {}`, or write a new version", place.cli()),
        ),
        (_, Said::Destroyed(version)) => no(
            format!("{at} is destroyed (version {version})"),
            format!("it cannot be brought back; write a new version: `vault kv put {} FIELD=VALUE`", place.cli()),
        ),
        (_, Said::NoData) => {
            no(format!("{at} holds no data"), format!("write it: `vault kv put {} FIELD=VALUE`", place.cli()))
        }
        (403, _) => no(format!("{at} is forbidden to this token"), policy_hint(place)),
        (404, Said::NoMount) => no(
            format!("{at}: nothing is mounted at {mount}/"),
            "`vault secrets list` shows the mounts; one of more than one segment is listed in [vault] mounts"
                .to_owned(),
        ),
        (404, Said::IsKv2) => no(
            format!("{at} is in a KV 2 mount, and the config says kv1"),
            format!("set mounts.{mount} = \"kv2\" in [vault]"),
        ),
        (404, _) => no(format!("{at} does not exist"), missing_hint(place)),
        _ => no(format!("{at}: vault answers {status}"), format!("try `vault kv get {}`", place.cli())),
    }
}

fn policy_hint(place: &Location) -> String {
    let stanza = format!("path \"{}\" {{ capabilities = [\"read\"] }}", place.policy_path());
    format!("add to its policy: {stanza}{}", data_hint(place))
}

fn missing_hint(place: &Location) -> String {
    let kv1 = match place.kind {
        MountKind::Kv2 => format!("; if the mount is KV 1, set mounts.{} = \"kv1\" in [vault]", place.mount),
        MountKind::Kv1 => String::new(),
    };
    format!("write it: `vault kv put {} FIELD=VALUE`{}{kv1}", place.cli(), data_hint(place))
}

/// The usual slip: the API's path instead of the command's.
fn data_hint(place: &Location) -> String {
    match (place.kind, place.rest.strip_prefix("data/")) {
        (MountKind::Kv2, Some(rest)) => format!("; or leave out data/: {}/{rest}", place.mount),
        _ => String::new(),
    }
}
