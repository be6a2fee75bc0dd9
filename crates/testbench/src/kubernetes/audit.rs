//! What the API server's audit log says: who asked for what, whatever a client believes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Every request at level Metadata: who, which verb on which resource, and how it ended. A watch is written
/// down when it begins (`ResponseStarted`), other requests when they end.
pub(super) const POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
";

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Who asked, as in `system:serviceaccount:NAMESPACE:NAME`.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The API group, empty for the core group.
    pub api_group: String,
    /// The resource in the plural, empty for a path such as `/version`.
    pub resource: String,
    /// As in `log`, `status`; empty where there is none.
    pub subresource: String,
    /// The namespace, empty where there is none.
    pub namespace: String,
    /// The object's name, empty for a list.
    pub name: String,
    /// The path and query.
    pub uri: String,
    /// The status code.
    pub code: u16,
}

/// Reads a log written under [`POLICY`], each request once, in the order of the log.
pub(super) fn read(path: &Path) -> Result<Vec<AuditEvent>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        // The API server makes the file with its first event.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    let mut seen = BTreeSet::new();
    let mut events = Vec::new();
    // The last line may still be being written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in whole.lines() {
        let value: Value = serde_json::from_str(line).with_context(|| format!("parse {line}"))?;
        if seen.insert(string(&value["auditID"])) {
            events.push(event(&value));
        }
    }
    Ok(events)
}

fn event(value: &Value) -> AuditEvent {
    let object = &value["objectRef"];
    AuditEvent {
        user: string(&value["user"]["username"]),
        verb: string(&value["verb"]),
        api_group: string(&object["apiGroup"]),
        resource: string(&object["resource"]),
        subresource: string(&object["subresource"]),
        namespace: string(&object["namespace"]),
        name: string(&object["name"]),
        uri: string(&value["requestURI"]),
        code: value["responseStatus"]["code"]
            .as_u64()
            .and_then(|code| u16::try_from(code).ok())
            .unwrap_or_default(),
    }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
