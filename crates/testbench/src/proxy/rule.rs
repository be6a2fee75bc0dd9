//! What happens to which request.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::gate::Gate;

/// No test holds a request longer than this.
const HELD_MAX: Duration = Duration::from_mins(15);

/// A request as the server sees it.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path and query, without the proxy's base path.
    pub path: String,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer on its way to the client.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The `Content-Type`.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

type Predicate = Arc<dyn Fn(&Request) -> bool + Send + Sync>;
type Before = Arc<dyn Fn(&Request) + Send + Sync>;
type Delivered = Arc<dyn Fn() + Send + Sync>;
type After = Arc<dyn Fn(&Request, &mut Reply) + Send + Sync>;

/// What is done with the request itself.
#[derive(Debug, Clone)]
pub(super) enum Deed {
    /// It is forwarded, and the reply handed back.
    Pass,
    /// It is forwarded, and the reply lost.
    DropReply,
    /// The connection is cut; the server sees nothing.
    Refuse,
    /// The proxy answers by itself; the server sees nothing.
    Answer(Reply),
}

/// A rule: which requests, how many of them, and what happens to them.
#[derive(Clone)]
pub struct Rule {
    applies: Predicate,
    skipped: usize,
    left: usize,
    pub(super) deed: Deed,
    pub(super) before: Vec<Before>,
    pub(super) after: Vec<After>,
    pub(super) delivered: Vec<Delivered>,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("left", &self.left)
            .field("deed", &self.deed)
            .finish_non_exhaustive()
    }
}

impl Rule {
    /// For requests of `method` to paths that match `pattern`: `*` is any one segment, `**` at the end any
    /// rest; the query is not looked at.
    pub fn on(method: &str, pattern: &str) -> Self {
        let (method, pattern) = (method.to_owned(), pattern.to_owned());
        Self::when(move |request| request.method == method && matches(&pattern, &request.path))
    }

    /// For requests that `applies` says yes to.
    pub fn when(applies: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        Self {
            applies: Arc::new(applies),
            skipped: 0,
            left: usize::MAX,
            deed: Deed::Pass,
            before: Vec::new(),
            after: Vec::new(),
            delivered: Vec::new(),
        }
    }

    /// For every request.
    pub fn always() -> Self {
        Self::when(|_| true)
    }

    /// Lets the first `count` matching requests go to the rules after it.
    #[must_use]
    pub fn skip(mut self, count: usize) -> Self {
        self.skipped = count;
        self
    }

    /// Is used up after `count` requests; never, unless told.
    #[must_use]
    pub fn times(mut self, count: usize) -> Self {
        self.left = count;
        self
    }

    /// Cuts the connection; the server sees nothing.
    #[must_use]
    pub fn refuse(mut self) -> Self {
        self.deed = Deed::Refuse;
        self
    }

    /// Forwards, waits for the reply, and cuts the connection instead of handing it back.
    #[must_use]
    pub fn drop_reply(mut self) -> Self {
        self.deed = Deed::DropReply;
        self
    }

    /// Answers; the server sees nothing.
    #[must_use]
    pub fn answer(mut self, status: u16, content_type: &str, body: &str) -> Self {
        let (content_type, body) = (content_type.to_owned(), body.as_bytes().to_owned());
        self.deed = Deed::Answer(Reply {
            status,
            content_type,
            body,
        });
        self
    }

    /// Answers as a web server whose back end is gone: 502 with a page of HTML.
    #[must_use]
    pub fn bad_gateway(self) -> Self {
        self.answer(
            502,
            "text/html",
            "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
             <center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n",
        )
    }

    /// Answers as a Flink that has no leader at the moment (`LeaderRetrievalHandler`).
    #[must_use]
    pub fn leader_election(self) -> Self {
        self.answer(
            503,
            "application/json; charset=UTF-8",
            "{\"errors\":[\"Service temporarily unavailable due to an ongoing leader election. \
             Please refresh.\"]}",
        )
    }

    /// Calls `hook` when the request has arrived, before anything else is done with it.
    #[must_use]
    pub fn before(mut self, hook: impl Fn(&Request) + Send + Sync + 'static) -> Self {
        self.before.push(Arc::new(hook));
        self
    }

    /// Calls `hook` when the reply is there, before it is handed back or lost; it may change the reply.
    #[must_use]
    pub fn after(mut self, hook: impl Fn(&Request, &mut Reply) + Send + Sync + 'static) -> Self {
        self.after.push(Arc::new(hook));
        self
    }

    /// Calls `hook` when the reply has been handed back.
    #[must_use]
    pub fn delivered(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.delivered.push(Arc::new(hook));
        self
    }

    /// Holds the request at `gate` before it is forwarded.
    #[must_use]
    pub fn hold_request(self, gate: &Gate) -> Self {
        let gate = gate.clone();
        self.before(move |_| gate.pass(HELD_MAX))
    }

    /// Holds the reply at `gate` before it is handed back.
    #[must_use]
    pub fn hold_reply(self, gate: &Gate) -> Self {
        let gate = gate.clone();
        self.after(move |_, _| gate.pass(HELD_MAX))
    }

    pub(super) fn into_active(self) -> Active {
        Active {
            rule: Arc::new(self.clone()),
            skipped: self.skipped,
            left: self.left,
        }
    }
}

/// A rule with what is left of it.
#[derive(Debug)]
pub(super) struct Active {
    rule: Arc<Rule>,
    skipped: usize,
    left: usize,
}

/// The first rule that is for `request`, one use of which is taken.
pub(super) fn take(rules: &mut [Active], request: &Request) -> Option<Arc<Rule>> {
    rules.iter_mut().find_map(|active| {
        if active.left == 0 || !(active.rule.applies)(request) {
            return None;
        }
        if active.skipped > 0 {
            active.skipped -= 1;
            return None;
        }
        active.left -= 1;
        Some(Arc::clone(&active.rule))
    })
}

/// Whether `path` matches `pattern`: `*` is any one segment, `**` at the end any rest.
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let mut segments = path.split('/');
    for wanted in pattern.split('/') {
        match (wanted, segments.next()) {
            ("**", _) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(segment)) if wanted == segment => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_paths_by_segment() {
        for (pattern, path, expected) in [
            ("/jobs/*/savepoints", "/jobs/1/savepoints", true),
            ("/jobs/*/savepoints", "/jobs/1/savepoints?x=/y", true),
            ("/jobs/*/savepoints", "/jobs/1/savepoints/2", false),
            ("/jobs/*/savepoints", "/jobs/savepoints", false),
            ("/jobs/**", "/jobs/1/savepoints/2", true),
            ("/jobs/**", "/overview", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
