//! TLS: a server of ours with certificates made on the spot.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use lowtide_core::fault::{Fault, FaultKind};
use lowtide_core::name::PlatformName;
use lowtide_core::ports::World;
use lowtide_world::flink::Settings;
use lowtide_world::platform::PlatformSettings;
use lowtide_world::{Hands, SettingsError};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// An issuer, and a folder for what it issues.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("ca.pem"), issuer.pem())?;
        Ok(Self { issuer, folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate for a name, and its key.
    fn issue(&self, name: &str) -> Result<(rcgen::Certificate, KeyPair)> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec![name.to_owned()])?;
        Ok((params.signed_by(&key, &self.issuer)?, key))
    }

    /// A client's certificate and key, as files.
    fn client(&self) -> Result<(PathBuf, PathBuf)> {
        let (certificate, key) = self.issue("lowtide")?;
        let paths = (self.path("client.pem"), self.path("client.key"));
        fs::write(&paths.0, certificate.pem())?;
        fs::write(&paths.1, key.serialize_pem())?;
        Ok(paths)
    }

    /// A server that shows a certificate for `name` and says that there are no jobs.
    async fn serve(&self, name: &str, clients_must_show: bool) -> Result<SocketAddr> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let (certificate, key) = self.issue(name)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = if clients_must_show {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone())?;
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
        let config = builder.with_single_cert(vec![certificate.der().clone()], key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(stream).await?;
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        if stream.read_buf(&mut request).await? == 0 {
                            return Ok(());
                        }
                    }
                    let body = r#"{"jobs":[]}"#;
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                    stream.write_all(head.as_bytes()).await?;
                    stream.write_all(body.as_bytes()).await?;
                    stream.shutdown().await
                });
            }
        });
        Ok(address)
    }
}

fn settings(address: SocketAddr) -> Result<Settings> {
    Ok(Settings::new(format!("https://{address}").parse()?))
}

fn hands(settings: Settings) -> Result<Hands, SettingsError> {
    let platforms = BTreeMap::from([(flink(), PlatformSettings::Flink(settings))]);
    Hands::new(platforms)
}

fn flink() -> PlatformName {
    PlatformName::new("flink").expect("a valid name")
}

async fn fault(settings: Settings) -> Result<Fault> {
    let fault = hands(settings)?.jobs(&flink(), "orders").await;
    let fault = fault.err().context("the server was believed")?;
    ensure!(fault.hint.is_some(), "{fault:?}");
    Ok(fault)
}

#[tokio::test]
async fn a_server_is_believed_only_with_its_issuer() -> Result<()> {
    let authority = Authority::new()?;
    let mut settings = settings(authority.serve("127.0.0.1", false).await?)?;
    let unknown = fault(settings.clone()).await?;
    ensure!(unknown.kind == FaultKind::Permanent, "{unknown:?}");
    ensure!(unknown.text.contains("certificate"), "{unknown:?}");

    settings.ca = Some(authority.path("ca.pem"));
    ensure!(hands(settings)?.jobs(&flink(), "orders").await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_server_is_believed_only_under_its_name() -> Result<()> {
    let authority = Authority::new()?;
    let mut settings = settings(authority.serve("elsewhere.test", false).await?)?;
    settings.ca = Some(authority.path("ca.pem"));
    let wrong = fault(settings).await?;
    ensure!(wrong.kind == FaultKind::Permanent, "{wrong:?}");
    Ok(())
}

#[tokio::test]
async fn a_client_certificate_is_shown() -> Result<()> {
    let authority = Authority::new()?;
    let mut settings = settings(authority.serve("127.0.0.1", true).await?)?;
    settings.ca = Some(authority.path("ca.pem"));
    let refused = fault(settings.clone()).await?;
    ensure!(refused.kind == FaultKind::Permanent, "{refused:?}");

    settings.client_cert = Some(authority.client()?);
    ensure!(hands(settings)?.jobs(&flink(), "orders").await?.is_empty());
    Ok(())
}

#[test]
fn files_that_cannot_be_used_are_named() -> Result<()> {
    let authority = Authority::new()?;
    let (certificate, key) = authority.client()?;
    let other = KeyPair::generate()?.serialize_pem();
    fs::write(authority.path("other.key"), other)?;
    fs::write(authority.path("no.pem"), "MIIB")?;
    let plain = settings(SocketAddr::from(([127, 0, 0, 1], 1)))?;
    let with = |ca: Option<&str>, client: Option<(PathBuf, PathBuf)>| Settings {
        ca: ca.map(|name| authority.path(name)),
        client_cert: client,
        ..plain.clone()
    };
    for (settings, said) in [
        (with(Some("missing.pem"), None), "missing.pem"),
        (with(Some("no.pem"), None), "no.pem holds no certificate"),
        (
            with(None, Some((key, certificate.clone()))),
            "client.key holds no certificate",
        ),
        (
            with(None, Some((certificate.clone(), certificate.clone()))),
            "client.pem holds no private key",
        ),
        (
            with(None, Some((certificate, authority.path("other.key")))),
            "cannot be used",
        ),
    ] {
        let error = hands(settings).err().context("taken")?;
        ensure!(error.wrong.to_string().contains(said), "{error:?}");
        ensure!(error.to_string().starts_with("platform `flink`"), "{error}");
        ensure!(!error.hint().is_empty());
    }
    Ok(())
}
