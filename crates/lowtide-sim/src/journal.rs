//! What happened, in order: hashed always, kept as text where a story is wanted.

use std::fmt::{Arguments, Write};
use std::hash::{DefaultHasher, Hasher};

use jiff::Timestamp;

/// One line of a seed's story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// True time, not that of any process.
    pub at: Timestamp,
    /// The application that it concerns; `None` if it concerns all.
    pub application: Option<usize>,
    /// What happened.
    pub text: String,
}

/// The events of a seed.
pub struct Journal {
    hasher: DefaultHasher,
    line: String,
    events: Option<Vec<Event>>,
}

impl Journal {
    /// An empty one; `keep` says whether texts are kept.
    pub fn new(keep: bool) -> Self {
        Self {
            hasher: DefaultHasher::new(),
            line: String::new(),
            events: keep.then(Vec::new),
        }
    }

    /// Writes a line.
    pub fn write(&mut self, at: Timestamp, application: Option<usize>, text: Arguments<'_>) {
        self.line.clear();
        // Writing to a `String` cannot fail.
        let _ = self.line.write_fmt(text);
        self.hasher.write_i64(at.as_millisecond());
        self.hasher.write(self.line.as_bytes());
        if let Some(events) = &mut self.events {
            events.push(Event {
                at,
                application,
                text: self.line.clone(),
            });
        }
    }

    /// The hash over all lines so far.
    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// The lines that concern one application, or all lines.
    pub fn story(&self, application: Option<usize>) -> Vec<Event> {
        self.events
            .iter()
            .flatten()
            .filter(|event| {
                application.is_none()
                    || event.application.is_none()
                    || event.application == application
            })
            .cloned()
            .collect()
    }
}
