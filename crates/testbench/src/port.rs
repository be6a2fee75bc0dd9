//! Ports that stay ours although nobody listens on them for a while.
//!
//! A JobManager that is killed and started again must come back at its old address, so its port is chosen
//! before it starts and kept while it is down. Two things could take it meanwhile. Another test: so a port
//! is held by a lock file that all testbench processes of this machine respect. And the kernel, as the
//! source port of an outgoing connection (a client that keeps knocking at a dead port in the ephemeral
//! range can even connect to itself): so ports come from below that range.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, Result, bail};

use crate::cache;

/// Above the registered ports that people use most, below the lowest ephemeral port of Linux (32768).
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A machine with this many taken ports in a row is broken; looking further would only hide it.
const TRIES_MAX: u16 = 1_000;

/// A loopback port that no other testbench process uses while this value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Reserves a free port.
    ///
    /// # Errors
    /// No free port was found, or the lock folder cannot be written.
    pub fn reserve() -> Result<Self> {
        let folder = cache::root()?.join("ports");
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let width = RANGE.end - RANGE.start;
        // Each process begins elsewhere, so that a port just given back is not taken up at once.
        let first = u16::try_from(std::process::id() % u32::from(width)).unwrap_or_default();
        for step in 0..TRIES_MAX {
            let number = RANGE.start + (first + step) % width;
            let path = folder.join(number.to_string());
            let lock = File::create(&path).with_context(|| format!("create {}", path.display()))?;
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Ok(Self {
                    number,
                    _lock: lock,
                });
            }
        }
        bail!(
            "no free port among {TRIES_MAX} between {} and {}",
            RANGE.start,
            RANGE.end
        )
    }

    /// The port number.
    pub fn number(&self) -> u16 {
        self.number
    }
}
