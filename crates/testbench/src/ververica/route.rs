//! Which path means which call (swagger 2.1.0 and 2.7.1, prefix `/api/v1`; the Platform API for tokens and
//! namespaces).

use percent_encoding::percent_decode_str;

use super::auth::Role;
use super::profile::Profile;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `GET …/savepoints`.
    ListSavepoints,
    /// `POST …/savepoints`.
    CreateSavepoint,
    /// `GET …/savepoints/{id}`.
    GetSavepoint,
    /// `DELETE …/savepoints/{id}`.
    DeleteSavepoint,
    /// `GET …/deployments`.
    ListDeployments,
    /// `GET …/deployments/{id or name}`.
    GetDeployment,
    /// `PATCH …/deployments/{id or name}`.
    PatchDeployment,
    /// `GET …/jobs`.
    ListJobs,
    /// `GET …/jobs/{id}`.
    GetJob,
    /// `GET …/events`.
    ListEvents,
    /// `GET …/deployment-targets`, by which clients try a token.
    ListDeploymentTargets,
    /// `GET /api/v1/status`.
    Status,
    /// `GET /api/v1/status/system-info`.
    SystemInfo,
    /// `GET /apitokens/v1/namespaces/{namespace}/apitokens`.
    ListTokens,
    /// `POST` there.
    CreateToken,
    /// `GET …/apitokens/{name}`.
    GetToken,
    /// `DELETE …/apitokens/{name}`.
    DeleteToken,
    /// `GET /namespaces/v1/namespaces`.
    ListNamespaces,
    /// `GET /namespaces/v1/namespaces/{namespace}`.
    GetNamespace,
}

impl Call {
    /// The role that it takes; `None`: none.
    pub(super) fn needs(self) -> Option<Role> {
        match self {
            Self::Status => None,
            Self::CreateSavepoint | Self::DeleteSavepoint | Self::PatchDeployment => {
                Some(Role::Editor)
            }
            Self::ListTokens
            | Self::CreateToken
            | Self::GetToken
            | Self::DeleteToken
            | Self::ListNamespaces
            | Self::GetNamespace => Some(Role::Owner),
            Self::ListSavepoints
            | Self::GetSavepoint
            | Self::ListDeployments
            | Self::GetDeployment
            | Self::ListJobs
            | Self::GetJob
            | Self::ListEvents
            | Self::ListDeploymentTargets
            | Self::SystemInfo => Some(Role::Viewer),
        }
    }
}

/// A call with what its path says.
#[derive(Debug, Clone)]
pub(super) struct Routed {
    pub call: Call,
    pub namespace: Option<String>,
    /// The last segment of a path that ends in one: an id or a name.
    pub id: String,
    pub query: Vec<(String, String)>,
}

impl Routed {
    /// A parameter of the query.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Why there is no such call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRoute {
    Path,
    Method,
}

/// The call that `method` on `target` (path and query) is.
pub(super) fn route(profile: Profile, method: &str, target: &str) -> Result<Routed, NoRoute> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let segments: Vec<String> = path
        .trim_matches('/')
        .split('/')
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (calls, namespace, id) = path_calls(profile, &segments).ok_or(NoRoute::Path)?;
    let call = calls.iter().find(|(known, _)| *known == method);
    let (_, call) = call.ok_or(NoRoute::Method)?;
    Ok(Routed {
        call: *call,
        namespace: namespace.map(str::to_owned),
        id: id.to_owned(),
        query: url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect(),
    })
}

type Methods = &'static [(&'static str, Call)];

/// The methods of a path, its namespace, and the id or name at its end.
fn path_calls<'p>(
    profile: Profile,
    segments: &[&'p str],
) -> Option<(Methods, Option<&'p str>, &'p str)> {
    let found: (Methods, Option<&str>, &str) = match segments {
        ["api", "v1", "status"] => (&[("GET", Call::Status)], None, ""),
        ["api", "v1", "status", "system-info"] => (&[("GET", Call::SystemInfo)], None, ""),
        ["api", "v1", "namespaces", namespace, rest @ ..] => {
            let (methods, id) = app_manager(profile, rest)?;
            (methods, Some(namespace), id)
        }
        ["apitokens", "v1", "namespaces", namespace, "apitokens"] => (
            &[("GET", Call::ListTokens), ("POST", Call::CreateToken)],
            Some(namespace),
            "",
        ),
        [
            "apitokens",
            "v1",
            "namespaces",
            namespace,
            "apitokens",
            name,
        ] => (
            &[("GET", Call::GetToken), ("DELETE", Call::DeleteToken)],
            Some(namespace),
            name,
        ),
        ["namespaces", "v1", "namespaces"] => (&[("GET", Call::ListNamespaces)], None, ""),
        ["namespaces", "v1", "namespaces", namespace] => {
            (&[("GET", Call::GetNamespace)], Some(namespace), namespace)
        }
        _ => return None,
    };
    Some(found)
}

fn app_manager<'p>(profile: Profile, rest: &[&'p str]) -> Option<(Methods, &'p str)> {
    let found: (Methods, &str) = match rest {
        ["savepoints"] => (
            &[
                ("GET", Call::ListSavepoints),
                ("POST", Call::CreateSavepoint),
            ],
            "",
        ),
        ["savepoints", id] if profile.deletes_savepoints() => (
            &[
                ("GET", Call::GetSavepoint),
                ("DELETE", Call::DeleteSavepoint),
            ],
            id,
        ),
        ["savepoints", id] => (&[("GET", Call::GetSavepoint)], id),
        ["deployments"] => (&[("GET", Call::ListDeployments)], ""),
        ["deployments", id] => (
            &[
                ("GET", Call::GetDeployment),
                ("PATCH", Call::PatchDeployment),
            ],
            id,
        ),
        ["jobs"] => (&[("GET", Call::ListJobs)], ""),
        ["jobs", id] => (&[("GET", Call::GetJob)], id),
        ["events"] => (&[("GET", Call::ListEvents)], ""),
        ["deployment-targets"] => (&[("GET", Call::ListDeploymentTargets)], ""),
        _ => return None,
    };
    Some(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn paths_are_decoded_and_methods_belong_to_releases() {
        let path = "/api/v1/namespaces/my%20own/savepoints/x?force=true&a=b%26c";
        let routed = route(Profile::V2_7, "DELETE", path).unwrap();
        assert_eq!(routed.call, Call::DeleteSavepoint);
        assert_eq!(routed.namespace.as_deref(), Some("my own"));
        assert_eq!(routed.parameter("a"), Some("b&c"));
        let at = |profile, method, path| route(profile, method, path).unwrap_err();
        assert_eq!(at(Profile::V2_1, "DELETE", path), NoRoute::Method);
        assert_eq!(at(Profile::V2_7, "PUT", path), NoRoute::Method);
        assert_eq!(at(Profile::V2_7, "GET", "/api/v2/x"), NoRoute::Path);
    }
}
