//! The rights that the chart grants are the rights that the program uses: none missing, none to spare.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use testbench::kubernetes::{AuditEvent, Node};

use crate::release::{NAME, Release};

/// The audit log is written a moment after the answer.
const LOGGED_WITHIN: Duration = Duration::from_secs(30);

/// Namespace, API group, resource with its subresource, verb.
type Right = (String, String, String, String);

/// Compares what the audit log shows for the release's `ServiceAccount` with the Roles that it is bound to.
///
/// # Panics
/// A request was refused, a verb was used that no Role grants, or one is granted that was never used.
pub fn are_those_used(release: &Release<'_>) {
    let node = release.node();
    let granted = granted(node, &release.namespace);
    let user = format!("system:serviceaccount:{}:{NAME}", release.namespace);
    let asked = || -> Vec<AuditEvent> {
        let all = node.audit().unwrap().into_iter();
        all.filter(|event| event.user == user).collect()
    };
    // All that will ever be used has been: the rest is the log's delay.
    let logged = node.wait("the rights to be used", LOGGED_WITHIN, |_| {
        let used = used(&asked());
        Ok(granted.is_subset(&used).then_some(()))
    });
    let events = asked();
    let refused: Vec<_> = events.iter().filter(|event| event.code == 403).collect();
    assert!(refused.is_empty(), "{}: {refused:#?}", release.namespace);
    let used = used(&events);
    assert_eq!(used, granted, "{}: used, granted", release.namespace);
    logged.unwrap();
}

fn used(events: &[AuditEvent]) -> BTreeSet<Right> {
    let right = |event: &AuditEvent| {
        let resource = match event.subresource.as_str() {
            "" => event.resource.clone(),
            sub => format!("{}/{sub}", event.resource),
        };
        (
            event.namespace.clone(),
            event.api_group.clone(),
            resource,
            event.verb.clone(),
        )
    };
    events.iter().map(right).collect()
}

fn granted(node: &Node, namespace: &str) -> BTreeSet<Right> {
    const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
    let admin = node.admin();
    let all = admin.get(&format!("{RBAC}/rolebindings")).unwrap();
    let its = items(&all).iter().filter(|binding| {
        items_of(&binding["subjects"])
            .iter()
            .any(|it| it["name"] == NAME && it["namespace"] == namespace)
    });
    let mut rights = BTreeSet::new();
    for binding in its {
        let place = text(&binding["metadata"]["namespace"]);
        let name = text(&binding["roleRef"]["name"]);
        let role = admin.get(&format!("{RBAC}/namespaces/{place}/roles/{name}"));
        for rule in items_of(&role.unwrap()["rules"]) {
            for (group, resource, verb) in combinations(rule) {
                rights.insert((place.clone(), group, resource, verb));
            }
        }
    }
    rights
}

fn combinations(rule: &Value) -> Vec<(String, String, String)> {
    let texts = |key: &str| items_of(&rule[key]).iter().map(text).collect::<Vec<_>>();
    let mut all = Vec::new();
    for group in texts("apiGroups") {
        for resource in texts("resources") {
            for verb in texts("verbs") {
                all.push((group.clone(), resource.clone(), verb));
            }
        }
    }
    all
}

fn items(list: &Value) -> &[Value] {
    items_of(&list["items"])
}

fn items_of(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
