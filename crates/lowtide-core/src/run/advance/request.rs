//! The request: granted to one process by one commit, made once a grant.

use jiff::SignedDuration;

use super::super::pace::{backoff, poll_delay};
use super::super::{Attempt, AttemptEnd, Cause, HoldKind, Phase, Reply};
use super::Walk;
use crate::Bug;
use crate::fault::Fault;
use crate::planted::planted;

/// How old a frozen attempt may be when it is sent: what it was frozen from may have changed.
const FROZEN_FOR: SignedDuration = SignedDuration::from_secs(10);

impl Walk<'_> {
    // === triggering ===

    pub(super) fn send(&mut self) {
        if self.frozen_too_long() {
            let text = "frozen, but not sent in time".to_owned();
            self.with_attempt(|attempt| attempt.end = Some(AttemptEnd::NotSent { text }));
            return self.look_for_name_again();
        }
        self.grant_call();
    }

    pub(super) fn frozen_too_long(&self) -> bool {
        self.run
            .attempt()
            .is_none_or(|attempt| self.now.duration_since(attempt.frozen_at) > FROZEN_FOR)
    }

    pub(super) fn grant_call(&mut self) {
        let now = self.now;
        self.with_attempt(|attempt| {
            attempt.sent_at.get_or_insert(now);
            attempt.calls += 1;
        });
        self.run.unknown = None;
        self.enter(Phase::Triggering);
        self.run.hold = None;
        self.grants_call = true;
    }

    pub(super) fn replied(&mut self, reply: Reply) {
        let first_call = self.run.attempt().is_some_and(|attempt| attempt.calls <= 1);
        match reply {
            Reply::Accepted => self.accepted(),
            Reply::Created(savepoint) => {
                self.is_answer(savepoint, false);
                self.accepted();
            }
            Reply::Refused(cause) if first_call => self.attempt_failed(cause),
            Reply::NotSent(fault) if first_call => {
                let text = fault.text.clone();
                self.with_attempt(|attempt| attempt.end = Some(AttemptEnd::NotSent { text }));
                self.look_for_name_again();
                self.unreachable(&fault);
            }
            Reply::Unclear(fault) if first_call && planted(Bug::LateReplyIsRefusal) => {
                let text = fault.text;
                self.with_attempt(|attempt| attempt.end = Some(AttemptEnd::NotSent { text }));
                self.look_for_name_again();
            }
            // What is said of a repeated request says nothing of the first.
            Reply::Refused(Cause { text, .. })
            | Reply::NotSent(Fault { text, .. })
            | Reply::Unclear(Fault { text, .. }) => self.unclear(&text),
        }
    }

    pub(super) fn unclear(&mut self, text: &str) {
        self.run.faults += 1;
        let why = format!("no clear answer to the request: {text}");
        self.hold(
            HoldKind::Backoff,
            why,
            backoff(self.run.id, self.run.faults),
        );
    }

    pub(super) fn accepted(&mut self) {
        let now = self.now;
        self.run.faults = 0;
        self.run.unknown = None;
        self.with_attempt(|attempt| {
            attempt.accepted_at.get_or_insert(now);
            attempt.empty_at = None;
        });
        self.enter(Phase::Following);
        let began_at = self.run.attempt().and_then(Attempt::began_at);
        let elapsed = now.duration_since(began_at.unwrap_or(now));
        self.rest(poll_delay(self.run.id, elapsed, self.context));
    }
}
