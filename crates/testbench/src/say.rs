//! One line per step on stderr: whoever waits for a download or a cluster sees what is going on.

use std::io::Write as _;

/// Prints one line to stderr. A closed stderr is no reason to stop a test, so the error is dropped.
pub fn step(line: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "testbench: {}", line.as_ref());
}
