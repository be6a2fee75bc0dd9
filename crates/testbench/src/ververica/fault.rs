//! Faults: what goes wrong with which requests, and how often.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::route::Call;

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Deed {
    /// This status and an error; nothing is done.
    Answer(u16),
    /// This status and a page of HTML; nothing is done.
    Html(u16),
    /// The connection is cut; nothing is done.
    Refuse,
    /// What was asked for is done, and the connection is cut instead of a reply.
    LoseReply,
    /// What was asked for is done, and the reply is this status and an error.
    AnswerAfter(u16),
    /// What was asked for is done at once, and the reply comes this much later.
    DelayReply(Duration),
    /// The connection is cut at once, and what was asked for is done this much later.
    AcceptLate(Duration),
    /// For [`Call::CreateSavepoint`]: the savepoint stays `STARTED`, and nothing is taken.
    Stick,
    /// For [`Call::CreateSavepoint`]: the savepoint goes to `FAILED`, and nothing is taken.
    Fail {
        /// `status.failure.reason`.
        reason: String,
        /// `status.failure.message`.
        message: String,
    },
}

impl Deed {
    /// Whether it is about what becomes of the savepoint, and not about the request.
    pub(super) fn is_fate(&self) -> bool {
        matches!(self, Self::Stick | Self::Fail { .. })
    }
}

/// A fault. Of several that match a request, the one added first wins, until it is used up; one about the
/// savepoint and one about the request may meet in one request.
#[derive(Debug, Clone)]
pub struct Fault {
    call: Option<Call>,
    deployment: Option<String>,
    skipped: usize,
    left: usize,
    deed: Deed,
}

impl Fault {
    /// Happens to the next `call`.
    pub fn on(call: Call, deed: Deed) -> Self {
        Self {
            call: Some(call),
            ..Self::on_any(deed)
        }
    }

    /// Happens to the next request, whatever it asks for.
    pub fn on_any(deed: Deed) -> Self {
        Self {
            call: None,
            deployment: None,
            skipped: 0,
            left: 1,
            deed,
        }
    }

    /// Only to requests about this deployment, by its id: also those about its savepoints and jobs, and
    /// lists that are filtered by it.
    #[must_use]
    pub fn of(mut self, deployment: &str) -> Self {
        self.deployment = Some(deployment.to_owned());
        self
    }

    /// Spares the first `count` matching requests.
    #[must_use]
    pub fn skip(mut self, count: usize) -> Self {
        self.skipped = count;
        self
    }

    /// Happens `count` times.
    #[must_use]
    pub fn times(mut self, count: usize) -> Self {
        self.left = count;
        self
    }

    /// Happens every time.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(usize::MAX)
    }

    pub(super) fn into_active(self) -> (Active, Fired) {
        let fired = Fired::default();
        let count = Arc::clone(&fired.0);
        (Active { fault: self, count }, fired)
    }
}

/// Counts how often a fault has happened.
#[derive(Debug, Clone, Default)]
pub struct Fired(Arc<AtomicUsize>);

impl Fired {
    /// How often so far.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A fault with what is left of it.
#[derive(Debug)]
pub(super) struct Active {
    fault: Fault,
    count: Arc<AtomicUsize>,
}

/// The first fault for a request of which `wanted` says yes to the deed; one use of it is taken.
pub(super) fn take(
    faults: &mut [Active],
    call: Call,
    deployment: Option<&str>,
    wanted: impl Fn(&Deed) -> bool,
) -> Option<Deed> {
    faults.iter_mut().find_map(|active| {
        let fault = &mut active.fault;
        let concerns = fault.call.is_none_or(|it| it == call)
            && fault
                .deployment
                .as_deref()
                .is_none_or(|it| Some(it) == deployment)
            && wanted(&fault.deed);
        if !concerns || fault.left == 0 {
            return None;
        }
        if fault.skipped > 0 {
            fault.skipped -= 1;
            return None;
        }
        fault.left = fault.left.saturating_sub(1);
        active.count.fetch_add(1, Ordering::SeqCst);
        Some(fault.deed.clone())
    })
}
