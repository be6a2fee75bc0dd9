//! The faulty proxy does to requests what its rules say, and nothing else.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use testbench::http::{Answer, request};
use testbench::proxy::{Authority, Gate, Identity, Proxy, Rule};

const LIMIT: Duration = Duration::from_mins(1);

/// A server that answers every request with its own path, and counts them.
fn echo() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines();
            let first = lines.next().unwrap().unwrap();
            lines.find(|line| line.as_ref().is_ok_and(String::is_empty));
            count.fetch_add(1, Ordering::SeqCst);
            let path = first.split(' ').nth(1).unwrap();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{path}\r\n0\r\n\r\n",
                path.len()
            );
            (&stream).write_all(answer.as_bytes()).unwrap();
        }
    });
    (url, served)
}

fn get(base: &str, path: &str) -> Result<Answer> {
    request(base, "GET", path, None, b"")
}

#[test]
fn rules_apply_in_order_as_often_as_told() {
    let (upstream, served) = echo();
    let proxy = Proxy::start(&upstream).unwrap();
    proxy.rule(Rule::on("GET", "/jobs/*").skip(1).times(1).bad_gateway());
    proxy.rule(Rule::on("GET", "/jobs/*").skip(1).times(1).drop_reply());
    proxy.rule(Rule::on("GET", "/jobs/*").skip(1).times(1).refuse());
    let seen: Vec<_> = (0..5)
        .map(|_| get(proxy.url(), "/jobs/1").map(|it| it.status))
        .collect();
    // The first goes past all three; the second meets the first rule, and so on.
    assert_eq!(seen[0].as_ref().unwrap(), &200);
    assert_eq!(seen[1].as_ref().unwrap(), &502);
    assert!(seen[2].is_err() && seen[3].is_err());
    assert_eq!(seen[4].as_ref().unwrap(), &200);
    assert_eq!(
        served.load(Ordering::SeqCst),
        3,
        "the 502 and the refused one never arrived"
    );
    let statuses: Vec<_> = proxy
        .requests()
        .iter()
        .map(|it| (it.status, it.forwarded))
        .collect();
    let (ok, lost) = ((Some(200), true), (None, true));
    assert_eq!(statuses, [ok, (Some(502), false), lost, (None, false), ok]);
    assert_eq!(
        (
            proxy.count("GET", "/jobs/*"),
            proxy.count("POST", "/jobs/*")
        ),
        (5, 0)
    );
}

#[test]
fn a_reply_can_be_held_and_rewritten_and_hooks_see_it_in_time() {
    let (upstream, served) = echo();
    let proxy = Proxy::start(&upstream).unwrap();
    let gate = Gate::new();
    let calls = Arc::clone(&served);
    let rule =
        Rule::on("GET", "/held").before(move |_| assert_eq!(calls.load(Ordering::SeqCst), 0));
    let rule = rule.after(|_, reply| reply.body = b"rewritten".to_vec());
    proxy.rule(rule.hold_reply(&gate));
    let url = proxy.url().to_owned();
    let client = thread::spawn(move || get(&url, "/held").unwrap());
    gate.wait_arrived(1, LIMIT).unwrap();
    assert_eq!(served.load(Ordering::SeqCst), 1, "the server has answered");
    assert!(!client.is_finished() && proxy.requests()[0].took.is_none());
    gate.open();
    assert_eq!(client.join().unwrap().body, b"rewritten");
}

#[test]
fn a_base_path_is_taken_off_and_credentials_are_asked_for() {
    let (upstream, _) = echo();
    let proxy = Proxy::builder(&upstream)
        .base_path("/flink")
        .start()
        .unwrap();
    assert_eq!(get(proxy.url(), "").unwrap().status, 404);
    let root = proxy.url().trim_end_matches("/flink");
    assert_eq!(
        get(root, "/flink/overview?a=b").unwrap().body,
        b"/overview?a=b"
    );
    assert_eq!(get(root, "/overview").unwrap().status, 404);

    let proxy = Proxy::builder(&upstream)
        .basic_auth("lowtide", "secret")
        .start()
        .unwrap();
    assert_eq!(get(proxy.url(), "/overview").unwrap().status, 401);
    let mut stream = TcpStream::connect(proxy.url().trim_start_matches("http://")).unwrap();
    let head =
        "GET / HTTP/1.1\r\nAuthorization: Basic bG93dGlkZTpzZWNyZXQ=\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn tls_is_served_and_a_client_certificate_asked_for() {
    let (upstream, _) = echo();
    let authority = Authority::new().unwrap();
    let plain = Proxy::builder(&upstream)
        .tls(&authority)
        .unwrap()
        .start()
        .unwrap();
    assert!(plain.url().starts_with("https://127.0.0.1:"));
    assert!(
        tls_get(&plain, &authority, None)
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        tls_get(&plain, &Authority::new().unwrap(), None).is_err(),
        "another authority"
    );

    let mutual = Proxy::builder(&upstream)
        .mutual_tls(&authority)
        .unwrap()
        .start()
        .unwrap();
    let identity = authority.client("lowtide").unwrap();
    assert!(
        tls_get(&mutual, &authority, None).is_err(),
        "no certificate"
    );
    let answer = tls_get(&mutual, &authority, Some(&identity)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn tls_get(proxy: &Proxy, authority: &Authority, identity: Option<&Identity>) -> Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(PemObject::from_pem_slice(
        authority.certificate_pem().as_bytes(),
    )?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match identity {
        None => config.with_no_client_auth(),
        Some(identity) => config.with_client_auth_cert(
            vec![PemObject::from_pem_slice(
                identity.certificate_pem.as_bytes(),
            )?],
            PemObject::from_pem_slice(identity.key_pem.as_bytes())?,
        )?,
    };
    let session = ClientConnection::new(Arc::new(config), ServerName::try_from("127.0.0.1")?)?;
    let stream = TcpStream::connect(proxy.url().trim_start_matches("https://"))?;
    let mut stream = StreamOwned::new(session, stream);
    stream.write_all(b"GET /overview HTTP/1.1\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    // The proxy closes the connection without TLS' own farewell, as many servers do.
    match stream.read_to_string(&mut answer) {
        Err(error) if answer.is_empty() => Err(error.into()),
        _ => Ok(answer),
    }
}
