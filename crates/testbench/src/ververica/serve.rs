//! From a connection to an answer: log, credentials, faults, and the call itself.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header;
use axum::response::Response;
use serde_json::Value;
use tokio::net::TcpListener;

use super::answer::{Answer, LOGIN_PATH, Refusal};
use super::auth::{Denied, Role};
use super::connection::{CuttableListener, Cutter};
use super::drive::Fate;
use super::fault::Deed;
use super::handle::{Asked, handle};
use super::log::Seen;
use super::route::{Call, NoRoute, Routed, route};
use super::savepoint::Failure;
use super::shared::Shared;

/// No request to VVP is larger than a deployment's template.
const BODY_BYTES_MAX: usize = 4 << 20;

/// Serves `listener` until the runtime ends.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let service = Router::new()
        .fallback(answer)
        .with_state(shared)
        .into_make_service_with_connect_info::<Cutter>();
    // It has no end of its own and no error: a connection that fails is its client's affair.
    let _ = axum::serve(CuttableListener(listener), service).await;
}

/// A request, read. It has no `Debug`: it holds a secret.
struct Inbound {
    method: String,
    target: String,
    authorization: Option<String>,
    json: bool,
    body: Vec<u8>,
}

/// What the client sees.
#[derive(Debug)]
enum Reply {
    Answer(Answer),
    Cut,
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cutter): ConnectInfo<Cutter>,
    request: Request,
) -> Response {
    let at = Instant::now();
    let inbound = read(request).await;
    let entry = begin_log(&shared, at, &inbound);
    let reply = reply(&shared, inbound, entry).await;
    let status = match &reply {
        Reply::Answer(answer) => Some(answer.status),
        Reply::Cut => None,
    };
    log(&shared, entry, |seen| {
        seen.status = status;
        seen.took = Some(at.elapsed());
    });
    match reply {
        Reply::Answer(answer) => answer.into_response(),
        Reply::Cut => {
            cutter.cut();
            Response::default()
        }
    }
}

async fn read(request: Request) -> Inbound {
    let (head, body) = request.into_parts();
    let header = |name| head.headers.get(name).and_then(|it| it.to_str().ok());
    let kind = header(header::CONTENT_TYPE).unwrap_or_default();
    Inbound {
        method: head.method.as_str().to_owned(),
        target: head
            .uri
            .path_and_query()
            .map_or_else(String::new, ToString::to_string),
        authorization: header(header::AUTHORIZATION).map(str::to_owned),
        json: kind.starts_with("application/json"),
        // A body that breaks off is no JSON, and is refused as such.
        body: to_bytes(body, BODY_BYTES_MAX)
            .await
            .map(Vec::from)
            .unwrap_or_default(),
    }
}

fn begin_log(shared: &Shared, at: Instant, inbound: &Inbound) -> Entry {
    let mut seen = shared.log();
    seen.push(Seen {
        at,
        method: inbound.method.clone(),
        path: inbound.target.clone(),
        body: inbound.body.clone(),
        call: None,
        deployment: None,
        role: None,
        status: None,
        took: None,
    });
    Entry {
        index: seen.len() - 1,
        at,
    }
}

/// Where a request is in the log.
#[derive(Debug, Clone, Copy)]
struct Entry {
    index: usize,
    at: Instant,
}

fn log(shared: &Shared, entry: Entry, change: impl FnOnce(&mut Seen)) {
    // The test may have told us to forget meanwhile: then there is no record to complete.
    if let Some(seen) = shared
        .log()
        .get_mut(entry.index)
        .filter(|seen| seen.at == entry.at)
    {
        change(seen);
    }
}

async fn reply(shared: &Arc<Shared>, inbound: Inbound, entry: Entry) -> Reply {
    if inbound.target.starts_with(LOGIN_PATH) {
        return Reply::Answer(Answer::html(200, "Sign in"));
    }
    let routed = match route(shared.profile, &inbound.method, &inbound.target) {
        Ok(routed) => routed,
        Err(why) => return Reply::Answer(no_route(shared, why)),
    };
    let deployment = subject(shared, &routed, &inbound.body);
    let admitted = admit(shared, &routed, &inbound);
    log(shared, entry, |seen| {
        seen.call = Some(routed.call);
        seen.deployment.clone_from(&deployment);
        seen.role = match admitted {
            Ok(role) => role,
            Err(Denied::Forbidden(role)) => Some(role),
            Err(_) => None,
        };
    });
    if let Err(denied) = admitted {
        return Reply::Answer(refuse(shared, denied));
    }
    let deed = shared.fault(routed.call, deployment.as_deref(), |it| !it.is_fate());
    perform(
        shared,
        Work {
            routed,
            inbound,
            deployment,
        },
        deed,
    )
    .await
}

/// A request that was admitted.
struct Work {
    routed: Routed,
    inbound: Inbound,
    deployment: Option<String>,
}

async fn perform(shared: &Arc<Shared>, work: Work, deed: Option<Deed>) -> Reply {
    let refusal = |status: u16| {
        let settings = shared.settings(work.deployment.as_deref());
        Refusal::new(status, format!("The server answers {status}")).answer(&settings)
    };
    match deed {
        Some(Deed::Answer(status)) => Reply::Answer(refusal(status)),
        Some(Deed::Html(status)) => Reply::Answer(Answer::html(status, "Something is in between")),
        Some(Deed::Refuse) => Reply::Cut,
        Some(Deed::AcceptLate(late)) => {
            let later = Arc::clone(shared);
            shared.runtime.spawn(async move {
                tokio::time::sleep(late).await;
                run(&later, &work);
            });
            Reply::Cut
        }
        Some(Deed::LoseReply) => {
            run(shared, &work);
            Reply::Cut
        }
        Some(Deed::AnswerAfter(status)) => {
            run(shared, &work);
            Reply::Answer(refusal(status))
        }
        Some(Deed::DelayReply(delay)) => {
            let answer = run(shared, &work);
            tokio::time::sleep(delay).await;
            Reply::Answer(answer)
        }
        Some(Deed::Stick | Deed::Fail { .. }) | None => Reply::Answer(run(shared, &work)),
    }
}

/// Does what was asked for, at once.
fn run(shared: &Arc<Shared>, work: &Work) -> Answer {
    let settings = shared.settings(work.deployment.as_deref());
    let sends = matches!(work.inbound.method.as_str(), "POST" | "PATCH");
    if sends && !work.inbound.json {
        return Refusal::new(415, "Content type not supported").answer(&settings);
    }
    let deployment = work.deployment.as_deref();
    let fate = match shared.fault(work.routed.call, deployment, Deed::is_fate) {
        Some(Deed::Stick) => Fate::Stuck,
        Some(Deed::Fail { reason, message }) => Fate::Fails(Failure::now(&reason, message)),
        _ => Fate::Natural,
    };
    let asked = Asked {
        shared,
        routed: &work.routed,
        body: &work.inbound.body,
        settings: &settings,
    };
    handle(&asked, fate).unwrap_or_else(|refusal| refusal.answer(&settings))
}

fn admit(shared: &Shared, routed: &Routed, inbound: &Inbound) -> Result<Option<Role>, Denied> {
    let Some(needed) = routed.call.needs() else {
        return Ok(None);
    };
    let header = inbound.authorization.as_deref();
    shared
        .auth
        .admit(header, routed.namespace.as_deref(), needed)
}

fn refuse(shared: &Shared, denied: Denied) -> Answer {
    let settings = shared.settings(None);
    match denied {
        Denied::Missing => Answer::unauthenticated(&settings),
        Denied::Unknown => Refusal::new(401, "Unauthorized").answer(&settings),
        Denied::Forbidden(_) => Refusal::new(403, "Forbidden").answer(&settings),
    }
}

fn no_route(shared: &Shared, why: NoRoute) -> Answer {
    let settings = shared.settings(None);
    let (status, message) = match why {
        NoRoute::Path => (404, "Not Found"),
        NoRoute::Method => (settings.absent_method_status, "Method Not Allowed"),
    };
    Refusal::new(status, message).answer(&settings)
}

/// The id of the deployment that a request is about.
fn subject(shared: &Shared, routed: &Routed, body: &[u8]) -> Option<String> {
    let namespace = routed.namespace.as_deref()?;
    match routed.call {
        Call::CreateSavepoint => {
            let body: Value = serde_json::from_slice(body).ok()?;
            body["metadata"]["deploymentId"].as_str().map(str::to_owned)
        }
        Call::GetSavepoint | Call::DeleteSavepoint => {
            let store = shared.store();
            store
                .savepoints
                .get(&routed.id)
                .map(|it| it.deployment.clone())
        }
        Call::GetDeployment | Call::PatchDeployment => {
            let store = shared.store();
            let found = store.find(shared.profile, namespace, &routed.id);
            found.ok().map(|it| it.id.clone())
        }
        Call::GetJob => {
            let store = shared.store();
            store.jobs.get(&routed.id).map(|it| it.deployment.clone())
        }
        _ => routed.parameter("deploymentId").map(str::to_owned),
    }
}
