//! rustls, and x509-parser for what it does not tell: whom to trust, and what a server's certificate says.
//!
//! Both ends of a handshake come through here, and are noted: the session store is asked when it starts, the verifier
//! when the certificate has come. So an expired certificate is read from the very handshake that refuses it.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, NamedGroup, RootCertStore, SignatureScheme,
};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::client::Trace;
use super::trouble::CertificateFault;

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));

/// Whose certificates are believed.
#[derive(Debug)]
pub(super) enum Trust {
    /// Every server's; the certificate is read and not verified.
    Anybody,
    /// No server's.
    Nobody,
    /// Those signed by one of these authorities, and these themselves.
    Authorities {
        verifier: Arc<WebPkiServerVerifier>,
        /// From a `ca_file`: a server that shows one of these is trusted, though it may call itself an authority
        /// (`openssl req -x509` makes such, and webpki refuses them as a server's).
        pinned: Vec<CertificateDer<'static>>,
    },
}

impl Trust {
    /// The authorities that this host trusts; `Nobody` when none are installed.
    pub(super) fn system() -> Trust {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Trust::roots(roots, Vec::new()).unwrap_or(Trust::Nobody)
    }

    /// The authorities of a PEM file. The error says what is wrong with the file.
    pub(super) fn file(path: &Path) -> Result<Trust, String> {
        let shown = path.display();
        let pem = std::fs::read(path).map_err(|error| format!("ca_file {shown} cannot be read: {error}"))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let certificates =
            certificates.map_err(|error| format!("ca_file {shown} is not valid PEM: {error}"))?;
        if certificates.is_empty() {
            return Err(format!("ca_file {shown} holds no certificate (-----BEGIN CERTIFICATE-----)"));
        }
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            let added = roots.add(certificate.clone());
            added.map_err(|error| {
                format!("ca_file {shown} holds a certificate that cannot be used: {error}")
            })?;
        }
        Trust::roots(roots, certificates)
            .map_err(|error| format!("ca_file {shown} cannot be used to verify anything: {error}"))
    }

    fn roots(roots: RootCertStore, pinned: Vec<CertificateDer<'static>>) -> Result<Trust, String> {
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), PROVIDER.clone());
        match builder.build() {
            Ok(verifier) => Ok(Trust::Authorities { verifier, pinned }),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The rustls settings of a client with this trust: HTTP/1.1 only, every handshake a full one.
    pub(super) fn into_config(self) -> ClientConfig {
        let mut config = ClientConfig::builder_with_provider(PROVIDER.clone())
            .with_safe_default_protocol_versions()
            .expect("ring has cipher suites for the default versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier(self)))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::store(Arc::new(NoSessions));
        config
    }
}

/// Notes the certificate, then verifies it.
#[derive(Debug)]
struct Verifier(Trust);

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Trace::note(|trace| trace.certificate = end_entity.to_vec());
        match &self.0 {
            Trust::Anybody => Ok(ServerCertVerified::assertion()),
            Trust::Nobody => Err(CertificateError::UnknownIssuer.into()),
            Trust::Authorities { pinned, .. } if pinned.contains(end_entity) => {
                verify_pinned(end_entity, server_name, now)
            }
            Trust::Authorities { verifier, .. } => {
                verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}

/// Verifies a certificate that the operator trusts as it is: its name and its dates, for nobody else signed it.
fn verify_pinned(
    certificate: &CertificateDer<'_>,
    server_name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, rustls::Error> {
    verify_server_name(&ParsedCertificate::try_from(certificate)?, server_name)?;
    let leaf = Leaf::read(certificate).ok_or(CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now > leaf.not_after_s {
        return Err(CertificateError::Expired.into());
    }
    if now < leaf.not_before_s {
        return Err(CertificateError::NotValidYet.into());
    }
    Ok(ServerCertVerified::assertion())
}

/// Remembers nothing: in a resumed session no certificate is shown, and one that expired since would go unnoticed. (A
/// full handshake costs 0.36 ms of CPU a probe, a resumed one 0.19.) rustls asks it when a handshake starts, which is
/// the moment that tells a slow connect from a slow handshake.
#[derive(Debug)]
struct NoSessions;

impl ClientSessionStore for NoSessions {
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        Trace::note(|trace| trace.handshake = Some(tokio::time::Instant::now()));
        None
    }

    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {}

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

/// What a server's own certificate says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Leaf {
    /// The start of its validity, in seconds since 1970.
    pub not_before_s: i64,
    /// The end of its validity, in seconds since 1970.
    pub not_after_s: i64,
    /// Who signed it.
    pub issuer: String,
    /// Whether it signed itself.
    pub self_signed: bool,
    /// Whether it calls itself an authority (`CA:TRUE`).
    pub is_authority: bool,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
}

impl Leaf {
    /// Reads a certificate in DER; none when it is none.
    pub(super) fn read(der: &[u8]) -> Option<Leaf> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        Some(Leaf {
            not_before_s: validity.not_before.timestamp(),
            not_after_s: validity.not_after.timestamp(),
            issuer: certificate.issuer().to_string(),
            self_signed: certificate.issuer() == certificate.subject(),
            is_authority: certificate.is_ca(),
            names: names(&certificate),
        })
    }

    /// The end of its validity, in seconds since 1970, and nothing else: what every probe wants to know.
    pub(super) fn end(der: &[u8]) -> Option<i64> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(certificate.validity().not_after.timestamp())
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => Some(std::net::IpAddr::from(<[u8; 4]>::try_from(*bytes).ok()?).to_string()),
            16 => Some(std::net::IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
            _ => None,
        },
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}

/// Why a certificate was refused, as far as the reason's words differ.
pub(super) fn fault(error: &CertificateError) -> CertificateFault {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => CertificateFault::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            CertificateFault::NotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            CertificateFault::OtherName
        }
        CertificateError::UnknownIssuer => CertificateFault::Untrusted,
        other => CertificateFault::Unusable(other.to_string()),
    }
}
