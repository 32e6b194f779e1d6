//! What can go wrong between here and the store, as closed kinds: no body, no URL, no library's error inside.
//!
//! This is the border: past it, nothing can print what the server sent.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError, InvalidMessage};

/// One request that failed.
#[derive(Debug)]
pub enum Trouble {
    /// The host's name has no address, in the resolver's words.
    NoAddress(String),
    Refused,
    Unreachable(io::ErrorKind),
    ConnectTimeout,
    NotTls,
    /// The server knows no version that is allowed.
    OldTls,
    UnknownIssuer,
    Expired,
    NotYetValid,
    WrongName,
    BadCertificate,
    /// The server wants a certificate of ours, or another one.
    OurCertificate,
    /// A TLS alert or failure in rustls's words.
    Tls(String),
    /// The connection ended early, or what came is no HTTP.
    Broken,
    TooLarge,
    Encoded,
    NotJson,
    Malformed,
    Status(u16, Said),
    /// The request could not be built: a bug.
    Request,
    Deadline,
}

/// What an error body says, as far as it changes what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    Nothing,
    /// It is not the store's JSON: something in between answers.
    Foreign,
    Sealed,
    NoMount,
    /// Read as KV 1, and is KV 2.
    IsKv2,
    Deleted(u64),
    Destroyed(u64),
    NoData,
    NoToken,
    NotRenewable,
    /// A standby that knows no active node: the request went nowhere.
    NoLeader,
    /// The policy itself says no: no replica will say otherwise.
    Denied,
    /// Asked to come back after so many seconds.
    Wait(u64),
}

impl Trouble {
    /// Worth another try of a request that changes nothing.
    pub fn may_pass(&self) -> bool {
        matches!(self, Trouble::Broken | Trouble::Status(502..=504, _)) || self.surely_not_done()
    }

    /// Worth another try of a request that mints: the store has surely not done it, and may soon.
    pub fn surely_not_done(&self) -> bool {
        matches!(self, Trouble::Refused | Trouble::Status(412 | 429 | 503, _) | Trouble::Status(_, Said::NoLeader))
    }

    /// There was no conversation: another address of the cluster may do better.
    pub fn is_of_this_address(&self) -> bool {
        matches!(
            self,
            Trouble::NoAddress(_)
                | Trouble::Refused
                | Trouble::Unreachable(_)
                | Trouble::ConnectTimeout
                | Trouble::NotTls
                | Trouble::OldTls
                | Trouble::UnknownIssuer
                | Trouble::Expired
                | Trouble::NotYetValid
                | Trouble::WrongName
                | Trouble::BadCertificate
                | Trouble::OurCertificate
                | Trouble::Tls(_)
        )
    }

    /// The store has judged the request and said no: it was not carried out, and that is final.
    pub fn is_a_no(&self) -> bool {
        matches!(self, Trouble::Status(400..=499, _))
    }
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Trouble {
        let mut cause = error.source();
        while let Some(this) = cause {
            if let Some(trouble) = known(this) {
                return trouble;
            }
            cause = this.source();
        }
        match error {
            error if error.is_timeout() => Trouble::ConnectTimeout,
            error if error.is_connect() => Trouble::Unreachable(io::ErrorKind::Other),
            error if error.is_builder() => Trouble::Request,
            _ => Trouble::Broken,
        }
    }
}

fn known(cause: &(dyn Error + 'static)) -> Option<Trouble> {
    if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
        return Some(of_tls(tls));
    }
    let Some(io) = cause.downcast_ref::<io::Error>() else { return alert_in_words(cause) };
    // An io::Error's source is that of what it wraps, so what it wraps is looked at here; it may wrap its own kind.
    if let Some(trouble) = io.get_ref().and_then(|inner| known(inner)) {
        return Some(trouble);
    }
    match io.kind() {
        io::ErrorKind::ConnectionRefused => Some(Trouble::Refused),
        io::ErrorKind::TimedOut => Some(Trouble::ConnectTimeout),
        kind @ (io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::PermissionDenied) => Some(Trouble::Unreachable(kind)),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            Some(Trouble::Broken)
        }
        _ => None,
    }
}

/// HTTP/2 hands an error of the connection on as its text alone: rustls's words for an alert, by the alert's name.
fn alert_in_words(cause: &(dyn Error + 'static)) -> Option<Trouble> {
    let text = cause.to_string();
    let alert = text.rsplit_once("received fatal alert: ")?.1;
    let ours = ["CertificateRequired", "BadCertificate", "UnsupportedCertificate", "CertificateExpired"]
        .into_iter()
        .chain(["CertificateUnknown", "CertificateRevoked", "UnknownCA", "AccessDenied"])
        .any(|name| alert.starts_with(name));
    Some(if ours { Trouble::OurCertificate } else { Trouble::Tls(alert.chars().take(60).collect()) })
}

fn of_tls(error: &rustls::Error) -> Trouble {
    match error {
        rustls::Error::InvalidCertificate(reason) => of_certificate(reason),
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) | rustls::Error::PeerIncompatible(_) => {
            Trouble::OldTls
        }
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => Trouble::OurCertificate,
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Trouble::NotTls,
        other => Trouble::Tls(other.to_string().chars().take(120).collect()),
    }
}

fn of_certificate(reason: &CertificateError) -> Trouble {
    match reason {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Trouble::UnknownIssuer,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Trouble::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Trouble::NotYetValid,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Trouble::WrongName,
        _ => Trouble::BadCertificate,
    }
}
