//! A server that speaks Google Cloud Storage's JSON API: `fake-gcs-server`, built once from its Go module.
//!
//! It is not Google's, so it proves less than a real store would: that requests are well formed and answers
//! read, not how the real one signs in or lists.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::go::Go;
use crate::process;
use crate::server::{Place, Server};
use crate::{cache, say};

const PACKAGE: &str = "github.com/fsouza/fake-gcs-server";
const VERSION: &str = "v1.56.1";

/// A running server on loopback; when it is dropped it is killed, and its files are removed.
#[derive(Debug)]
pub struct GcsServer {
    server: Server,
}

impl GcsServer {
    /// Starts one that holds these objects, each with its bucket and its key.
    ///
    /// # Errors
    /// It is not in the cache and cannot be built (no Go, no network), or does not answer in time.
    pub fn start(objects: &[(&str, &str, &[u8])]) -> Result<Self> {
        let program = program()?;
        say::step("starting a server of Google Cloud Storage's API");
        let place = Place::new("lowtide-gcs-")?;
        let data = place.folder().join("data");
        for (bucket, key, bytes) in objects {
            let path = data.join(bucket).join(key);
            fs::create_dir_all(path.parent().unwrap_or(&data))?;
            fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
        }
        let mut command = process::bound(program);
        command.args(["-scheme", "http", "-host", "127.0.0.1"]);
        command.args(["-backend", "memory", "-port", &place.port()]);
        command.args(["-public-host", &place.address(), "-log-level", "error"]);
        command.arg("-data").arg(&data);
        let is_ready = |status| status == 200;
        Server::start(place, command, "/_internal/healthcheck", is_ready)
            .map(|server| Self { server })
    }

    /// Its address: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        self.server.url()
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
