//! The platform itself: status, tokens, namespaces, deployment targets.

use serde_json::{Value, json};

use super::{Asked, Outcome};
use crate::ververica::answer::{Answer, Refusal};
use crate::ververica::auth::{Role, Token};
use crate::ververica::id;

pub(super) fn status(asked: &Asked<'_>) -> Answer {
    asked.answer(200, json!({ "status": { "state": "OK" } }))
}

pub(super) fn system_info(asked: &Asked<'_>) -> Answer {
    let version = asked.shared.profile.version();
    let body = json!({
        "kind": "SystemInformation",
        "apiVersion": "v1",
        "status": {
            "revisionInformation": {
                "buildVersion": version,
                "buildTime": "2020-01-01T00:00:00.000Z",
                "commitShaLong": "0000000000000000000000000000000000000000",
                "commitShaShort": "0000000",
            },
            "jvmVersion": "11",
        },
    });
    asked.answer(200, body)
}

pub(super) fn deployment_targets(asked: &Asked<'_>) -> Answer {
    let target = json!({
        "kind": "DeploymentTarget",
        "apiVersion": "v1",
        "metadata": { "name": "default", "namespace": asked.namespace() },
        "spec": { "kubernetes": { "namespace": "vvp-jobs" } },
    });
    asked.list("DeploymentTargetList", vec![target])
}

pub(super) fn list_namespaces(asked: &Asked<'_>) -> Answer {
    let store = asked.shared.store();
    let items: Vec<Value> = store
        .namespaces
        .keys()
        .map(|name| namespace(asked, name))
        .collect();
    drop(store);
    asked.answer(200, json!({ "namespaces": items }))
}

pub(super) fn get_namespace(asked: &Asked<'_>) -> Answer {
    let body = json!({ "namespace": namespace(asked, &asked.routed.id) });
    asked.answer(200, body)
}

fn namespace(asked: &Asked<'_>, name: &str) -> Value {
    let bindings: Vec<Value> = asked
        .shared
        .auth
        .tokens()
        .iter()
        .filter(|token| token.namespace == name)
        .map(|token| json!({ "role": token.role.word(), "members": [resource_name(token)] }))
        .collect();
    json!({
        "name": format!("namespaces/{name}"),
        "roleBindings": bindings,
        "lifecyclePhase": "LIFECYCLE_PHASE_ACTIVE",
    })
}

pub(super) fn list_tokens(asked: &Asked<'_>) -> Outcome {
    let tokens: Vec<Value> = own_tokens(asked)?.iter().map(shown).collect();
    Ok(asked.answer(200, json!({ "apiTokens": tokens })))
}

/// Makes a token; this answer alone holds its secret.
pub(super) fn create_token(asked: &Asked<'_>) -> Outcome {
    own_tokens(asked)?;
    let body = asked.json()?;
    let prefix = format!("namespaces/{}/apitokens/", asked.namespace());
    let name = body["name"]
        .as_str()
        .and_then(|name| name.strip_prefix(&prefix));
    let role = body["role"].as_str().and_then(Role::from_word);
    let (Some(name), Some(role)) = (name, role) else {
        return Err(Refusal::new(400, "name or role is missing or wrong"));
    };
    let token = asked.shared.auth.issue(asked.namespace(), name, role);
    let mut shown = shown(&token);
    shown["secret"] = json!(token.secret);
    Ok(asked.answer(200, json!({ "apiToken": shown })))
}

pub(super) fn get_token(asked: &Asked<'_>) -> Outcome {
    let tokens = own_tokens(asked)?;
    let found = tokens.iter().find(|token| token.name == asked.routed.id);
    let found = found.ok_or_else(|| unknown_token(asked))?;
    Ok(asked.answer(200, json!({ "apiToken": shown(found) })))
}

pub(super) fn delete_token(asked: &Asked<'_>) -> Outcome {
    let named =
        |token: &Token| token.namespace == asked.namespace() && token.name == asked.routed.id;
    if !asked.shared.auth.revoke(named) {
        return Err(unknown_token(asked));
    }
    Ok(asked.answer(200, json!({})))
}

fn unknown_token(asked: &Asked<'_>) -> Refusal {
    Refusal::new(404, format!("API token {} not found", asked.routed.id))
}

/// The tokens of the namespace; the community edition has none.
fn own_tokens(asked: &Asked<'_>) -> Result<Vec<Token>, Refusal> {
    if asked.shared.auth.is_community() {
        return Err(Refusal::new(404, "API tokens are not part of this edition"));
    }
    let mut tokens = asked.shared.auth.tokens();
    tokens.retain(|token| token.namespace == asked.namespace());
    Ok(tokens)
}

fn resource_name(token: &Token) -> String {
    format!("namespaces/{}/apitokens/{}", token.namespace, token.name)
}

fn shown(token: &Token) -> Value {
    json!({
        "name": resource_name(token),
        "role": token.role.word(),
        "createTime": id::iso(token.created),
    })
}
