//! From what `kube` says went wrong to a fault that people can mend.

use std::error::Error as StdError;
use std::io;

use kube::core::Status;
use lowtide_core::fault::Fault;

use crate::chain::causes;
use crate::text::one_line;

/// What was asked of the API server, as RBAC calls it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    /// `get`, `list`, `watch`.
    pub(super) verb: &'static str,
    /// The API group; empty for the core.
    pub(super) group: &'static str,
    /// The resource, in the plural.
    pub(super) resource: &'static str,
    /// In which namespace.
    pub(super) namespace: &'a str,
}

impl Request<'_> {
    /// As a line of a Role.
    fn rule(&self) -> String {
        format!(
            "`{{ apiGroups: [\"{}\"], resources: [{}], verbs: [{}] }}`",
            self.group, self.resource, self.verb
        )
    }

    fn text(&self) -> String {
        let Self {
            verb,
            resource,
            namespace,
            ..
        } = self;
        format!("the Kubernetes API, `{verb} {resource}` in namespace `{namespace}`")
    }

    /// No answer in time.
    pub(super) fn timed_out(&self, seconds: f32) -> Fault {
        Fault::transient(format!("{}: no answer within {seconds} s", self.text()))
            .hint("is the API server up, and does a NetworkPolicy let Lowtide through to it?")
    }
}

/// What kind of fault an error is. Never with the error's own text where that may hold what a
/// login command printed.
pub(super) fn fault(error: &kube::Error, request: &Request<'_>) -> Fault {
    match error {
        kube::Error::Api(status) => of_status(status, request),
        kube::Error::Auth(_) => no_login(request),
        _ if causes(error).any(<dyn StdError>::is::<kube::client::AuthError>) => no_login(request),
        _ => no_answer(error, request),
    }
}

fn no_login(request: &Request<'_>) -> Fault {
    Fault::permanent(format!(
        "{}: Lowtide cannot log in, because the login that the kubeconfig describes fails",
        request.text()
    ))
    .hint(
        "try the same with `kubectl`: a command that it runs, or a token file, may be missing here",
    )
}

fn of_status(status: &Status, request: &Request<'_>) -> Fault {
    let said = one_line(&status.message);
    let what = request.text();
    match status.code {
        401 => Fault::permanent(format!("{what}: the login is not accepted (status 401)")).hint(
            "has the token or the certificate expired? log in again, or look at the ServiceAccount",
        ),
        403 => forbidden(status, request),
        404 => Fault::gone(format!("{what}: {said} (status 404)")),
        408 | 410 | 429 | 500.. => {
            Fault::transient(format!("{what}: {said} (status {})", status.code))
                .hint("the API server is busy, or starting")
        }
        code => Fault::permanent(format!("{what}: {said} (status {code})"))
            .hint("does the address lead to a Kubernetes API server?"),
    }
}

fn forbidden(status: &Status, request: &Request<'_>) -> Fault {
    let Request {
        verb,
        resource,
        namespace,
        ..
    } = request;
    let who = user(&status.message).map_or_else(|| "Lowtide".to_owned(), |user| who(&user));
    Fault::permanent(format!(
        "{who} may not {verb} {resource} in namespace `{namespace}`"
    ))
    .hint(format!(
        "give it a Role in that namespace with the rule {}, and a RoleBinding; the chart does both",
        request.rule()
    ))
}

/// The user in `… is forbidden: User "system:serviceaccount:ns:name" cannot list …`.
fn user(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("User \"")?;
    let (user, _) = rest.split_once('"')?;
    Some(one_line(user))
}

fn who(user: &str) -> String {
    match user
        .strip_prefix("system:serviceaccount:")
        .and_then(|account| account.split_once(':'))
    {
        Some((namespace, name)) => format!("the ServiceAccount `{namespace}/{name}`"),
        None => format!("the user `{user}`"),
    }
}

fn no_answer(error: &kube::Error, request: &Request<'_>) -> Fault {
    let what = request.text();
    if let Some(tls) = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return Fault::permanent(format!("{what}: TLS: {}", one_line(&tls.to_string())))
            .hint("is `certificate-authority` in the kubeconfig that of this API server?");
    }
    let io_kind =
        causes(error).find_map(|cause| cause.downcast_ref::<io::Error>().map(io::Error::kind));
    if io_kind == Some(io::ErrorKind::ConnectionRefused) {
        return Fault::transient(format!("{what}: the connection was refused"))
            .hint("is the API server up, and the address right (`kubectl cluster-info`)?");
    }
    if matches!(error, kube::Error::SerdeError(_)) {
        return Fault::transient(format!("{what}: the answer is not what Kubernetes writes"))
            .hint("does a proxy stand before the API server?");
    }
    let innermost = causes(error)
        .last()
        .map(|cause| one_line(&cause.to_string()))
        .unwrap_or_default();
    Fault::transient(format!("{what}: no answer ({innermost})"))
        .hint("is the API server up, and does the network let Lowtide through to it?")
}

#[cfg(test)]
mod tests {
    use lowtide_core::fault::FaultKind;

    use super::*;

    const REQUEST: Request<'_> = Request {
        verb: "list",
        group: "",
        resource: "pods",
        namespace: "flink",
    };

    fn status(code: u16, message: &str) -> Fault {
        let status = Status::failure(message, "").with_code(code);
        fault(&kube::Error::Api(status.boxed()), &REQUEST)
    }

    #[test]
    fn a_refusal_names_who_what_where_and_the_role() {
        let fault = status(
            403,
            "pods is forbidden: User \"system:serviceaccount:ops:lowtide\" cannot list resource \"pods\" in API group \"\" in the namespace \"flink\"",
        );
        assert_eq!(fault.kind, FaultKind::Permanent);
        assert_eq!(
            fault.text,
            "the ServiceAccount `ops/lowtide` may not list pods in namespace `flink`"
        );
        let hint = fault.hint.unwrap_or_default();
        assert!(
            hint.contains("{ apiGroups: [\"\"], resources: [pods], verbs: [list] }"),
            "{hint}"
        );
    }

    #[test]
    fn a_refusal_in_other_words_is_still_one() {
        let text = status(403, "no").text;
        assert_eq!(text, "Lowtide may not list pods in namespace `flink`");
        let text = status(403, "User \"ann\" cannot").text;
        assert_eq!(
            text,
            "the user `ann` may not list pods in namespace `flink`"
        );
    }

    #[test]
    fn kinds_follow_the_status() {
        for (code, kind) in [
            (400, FaultKind::Permanent),
            (401, FaultKind::Permanent),
            (404, FaultKind::Gone),
            (410, FaultKind::Transient),
            (429, FaultKind::Transient),
            (500, FaultKind::Transient),
            (504, FaultKind::Transient),
        ] {
            assert_eq!(status(code, "said").kind, kind, "{code}");
        }
    }
}
