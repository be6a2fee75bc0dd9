//! What networks and proxies do: refused connections, error pages, lost replies, a Flink that is away.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use testbench::control::Part;
use testbench::flink::{Cluster, JobSpec, Release};
use testbench::proxy::{Gate, Proxy, Rule};

use crate::bench::{Job, LIMIT, Lowtide, begun, cluster};

const OVERVIEW: &str = "/jobs/overview";
const VITALS: &str = "/jobs/*/checkpoints";
const TRIGGER: &str = "/jobs/*/savepoints";
const STATUS: &str = "/jobs/*/savepoints/*";

#[test]
fn trouble_that_passes_is_waited_out_wherever_it_comes() {
    let cluster = cluster();
    let job = Job::named(&cluster, "weather");
    let proxy = Proxy::start(cluster.url()).unwrap();
    let html = "<html><title>Sign in</title></html>";
    let error = "{\"errors\":[\"Internal server error.\"]}";
    for rule in [
        Rule::on("GET", OVERVIEW).bad_gateway(),
        Rule::on("GET", OVERVIEW).answer(200, "text/html", html),
        Rule::on("GET", VITALS).leader_election(),
        Rule::on("GET", VITALS).refuse(),
        Rule::on("POST", TRIGGER).bad_gateway(),
        Rule::on("POST", TRIGGER).answer(500, "application/json", error),
        Rule::on("POST", TRIGGER).refuse(),
        // Lowtide looks once after each of the three above; the rest is while it follows.
        Rule::on("GET", STATUS).skip(3).bad_gateway(),
        Rule::on("GET", STATUS).skip(3).leader_election(),
        Rule::on("GET", STATUS).skip(3).refuse(),
    ] {
        proxy.rule(rule.times(1));
    }
    let told = Lowtide::on(proxy.url())
        .application("weather")
        .take("weather");
    told.kept().attempts(1);
    assert_eq!(begun(&cluster, &job), 1, "{told:#?}");
    assert_eq!(proxy.count("POST", TRIGGER), 4);
}

#[test]
fn a_platform_that_is_away_until_the_deadline() {
    let cluster = cluster();
    let job = Job::named(&cluster, "cut-off");
    let proxy = Proxy::start(cluster.url()).unwrap();
    let lowtide = Lowtide::on(proxy.url())
        .application("cut-off")
        .rule("deadline", "2s");
    let html = "<html><title>Sign in</title></html>";
    for (rule, text, hint) in [
        (
            Rule::always().bad_gateway(),
            "HTML from a proxy, “502 Bad Gateway” (status 502)",
            "can the proxy reach it?",
        ),
        (
            Rule::always().leader_election(),
            "ongoing leader election",
            "electing a leader",
        ),
        (
            Rule::always().answer(200, "text/html", html),
            "HTML from a proxy, “Sign in”",
            "a login page",
        ),
        (
            Rule::always().answer(500, "text/plain", "no"),
            "status 500, and not from Flink",
            "can the proxy reach it?",
        ),
        (Rule::always().refuse(), "the connection was cut", "`url:`"),
    ] {
        proxy.rule(rule);
        let told = lowtide.take("cut-off");
        told.failed("unreachable")
            .because(text)
            .because("until the deadline")
            .hints(hint)
            .attempts(0);
        let checked = lowtide.run(&["check", "--online"]);
        assert_eq!(checked.code, 1, "{checked:#?}");
        checked.says("\nhint: ").says(hint);
        proxy.clear();
    }
    assert_eq!(begun(&cluster, &job), 0);
}

/// This takes a minute: a request without an answer may arrive that late, and while it may, Lowtide does not
/// say that nothing comes of it.
#[test]
fn a_proxy_that_lets_no_request_through_until_the_deadline() {
    let cluster = cluster();
    let job = Job::named(&cluster, "read-only");
    let proxy = Proxy::start(cluster.url()).unwrap();
    let gate = Gate::new();
    let held = Rule::on("POST", TRIGGER).bad_gateway().hold_reply(&gate);
    proxy.rule(held.times(1));
    let lowtide = Lowtide::on(proxy.url())
        .application("read-only")
        .rule("deadline", "2s");
    let told = lowtide.meanwhile(&["take", "read-only"], || {
        gate.wait_arrived(1, LIMIT).unwrap();
        lowtide.wait_until("the deadline to pass", "read-only", |run| {
            let deadline: Timestamp = run["deadline"].as_str().unwrap().parse().unwrap();
            deadline < Timestamp::now()
        });
        gate.open();
    });
    told.failed("unreachable")
        .because("had accepted nothing when the deadline passed")
        .hints("no request gets through: look at what stands between")
        .warns("no clear answer to the request")
        .warns("502 Bad Gateway")
        .attempts(1);
    assert_eq!(proxy.count("POST", TRIGGER), 1);
    assert_eq!(begun(&cluster, &job), 0);
}

#[test]
fn a_request_that_is_repeated_in_vain_is_neither_a_success_nor_a_failure_yet() {
    let cluster = cluster();
    let job = Job::named(&cluster, "write-only");
    let proxy = Proxy::start(cluster.url()).unwrap();
    proxy.rule(Rule::on("POST", TRIGGER).bad_gateway());
    let lowtide = Lowtide::on(proxy.url())
        .application("write-only")
        .rule("deadline", "2s");
    let told = lowtide.meanwhile(&["take", "write-only", "--wait", "5s"], || {});
    assert_eq!((told.ran.code, &told.run["outcome"]), (3, &Value::Null));
    told.warns("no clear answer to the request")
        .warns("502 Bad Gateway")
        .attempts(1);
    told.ran
        .says("what became of it is not known just now")
        .says("waiting was given up")
        .says("hint: ");
    let requests = proxy.requests();
    let mut bodies: Vec<_> = requests
        .iter()
        .filter(|it| it.method == "POST")
        .map(|it| &it.body)
        .collect();
    assert!(bodies.len() > 1, "it was repeated");
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "and always the same");
    assert_eq!(begun(&cluster, &job), 0);
}

#[test]
fn a_reply_that_is_lost_costs_no_second_savepoint() {
    let cluster = cluster();
    let job = Job::named(&cluster, "lost-reply");
    let proxy = Proxy::start(cluster.url()).unwrap();
    proxy.rule(Rule::on("POST", TRIGGER).times(1).drop_reply());
    let told = Lowtide::on(proxy.url())
        .application("lost-reply")
        .take("lost-reply");
    told.kept().attempts(1);
    assert_eq!(proxy.count("POST", TRIGGER), 1);
    assert_eq!(begun(&cluster, &job), 1);
    // The same where the reply comes too late: Lowtide had given up waiting for it.
    let gate = Gate::new();
    proxy.rule(Rule::on("POST", TRIGGER).times(1).hold_reply(&gate));
    let lowtide = Lowtide::on(proxy.url())
        .application("lost-reply")
        .platform("timeout", "1s");
    lowtide.take("lost-reply").kept().attempts(1);
    gate.open();
    assert_eq!(begun(&cluster, &job), 2);
}

#[test]
fn a_connection_that_is_refused_when_it_matters_costs_no_savepoint() {
    let cluster = cluster();
    let job = Job::named(&cluster, "door");
    let proxy = Proxy::start(cluster.url()).unwrap();
    let url = proxy.url().to_owned();
    let door = Arc::new(Mutex::new(None));
    let closed = Arc::clone(&door);
    // Of the questions before the request one may stay without an answer. When all others have
    // theirs, it closes the door: from then on nobody listens there.
    let others = ["/jobmanager/config", "/jobs/*/checkpoints/config"].map(|path| {
        let answered = Gate::new();
        let opens = answered.clone();
        proxy.rule(Rule::on("GET", path).delivered(move || opens.open()));
        answered
    });
    let last = Rule::on("GET", "/jobs/*/vertices/*/backpressure");
    proxy.rule(last.after(move |_, _| {
        for answered in &others {
            answered.pass(LIMIT);
        }
        drop(closed.lock().unwrap().take());
    }));
    *door.lock().unwrap() = Some(proxy);
    let lowtide = Lowtide::on(&url).application("door");
    let told = lowtide.meanwhile(&["take", "door"], || {
        lowtide.wait_until("the request to be refused", "door", |run| {
            run["attempts"][0]["end"] == "not-sent" && is_refused(&run["hold"])
        });
        pass_on(&url, cluster.url());
    });
    told.kept().attempts(2);
    assert_eq!(begun(&cluster, &job), 1, "{told:#?}");
}

/// Listens at one address and passes everything on to another, as long as the tests run.
fn pass_on(from: &str, to: &str) {
    let address = |url: &str| url.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind(address(from)).unwrap();
    let to = address(to);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&to).unwrap();
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server, client),
            ] {
                thread::spawn(move || {
                    // Whoever hangs up ends both ways.
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
}

#[test]
fn nothing_listens_there() {
    let lowtide = Lowtide::on("http://127.0.0.1:9")
        .application("orders")
        .rule("deadline", "2s");
    let told = lowtide.take("orders");
    told.failed("unreachable")
        .because("the connection was refused, until the deadline")
        .hints("is Flink's JobManager running, and is the port right?")
        .attempts(0);
    let told = Lowtide::on("http://no-such-host.invalid:8081")
        .application("orders")
        .rule("deadline", "2s")
        .take("orders");
    told.failed("unreachable")
        .because("the host cannot be found")
        .hints("spelt right");
}

/// Without high availability a JobManager that dies forgets its jobs, and what was asked of it. One cluster
/// for both halves: it is the killing and starting that takes time.
#[test]
fn a_job_manager_that_dies_and_comes_back() {
    let cluster = Cluster::builder(Release::V2_3)
        .checkpoint_timeout(Duration::from_secs(15))
        .start()
        .unwrap();
    let spec = JobSpec::named("phoenix");
    let first = Job::submit(&cluster, &spec);

    // In mid-savepoint. Somebody submits the job again under its name, as soon as the JobManager takes it: on a slow
    // machine that is a while after it answers.
    first.control.block(Part::Async).unwrap();
    let lowtide = Lowtide::on(cluster.url())
        .application("phoenix")
        .rule("deadline", "30m")
        .rule("absent_for", "15m");
    let told = lowtide.meanwhile(&["run", "phoenix"], || {
        first.control.wait_blocked(1, LIMIT).unwrap();
        cluster.kill_job_manager().unwrap();
        lowtide.wait_until("sight to be lost", "phoenix", |run| {
            is_refused(&run["unknown"])
        });
        let shown = lowtide.run(&["show", "phoenix"]).stdout;
        assert!(
            shown.contains("what became of it is not known just now"),
            "{shown}"
        );
        cluster.start_job_manager().unwrap();
        cluster.wait_ready().unwrap();
        first.control.unblock().unwrap();
        cluster.submit(&spec).unwrap();
    });
    told.kept().attempts(2);
    assert_eq!(told.run["attempts"][0]["end"], "lost", "{told:#?}");
    assert_eq!(cluster.savepoint_triggers().unwrap().len(), 2);
    // What the first attempt left behind is in the catalog, too.
    let directories = cluster.savepoint_directories().unwrap();
    let orphans = directories.iter().filter(|it| !it.has_metadata).count();
    assert_eq!((directories.len(), orphans), (2, 1), "{directories:#?}");
    let savepoints = told.run["savepoints"].as_array().unwrap().iter();
    let mut standings: Vec<_> = savepoints
        .map(|it| it["standing"].as_str().unwrap())
        .collect();
    standings.sort_unstable();
    assert_eq!(standings, ["kept", "orphan"], "{told:#?}");

    // Down when it is asked for, and back before the deadline.
    cluster.kill_job_manager().unwrap();
    let mut third = None;
    let told = lowtide.meanwhile(&["run", "phoenix"], || {
        lowtide.wait_until("the connection to be refused", "phoenix", |run| {
            is_refused(&run["hold"])
        });
        cluster.start_job_manager().unwrap();
        cluster.wait_ready().unwrap();
        third = Some(cluster.submit(&spec).unwrap());
    });
    told.kept().attempts(1);

    // Gone while following, and not back as long as anybody waits: that is not a failure.
    let third = third.unwrap();
    third.control.block(Part::Async).unwrap();
    let told = lowtide.meanwhile(&["take", "phoenix", "--wait", "6s"], || {
        third.control.wait_blocked(1, LIMIT).unwrap();
        cluster.kill_job_manager().unwrap();
    });
    assert_eq!((told.ran.code, &told.run["outcome"]), (3, &Value::Null));
    assert!(is_refused(&told.run["unknown"]), "{told:#?}");
    told.ran
        .says("waiting was given up")
        .says("the connection was refused")
        .says("hint: how it stands: lowtide show");
}

fn is_refused(held: &Value) -> bool {
    let why = held["why"].as_str().unwrap_or_default();
    why.contains("the connection was refused")
}
