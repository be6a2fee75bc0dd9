//! Between the tests and a node that has a network of its own.
//!
//! The two share no interface, and must not: a second address beside loopback could collide with the
//! machine's own. They share a file system, though, and a Unix socket bound to a path can be reached from
//! every network namespace. So `init`, process 1 of the node, listens on one and dials or listens in there
//! for whoever asks; out here a thread does its part on loopback.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::address;
use crate::say;

/// `init` gives up dialling after five seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The door of one node: the socket of its `init`.
#[derive(Debug, Clone)]
pub(super) struct Door {
    socket: PathBuf,
}

/// A loopback port out here that leads to an address inside. It ends when dropped; connections that are open
/// go on until either end closes them.
#[derive(Debug)]
pub struct Forward {
    /// Where to connect: `127.0.0.1:PORT`.
    pub addr: SocketAddr,
    _accepting: Accepting,
}

/// An address inside that leads to a loopback port out here. It ends when dropped.
#[derive(Debug)]
pub struct Exposed {
    /// Where pods connect: `10.244.0.1:PORT`.
    pub addr: SocketAddr,
    /// Its end tells `init` to listen no more.
    _order: UnixStream,
    _accepting: Accepting,
}

impl Door {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Whether `init` listens.
    pub(super) fn is_open(&self) -> bool {
        UnixStream::connect(&self.socket).is_ok()
    }

    /// Leads a free loopback port to `target` (address and port) inside.
    pub(super) fn forward(&self, target: &str) -> Result<Forward> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen on loopback")?;
        let addr = listener.local_addr()?;
        let (door, target) = (self.clone(), target.to_owned());
        let accepting = Accepting::start(
            move || Ok(listener.accept()?.0),
            move |client: TcpStream| {
                client.set_nodelay(true)?;
                let inside = door.order(&format!("dial {target}"))?;
                relay(&client, &inside)
            },
            move || drop(TcpStream::connect(addr)),
        )?;
        Ok(Forward {
            addr,
            _accepting: accepting,
        })
    }

    /// Leads `10.244.0.1:PORT` inside to `127.0.0.1:PORT` out here.
    pub(super) fn expose(&self, port: u16) -> Result<Exposed> {
        let addr = SocketAddr::new(address::NODE_IP.into(), port);
        let socket = self.socket.with_file_name(format!("exposed-{port}"));
        remove_old(&socket)?;
        let listener =
            UnixListener::bind(&socket).with_context(|| format!("bind {}", socket.display()))?;
        let path = socket.clone();
        let accepting = Accepting::start(
            move || Ok(listener.accept()?.0),
            move |inside: UnixStream| {
                let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
                server.set_nodelay(true)?;
                relay(&server, &inside)
            },
            move || drop(UnixStream::connect(&path)),
        )?;
        let order = self.order(&format!("listen {addr} {}", socket.display()))?;
        Ok(Exposed {
            addr,
            _order: order,
            _accepting: accepting,
        })
    }

    /// Says one line to `init`, and returns the connection once it has answered "ok".
    fn order(&self, line: &str) -> Result<UnixStream> {
        let mut stream = UnixStream::connect(&self.socket)
            .with_context(|| format!("connect to {}", self.socket.display()))?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        writeln!(stream, "{line}")?;
        let answer = first_line(&stream).with_context(|| line.to_owned())?;
        if answer != "ok" {
            bail!("{line}: {answer}");
        }
        stream.set_read_timeout(None)?;
        Ok(stream)
    }
}

/// Byte by byte: what follows the line belongs to the connection behind it.
fn first_line(stream: &UnixStream) -> Result<String> {
    let mut reader = BufReader::with_capacity(1, stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// A socket of the same name that was exposed before.
fn remove_old(socket: &Path) -> Result<()> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", socket.display()))
        }
        _ => Ok(()),
    }
}

/// A thread that accepts connections, and one more for each; the first ends when this is dropped.
struct Accepting {
    stopped: Arc<AtomicBool>,
    knock: Box<dyn Fn() + Send + Sync>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Accepting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accepting").finish_non_exhaustive()
    }
}

impl Accepting {
    /// `accept` waits for the next connection, `serve` handles one, `knock` makes `accept` return.
    fn start<S: Send + 'static>(
        accept: impl Fn() -> std::io::Result<S> + Send + 'static,
        serve: impl Fn(S) -> Result<()> + Send + Sync + 'static,
        knock: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self> {
        let stopped = Arc::new(AtomicBool::new(false));
        let (flag, serve) = (Arc::clone(&stopped), Arc::new(serve));
        let thread = named("door", move || {
            while let Ok(stream) = accept() {
                if flag.load(Ordering::SeqCst) {
                    return;
                }
                let serve = Arc::clone(&serve);
                // A connection that cannot be served is closed: its client sees that.
                let started = named("relayed", move || drop(serve(stream)));
                if let Err(error) = started {
                    say::step(format!("no thread for a connection: {error:#}"));
                }
            }
        })?;
        Ok(Self {
            stopped,
            knock: Box::new(knock),
            thread: Some(thread),
        })
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        (self.knock)();
        if let Some(thread) = self.thread.take() {
            // It panics nowhere; if it did, the message is on stderr already.
            let _ = thread.join();
        }
    }
}

fn named(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let builder = thread::Builder::new().name(name.into());
    builder.spawn(run).context("start a thread")
}

/// Copies both ways until both have ended; the end of one direction is passed on.
fn relay(tcp: &TcpStream, unix: &UnixStream) -> Result<()> {
    let (from_tcp, to_unix) = (tcp.try_clone()?, unix.try_clone()?);
    let there = named("relayed", move || {
        copy(from_tcp, &to_unix);
        // Where that fails the other end is gone already.
        let _ = to_unix.shutdown(Shutdown::Write);
    })?;
    copy(unix, tcp);
    let _ = tcp.shutdown(Shutdown::Write);
    let _ = there.join();
    Ok(())
}

/// A broken connection ends a direction as its end does.
fn copy(mut from: impl Read, mut to: impl Write) {
    let _ = std::io::copy(&mut from, &mut to);
}
