//! A process that is looked at while it runs; it ends with the test.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::{Ended, Place};

/// Longest wait for a line that must come.
const LINE_WAIT: Duration = Duration::from_mins(3);

/// A process whose stderr is read while it runs.
pub struct Running {
    child: Option<Child>,
    lines: Receiver<String>,
    seen: String,
}

impl Running {
    pub fn start(place: &Place, args: &[&str]) -> Self {
        let mut child = place
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            child: Some(child),
            lines,
            seen: String::new(),
        }
    }

    /// Waits until a line with this text was written.
    pub fn wait_for(&mut self, text: &str) {
        loop {
            let Ok(line) = self.lines.recv_timeout(LINE_WAIT) else {
                panic!("no line with `{text}` in\n{}", self.seen)
            };
            self.seen.extend([line.as_str(), "\n"]);
            if line.contains(text) {
                return;
            }
        }
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    pub fn end(mut self) -> Ended {
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        let mut ended = Ended::from(output);
        self.seen.extend(self.lines.iter().map(|line| line + "\n"));
        ended.stderr = std::mem::take(&mut self.seen);
        ended
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
