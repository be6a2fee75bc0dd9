//! What an answer from where the platform should be means: its own, its gateway's, or a proxy's.
//!
//! The shape of an error is documented nowhere; one client reads `message`. So an error is JSON
//! with a `message`, or whatever text there is; and a web page comes from somebody else.

use lowtide_core::fault::{Fault, FaultKind};
use lowtide_core::run::{Cause, CauseKind};
use serde::de::DeserializeOwned;

use super::wire;
use crate::platform::http::{Answer, LoginKind};
use crate::text::one_line;

/// The platform's own words in an error, or whose ever they are if it is not a web page.
fn said(answer: &Answer) -> Option<String> {
    if answer.html {
        return None;
    }
    let text = match serde_json::from_slice::<wire::Error>(&answer.body) {
        Ok(error) => error.message,
        Err(_) => String::from_utf8_lossy(&answer.body).into_owned(),
    };
    let line = one_line(&text);
    (!line.is_empty()).then_some(line)
}

/// What a successful answer holds.
pub(super) fn json<T: DeserializeOwned>(answer: &Answer) -> Result<T, Fault> {
    if answer.html || !(200..=299).contains(&answer.status) {
        return Err(fault(answer));
    }
    let base = &answer.base;
    serde_json::from_slice(&answer.body).map_err(|wrong| {
        if wrong.is_data() {
            Fault::permanent(format!(
                "{base}: JSON, but not as Ververica Platform writes it: {wrong}"
            ))
            .hint("does `url:` lead to Ververica Platform, release 2.1 to 2.15?")
        } else {
            Fault::transient(format!(
                "{base}: not the JSON that Ververica Platform writes: {wrong}"
            ))
            .hint("does a proxy stand before the platform?")
        }
    })
}

/// What kind of fault this answer is.
pub(super) fn fault(answer: &Answer) -> Fault {
    let (kind, hint) = kind(answer);
    Fault {
        kind,
        text: format!("{}: {}", answer.base, what(answer)),
        hint: hint.map(str::to_owned),
    }
}

fn what(answer: &Answer) -> String {
    let status = answer.status;
    if is_page(answer) {
        return match answer.title() {
            Some(title) => format!("answered with a web page, “{title}” (status {status})"),
            None => format!("answered with a web page (status {status})"),
        };
    }
    match said(answer) {
        Some(said) => format!("{said} (status {status})"),
        None => format!("status {status}, without a word"),
    }
}

/// A web page, or the way to one.
fn is_page(answer: &Answer) -> bool {
    answer.html || (300..=399).contains(&answer.status)
}

fn kind(answer: &Answer) -> (FaultKind, Option<&'static str>) {
    let logged_in = answer.login != LoginKind::Nobody;
    match answer.status {
        401 => (FaultKind::Permanent, Some(login_hint(logged_in))),
        403 => (FaultKind::Permanent, Some(rights_hint(logged_in))),
        // Before a service that starts, a gateway may also show its login or a notice.
        200..=399 if is_page(answer) && logged_in => (
            FaultKind::Transient,
            Some("a login page, or a notice of a proxy? check `url:` and `token:`"),
        ),
        200..=399 if is_page(answer) => (
            FaultKind::Transient,
            Some("a login page? set `token:` for the platform, and check `url:`"),
        ),
        404 if answer.html => (
            FaultKind::Permanent,
            Some("is `url:` right? it is the address of the platform's gateway, without `/api`"),
        ),
        404 => (FaultKind::Gone, None),
        407 => (
            FaultKind::Permanent,
            Some("the proxy in `HTTP_PROXY` or `HTTPS_PROXY` wants a login"),
        ),
        500..=599 if answer.html => (
            FaultKind::Transient,
            Some(
                "this comes from a proxy: is Ververica Platform running, and can the proxy reach it?",
            ),
        ),
        500..=599 => (
            FaultKind::Transient,
            Some("the log of the platform's AppManager tells more"),
        ),
        200..=299 | 408 | 425 | 429 => (FaultKind::Transient, None),
        _ => (FaultKind::Permanent, None),
    }
}

fn login_hint(logged_in: bool) -> &'static str {
    if logged_in {
        "the API token in `token:` is not accepted: was it deleted, or made for another namespace?"
    } else {
        "set `token:` for the platform to an API token of the namespace, as `${env:NAME}` or `${file:/path}`"
    }
}

fn rights_hint(logged_in: bool) -> &'static str {
    if logged_in {
        "an API token belongs to one namespace, and taking savepoints needs the role `editor`: is `namespace:` right, and what is the token's role?"
    } else {
        login_hint(false)
    }
}

/// Why a request for a savepoint will not be tried; `None` where that is not what the answer
/// says.
pub(super) fn refusal(answer: &Answer, deployment: &str) -> Option<Cause> {
    let status = answer.status;
    // These two say that the request was not applied, whoever says so (RFC 9110, 15.5.2, 15.5.4).
    if matches!(status, 401 | 403) {
        let fault = fault(answer);
        let cause = Cause::new(CauseKind::Denied, fault.text);
        return Some(match fault.hint {
            Some(hint) => cause.hint(hint),
            None => cause,
        });
    }
    if answer.html {
        return None;
    }
    let text = format!("the platform refused the request: {}", what(answer));
    match status {
        400 | 422 => Some(Cause::new(CauseKind::Refused, text).hint(
            "has the deployment a savepoint directory (`state.savepoints.dir`, or Universal Blob Storage)? does it run?",
        )),
        404 => Some(Cause::new(CauseKind::NotRunning, text).hint(format!(
            "the deployment {deployment} was there a moment ago: was it deleted?"
        ))),
        409 => Some(Cause::new(CauseKind::NotReady, text).hint(
            "another savepoint of the deployment may be under way, or somebody changes it just now; the next slot asks anew",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, html: bool, body: &str) -> Answer {
        Answer {
            status,
            base: "http://vvp".into(),
            login: LoginKind::Nobody,
            html,
            body: body.into(),
        }
    }

    #[test]
    fn every_shape_of_error_is_told() {
        for (body, text) in [
            (
                r#"{"message":"no\nsuch thing"}"#,
                "http://vvp: no such thing (status 400)",
            ),
            (
                r#"{"message":"a","details":[]}"#,
                "http://vvp: a (status 400)",
            ),
            ("plain", "http://vvp: plain (status 400)"),
            ("", "http://vvp: status 400, without a word"),
        ] {
            assert_eq!(fault(&answer(400, false, body)).text, text);
        }
    }

    #[test]
    fn a_login_page_passes_by_itself_and_says_what_to_do() {
        let page = "<html><title>Sign in</title></html>";
        for status in [200, 302] {
            let fault = fault(&answer(status, status == 200, page));
            assert_eq!(fault.kind, FaultKind::Transient, "{fault}");
            assert!(fault.hint.is_some_and(|hint| hint.contains("`token:`")));
        }
    }

    #[test]
    fn only_the_platform_itself_refuses() {
        for status in [400, 404, 409, 422] {
            assert!(
                refusal(&answer(status, false, "no"), "d").is_some(),
                "{status}"
            );
            assert!(
                refusal(&answer(status, true, "<p>no"), "d").is_none(),
                "{status}"
            );
        }
        for status in [401, 403] {
            assert!(
                refusal(&answer(status, true, "<p>no"), "d").is_some(),
                "{status}"
            );
        }
        for status in [200, 302, 429, 500, 503] {
            assert!(
                refusal(&answer(status, false, "no"), "d").is_none(),
                "{status}"
            );
        }
    }
}
