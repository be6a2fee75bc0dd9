//! HTTP/1.1 messages on a stream: what the small client and the faulty proxy share.

use std::io::{BufRead, Read as _, Write};

use anyhow::{Context as _, Result, bail, ensure};

/// The largest body we read: Flink's failure causes reach 200 KB, an uploaded jar or a job list a few MB.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// The longest line of a head. Proxies and Netty stop at 8 KB.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// A request or an answer, body and all. A body that came in chunks is joined.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// The request line or status line.
    pub first: String,
    /// Headers as they came, without those that describe how the body was sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Where a body without a length ends: a request has none, an answer goes on to the end of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Answer,
}

impl Message {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The `index`th word of the first line.
    pub fn word(&self, index: usize) -> &str {
        self.first.split(' ').nth(index).unwrap_or_default()
    }
}

/// Reads one message; `None` where the stream ends before one begins.
pub(crate) fn read(reader: &mut impl BufRead, kind: Kind) -> Result<Option<Message>> {
    let first = line(reader)?;
    if first.is_empty() {
        return Ok(None);
    }
    let mut message = Message {
        first,
        headers: Vec::new(),
        body: Vec::new(),
    };
    let (mut length, mut chunked) = (None, false);
    loop {
        let header = line(reader)?;
        let Some((name, value)) = header.split_once(':') else {
            break;
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = Some(value.parse::<u64>().context("content-length")?),
            "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            _ => message.headers.push((name.to_owned(), value.to_owned())),
        }
    }
    if chunked {
        read_chunks(reader, &mut message.body)?;
    } else {
        let without = if kind == Kind::Request || has_no_body(&message) {
            0
        } else {
            BODY_BYTES_MAX
        };
        reader
            .take(length.unwrap_or(without))
            .read_to_end(&mut message.body)?;
        ensure!(
            length.is_none_or(|n| n == message.body.len() as u64),
            "the body was cut off"
        );
    }
    Ok(Some(message))
}

/// Whether the answer ends with its head, whatever it says (RFC 9112, 6.3).
fn has_no_body(answer: &Message) -> bool {
    let status = answer.word(1);
    status.starts_with('1') || ["204", "304"].contains(&status)
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> Result<()> {
    loop {
        let size = line(reader)?;
        let size = u64::from_str_radix(size.split(';').next().unwrap_or_default(), 16)
            .with_context(|| format!("chunk size {size:?}"))?;
        ensure!(
            body.len() as u64 + size <= BODY_BYTES_MAX,
            "the body is too large"
        );
        let before = body.len() as u64;
        reader.take(size).read_to_end(body)?;
        ensure!(body.len() as u64 == before + size, "the body was cut off");
        line(reader)?;
        if size == 0 {
            return Ok(());
        }
    }
}

fn line(reader: &mut impl BufRead) -> Result<String> {
    let mut bytes = Vec::new();
    reader.take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    if bytes.len() as u64 == LINE_BYTES_MAX {
        bail!("a line of the head is too long");
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

/// Writes a message with the length of its body.
pub(crate) fn write(writer: &mut impl Write, message: &Message) -> Result<()> {
    let mut head = format!(
        "{}\r\nContent-Length: {}\r\n",
        message.first,
        message.body.len()
    );
    for (name, value) in &message.headers {
        head.push_str(name);
        head.push_str(": ");
        head.push_str(value);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    let bytes = [head.as_bytes(), &message.body].concat();
    writer
        .write_all(&bytes)
        .and_then(|()| writer.flush())
        .context("write a message")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn chunks_are_joined_and_a_short_body_is_an_error() {
        let text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\nrest";
        let mut reader = &text[..];
        let message = read(&mut reader, Kind::Answer).unwrap().unwrap();
        assert_eq!(
            (message.body.as_slice(), message.header("a")),
            (&b"abcde"[..], Some("b"))
        );
        assert_eq!(reader, b"rest");
        let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
        assert!(read(&mut &cut[..], Kind::Answer).is_err());
        assert!(read(&mut &b""[..], Kind::Request).unwrap().is_none());
    }
}
