//! The pods that VVP would run for a deployment, as Kubernetes manifests.
//!
//! The labels are those of the vendor's page on deployment targets; that the `JobManager` is a pod of a batch
//! Job and the `TaskManager` one of a Deployment is not documented, so nothing owns them here. They pass the
//! `restricted` Pod Security Standard, and a scheduling gate keeps a real scheduler from starting them.

use serde_json::{Value, json};

use super::deployment::Deployment;
use super::settings::SlugRule;

/// The longest value of a label (Kubernetes documentation, "Labels and Selectors").
const LABEL_BYTES_MAX: usize = 63;

/// The name of a deployment as the value of a label.
pub fn slug(name: &str, rule: SlugRule) -> String {
    let mut text = String::new();
    for letter in name.to_lowercase().chars() {
        let kept = letter.is_ascii_alphanumeric()
            || (rule == SlugRule::DotsKept && matches!(letter, '.' | '_'));
        let letter = if kept { letter } else { '-' };
        let repeats = letter == '-' && text.ends_with('-');
        if !(repeats && rule == SlugRule::DashesCollapsed) {
            text.push(letter);
        }
    }
    // A value begins and ends with a letter or a digit, also where it is cut.
    let ends = ['-', '.', '_'];
    let text = text.trim_matches(ends);
    text[..text.len().min(LABEL_BYTES_MAX)]
        .trim_end_matches(ends)
        .to_owned()
}

/// The pods of one job of a deployment: a `JobManager` and a `TaskManager`.
pub(super) fn of_job(it: &Deployment, job: &str, rule: SlugRule) -> Vec<Value> {
    ["jobmanager", "taskmanager"]
        .into_iter()
        .map(|component| {
            let labels = json!({
                "app": "flink-job",
                "system": "ververica-platform",
                "vvpNamespace": it.namespace,
                "deploymentId": it.id,
                "deploymentName": slug(&it.name, rule),
                "jobId": job,
                "component": component,
            });
            pod(&format!("job-{job}-{component}"), component, &labels)
        })
        .collect()
}

/// The pods of a session cluster, which do not say whose jobs they run. Their own label keys are not known.
pub(super) fn of_session_cluster(cluster: &str, namespace: &str) -> Vec<Value> {
    ["jobmanager", "taskmanager"]
        .into_iter()
        .map(|component| {
            let labels = json!({
                "system": "ververica-platform",
                "vvpNamespace": namespace,
                "component": component,
            });
            pod(
                &format!("sessioncluster-{cluster}-{component}"),
                component,
                &labels,
            )
        })
        .collect()
}

fn pod(name: &str, component: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "labels": labels },
        "spec": {
            "schedulingGates": [{ "name": "lowtide.test/never" }],
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 9999, "seccompProfile": { "type": "RuntimeDefault" },
            },
            "containers": [{
                "name": format!("flink-{component}"),
                "image": "flink",
                "securityContext": {
                    "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
                },
            }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_values_of_labels() {
        for (name, rule, expected) in [
            ("My Deployment Name", SlugRule::Dashes, "my-deployment-name"),
            ("a  b_c.", SlugRule::Dashes, "a--b-c"),
            ("a  b_c.", SlugRule::DashesCollapsed, "a-b-c"),
            ("a  b_c.", SlugRule::DotsKept, "a--b_c"),
            ("Zahlungen für Ü", SlugRule::Dashes, "zahlungen-f-r"),
            ("...", SlugRule::DotsKept, ""),
        ] {
            assert_eq!(slug(name, rule), expected, "{name} {rule:?}");
        }
        let long = format!("{} {}", "x".repeat(62), "y".repeat(9));
        assert_eq!(slug(&long, SlugRule::Dashes), "x".repeat(62));
    }
}
