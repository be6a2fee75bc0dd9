//! What is wrong with a configuration, and how people are told: where it stands, the line with a
//! caret, and what to write instead.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::redact::redact;

/// How many problems are shown at once: what follows is mostly the same mistake again.
const SHOWN_MAX: usize = 20;

/// One mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// The bytes of the file that are wrong; on character boundaries.
    pub span: Range<usize>,
    /// Another place that has to do with it, and what that is.
    pub also: Option<(Range<usize>, String)>,
    /// What to do.
    pub hints: Vec<String>,
}

impl Problem {
    /// A mistake at a place.
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            span,
            also: None,
            hints: Vec::new(),
        }
    }

    /// With something to do about it.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// With another place.
    #[must_use]
    pub(super) fn also(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.also = Some((span, label.into()));
        self
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no file to read.
    #[error("there is no configuration: neither `--config` nor LOWTIDE_CONFIG is given, and there is no {}", default.display())]
    NotFound {
        /// Where it was looked for last.
        default: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is over the limit.
    #[error("the configuration {} has more than {limit} bytes", path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// The file is not UTF-8.
    #[error("the configuration {} is not UTF-8 text: byte {at} is wrong", path.display())]
    NotText {
        /// Which file.
        path: PathBuf,
        /// The first wrong byte, from 0.
        at: usize,
    },
    /// The file was read and is wrong.
    #[error("{}", wrong.render(false))]
    Wrong {
        /// What is wrong in it.
        wrong: Wrong,
    },
}

impl ConfigError {
    /// The whole error as people read it, without the causes behind it; with colour where the
    /// caller wants that.
    pub fn render(&self, color: bool) -> String {
        match self {
            Self::Wrong { wrong } => wrong.render(color),
            other => other.to_string(),
        }
    }

    /// What to do about it, where that is not already in [`Self::render`].
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::NotFound { default } => vec![
                format!(
                    "write {}, or name another file with `--config FILE`",
                    default.display()
                ),
                "the smallest file has `platforms:` and `applications:`".to_owned(),
            ],
            Self::Unreadable { .. } | Self::Wrong { .. } => Vec::new(),
            Self::TooLong { .. } => vec!["is it the right file?".to_owned()],
            Self::NotText { .. } => vec!["save it as UTF-8".to_owned()],
        }
    }

    /// The mistakes in the file, if it could be read at all.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Wrong { wrong } => &wrong.problems,
            _ => &[],
        }
    }
}

/// A file and its mistakes. The text kept here is redacted: no secret can be shown from it.
#[derive(Clone)]
pub struct Wrong {
    name: String,
    text: String,
    problems: Vec<Problem>,
}

impl fmt::Debug for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wrong")
            .field("name", &self.name)
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}

impl Wrong {
    /// Takes the mistakes in the order of the file, each once.
    pub(super) fn new(name: &str, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| (problem.span.start, problem.span.end));
        let mut unlike: Vec<Problem> = Vec::new();
        for problem in problems {
            let told =
                |other: &Problem| other.span == problem.span && other.message == problem.message;
            if !unlike
                .iter()
                .rev()
                .take_while(|o| o.span == problem.span)
                .any(told)
            {
                unlike.push(problem);
            }
        }
        Self {
            name: name.to_owned(),
            text: redact(text),
            problems: unlike,
        }
    }

    fn render(&self, color: bool) -> String {
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut parts: Vec<String> = self
            .problems
            .iter()
            .take(SHOWN_MAX)
            .map(|problem| self.render_one(&renderer, problem))
            .collect();
        let left = self.problems.len().saturating_sub(SHOWN_MAX);
        if left > 0 {
            parts.push(format!("and {left} more problems in {}", self.name));
        }
        parts.join("\n\n")
    }

    fn render_one(&self, renderer: &Renderer, problem: &Problem) -> String {
        let mut snippet = Snippet::source(self.text.as_str())
            .path(self.name.as_str())
            .annotation(AnnotationKind::Primary.span(one_line(&self.text, &problem.span)));
        if let Some((span, label)) = &problem.also {
            let span = one_line(&self.text, span);
            snippet = snippet.annotation(AnnotationKind::Context.span(span).label(label.as_str()));
        }
        let group = Group::with_title(Level::ERROR.primary_title(problem.message.as_str()))
            .element(snippet)
            .elements(
                problem
                    .hints
                    .iter()
                    .map(|hint| Level::HELP.with_name("hint").message(hint.as_str())),
            );
        renderer.render(&[group])
    }
}

/// The part of a place on its first line: a caret under ten lines helps nobody.
fn one_line(text: &str, span: &Range<usize>) -> Range<usize> {
    let floor = |at: usize| text.floor_char_boundary(at.min(text.len()));
    let (start, end) = (floor(span.start), floor(span.end.max(span.start)));
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    start..end.min(line_end).max(start)
}
