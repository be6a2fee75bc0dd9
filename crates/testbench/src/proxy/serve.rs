//! Connections: read a request, apply the rules, forward, answer.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use rustls::{ServerConnection, StreamOwned};

use super::rule::{self, Deed, Reply, Request, Rule};
use super::{Seen, Shared, lock};
use crate::wire::{self, Kind, Message};

/// Headers that belong to one connection, and one that would give us bodies that rules cannot read.
const NOT_FORWARDED: [&str; 7] = [
    "host",
    "connection",
    "keep-alive",
    "te",
    "upgrade",
    "authorization",
    "accept-encoding",
];

pub(super) fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        let started = thread::Builder::new()
            .name("proxied".into())
            .spawn(move || {
                // A client that goes away, or is not let in, is no news to anybody but itself.
                let _ = connection(stream, &shared);
            });
        if let Err(error) = started {
            crate::say::step(format!("proxy: no thread for a connection: {error}"));
        }
    }
}

fn connection(stream: TcpStream, shared: &Shared) -> Result<()> {
    stream.set_nodelay(true)?;
    let client = stream.peer_addr()?;
    lock(&shared.connections).insert(client, stream.try_clone()?);
    let _open = Open { client, shared };
    // Who stopped the proxy meanwhile did not find this connection, to cut it.
    if shared.stopped.load(Ordering::SeqCst) {
        return Ok(());
    }
    match &shared.tls {
        None => requests(stream, shared),
        Some(config) => {
            let session = ServerConnection::new(Arc::clone(config))?;
            requests(StreamOwned::new(session, stream), shared)
        }
    }
}

/// Cuts a connection when its thread ends, also by a hook's panic: the proxy keeps a clone of the stream,
/// which would hold it open.
struct Open<'a> {
    client: SocketAddr,
    shared: &'a Shared,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(stream) = lock(&self.shared.connections).remove(&self.client) {
            // Where that fails the client has cut it already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Answers requests until the client or a rule ends the connection.
fn requests(stream: impl Read + Write, shared: &Shared) -> Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(message) = wire::read(&mut reader, Kind::Request)? {
        let last = message
            .header("connection")
            .is_some_and(|it| it.eq_ignore_ascii_case("close"));
        let Some((reply, rule)) = one(&message, shared) else {
            return Ok(());
        };
        let mut headers = vec![("Content-Type".to_owned(), reply.content_type)];
        if reply.status == 401 {
            headers.push((
                "WWW-Authenticate".to_owned(),
                "Basic realm=\"flink\"".to_owned(),
            ));
        }
        let first = format!("HTTP/1.1 {} {}", reply.status, reason(reply.status));
        wire::write(
            reader.get_mut(),
            &Message {
                first,
                headers,
                body: reply.body,
            },
        )?;
        for hook in rule.iter().flat_map(|rule| &rule.delivered) {
            hook();
        }
        if last {
            return Ok(());
        }
    }
    Ok(())
}

/// Handles one request and keeps the record of it. `None`: the connection is to be cut.
fn one(message: &Message, shared: &Shared) -> Option<(Reply, Option<Arc<Rule>>)> {
    let at = Instant::now();
    let whole = message.word(1).to_owned();
    let inside = whole
        .strip_prefix(shared.base_path.as_str())
        .filter(|it| it.starts_with('/'));
    let request = Request {
        method: message.word(0).to_owned(),
        path: inside.unwrap_or(&whole).to_owned(),
        body: message.body.clone(),
    };
    let authorization = message.header("authorization").map(str::to_owned);
    let index = {
        let mut seen = lock(&shared.seen);
        seen.push(Seen {
            at,
            method: request.method.clone(),
            path: request.path.clone(),
            body: request.body.clone(),
            authorization: authorization.clone(),
            forwarded: false,
            status: None,
            took: None,
        });
        seen.len() - 1
    };
    // The test may have told us to forget meanwhile: then there is no record to complete.
    let record = |change: &dyn Fn(&mut Seen)| {
        if let Some(entry) = lock(&shared.seen)
            .get_mut(index)
            .filter(|entry| entry.at == at)
        {
            change(entry);
        }
    };
    let mut rule = None;
    let reply = if inside.is_none() {
        Some(page(404, "Not Found"))
    } else if shared.authorization.is_some() && shared.authorization != authorization {
        Some(page(401, "Authorization Required"))
    } else {
        rule = rule::take(&mut lock(&shared.rules), &request);
        let send = || {
            record(&|entry| entry.forwarded = true);
            forward(message, &request, shared)
        };
        apply(rule.as_deref(), &request, send)
    };
    record(&|entry| {
        entry.status = reply.as_ref().map(|reply| reply.status);
        entry.took = Some(at.elapsed());
    });
    Some((reply?, rule))
}

fn apply(
    rule: Option<&Rule>,
    request: &Request,
    send: impl FnOnce() -> Result<Reply>,
) -> Option<Reply> {
    let deed = rule.map_or(Deed::Pass, |rule| rule.deed.clone());
    for hook in rule.iter().flat_map(|rule| &rule.before) {
        hook(request);
    }
    let mut reply = match &deed {
        Deed::Refuse => return None,
        Deed::Answer(reply) => reply.clone(),
        // What a web server says whose back end does not answer.
        Deed::Pass | Deed::DropReply => send().unwrap_or_else(|_| page(502, "Bad Gateway")),
    };
    for hook in rule.iter().flat_map(|rule| &rule.after) {
        hook(request, &mut reply);
    }
    (!matches!(deed, Deed::DropReply)).then_some(reply)
}

fn forward(message: &Message, request: &Request, shared: &Shared) -> Result<Reply> {
    let upstream = shared.upstream.as_str();
    let mut stream = TcpStream::connect(upstream).context("connect to the server")?;
    stream.set_nodelay(true)?;
    let mut headers = message.headers.clone();
    headers.retain(|(name, _)| !NOT_FORWARDED.contains(&name.to_ascii_lowercase().as_str()));
    let kept = |name: &str| message.header(name).filter(|_| shared.signed);
    headers.push((
        "Host".to_owned(),
        kept("host").unwrap_or(upstream).to_owned(),
    ));
    if let Some(signature) = kept("authorization") {
        headers.push(("Authorization".to_owned(), signature.to_owned()));
    }
    headers.push(("Connection".to_owned(), "close".to_owned()));
    let first = format!("{} {} HTTP/1.1", request.method, request.path);
    wire::write(
        &mut stream,
        &Message {
            first,
            headers,
            body: request.body.clone(),
        },
    )?;
    let answer = wire::read(&mut BufReader::new(stream), Kind::Answer)?
        .ok_or_else(|| anyhow!("the server closed the connection"))?;
    Ok(Reply {
        status: answer.word(1).parse().context("status")?,
        content_type: answer
            .header("content-type")
            .unwrap_or("application/json")
            .to_owned(),
        body: answer.body,
    })
}

/// A page of HTML, as proxies answer.
fn page(status: u16, title: &str) -> Reply {
    let body = format!("<html><head><title>{status} {title}</title></head></html>").into_bytes();
    Reply {
        status,
        content_type: "text/html".to_owned(),
        body,
    }
}

/// A phrase for the status line; clients do not read it.
fn reason(status: u16) -> &'static str {
    if status < 400 { "OK" } else { "Error" }
}
