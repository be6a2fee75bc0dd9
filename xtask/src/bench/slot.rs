//! A slot of `lowtide serve`: from the time that it is due to the savepoint that is kept.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use jiff::{SignedDuration, Timestamp};
use testbench::process::{Bound, bound};

/// A slot this long after the start of the program has nothing of the start in it.
const SETTLED_AFTER: SignedDuration = SignedDuration::from_secs(1);

/// Starts `serve` and waits for the first slot that it fills: how long after the slot it said that
/// the savepoint is kept, and where that lies.
pub fn first(lowtide: &Path, config: &Path) -> Result<(Duration, String)> {
    let mut command = bound(lowtide);
    command
        .arg("--config")
        .arg(config)
        .arg("serve")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut daemon = Bound::start(command)?;
    let settled = Timestamp::now() + SETTLED_AFTER;
    let log = daemon.take_stderr().context("serve has no log")?;
    for line in BufReader::new(log).lines() {
        let line = line.context("read the log of serve")?;
        let now = Timestamp::now();
        if let Some((slot, location)) = kept(&line)
            && slot > settled
        {
            daemon.kill()?;
            let took = now.duration_since(slot);
            return Ok((Duration::try_from(took)?, location.to_owned()));
        }
    }
    bail!("serve ended by itself")
}

/// The slot and the location in the line of a run that ended well.
fn kept(line: &str) -> Option<(Timestamp, &str)> {
    let (_, rest) = line.split_once(" kept: ")?;
    let (location, fields) = rest.split_once(' ')?;
    let (_, slot) = fields.split_once("slot=\"")?;
    let (slot, _) = slot.split_once('"')?;
    Some((slot.parse().ok()?, location))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_line_of_a_kept_savepoint_is_read() {
        let line = r#"2026-11-23T01:57:00.243925Z  INFO kept: file:/a/savepoint-1 application=demo/a run=0 slot="2026-11-23T01:57:00Z" phase="done""#;
        let (slot, location) = kept(line).unwrap();
        assert_eq!(location, "file:/a/savepoint-1");
        assert_eq!(slot.to_string(), "2026-11-23T01:57:00Z");
        assert!(kept("2026-11-23T01:57:00Z  INFO claimed application=demo/a").is_none());
    }
}
