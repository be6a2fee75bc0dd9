//! One HTTP request, blocking, by hand.
//!
//! The tests must see Flink with other eyes than the client under test, and must be callable from any
//! thread: so this is not Lowtide's own client, and needs no runtime. Plain HTTP/1.1 to loopback, one
//! connection per request.

use std::io::BufReader;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::Value;

use crate::wire::{self, Kind, Message};

/// A slow and busy machine may stall a JVM for a minute; nothing on loopback takes longer than this.
const TIMEOUT: Duration = Duration::from_mins(3);

/// How long [`until`] sleeps between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// An answer: status code and body.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body, decoded from chunks where it came in chunks.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON, where the status is 2xx.
    ///
    /// # Errors
    /// Another status, or a body that is not JSON; the message holds its beginning, and what a stack trace
    /// in it says of causes.
    pub fn json(&self) -> Result<Value> {
        ensure!(
            (200..300).contains(&self.status),
            "status {}: {}{}",
            self.status,
            self.beginning(),
            self.causes()
        );
        serde_json::from_slice(&self.body).with_context(|| format!("parse {}", self.beginning()))
    }

    /// The first lines of the causes in a stack trace of Java's, which stands within a JSON string.
    fn causes(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let lines = text
            .split("\\n")
            .filter(|line| line.starts_with("Caused by: "));
        lines.flat_map(|line| ["\n", line]).collect()
    }

    fn beginning(&self) -> String {
        String::from_utf8_lossy(&self.body)
            .chars()
            .take(2_000)
            .collect()
    }
}

/// Sends one request to `base` (`http://127.0.0.1:PORT/PREFIX`) and reads the whole answer.
///
/// # Errors
/// Nobody listens, the connection breaks, or the answer is not HTTP.
pub fn request(
    base: &str,
    method: &str,
    path: &str,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<Answer> {
    let headers: Vec<_> = content_type
        .map(|kind| ("Content-Type", kind))
        .into_iter()
        .collect();
    request_with(base, method, path, &headers, body)
}

/// As [`request`], with any headers.
///
/// # Errors
/// As [`request`].
pub fn request_with(
    base: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Answer> {
    let address = base
        .strip_prefix("http://")
        .ok_or_else(|| anyhow!("not http: {base}"))?;
    let (address, prefix) = address.split_at(address.find('/').unwrap_or(address.len()));
    let mut stream =
        TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    let more = [("Host", address), ("Connection", "close")];
    let headers = more.iter().chain(headers);
    let headers = headers
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let first = format!("{method} {prefix}{path} HTTP/1.1");
    wire::write(
        &mut stream,
        &Message {
            first,
            headers,
            body: body.to_owned(),
        },
    )?;
    let mut reader = BufReader::new(stream);
    let (status, answer) = loop {
        let answer = wire::read(&mut reader, Kind::Answer)
            .with_context(|| format!("{method} {path}"))?
            .ok_or_else(|| anyhow!("{method} {path}: the connection was closed"))?;
        let status: u16 = answer
            .word(1)
            .parse()
            .with_context(|| format!("status {:?}", answer.first))?;
        // "100 Continue" is no answer yet, and HDFS gives it without being asked to.
        if status >= 200 {
            break (status, answer);
        }
    };
    Ok(Answer {
        status,
        body: answer.body,
    })
}

/// GET, as JSON.
///
/// # Errors
/// As [`request`] and [`Answer::json`].
pub fn get(base: &str, path: &str) -> Result<Value> {
    request(base, "GET", path, None, b"")?.json()
}

/// Sends `body` as JSON with `method`, and returns the answer as JSON.
///
/// # Errors
/// As [`request`] and [`Answer::json`].
pub fn send(base: &str, method: &str, path: &str, body: &Value) -> Result<Value> {
    request(
        base,
        method,
        path,
        Some("application/json"),
        body.to_string().as_bytes(),
    )?
    .json()
}

/// Uploads one file as the multipart field `field`.
///
/// # Errors
/// The file cannot be read; as [`request`] and [`Answer::json`].
pub fn upload(base: &str, path: &str, field: &str, file: &Path) -> Result<Value> {
    const BOUNDARY: &str = "lowtide-testbench-boundary";
    let name = file
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("upload");
    let mut body = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    body.extend(std::fs::read(file).with_context(|| format!("read {}", file.display()))?);
    body.extend(format!("\r\n--{BOUNDARY}--\r\n").into_bytes());
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    request(base, "POST", path, Some(&kind), &body)?.json()
}

/// Looks again and again until `look` returns something, at most `limit` long. An error of `look` is an
/// answer not yet given: the last one is told when time is up.
///
/// # Errors
/// Time is up; the message names `what` was waited for and what was seen last.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        let last = match look() {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if started.elapsed() > limit {
            let seen = last.map_or_else(String::new, |error| format!("; last seen: {error:#}"));
            bail!("waited {} s in vain for {what}{seen}", limit.as_secs());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
