//! A file that does not open until it may.
//!
//! A test that is to meet a program in the middle of reading must have it wait there. A lease does just that:
//! while somebody holds a write lease on a file (`fcntl(2)`, `F_SETLEASE`), whoever opens it waits in the
//! kernel until the lease is released, or until `/proc/sys/fs/lease-break-time` (45 s) has passed; in a
//! container too, as it is the file that is leased and not its path.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;

use anyhow::{Context as _, Result, ensure};

use crate::process::{Bound, bound};

/// A lease is a process', and the call has no safe wrapper here: so another program holds it. `SIGIO` says
/// that somebody wants to open the file, which is what the lease is for.
const HOLDER: &str = "
import fcntl, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = open(sys.argv[1], 'r+b')
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('held', flush=True)
signal.pause()
";

/// A lease, until it is released or dropped.
#[derive(Debug)]
pub struct Lease {
    holder: Mutex<Option<Bound>>,
}

impl Lease {
    /// Takes a lease on a file that nobody has open.
    ///
    /// # Errors
    /// There is no Python, or the kernel refuses: the file is open somewhere, or its file system knows no leases.
    pub fn take(file: &Path) -> Result<Self> {
        let mut command = bound("python3");
        command
            .args(["-c", HOLDER])
            .arg(file)
            .stdout(Stdio::piped());
        let mut holder = Bound::start(command)?;
        let mut line = String::new();
        let stdout = holder.take_stdout().context("it was piped")?;
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(line == "held\n", "no lease on {}", file.display());
        Ok(Self {
            holder: Mutex::new(Some(holder)),
        })
    }

    /// Lets whoever waits open the file.
    pub fn release(&self) {
        let mut holder = self
            .holder
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        drop(holder.take());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs::File;
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::thread;
    use std::time::Duration;

    use super::Lease;

    #[test]
    fn a_leased_file_opens_when_it_is_released() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        File::create(&file).unwrap();
        let lease = Lease::take(&file).unwrap();
        let (opened, seen) = channel();
        let opening = thread::spawn(move || {
            File::open(&file).unwrap();
            opened.send(()).unwrap();
        });
        let early = seen.recv_timeout(Duration::from_millis(300));
        assert_eq!(early, Err(RecvTimeoutError::Timeout));
        lease.release();
        seen.recv_timeout(Duration::from_secs(30)).unwrap();
        opening.join().unwrap();
    }
}
