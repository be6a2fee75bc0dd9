//! What the emulator asks of a real Flink, as VVP's own controllers would.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::id;
use super::savepoint::Failure;
use crate::http::{self, Answer};

/// Between two looks at an operation.
const LOOK_EVERY: Duration = Duration::from_millis(30);

/// How long a Flink may be out of reach: a failover takes about 15 s.
const OUT_OF_REACH_MAX: Duration = Duration::from_mins(1);

/// No test's savepoint takes longer; Flink's own limit is ten minutes.
const SAVEPOINT_MAX: Duration = Duration::from_mins(12);

/// How a job is asked.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    /// The cluster's REST address.
    pub url: String,
    /// Flink's job id.
    pub job: String,
    /// Where to; `None`: the cluster's own directory.
    pub target: Option<String>,
    pub native: bool,
    /// Whether the job ends with it.
    pub stops: bool,
}

/// A savepoint that Flink took.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub location: String,
    /// Flink's trigger id, as a UUID.
    pub id: String,
}

/// Takes a savepoint. The trigger id makes it safe to repeat the request while Flink cannot be reached.
pub(super) async fn savepoint(ask: &Ask) -> Result<Taken, Failure> {
    let trigger = id::undashed(&id::uuid());
    let format = if ask.native { "NATIVE" } else { "CANONICAL" };
    let mut body = json!({ "triggerId": trigger, "formatType": format });
    // Flink spells the same field in two ways.
    let (verb, target_field) = if ask.stops {
        body["drain"] = json!(false);
        ("stop", "targetDirectory")
    } else {
        ("savepoints", "target-directory")
    };
    if let Some(target) = &ask.target {
        body[target_field] = json!(target);
    }
    let path = format!("/jobs/{}/{verb}", ask.job);
    let answer = insist(&ask.url, "POST", &path, &body).await?;
    if answer.status != 202 {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        return Err(Failure::now("SavepointTriggerFailure", text));
    }
    let location = follow(ask, &trigger).await?;
    Ok(Taken {
        location,
        id: id::dashed(&trigger),
    })
}

async fn follow(ask: &Ask, trigger: &str) -> Result<String, Failure> {
    let path = format!("/jobs/{}/savepoints/{trigger}", ask.job);
    let started = Instant::now();
    while started.elapsed() < SAVEPOINT_MAX {
        let answer = insist(&ask.url, "GET", &path, &Value::Null).await?;
        let status = answer
            .json()
            .map_err(|error| Failure::now("SavepointLost", format!("{error:#}")))?;
        if status["status"]["id"] == "COMPLETED" {
            return ended(&status["operation"]);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(Failure::now(
        "SavepointTimeout",
        "Flink did not end the savepoint",
    ))
}

fn ended(operation: &Value) -> Result<String, Failure> {
    if let Some(location) = operation["location"].as_str() {
        return Ok(location.to_owned());
    }
    let trace = &operation["failure-cause"]["stack-trace"];
    let trace = trace.as_str().unwrap_or("no cause is known");
    Err(Failure::now("SavepointFailedInFlink", trace))
}

/// Cancels a job.
pub(super) async fn cancel(url: &str, job: &str) -> Result<(), Failure> {
    let path = format!("/jobs/{job}?mode=cancel");
    insist(url, "PATCH", &path, &json!({})).await.map(drop)
}

/// Asks until Flink answers, at most [`OUT_OF_REACH_MAX`]: VVP calls such a failure recoverable.
async fn insist(
    url: &str,
    method: &'static str,
    path: &str,
    body: &Value,
) -> Result<Answer, Failure> {
    let started = Instant::now();
    loop {
        let answer = request(url, method, path, body).await;
        match answer {
            Ok(answer) if answer.status != 503 => return Ok(answer),
            Ok(_) | Err(_) if started.elapsed() < OUT_OF_REACH_MAX => {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Ok(answer) => {
                let message = format!("Flink answers {}", answer.status);
                return Err(Failure::now("FlinkUnavailable", message));
            }
            Err(error) => return Err(Failure::now("FlinkUnavailable", format!("{error:#}"))),
        }
    }
}

async fn request(url: &str, method: &'static str, path: &str, body: &Value) -> Result<Answer> {
    let (url, path) = (url.to_owned(), path.to_owned());
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let asked = spawn_blocking(move || {
        http::request(
            &url,
            method,
            &path,
            Some("application/json"),
            body.as_bytes(),
        )
    });
    asked.await.context("the emulator ends")?
}
