//! What goes wrong at the edge, in the three kinds that a decision needs.
//!
//! Only the adapter can know which kind it met; only the core decides whether to try again.

use serde::{Deserialize, Serialize};

/// How long a fault may be expected to last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// May pass by itself: refused connection, time-out, 5xx, HTML from a proxy.
    Transient,
    /// Will not pass without a person: a wrong token, an unknown certificate, a bad path.
    Permanent,
    /// What was asked for does not exist (any more).
    Gone,
    /// Lowtide has no hands for this: a store that it cannot read yet.
    Unsupported,
}

/// A failed piece of I/O, told to the core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Fault {
    /// How long it may be expected to last.
    pub kind: FaultKind,
    /// What happened, for people; one line, no secrets.
    pub text: String,
    /// What a person can do about it.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault that may pass by itself.
    pub fn transient(text: impl Into<String>) -> Self {
        Self {
            kind: FaultKind::Transient,
            text: text.into(),
            hint: None,
        }
    }

    /// A fault that a person has to mend.
    pub fn permanent(text: impl Into<String>) -> Self {
        Self {
            kind: FaultKind::Permanent,
            text: text.into(),
            hint: None,
        }
    }

    /// What was asked for does not exist.
    pub fn gone(text: impl Into<String>) -> Self {
        Self {
            kind: FaultKind::Gone,
            text: text.into(),
            hint: None,
        }
    }

    /// Lowtide has no hands for this.
    pub fn unsupported(text: impl Into<String>) -> Self {
        Self {
            kind: FaultKind::Unsupported,
            text: text.into(),
            hint: None,
        }
    }

    /// The same fault with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
