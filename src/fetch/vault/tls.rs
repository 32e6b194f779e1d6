//! TLS for one server: the roots that were handed in and nothing else, by ring, at a minimum version.
//!
//! No system roots, no session kept, no way to skip a verification, and a client certificate where one was handed in.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use zeroize::Zeroizing;

use crate::config::model::TlsVersion;
use crate::refusal::Refusal;

/// A ready configuration, and what was left out of it.
pub struct Client {
    pub config: ClientConfig,
    pub warning: Option<String>,
}

/// Who we are to a server that asks for a certificate: PEM, the leaf first, and its key.
pub struct Identity {
    pub cert_pem: Zeroizing<Vec<u8>>,
    pub key_pem: Zeroizing<Vec<u8>>,
}

/// The client's side of TLS.
pub fn client(ca_pem: &[u8], min_version: TlsVersion, identity: Option<&Identity>) -> Result<Client, Refusal> {
    let (roots, warning) = roots(ca_pem)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions(min_version))
        .map_err(|_| Refusal::internal("the TLS library has no suite for this version"))?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = read_identity(identity)?;
            builder.with_client_auth_cert(chain, key).map_err(|_| {
                Refusal::config(
                    "the client certificate for vault and its key do not belong together, or are of no usable kind",
                    "tls.client_cert holds the certificate of the key in tls.client_key: compare `openssl x509 -pubkey` and `openssl pkey -pubout`",
                )
            })?
        }
    };
    // HTTP/2 where the server speaks it: reads of several paths are then under way at once.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Client { config, warning })
}

fn read_identity(identity: &Identity) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Refusal> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&identity.cert_pem).flatten().collect();
    if chain.is_empty() {
        return Err(Refusal::config(
            "the client certificate for vault is no PEM certificate",
            "tls.client_cert names a file of PEM certificates, the client's own first",
        ));
    }
    let key = PrivateKeyDer::from_pem_slice(&identity.key_pem).map_err(|_| {
        Refusal::config(
            "the client key for vault is no PEM private key without a passphrase",
            "tls.client_key names a PEM file with -----BEGIN PRIVATE KEY----- or the like; `openssl pkey` makes one",
        )
    })?;
    Ok((chain, key))
}

static FROM_12: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
static FROM_13: &[&SupportedProtocolVersion] = &[&TLS13];

fn versions(min_version: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match min_version {
        TlsVersion::V12 => FROM_12,
        TlsVersion::V13 => FROM_13,
    }
}

/// A certificate that cannot be a root is left out, which trusts less and not more, and is told.
fn roots(ca_pem: &[u8]) -> Result<(RootCertStore, Option<String>), Refusal> {
    const HINT: &str = "tls.ca names a file of PEM certificates: -----BEGIN CERTIFICATE----- and so on";
    let mut roots = RootCertStore::empty();
    let mut unusable = 0;
    for certificate in CertificateDer::pem_slice_iter(ca_pem) {
        let certificate = certificate.map_err(|_| Refusal::config("the vault CA bundle is no valid PEM", HINT))?;
        if roots.add(certificate).is_err() {
            unusable += 1;
        }
    }
    match (roots.is_empty(), unusable) {
        (true, 0) => Err(Refusal::config("the vault CA bundle holds no certificate", HINT)),
        (true, _) => Err(Refusal::config("the vault CA bundle holds no certificate that can be a root", HINT)),
        (false, 0) => Ok((roots, None)),
        (false, n) => Ok((
            roots,
            Some(format!("{n} of the certificates in the vault CA bundle cannot be roots and are not trusted")),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_without_a_usable_certificate_is_refused() {
        for bad in [
            "",
            "nothing here",
            "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\nAAAA\n",
        ] {
            let refusal = client(bad.as_bytes(), TlsVersion::V13, None).err().expect(bad);
            assert_eq!(refusal.exit, crate::refusal::Exit::Config, "{bad}");
        }
    }
}
