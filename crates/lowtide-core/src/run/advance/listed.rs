//! Where the platform takes no trigger id: which of the savepoints that it lists is the answer.
//!
//! The ids that were listed before the request are known. What was asked for by somebody and is
//! not among them fills the slot, whoever asked: a second savepoint of the same moment would
//! prove nothing more. It is *ours* only with our own mark on it, or where the reply to our own
//! request named it; else it is foreign, and never deleted. The request is never repeated.
//!
//! Where nothing is remembered of what an earlier process did, the platform is the memory: the
//! first trigger id, the run's directory, or the list are looked at before the call, and without
//! that look there is none.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::super::{
    ARRIVES_WITHIN, Attempt, CLOCKS_APART_MAX, Cause, CauseKind, EMPTY_TWICE_APART, Listed,
    ListedState, Listing, Operation, Phase, Searched,
};
use super::Walk;
use crate::Bug;
use crate::fault::{Fault, FaultKind};
use crate::gate::Vitals;
use crate::name::{Location, SavepointId};
use crate::planted::planted;

impl Walk<'_> {
    /// What the request will be told from, where the platform takes no trigger id.
    pub(super) fn listing(&self, vitals: &Vitals) -> Option<Listing> {
        let listed = vitals.listed.as_ref()?;
        // Where nothing is remembered, what came after the slot's time may be its answer already.
        let counts_from = self
            .run
            .look_first_from
            .and(self.run.nominal())
            .map(|nominal| nominal - CLOCKS_APART_MAX);
        let before = listed
            .iter()
            .filter(|(_, created_at)| counts_from.is_none_or(|from| *created_at < from))
            .map(|(id, _)| id.clone())
            .collect();
        Some(Listing {
            before: if planted(Bug::ForgetListed) {
                BTreeSet::new()
            } else {
                before
            },
            ..Listing::default()
        })
    }

    /// This is the savepoint that fills the slot.
    pub(super) fn is_answer(&mut self, savepoint: SavepointId, foreign: bool) {
        self.with_attempt(|attempt| {
            if let Some(listing) = &mut attempt.listing {
                listing.savepoint = Some(savepoint);
                listing.foreign = foreign;
            }
        });
    }

    /// The answer to the request was lost; this is what the platform lists now.
    pub(super) fn listed(&mut self, listed: Vec<Listed>) {
        let Some(attempt) = self.run.attempt() else {
            return self.look_for_name_again();
        };
        let candidates: Vec<Listed> = listed
            .into_iter()
            .filter(|one| is_candidate(attempt, one))
            .collect();
        let ours = |one: &&Listed| one.mark == Some(attempt.trigger_id);
        if let Some(own) = candidates.iter().find(ours).cloned() {
            self.is_answer(own.id, false);
            return self.known(own.state.into());
        }
        let in_progress = candidates
            .iter()
            .any(|one| one.state == ListedState::InProgress);
        let complete = newest_completed(&candidates);
        // What is in progress is waited for, but not beyond the end, where there is one complete.
        let waits = in_progress && (complete.is_none() || self.now < self.follow_deadline());
        match complete.filter(|_| !waits) {
            Some((id, location)) => self.filled_by_someone(id, location, candidates.len()),
            None if in_progress => self.found_nothing(
                "the reply to the request was lost; a savepoint that may have come of it is in progress",
            ),
            None => self.nothing_listed(newest_failure(&candidates)),
        }
    }

    fn filled_by_someone(&mut self, id: SavepointId, location: Location, candidates: usize) {
        self.tell_what_was_said();
        if planted(Bug::OwnUnmarked) {
            self.is_answer(id, false);
            return self.completed(location, true);
        }
        let owner = if candidates == 1 {
            "a savepoint that the platform lists since fills the slot"
        } else {
            "the newest of several savepoints that the platform lists since fills the slot"
        };
        self.warn(format!(
            "the reply to the request was lost, and nothing says whose savepoint it is: {owner}; it counts as foreign and is never deleted"
        ));
        self.is_answer(id, true);
        self.completed(location, true);
    }

    /// What was taken for the answer is someone else's, and broken: ours may be another one, or
    /// still on its way.
    pub(super) fn look_for_another(&mut self, location: &Location, finding: &str) {
        self.with_attempt(|attempt| {
            if let Some(listing) = &mut attempt.listing {
                listing.broken.extend(listing.savepoint.take());
                listing.foreign = false;
            }
            attempt.location = None;
            attempt.accepted_at = None;
            attempt.completed_at = None;
            attempt.reads = 0;
        });
        self.enter(Phase::Triggering);
        self.lose_sight(&format!(
            "{location}, which the platform lists since the request, is broken: {finding}"
        ));
    }

    /// Nothing complete and nothing on its way: at the deadline that is the end. Seen twice: the
    /// first list may be older than the time at which it is judged.
    fn nothing_listed(&mut self, failure: Option<Cause>) {
        let Some(sent_at) = self.run.attempt().and_then(|attempt| attempt.sent_at) else {
            return self.look_for_name_again();
        };
        if planted(Bug::PostAgain) {
            return self.grant_call();
        }
        let arrived = sent_at + ARRIVES_WITHIN;
        let deadline = self.run.trigger_deadline.min(self.follow_deadline());
        let over = if failure.is_some() {
            arrived
        } else {
            arrived.max(deadline)
        };
        let why = "the reply to the request was lost, and the platform lists no savepoint since";
        if self.now < over {
            return self.lose_sight(why);
        }
        if !self.seen_empty_twice() {
            self.lose_sight(why);
            return self.rest(EMPTY_TWICE_APART);
        }
        if let Some(cause) = failure {
            return self.attempt_failed(cause);
        }
        let said = self
            .run
            .warnings
            .last()
            .map(|said| format!(" ({said})"))
            .unwrap_or_default();
        self.attempt_failed(
            Cause::new(
                CauseKind::LostReply,
                format!("the reply to the one request was lost{said}, and the platform lists no savepoint that could have come of it"),
            )
            .hint("the request is not repeated: it could become a second savepoint. Look at what stands between Lowtide and the platform; the next slot asks anew, and a savepoint that appears later will be listed"),
        );
    }

    // === nothing is remembered ===

    pub(super) fn is_unsent(&self) -> bool {
        self.run
            .attempt()
            .is_some_and(|attempt| attempt.sent_at.is_none())
    }

    /// The look before the request of a run that nothing is remembered of: what an earlier
    /// process asked for is taken up as if this one had, else this one asks.
    pub(super) fn looked_first(&mut self, searched: Searched) {
        let Searched {
            operation,
            directories,
            ..
        } = searched;
        if planted(Bug::CallWithoutLook) {
            return self.send();
        }
        match operation {
            Err(fault) => self.could_not_look(&fault),
            Ok(Operation::NotFound { job_started_at }) => match directories {
                Ok(there) => match self.complete_in(&there) {
                    Some(location) => {
                        self.asked_by_an_earlier_process();
                        self.completed(location, false);
                    }
                    None => self.send(),
                },
                Err(_) if self.nothing_was_accepted(job_started_at) => self.send(),
                Err(fault) if fault.kind == FaultKind::Transient => self.could_not_look(&fault),
                Err(fault) => self.fail(
                    Cause::new(
                        CauseKind::LostSight,
                        format!(
                            "without a catalog, what an earlier process may have asked for shows only in the attempt's directory, and that cannot be read: {}",
                            fault.text
                        ),
                    )
                    .hint("give Lowtide a catalog that outlives it, or a way to read the savepoint directory (`paths:`)"),
                ),
            },
            Ok(Operation::Listed(listed)) => {
                let asked = self.run.attempt().is_some_and(|attempt| {
                    listed.iter().any(|one| is_candidate(attempt, one))
                });
                if asked {
                    self.asked_by_an_earlier_process();
                    self.listed(listed);
                } else {
                    self.send();
                }
            }
            Ok(known) => {
                self.asked_by_an_earlier_process();
                self.known(known);
            }
        }
    }

    /// Whether a 404 alone proves that nobody asked for this slot's savepoint with success: the
    /// incarnation that answers was there before the slot's time, and would still remember.
    fn nothing_was_accepted(&self, job_started_at: Option<Timestamp>) -> bool {
        let asked_from = self.run.nominal().unwrap_or(self.run.created_at);
        let Some(attempt) = self.run.attempt() else {
            return false;
        };
        let remembered_until = attempt.surely_remembered_until(asked_from);
        job_started_at.is_some_and(|started| started + CLOCKS_APART_MAX < asked_from)
            && self.now + CLOCKS_APART_MAX < remembered_until
    }

    /// Without a look there is no call, also at the deadline.
    fn could_not_look(&mut self, fault: &Fault) {
        if self.frozen_too_long() {
            // Ends this attempt as not sent, and begins again at the name.
            self.send();
        }
        self.unreachable(fault);
    }

    fn asked_by_an_earlier_process(&mut self) {
        let now = self.now;
        self.with_attempt(|attempt| {
            attempt.sent_at = Some(now);
            attempt.calls = 1;
        });
    }
}

/// Whether the request may have become this.
fn is_candidate(attempt: &Attempt, one: &Listed) -> bool {
    let is_out = attempt.listing.as_ref().is_some_and(|listing| {
        listing.before.contains(&one.id) || listing.broken.contains(&one.id)
    });
    one.mark == Some(attempt.trigger_id) || one.requested && !is_out
}

fn newest_completed(candidates: &[Listed]) -> Option<(SavepointId, Location)> {
    candidates
        .iter()
        .filter_map(|one| match &one.state {
            ListedState::Completed(location) => Some((one.created_at, &one.id, location)),
            _ => None,
        })
        .max()
        .map(|(_, id, location)| (id.clone(), location.clone()))
}

fn newest_failure(candidates: &[Listed]) -> Option<Cause> {
    candidates
        .iter()
        .filter_map(|one| match &one.state {
            ListedState::Failed(cause) => Some((one.created_at, cause)),
            _ => None,
        })
        .max_by_key(|(created_at, _)| *created_at)
        .map(|(_, cause)| cause.clone())
}

impl From<ListedState> for Operation {
    fn from(state: ListedState) -> Self {
        match state {
            ListedState::Completed(location) => Self::Completed(location),
            ListedState::Failed(cause) => Self::Failed(cause),
            ListedState::InProgress | ListedState::Other => Self::InProgress,
        }
    }
}
