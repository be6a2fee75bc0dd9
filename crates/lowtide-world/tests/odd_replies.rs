//! What stands between Lowtide and Flink answers oddly, or not at all. A server of ours plays
//! it; most of all, a request for a savepoint must reach it exactly once, whatever it does.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use lowtide_core::fault::FaultKind;
use lowtide_core::name::{JobId, Location, PlatformName, RunId, TriggerId};
use lowtide_core::ports::World;
use lowtide_core::run::{Attempt, CauseKind, Operation, OwnDirectory, Reply};
use lowtide_core::savepoint::Format;
use lowtide_world::Hands;
use lowtide_world::flink::{Auth, Settings};
use lowtide_world::kubernetes::LISTING_FRESH;
use lowtide_world::platform::PlatformSettings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const JOB: &str = "0123456789abcdef0123456789abcdef";
/// How long the tests' clients wait: long enough for loopback, short for a test.
const TIMEOUT: Duration = Duration::from_millis(500);

/// What the server does with a request.
#[derive(Clone)]
enum Act {
    /// Writes these bytes and keeps the connection.
    Say(String),
    /// Writes these bytes and closes the connection.
    SayAndClose(String),
    /// Closes the connection.
    Close,
    /// Says nothing.
    Wait,
    /// Writes what belongs to the path.
    Route(fn(&str) -> String),
}

/// A server that does what its list says, the last entry for ever, and notes every request.
struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(acts: Vec<Act>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let requests = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, acts.clone(), Arc::clone(&noted)));
            }
        });
        Ok(Self { address, requests })
    }

    async fn saying(reply: impl Into<String>) -> Result<Self> {
        Self::start(vec![Act::Say(reply.into())]).await
    }

    fn requests(&self) -> Vec<String> {
        let noted = self.requests.lock();
        noted.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn posts(&self) -> usize {
        let requests = self.requests();
        let posts = requests.iter().filter(|head| head.starts_with("POST "));
        posts.count()
    }

    fn settings(&self) -> Result<Settings> {
        let mut settings = Settings::new(format!("http://{}", self.address).parse()?);
        settings.timeout = TIMEOUT;
        Ok(settings)
    }

    fn hands(&self) -> Result<Hands> {
        hands(self.settings()?)
    }
}

/// Reads requests with their bodies, one after the other, and acts.
async fn serve(mut stream: TcpStream, acts: Vec<Act>, noted: Arc<Mutex<Vec<String>>>) {
    let mut pending = Vec::new();
    loop {
        let Some(request) = request(&mut stream, &mut pending).await else {
            return;
        };
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let act = {
            let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
            noted.push(request);
            acts.get(noted.len() - 1).or(acts.last()).cloned()
        };
        let act = match act {
            Some(Act::Route(answer)) => Some(Act::Say(answer(&path))),
            other => other,
        };
        match act {
            Some(Act::Say(text)) => {
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
            Some(Act::SayAndClose(text)) => {
                let _ = stream.write_all(text.as_bytes()).await;
                return;
            }
            Some(Act::Close) | None => return,
            Some(Act::Wait | Act::Route(_)) => std::future::pending().await,
        }
    }
}

/// One request as text, or `None` at the end of the connection.
async fn request(stream: &mut TcpStream, pending: &mut Vec<u8>) -> Option<String> {
    loop {
        let text = String::from_utf8_lossy(pending).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    let is_length = name.eq_ignore_ascii_case("content-length");
                    is_length.then(|| value.trim().parse::<usize>().ok())?
                })
                .unwrap_or(0);
            if body.len() >= length {
                pending.drain(..head.len() + 4 + length);
                return Some(format!("{head}\r\n\r\n{}", &body[..length]));
            }
        }
        let mut buffer = [0; 4_096];
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => pending.extend_from_slice(&buffer[..count]),
        }
    }
}

fn http(status: &str, content_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

fn json(status: &str, body: &str) -> String {
    http(status, "application/json; charset=UTF-8", body)
}

fn html(status: &str) -> String {
    let page = "<html><head><title>Sign in</title></head><body></body></html>";
    http(status, "text/html", page)
}

fn hands(settings: Settings) -> Result<Hands> {
    let platforms = BTreeMap::from([(flink(), PlatformSettings::Flink(settings))]);
    Ok(Hands::new(platforms)?)
}

fn flink() -> PlatformName {
    PlatformName::new("flink").expect("a valid name")
}

fn attempt() -> Attempt {
    let now = Timestamp::now();
    let base = Location::new("/savepoints");
    let trigger_id = TriggerId::of_attempt(RunId::from_bytes([1; 16]), 1);
    Attempt {
        directory: Some(OwnDirectory {
            target: base.join("orders").join("request-1"),
            base,
        }),
        sent_at: Some(now),
        calls: 1,
        ..Attempt::frozen(1, JobId::new(JOB), now, trigger_id, Format::Native, now)
    }
}

fn accepted() -> String {
    let id = attempt().trigger_id;
    json("202 Accepted", &format!(r#"{{"request-id":"{id}"}}"#))
}

fn completed() -> String {
    let body = r#"{"status":{"id":"COMPLETED"},"operation":{"location":"file:/s/savepoint-1"}}"#;
    json("200 OK", body)
}

// === questions put ahead ===

fn of_a_flink(path: &str) -> String {
    match path {
        "/jobs/overview" => json("200 OK", r#"{"jobs":[]}"#),
        _ => json("200 OK", "[]"),
    }
}

/// A cluster with one job, of which nothing is known but that it runs.
fn of_a_flink_with_a_job(path: &str) -> String {
    let job = format!("/jobs/{JOB}");
    match path.strip_prefix(&job) {
        Some("") => json(
            "200 OK",
            r#"{"state":"RUNNING","start-time":1,"now":2,"vertices":[]}"#,
        ),
        Some(_) => json("404 Not Found", r#"{"errors":["gone"]}"#),
        None if path == "/jobs/overview" => json(
            "200 OK",
            &format!(
                r#"{{"jobs":[{{"jid":"{JOB}","name":"orders","state":"RUNNING","start-time":1}}]}}"#
            ),
        ),
        None => json("200 OK", "[]"),
    }
}

impl Server {
    /// How often the job itself was asked for.
    fn jobs_asked(&self) -> usize {
        let head = format!("GET /jobs/{JOB} ");
        let requests = self.requests();
        requests.iter().filter(|it| it.starts_with(&head)).count()
    }

    /// Waits for something that requests bring about.
    async fn until(&self, come: impl Fn(&Self) -> bool) -> Result<()> {
        let coming = async {
            while !come(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        Ok(tokio::time::timeout(TIMEOUT * 10, coming).await?)
    }

    /// How often the jobs were asked for, once so many requests have come in all.
    async fn overviews_of(&self, requests: usize) -> Result<usize> {
        self.until(|it| it.requests().len() >= requests).await?;
        let requests = self.requests();
        let overviews = requests.iter().filter(|head| head.contains("/overview"));
        Ok(overviews.count())
    }
}

#[tokio::test]
async fn an_answer_that_was_asked_for_ahead_serves_once_and_not_for_long() -> Result<()> {
    let server = Server::start(vec![Act::Route(of_a_flink)]).await?;
    let hands = server.hands()?;
    let platform = flink();
    hands.ask_ahead([(&platform, "orders"), (&platform, "payments")]);
    // Both names share one listing; beside it, the cluster's configuration is read.
    ensure!(server.overviews_of(2).await? == 1);
    hands.jobs(&platform, "orders").await?;
    ensure!(server.overviews_of(2).await? == 1);
    hands.jobs(&platform, "orders").await?;
    ensure!(server.overviews_of(3).await? == 2);
    tokio::time::sleep(LISTING_FRESH).await;
    hands.jobs(&platform, "payments").await?;
    ensure!(
        server.overviews_of(4).await? == 3,
        "an old answer was taken"
    );
    Ok(())
}

#[tokio::test]
async fn health_that_was_asked_for_ahead_serves_the_first_gate_alone() -> Result<()> {
    let server = Server::start(vec![Act::Route(of_a_flink_with_a_job)]).await?;
    let hands = server.hands()?;
    let (platform, job) = (flink(), JobId::new(JOB));
    hands.ask_ahead([(&platform, "orders")]);
    hands.jobs(&platform, "orders").await?;
    // Whoever asks what it looks like just now is not told what it looked like before.
    hands.vitals(&platform, &job).await?;
    server.until(|it| it.jobs_asked() == 2).await?;
    let vitals = hands.first_vitals(&platform, &job).await?;
    ensure!(vitals.started_at == Timestamp::from_millisecond(1)?);
    ensure!(server.jobs_asked() == 2, "it was asked for again");
    hands.first_vitals(&platform, &job).await?;
    ensure!(server.jobs_asked() == 3, "it served twice");
    Ok(())
}

#[tokio::test]
async fn what_went_wrong_ahead_is_asked_for_again() -> Result<()> {
    let wrong = || Act::Say(html("502 Bad Gateway"));
    let server = Server::start(vec![wrong(), wrong(), Act::Route(of_a_flink)]).await?;
    let hands = server.hands()?;
    let platform = flink();
    hands.ask_ahead([(&platform, "orders")]);
    ensure!(server.overviews_of(2).await? == 1);
    hands.jobs(&platform, "orders").await?;
    ensure!(server.overviews_of(3).await? == 2);
    Ok(())
}

// === exactly one request ===

#[tokio::test]
async fn the_request_says_what_flink_wants_to_know() -> Result<()> {
    let server = Server::saying(accepted()).await?;
    let reply = server.hands()?.trigger(&flink(), &attempt()).await;
    ensure!(reply == Reply::Accepted, "{reply:?}");
    let requests = server.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").context("a body")?;
    ensure!(
        head.starts_with(&format!("POST /jobs/{JOB}/savepoints HTTP/1.1\r\n")),
        "{head}"
    );
    let id = attempt().trigger_id;
    let wanted = format!(
        r#"{{"target-directory":"file:/savepoints/orders/request-1","formatType":"NATIVE","triggerId":"{id}"}}"#
    );
    ensure!(body == wanted, "{body}");
    Ok(())
}

#[tokio::test]
async fn a_connection_that_is_cut_after_the_request_brings_no_second_one() -> Result<()> {
    let server = Server::start(vec![Act::Close]).await?;
    let hands = server.hands()?;
    let reply = hands.trigger(&flink(), &attempt()).await;
    ensure!(matches!(reply, Reply::Unclear(_)), "{reply:?}");
    // Were it sent again, it would be on its way by now: the next request comes after it.
    let _ = hands.jobs(&flink(), "orders").await;
    ensure!(server.posts() == 1, "{:?}", server.requests());
    Ok(())
}

#[tokio::test]
async fn a_kept_connection_that_is_cut_after_the_request_brings_no_second_one() -> Result<()> {
    let jobs = json("200 OK", r#"{"jobs":[]}"#);
    let server = Server::start(vec![Act::Say(jobs.clone()), Act::Close, Act::Say(jobs)]).await?;
    let hands = server.hands()?;
    hands.jobs(&flink(), "orders").await?;
    let reply = hands.trigger(&flink(), &attempt()).await;
    ensure!(matches!(reply, Reply::Unclear(_)), "{reply:?}");
    hands.jobs(&flink(), "orders").await?;
    ensure!(server.posts() == 1, "{:?}", server.requests());
    Ok(())
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_meanwhile_brings_at_most_one() -> Result<()> {
    for _ in 0..50 {
        let jobs = json("200 OK", r#"{"jobs":[]}"#);
        let server = Server::start(vec![Act::SayAndClose(jobs), Act::Say(accepted())]).await?;
        let hands = server.hands()?;
        hands.jobs(&flink(), "orders").await?;
        // No waiting: the request and the news of the closed connection race each other.
        let reply = hands.trigger(&flink(), &attempt()).await;
        let posts = server.posts();
        match reply {
            Reply::Accepted => ensure!(posts == 1, "{posts} requests"),
            // It went into the closed connection, and was not sent again.
            Reply::Unclear(_) => ensure!(posts == 0, "{posts} requests"),
            other => anyhow::bail!("{other:?}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_unanswered_request_is_unclear_and_stays_one() -> Result<()> {
    let server = Server::start(vec![Act::Wait]).await?;
    let reply = server.hands()?.trigger(&flink(), &attempt()).await;
    let Reply::Unclear(fault) = reply else {
        anyhow::bail!("{reply:?}");
    };
    ensure!(fault.text.contains("no answer within 0.5 s"), "{fault:?}");
    ensure!(server.posts() == 1);
    Ok(())
}

#[tokio::test]
async fn only_a_connection_that_never_was_is_not_sent() -> Result<()> {
    // A port that was free a moment ago.
    let port = StdListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let refused = hands(Settings::new(format!("http://127.0.0.1:{port}").parse()?))?;
    let Reply::NotSent(fault) = refused.trigger(&flink(), &attempt()).await else {
        anyhow::bail!("sent to nobody");
    };
    ensure!(
        fault.kind == FaultKind::Transient && fault.text.contains("refused"),
        "{fault:?}"
    );

    for odd in [
        html("200 OK"),
        html("502 Bad Gateway"),
        html("404 Not Found"),
        json("200 OK", "{}"),
        json("202 Accepted", "{}"),
        json(
            "202 Accepted",
            r#"{"request-id":"ffffffffffffffffffffffffffffffff"}"#,
        ),
        json("404 Not Found", r#"{"errors":["Not found: /jobs"]}"#),
        json(
            "500 Internal Server Error",
            r#"{"errors":["Internal server error."]}"#,
        ),
        json(
            "503 Service Unavailable",
            r#"{"errors":["Service temporarily unavailable"]}"#,
        ),
        "HTTP/1.1 202 Accepted\r\ncontent-length: 100\r\n\r\n{".to_owned(),
        "nonsense\r\n\r\n".to_owned(),
    ] {
        let server = Server::start(vec![Act::SayAndClose(odd.clone())]).await?;
        let reply = server.hands()?.trigger(&flink(), &attempt()).await;
        ensure!(matches!(reply, Reply::Unclear(_)), "{odd}: {reply:?}");
        ensure!(server.posts() == 1);
    }
    Ok(())
}

#[tokio::test]
async fn what_flink_or_a_guard_refuses_is_refused() -> Result<()> {
    let no_directory = r#"{"errors":["org.apache.flink.runtime.rest.handler.RestHandlerException: Config key [execution.checkpointing.savepoint-dir] is not set. Property [target-directory] must be provided.\n\tat X"]}"#;
    let old = r#"{"errors":["Bad request received.","Request did not match expected format SavepointTriggerRequestBody."]}"#;
    for (answer, kind, said) in [
        (
            json("400 Bad Request", no_directory),
            CauseKind::NoSavepointDirectory,
            "is not set",
        ),
        (
            json("400 Bad Request", old),
            CauseKind::Refused,
            "did not match",
        ),
        (html("401 Unauthorized"), CauseKind::Denied, "401"),
        (html("403 Forbidden"), CauseKind::Denied, "403"),
    ] {
        let server = Server::saying(answer).await?;
        let reply = server.hands()?.trigger(&flink(), &attempt()).await;
        let Reply::Refused(cause) = reply else {
            anyhow::bail!("{reply:?}");
        };
        ensure!(cause.kind == kind && cause.hint.is_some(), "{cause:?}");
        ensure!(cause.text.contains(said), "{cause:?}");
    }
    Ok(())
}

// === following ===

#[tokio::test]
async fn one_question_is_one_request() -> Result<()> {
    let server = Server::saying(completed()).await?;
    let hands = server.hands()?;
    for _ in 0..3 {
        let operation = hands.operation(&flink(), &attempt()).await?;
        ensure!(operation == Operation::Completed(Location::new("/s/savepoint-1")));
    }
    ensure!(server.requests().len() == 3);
    Ok(())
}

#[tokio::test]
async fn completed_is_not_success() -> Result<()> {
    let failed = r#"{"status":{"id":"COMPLETED"},"operation":{"failure-cause":{"class":"java.util.concurrent.CompletionException","stack-trace":"org.apache.flink.runtime.checkpoint.CheckpointException: Checkpoint expired before completing.\n\tat A","serialized-throwable":"rO0AB"}}}"#;
    let server = Server::saying(json("200 OK", failed)).await?;
    let operation = server.hands()?.operation(&flink(), &attempt()).await?;
    ensure!(
        matches!(&operation, Operation::Failed(cause) if cause.kind == CauseKind::Expired),
        "{operation:?}"
    );
    let nothing = json("200 OK", r#"{"status":{"id":"COMPLETED"},"operation":{}}"#);
    let server = Server::saying(nothing).await?;
    ensure!(
        server
            .hands()?
            .operation(&flink(), &attempt())
            .await
            .is_err()
    );
    Ok(())
}

#[tokio::test]
async fn a_plan_says_no_more_than_flink_does() -> Result<()> {
    let vertex = |id: &str, max: &str| {
        format!(r#"{{"vertices":[{{"id":"{id}","name":"a\n-> b","parallelism":2{max}}}]}}"#)
    };
    let planned = async |body: String| {
        let server = Server::saying(json("200 OK", &body)).await?;
        let hands = hands(server.settings()?)?;
        Ok::<_, anyhow::Error>(hands.plan(&flink(), &JobId::new(JOB)).await)
    };
    for (max, known) in [
        (r#","maxParallelism":128"#, Some(128)),
        (r#","maxParallelism":-1"#, None),
        ("", None),
    ] {
        let plan = planned(vertex(JOB, max)).await??;
        let vertex = &plan.vertices[0];
        assert_eq!(vertex.id.to_string(), JOB);
        assert_eq!((vertex.parallelism, vertex.max_parallelism), (2, known));
        assert_eq!(vertex.name, "a -> b");
    }
    let fault = planned(vertex("../jars", "")).await?.expect_err("no id");
    assert_eq!(fault.kind, FaultKind::Permanent);
    Ok(())
}

#[tokio::test]
async fn a_404_is_not_found_only_from_flink_itself() -> Result<()> {
    let unknown = json(
        "404 Not Found",
        r#"{"errors":["There is no savepoint operation with triggerId=1 for job 2."]}"#,
    );
    let jobs = json(
        "200 OK",
        &format!(
            r#"{{"jobs":[{{"jid":"{JOB}","name":"orders","state":"RUNNING","start-time":1700000000000}}]}}"#
        ),
    );
    let server = Server::start(vec![Act::Say(unknown), Act::Say(jobs)]).await?;
    let operation = server.hands()?.operation(&flink(), &attempt()).await?;
    let started_at = Timestamp::from_millisecond(1_700_000_000_000)?;
    ensure!(
        operation
            == Operation::NotFound {
                job_started_at: Some(started_at)
            }
    );

    for other in [
        html("404 Not Found"),
        json(
            "404 Not Found",
            r#"{"errors":["Unable to load requested file /flink/jobs."]}"#,
        ),
        json("404 Not Found", r#"{"message":"no route"}"#),
    ] {
        let server = Server::saying(other.clone()).await?;
        let fault = server
            .hands()?
            .operation(&flink(), &attempt())
            .await
            .err()
            .context(other)?;
        ensure!(
            fault.kind == FaultKind::Permanent && fault.hint.is_some(),
            "{fault:?}"
        );
    }
    Ok(())
}

// === what is not Flink ===

#[tokio::test]
async fn faults_say_what_answered_and_how_long_it_lasts() -> Result<()> {
    use FaultKind::{Permanent, Transient};
    let leader = r#"{"errors":["Service temporarily unavailable due to an ongoing leader election. Please refresh."]}"#;
    for (answer, kind, said) in [
        (
            html("200 OK"),
            Transient,
            "HTML from a proxy, “Sign in” (status 200)",
        ),
        (html("502 Bad Gateway"), Transient, "HTML from a proxy"),
        (
            json("503 Service Unavailable", leader),
            Transient,
            "leader election",
        ),
        (
            http("504 Gateway Timeout", "text/plain", "late"),
            Transient,
            "504",
        ),
        (html("302 Found"), Permanent, "302"),
        (html("401 Unauthorized"), Permanent, "401"),
        (html("404 Not Found"), Permanent, "404"),
        (
            json("200 OK", r#"{"cluster_name":"other"}"#),
            Permanent,
            "not as Flink writes it",
        ),
        (json("200 OK", "{\"jobs\":["), Transient, "not the JSON"),
        (json("204 No Content", ""), Transient, "204"),
    ] {
        let server = Server::saying(answer).await?;
        let fault = server
            .hands()?
            .jobs(&flink(), "orders")
            .await
            .err()
            .context("an odd reply passed")?;
        ensure!(
            fault.kind == kind && fault.text.contains(said),
            "{said}: {fault:?}"
        );
        ensure!(kind == Transient || fault.hint.is_some(), "{fault:?}");
    }
    Ok(())
}

#[tokio::test]
async fn too_large_an_answer_is_not_read_to_its_end() -> Result<()> {
    let endless = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n{}",
        " ".repeat(5 << 20)
    );
    let server = Server::start(vec![Act::SayAndClose(endless)]).await?;
    let fault = server
        .hands()?
        .operation(&flink(), &attempt())
        .await
        .err()
        .context("read all")?;
    ensure!(
        fault.kind == FaultKind::Permanent && fault.text.contains("larger than"),
        "{fault:?}"
    );
    Ok(())
}

#[tokio::test]
async fn silence_ends_with_the_timeout() -> Result<()> {
    let server = Server::start(vec![Act::Wait]).await?;
    let fault = server
        .hands()?
        .jobs(&flink(), "orders")
        .await
        .err()
        .context("an answer")?;
    ensure!(
        fault.kind == FaultKind::Transient && fault.text.contains("0.5 s"),
        "{fault:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_host_that_cannot_be_found_may_come_back() -> Result<()> {
    // RFC 6761: `.invalid` never exists.
    let hands = hands(Settings::new("http://jobmanager.invalid:8081".parse()?))?;
    let reply = hands.trigger(&flink(), &attempt()).await;
    let Reply::NotSent(fault) = reply else {
        anyhow::bail!("{reply:?}");
    };
    ensure!(
        fault.kind == FaultKind::Transient && fault.text.contains("cannot be found"),
        "{fault:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_server_without_tls_is_a_permanent_fault() -> Result<()> {
    let server = Server::start(vec![Act::Close]).await?;
    // Enough for the client to see that this is no TLS.
    let plain = TcpListener::bind("127.0.0.1:0").await?;
    let address = plain.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            let _ = stream.write_all(html("400 Bad Request").as_bytes()).await;
        }
    });
    let hands = hands(Settings::new(format!("https://{address}").parse()?))?;
    let Reply::NotSent(fault) = hands.trigger(&flink(), &attempt()).await else {
        anyhow::bail!("sent without TLS");
    };
    ensure!(
        fault.kind == FaultKind::Permanent && fault.hint.is_some(),
        "{fault:?}"
    );
    ensure!(server.requests().is_empty());
    Ok(())
}

// === proxies, logins ===

#[tokio::test]
async fn a_path_before_the_api_is_kept() -> Result<()> {
    let server = Server::saying(json("200 OK", r#"{"jobs":[]}"#)).await?;
    for path in ["/proxy/flink", "/proxy/flink/"] {
        let url = format!("http://{}{path}", server.address);
        hands(Settings::new(url.parse()?))?
            .jobs(&flink(), "orders")
            .await?;
    }
    for request in server.requests() {
        ensure!(
            request.starts_with("GET /proxy/flink/jobs/overview HTTP/1.1\r\n"),
            "{request}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn logins_are_sent_and_never_shown() -> Result<()> {
    let basic = Auth::Basic {
        user: "ann".into(),
        password: "tops3cret".into(),
    };
    for (auth, header) in [
        (basic, "authorization: Basic YW5uOnRvcHMzY3JldA=="),
        (
            Auth::Bearer("tops3cret".into()),
            "authorization: Bearer tops3cret",
        ),
    ] {
        let server = Server::saying(html("401 Unauthorized")).await?;
        let mut settings = server.settings()?;
        settings.auth = Some(auth);
        let hands = hands(settings)?;
        let fault = hands
            .jobs(&flink(), "orders")
            .await
            .err()
            .context("let in")?;
        ensure!(
            fault
                .hint
                .as_deref()
                .is_some_and(|hint| hint.contains("not accepted"))
        );
        ensure!(
            server.requests()[0]
                .to_lowercase()
                .contains(&header.to_lowercase())
        );
        ensure!(!format!("{hands:?}{fault:?}").contains("tops3cret"));
    }
    Ok(())
}

#[tokio::test]
async fn a_password_in_the_address_is_used_and_never_shown() -> Result<()> {
    let server = Server::saying(html("403 Forbidden")).await?;
    let url = format!("http://ann:tops3cret@{}", server.address);
    let hands = hands(Settings::new(url.parse()?))?;
    let fault = hands
        .jobs(&flink(), "orders")
        .await
        .err()
        .context("let in")?;
    ensure!(server.requests()[0].contains("Basic YW5uOnRvcHMzY3JldA=="));
    ensure!(!format!("{hands:?}{fault:?}").contains("tops3cret"));
    Ok(())
}

/// A running job with ten sources that nobody holds back.
fn cluster(path: &str) -> String {
    let sources: Vec<String> = (0..10)
        .map(|number| format!(r#"{{"id":"{number:032x}"}}"#))
        .collect();
    let sources = sources.join(",");
    let body = match path {
        "/jobmanager/config" => r#"[{"key":"state.savepoints.dir","value":"/s"}]"#.to_owned(),
        path if path.ends_with("/backpressure") => {
            r#"{"status":"ok","backpressureLevel":"ok","end-timestamp":99000}"#.to_owned()
        }
        path if path.ends_with("/config") => {
            r#"{"interval":1000,"timeout":600000,"tolerable_failed_checkpoints":0}"#.to_owned()
        }
        path if path.ends_with("/checkpoints") => {
            r#"{"counts":{"in_progress":0},"history":[]}"#.to_owned()
        }
        _ => format!(
            r#"{{"state":"RUNNING","start-time":1000,"now":100000,"plan":{{"nodes":[{sources}]}}}}"#
        ),
    };
    json("200 OK", &body)
}

#[tokio::test]
async fn looking_at_a_job_costs_a_bounded_number_of_requests() -> Result<()> {
    let server = Server::start(vec![Act::Route(cluster)]).await?;
    let hands = server.hands()?;
    let job = JobId::new(JOB);
    let vitals = hands.vitals(&flink(), &job).await?;
    ensure!(vitals.savepoint_directory == Some(Location::new("/s")));
    // Two of the ten were not asked.
    ensure!(vitals.back_pressured.is_none(), "{vitals:?}");
    let first = server.requests().len();
    ensure!(first == 4 + 8, "{first} requests");
    hands.vitals(&flink(), &job).await?;
    let second = server.requests().len() - first;
    ensure!(
        second == 3 + 8,
        "{second} requests: the configuration is remembered"
    );
    Ok(())
}
