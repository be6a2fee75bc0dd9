//! A certificate authority for one test.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// Signs servers and clients; nobody else trusts it.
#[derive(Debug)]
pub struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, both PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key, PKCS #8.
    pub key_pem: String,
}

impl Authority {
    /// A new one with a key of its own.
    ///
    /// # Errors
    /// The key cannot be made.
    pub fn new() -> Result<Self> {
        let key = KeyPair::generate().context("make a key")?;
        let mut params = CertificateParams::new(Vec::new())?;
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "Lowtide test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).context("sign the authority")?;
        Ok(Self {
            certificate,
            issuer: Issuer::new(params, key),
        })
    }

    /// Its certificate, PEM: what a client is told to trust.
    pub fn certificate_pem(&self) -> String {
        self.certificate.pem()
    }

    /// A client's certificate and key.
    ///
    /// # Errors
    /// The key cannot be made.
    pub fn client(&self, name: &str) -> Result<Identity> {
        let (certificate, key) =
            self.sign(name, Vec::new(), ExtendedKeyUsagePurpose::ClientAuth)?;
        Ok(Identity {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }

    /// A certificate and key for any use: `alternatives` are DNS names and IP addresses, `organizations` are
    /// what Kubernetes reads as groups.
    ///
    /// # Errors
    /// The key cannot be made, or an alternative is no name.
    pub(crate) fn issue(
        &self,
        name: &str,
        organizations: &[&str],
        alternatives: Vec<String>,
    ) -> Result<Identity> {
        let key = KeyPair::generate().context("make a key")?;
        let mut params = CertificateParams::new(alternatives)?;
        let subject = &mut params.distinguished_name;
        subject.push(rcgen::DnType::CommonName, name);
        for organization in organizations {
            subject.push(rcgen::DnType::OrganizationName, *organization);
        }
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params
            .signed_by(&key, &self.issuer)
            .context("sign a certificate")?;
        Ok(Identity {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }

    /// The configuration of a loopback server; `clients`: whether clients need a certificate of ours.
    pub(super) fn server(&self, clients: bool) -> Result<ServerConfig> {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let (certificate, key) = self.sign("server", names, ExtendedKeyUsagePurpose::ServerAuth)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = if clients {
            let mut roots = RootCertStore::empty();
            roots.add(self.certificate.der().clone())?;
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        builder
            .with_single_cert(chain, key)
            .context("configure TLS")
    }

    fn sign(
        &self,
        name: &str,
        alternatives: Vec<String>,
        purpose: ExtendedKeyUsagePurpose,
    ) -> Result<(rcgen::Certificate, KeyPair)> {
        let key = KeyPair::generate().context("make a key")?;
        let mut params = CertificateParams::new(alternatives)?;
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        params.extended_key_usages.push(purpose);
        let certificate = params
            .signed_by(&key, &self.issuer)
            .context("sign a certificate")?;
        Ok((certificate, key))
    }
}
