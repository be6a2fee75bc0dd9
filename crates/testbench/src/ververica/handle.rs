//! What each call does. Nothing here waits: what takes time is a task of its own.

mod deployments;
mod platform;
mod savepoints;

use std::sync::Arc;

use serde_json::Value;

use super::answer::{Answer, Refusal};
use super::drive::Fate;
use super::id;
use super::render::{Pen, add_unknown_fields};
use super::route::{Call, Routed};
use super::settings::{ListOrder, Settings};
use super::shared::Shared;

/// A request that was routed and admitted.
pub(super) struct Asked<'r> {
    pub shared: &'r Arc<Shared>,
    pub routed: &'r Routed,
    pub body: &'r [u8],
    /// The settings for the deployment that it is about.
    pub settings: &'r Settings,
}

/// What a call comes to.
type Outcome = Result<Answer, Refusal>;

/// Does what was asked for. `fate`: what is to become of a savepoint that it takes.
pub(super) fn handle(asked: &Asked<'_>, fate: Fate) -> Outcome {
    asked.check_namespace()?;
    match asked.routed.call {
        Call::ListSavepoints => savepoints::list(asked),
        Call::CreateSavepoint => savepoints::create(asked, fate),
        Call::GetSavepoint => savepoints::get(asked),
        Call::DeleteSavepoint => savepoints::delete(asked),
        Call::ListDeployments => deployments::list(asked),
        Call::GetDeployment => deployments::get(asked),
        Call::PatchDeployment => deployments::patch(asked),
        Call::ListJobs => deployments::list_jobs(asked),
        Call::GetJob => deployments::get_job(asked),
        Call::ListEvents => deployments::list_events(asked),
        Call::ListDeploymentTargets => Ok(platform::deployment_targets(asked)),
        Call::Status => Ok(platform::status(asked)),
        Call::SystemInfo => Ok(platform::system_info(asked)),
        Call::ListTokens => platform::list_tokens(asked),
        Call::CreateToken => platform::create_token(asked),
        Call::GetToken => platform::get_token(asked),
        Call::DeleteToken => platform::delete_token(asked),
        Call::ListNamespaces => Ok(platform::list_namespaces(asked)),
        Call::GetNamespace => Ok(platform::get_namespace(asked)),
    }
}

impl Asked<'_> {
    /// The namespace of the path.
    fn namespace(&self) -> &str {
        self.routed.namespace.as_deref().unwrap_or_default()
    }

    fn check_namespace(&self) -> Result<(), Refusal> {
        let Some(namespace) = &self.routed.namespace else {
            return Ok(());
        };
        if self.shared.store().namespaces.contains_key(namespace) {
            return Ok(());
        }
        Err(Refusal::new(
            404,
            format!("Namespace {namespace} not found"),
        ))
    }

    fn pen(&self) -> Pen<'_> {
        Pen {
            profile: self.shared.profile,
            settings: self.settings,
        }
    }

    /// The body as JSON.
    fn json(&self) -> Result<Value, Refusal> {
        let parsed = serde_json::from_slice(self.body);
        parsed.map_err(|error| Refusal::new(400, format!("JSON parse error: {error}")))
    }

    /// A parameter of the query that must be a UUID where it is there.
    fn uuid_parameter(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let value = self.routed.parameter(name);
        match value {
            Some(value) if !id::is_uuid(value) => {
                Err(Refusal::new(400, format!("Invalid UUID string: {value}")))
            }
            _ => Ok(value),
        }
    }

    fn answer(&self, status: u16, mut body: Value) -> Answer {
        if self.settings.unknown_fields {
            add_unknown_fields(&mut body);
        }
        Answer::json(status, &body)
    }

    fn list(&self, kind: &str, mut items: Vec<Value>) -> Answer {
        match self.settings.list_order {
            ListOrder::Created => {}
            ListOrder::Newest => items.reverse(),
            ListOrder::Shuffled => items.sort_by_cached_key(|_| id::uuid()),
        }
        self.answer(200, Pen::list(kind, &items))
    }
}
