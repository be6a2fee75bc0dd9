//! One shape for every mistake in a text that a person wrote: what, where, and what to write
//! instead. The configuration turns it into `file:line:column`, a caret and a `hint:` line.

use std::fmt;
use std::ops::Range;

/// A mistake in a schedule, a duration, a window or a zone.
///
/// `Display` prints what is wrong only; the place and the hint are for the caller to lay out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextError<K> {
    /// The bytes of the text that are wrong; on character boundaries; may be empty at the end.
    pub span: Range<usize>,
    /// What is wrong.
    pub kind: K,
    /// What to write instead, where that can be said.
    pub hint: Option<String>,
}

impl<K> TextError<K> {
    /// A mistake without a hint.
    pub fn new(span: Range<usize>, kind: K) -> Self {
        Self {
            span,
            kind,
            hint: None,
        }
    }

    /// The same mistake with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl<K: fmt::Display> fmt::Display for TextError<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl<K: fmt::Debug + fmt::Display> std::error::Error for TextError<K> {}
