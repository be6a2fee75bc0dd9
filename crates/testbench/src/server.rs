//! A server that a test starts on loopback, with a folder and a port of its own.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use tempfile::TempDir;

use crate::http;
use crate::port::Port;
use crate::process::Bound;

/// All of them answer within seconds on an idle machine.
const START_TIMEOUT: Duration = Duration::from_mins(3);
/// What the server prints, in its folder.
const OUTPUT: &str = "server.out";

/// A running server; when it is dropped it is killed, and its files are removed.
#[derive(Debug)]
pub(crate) struct Server {
    // Before `place`: the process ends first, then its files go.
    _process: Bound,
    place: Place,
    url: String,
}

/// Where a server is to run.
#[derive(Debug)]
pub(crate) struct Place {
    scratch: TempDir,
    port: Port,
}

impl Place {
    /// A fresh folder, whose name begins like this, and a free port.
    pub(crate) fn new(prefix: &str) -> Result<Self> {
        Ok(Self {
            scratch: tempfile::Builder::new().prefix(prefix).tempdir()?,
            port: Port::reserve()?,
        })
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// The port as an argument.
    pub(crate) fn port(&self) -> String {
        self.port.number().to_string()
    }
}

impl Server {
    /// Starts `command` in its place, and waits until it answers a GET of `path` as it should.
    ///
    /// # Errors
    /// It does not start, ends by itself (with what it said), or does not answer in time.
    pub(crate) fn start(
        place: Place,
        mut command: Command,
        path: &str,
        is_ready: impl Fn(u16) -> bool,
    ) -> Result<Self> {
        let out = File::create(place.folder().join(OUTPUT))?;
        command
            .stdout(out.try_clone()?)
            .stderr(out)
            .current_dir(place.folder());
        let mut process = Bound::start(command)?;
        let url = format!("http://{}", place.address());
        let ready = http::until("the server", START_TIMEOUT, || {
            if process.ended()?.is_some() {
                return Ok(Some(false));
            }
            let answer = http::request(&url, "GET", path, None, b"")?;
            Ok(is_ready(answer.status).then_some(true))
        })?;
        if !ready {
            let said = fs::read_to_string(place.folder().join(OUTPUT)).unwrap_or_default();
            bail!("the server ended by itself: {said}");
        }
        Ok(Self {
            _process: process,
            place,
            url,
        })
    }

    /// Its address: `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.place.folder()
    }
}
