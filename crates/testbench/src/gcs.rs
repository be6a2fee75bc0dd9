//! A server that speaks Google Cloud Storage's JSON API: `fake-gcs-server`, built once from its Go module.
//!
//! It is not Google's, so it proves less than a real store would: that requests are well formed and answers
//! read, not how the real one signs in or lists.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::go::Go;
use crate::port::Port;
use crate::process::{self, Bound};
use crate::{cache, http, say};

const PACKAGE: &str = "github.com/fsouza/fake-gcs-server";
const VERSION: &str = "v1.56.1";

/// It answers within a second on an idle machine.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// A running server on loopback; when it is dropped it is killed, and its files are removed.
#[derive(Debug)]
pub struct GcsServer {
    // Before `_scratch`: the process ends first, then its files go.
    _process: Bound,
    url: String,
    _scratch: TempDir,
    _port: Port,
}

impl GcsServer {
    /// Starts one that holds these objects, each with its bucket and its key.
    ///
    /// # Errors
    /// It is not in the cache and cannot be built (no Go, no network), or does not answer in time.
    pub fn start(objects: &[(&str, &str, &[u8])]) -> Result<Self> {
        let program = program()?;
        say::step("starting a server of Google Cloud Storage's API");
        let scratch = tempfile::Builder::new().prefix("lowtide-gcs-").tempdir()?;
        let data = scratch.path().join("data");
        for (bucket, key, bytes) in objects {
            let path = data.join(bucket).join(key);
            fs::create_dir_all(path.parent().unwrap_or(&data))?;
            fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
        }
        let port = Port::reserve()?;
        let address = format!("127.0.0.1:{}", port.number());
        let mut command = process::bound(program);
        command.args([
            "-scheme",
            "http",
            "-host",
            "127.0.0.1",
            "-backend",
            "memory",
        ]);
        command.args(["-port", &port.number().to_string()]);
        command.args(["-public-host", &address, "-log-level", "error"]);
        command.arg("-data").arg(&data);
        let out = File::create(scratch.path().join("server.out"))?;
        command
            .stdout(out.try_clone()?)
            .stderr(out)
            .current_dir(scratch.path());
        let mut process = Bound::start(command)?;
        let url = format!("http://{address}");
        let ready = http::until("the server", START_TIMEOUT, || {
            if process.ended()?.is_some() {
                return Ok(Some(false));
            }
            let answer = http::request(&url, "GET", "/_internal/healthcheck", None, b"")?;
            Ok((answer.status == 200).then_some(true))
        })?;
        if !ready {
            let said = fs::read_to_string(scratch.path().join("server.out")).unwrap_or_default();
            bail!("the server ended by itself: {said}");
        }
        Ok(Self {
            _process: process,
            url,
            _scratch: scratch,
            _port: port,
        })
    }

    /// Its address: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// The server's program, from the cache or built into it.
///
/// # Errors
/// It is not in the cache and cannot be built: no Go, no network.
pub fn program() -> Result<PathBuf> {
    let folder = cache::entry(&format!("gcs/fake-gcs-server-{VERSION}"), |folder| {
        say::step("building a server of Google Cloud Storage's API: once");
        Go::ensure()?.install(&format!("{PACKAGE}@{VERSION}"), folder)
    })?;
    Ok(folder.join("fake-gcs-server"))
}
