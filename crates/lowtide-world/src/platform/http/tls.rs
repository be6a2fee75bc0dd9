//! TLS: the system's roots, more roots, and a certificate of our own.
//!
//! Reading the system's roots takes longer than a savepoint of a small job, and most clusters
//! are reached over plain HTTP. So the roots are read when the first server shows a certificate.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;

use super::settings::{Connection, SettingsError};

/// The TLS configuration of one address.
pub(super) fn config(connection: &Connection) -> Result<ClientConfig, SettingsError> {
    trusting(connection.ca.as_deref(), connection.client_cert.as_ref())
}

/// A TLS configuration that trusts the system's roots and those in the file `ca`, and shows the
/// certificate and key of `client_cert`.
pub(super) fn trusting(
    ca: Option<&Path>,
    client_cert: Option<&(PathBuf, PathBuf)>,
) -> Result<ClientConfig, SettingsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let extra = match ca {
        Some(path) => certificates("the CA file", path)?,
        None => Vec::new(),
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(SettingsError::ClientCertificate)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(LazyRoots {
            provider,
            extra,
            verifier: OnceLock::new(),
        }));
    let mut config = match client_cert {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(
                certificates("the client certificate", certificate)?,
                private_key(key)?,
            )
            .map_err(SettingsError::ClientCertificate)?,
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, SettingsError> {
    fs::read(path).map_err(|source| SettingsError::Unreadable {
        what,
        path: path.to_owned(),
        source,
    })
}

fn certificates(
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let pem = read(what, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(SettingsError::NotPem {
            what,
            wanted: "certificate",
            path: path.to_owned(),
        }),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, SettingsError> {
    let what = "the client key";
    let pem = read(what, path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| SettingsError::NotPem {
        what,
        wanted: "private key",
        path: path.to_owned(),
    })
}

/// The platform's verifier, made when it is first needed.
#[derive(Debug)]
struct LazyRoots {
    provider: Arc<CryptoProvider>,
    extra: Vec<CertificateDer<'static>>,
    verifier: OnceLock<Result<Verifier, Error>>,
}

impl ServerCertVerifier for LazyRoots {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verifier = self.verifier.get_or_init(|| {
            Verifier::new_with_extra_roots(self.extra.clone(), Arc::clone(&self.provider))
        });
        verifier.as_ref().map_err(Clone::clone)?.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
