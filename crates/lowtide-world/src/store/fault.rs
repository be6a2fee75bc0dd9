//! What a store's client says, as one of our kinds of fault.

use lowtide_core::fault::Fault;
use opendal::ErrorKind;

use crate::chain::causes;
use crate::text::one_line;

/// The fault behind an error: `what` could not be done to `place`.
pub(super) fn of(error: &opendal::Error, what: &str, place: &str) -> Fault {
    let said = said(error);
    let text = format!("cannot {what} {place}: {said}");
    match error.kind() {
        ErrorKind::NotFound => Fault::gone(text)
            .hint("does the bucket or container exist, and is it the right server? `endpoint` and `region` stand under `stores:`"),
        ErrorKind::PermissionDenied => Fault::permanent(text).hint(
            "Lowtide needs to list and to read there; credentials come from `stores:`, or from where the store's own tools find them",
        ),
        ErrorKind::ConfigInvalid | ErrorKind::Unsupported => {
            Fault::permanent(text).hint("what Lowtide knows of the store stands under `stores:`")
        }
        ErrorKind::IsADirectory | ErrorKind::NotADirectory => Fault::permanent(text),
        // The signer's: nobody had credentials for it.
        _ if said.contains("credential") => Fault::permanent(text).hint(
            "no credentials were found: write them under `stores:` as `${env:NAME}`, or set the environment as for the store's own tools",
        ),
        _ => Fault::transient(text),
    }
}

/// The message with its innermost cause, in one line; not the context, which holds addresses and
/// headers.
fn said(error: &opendal::Error) -> String {
    let message = one_line(error.message());
    let innermost = causes(error).last().map(ToString::to_string);
    match innermost {
        Some(cause) if causes(error).nth(1).is_some() && !message.contains(&cause) => {
            format!("{message}: {}", one_line(&cause))
        }
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use lowtide_core::fault::FaultKind;
    use opendal::Error;

    use super::*;

    #[test]
    fn only_a_person_mends_what_was_refused() {
        for (kind, ours) in [
            (ErrorKind::NotFound, FaultKind::Gone),
            (ErrorKind::PermissionDenied, FaultKind::Permanent),
            (ErrorKind::ConfigInvalid, FaultKind::Permanent),
            (ErrorKind::RateLimited, FaultKind::Transient),
            (ErrorKind::Unexpected, FaultKind::Transient),
        ] {
            let fault = of(&Error::new(kind, "it says so"), "list", "s3://b/x");
            assert_eq!(fault.kind, ours);
            assert_eq!(fault.text, "cannot list s3://b/x: it says so");
        }
    }

    #[test]
    fn the_innermost_cause_is_told_and_the_context_is_not() {
        let error = Error::new(ErrorKind::Unexpected, "send http request")
            .with_context("url", "http://host/?sig=tops3cret")
            .set_source(std::io::Error::other("connection refused"));
        let fault = of(&error, "list", "s3://b/x");
        assert!(
            fault
                .text
                .ends_with("send http request: connection refused"),
            "{}",
            fault.text
        );
        assert!(!fault.text.contains("tops3cret"));
    }

    #[test]
    fn a_signer_without_credentials_needs_a_person() {
        let error = Error::new(ErrorKind::Unexpected, "signing http request")
            .set_source(std::io::Error::other("failed to load signing credential"));
        let fault = of(&error, "list", "gs://b/x");
        assert_eq!(fault.kind, FaultKind::Permanent);
        assert!(fault.hint.is_some());
    }
}
