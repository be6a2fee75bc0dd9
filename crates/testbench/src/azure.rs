//! A server that speaks Azure's Blob API: Azurite, the vendor's own emulator, from npm.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::process;
use crate::server::{Place, Server};
use crate::{cache, http, java, say};

const VERSION: &str = "3.37.0";

/// The account that every Azurite has (its README, "Default Storage Account").
pub const ACCOUNT: &str = "devstoreaccount1";
/// That account's key; the same everywhere, and no secret.
pub const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The version of the API that requests from here are made in.
const API: &str = "2021-08-06";

/// A running server on loopback; when it is dropped it is killed, and its files are removed.
#[derive(Debug)]
pub struct AzureServer {
    server: Server,
}

impl AzureServer {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// It is not in the cache and cannot be fetched (no npm, no network), or does not answer in time.
    pub fn start() -> Result<Self> {
        let program = program()?;
        say::step("starting a server of Azure's Blob API");
        let place = Place::new("lowtide-azure-")?;
        let mut command = process::bound("node");
        command.arg(program).args(["--blobHost", "127.0.0.1"]);
        command.args(["--blobPort", &place.port(), "--silent"]);
        command.args(["--skipApiVersionCheck", "--disableTelemetry"]);
        command.arg("--location").arg(place.folder());
        // Any answer will do: it refuses who does not sign.
        Server::start(place, command, "/", |_| true).map(|server| Self { server })
    }

    /// The address of the account: `http://127.0.0.1:PORT/devstoreaccount1`.
    pub fn url(&self) -> String {
        format!("{}/{ACCOUNT}", self.server.url())
    }

    /// Makes a container.
    ///
    /// # Errors
    /// The server refuses.
    pub fn create_container(&self, name: &str) -> Result<()> {
        let resource = format!("{name}\nrestype:container");
        self.send(&format!("{name}?restype=container"), &resource, &[], b"")
    }

    /// Puts a blob.
    ///
    /// # Errors
    /// The server refuses.
    pub fn put(&self, container: &str, key: &str, bytes: &[u8]) -> Result<()> {
        let path = format!("{container}/{key}");
        self.send(&path, &path, &[("x-ms-blob-type", "BlockBlob")], bytes)
    }

    /// A request as "Authorize with Shared Key" of Azure's documentation has it.
    fn send(&self, path: &str, resource: &str, more: &[(&str, &str)], bytes: &[u8]) -> Result<()> {
        let date = Timestamp::now()
            .strftime("%a, %d %b %Y %H:%M:%S GMT")
            .to_string();
        let mut headers = vec![("x-ms-date", date.as_str()), ("x-ms-version", API)];
        headers.extend(more);
        headers.sort_unstable();
        let length = match bytes.len() {
            0 => String::new(),
            length => length.to_string(),
        };
        let canonical = headers.iter().fold(String::new(), |all, (name, value)| {
            all + name
                + ":"
                + value
                + "
"
        });
        // Verb, encoding, language, length, then eight headers that are not sent.
        let signed = format!(
            "PUT\n\n\n{length}\n\n\n\n\n\n\n\n\n{canonical}/{ACCOUNT}/{ACCOUNT}/{resource}"
        );
        let key = BASE64.decode(KEY).context("the account's key")?;
        let signature = BASE64.encode(hmac(&key, signed.as_bytes()));
        let authorization = format!("SharedKey {ACCOUNT}:{signature}");
        headers.push(("Authorization", &authorization));
        let path = format!("/{ACCOUNT}/{path}");
        let answer = http::request_with(self.server.url(), "PUT", &path, &headers, bytes)?;
        ensure!(
            answer.status == 201,
            "PUT {path} was answered with {}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
        Ok(())
    }
}

/// HMAC with SHA-256 (RFC 2104), for keys of at most a block.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let pad = |with: u8| -> [u8; BLOCK] {
        std::array::from_fn(|at| key.get(at).copied().unwrap_or(0) ^ with)
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text);
    let outer = Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner.finalize());
    outer.finalize().into()
}

/// The script that Node runs, from the cache or fetched into it.
///
/// # Errors
/// It is not in the cache and cannot be fetched: no npm, no network.
pub fn program() -> Result<PathBuf> {
    let folder = cache::entry(&format!("azure/azurite-{VERSION}"), |folder| {
        say::step(format!("downloading Azurite {VERSION}"));
        let mut probe = process::bound("npm");
        probe.arg("--version");
        if process::output(probe).is_err() {
            java::debian("npm", "npm")?;
        }
        let mut npm = process::bound("npm");
        npm.args([
            "install",
            "--no-audit",
            "--no-fund",
            "--loglevel",
            "error",
            "--prefix",
        ]);
        npm.arg(folder).arg(format!("azurite@{VERSION}"));
        process::output(npm)
            .with_context(|| format!("fetch azurite {VERSION} (needs network)"))
            .map(drop)
    })?;
    Ok(folder.join("node_modules/azurite/dist/src/blob/main.js"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_case_of_rfc_4231() {
        let digest = hmac(b"Jefe", b"what do ya want for nothing?");
        let wanted = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex::encode(digest), wanted);
    }
}
