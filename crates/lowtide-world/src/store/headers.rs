//! Names of keyed states: the beginning of one state file an operator, in small requests.
//!
//! What cannot be read is told for its operator and fails nothing: a snapshot whose names are not
//! known is no worse a snapshot.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use lowtide_core::fault::Fault;
use lowtide_core::flink_metadata::{
    HeaderError, HeaderScan, KeyedStates, Metadata, OperatorId, keyed_states,
};
use lowtide_core::headers::{Header, Lies, headers};
use lowtide_core::name::Location;
use tokio::time::{Instant, timeout_at};

use super::place::Place;
use super::{Paths, blocking, local, object, unsupported};

/// Headers read at once: as many requests as are under way for single files elsewhere, and at most
/// 16 MiB in memory.
const HEADERS_AT_ONCE: usize = 16;
/// Headers read from files in all, those of the largest operators: real jobs have hundreds of
/// operators at most, and at 50 ms a request so many take three seconds.
const HEADERS_MAX: usize = 1_000;
/// How long all of them may take: names are worth a short wait, not that of a store that hangs.
const HEADERS_WAIT_MAX: Duration = Duration::from_secs(30);

/// The keyed states of each operator that has any, or why their names are not known.
pub type StateNames = BTreeMap<OperatorId, Result<KeyedStates, NamesUnknown>>;

/// Why the names of an operator's keyed states are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamesUnknown {
    /// There is no stream with a header.
    #[error("there are only changes, which name no states")]
    NoHeader,
    /// Its bytes are no header, or not a whole one.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// It cannot be read.
    #[error("{}", .0.text)]
    Unreadable(Fault),
    /// There are too many before it.
    #[error("only the headers of the {HEADERS_MAX} largest operators are read")]
    TooMany,
    /// Reading took too long.
    #[error("reading headers took longer than {} s", HEADERS_WAIT_MAX.as_secs())]
    TooSlow,
}

impl Paths {
    /// Reads the names of the keyed states of a snapshot.
    pub(crate) async fn keyed_states(
        &self,
        location: &Location,
        metadata: &Metadata,
    ) -> StateNames {
        let directory = super::directory_of(location);
        let until = Instant::now() + HEADERS_WAIT_MAX;
        let mut files = 0;
        let wanted = headers(metadata, &directory).into_iter().map(|header| {
            files += usize::from(matches!(header.lies, Lies::There { .. }));
            (header, files <= HEADERS_MAX)
        });
        stream::iter(wanted)
            .map(|(header, is_within)| async move {
                let found = match &header {
                    Header {
                        lies: Lies::There { .. },
                        ..
                    } if !is_within => Err(NamesUnknown::TooMany),
                    header => timeout_at(until, self.header(&header.lies))
                        .await
                        .unwrap_or(Err(NamesUnknown::TooSlow)),
                };
                (header.operator, found)
            })
            .buffer_unordered(HEADERS_AT_ONCE)
            .collect()
            .await
    }

    async fn header(&self, lies: &Lies<'_>) -> Result<KeyedStates, NamesUnknown> {
        match lies {
            Lies::Nowhere => Err(NamesUnknown::NoHeader),
            Lies::Here(bytes) => Ok(keyed_states(bytes)?),
            Lies::There { location, bytes } => {
                let mut scan = HeaderScan::new(bytes.clone());
                loop {
                    let read = self.range(location, scan.wants()).await;
                    let read = read.map_err(NamesUnknown::Unreadable)?;
                    if let Some(found) = scan.feed(&read)? {
                        return Ok(found);
                    }
                }
            }
        }
    }

    /// Some bytes of a file; fewer if it ends before.
    async fn range(&self, location: &Location, bytes: Range<u64>) -> Result<Vec<u8>, Fault> {
        super::refuse_dots(location)?;
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        match self.place(location) {
            Place::Local(path) => blocking(move || local::range(&path, bytes)).await,
            Place::Object(object) => {
                object::range(&self.stores.operator(&object.root)?, &object, bytes).await
            }
            Place::Unsupported(why) => Err(unsupported(&why)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use lowtide_core::flink_metadata::{
        KeyGroupRange, KeyGroupsHandle, KeyGroupsKind, KeyedStateHandle, Operator, StreamHandle,
        Subtask, SubtaskState,
    };

    use super::*;

    /// An operator with one file of keyed state.
    fn operator(number: usize, path: &str, size: u64) -> Operator {
        let handle = KeyGroupsHandle {
            kind: KeyGroupsKind::Savepoint,
            range: KeyGroupRange { start: 0, count: 0 },
            offsets: Vec::new(),
            stream: StreamHandle::Relative {
                path: path.to_owned(),
                size: Some(size),
            },
        };
        let state = SubtaskState {
            managed_keyed: Some(KeyedStateHandle::KeyGroups(handle)),
            ..SubtaskState::default()
        };
        Operator {
            name: None,
            uid: None,
            id: id(number),
            parallelism: 1,
            max_parallelism: 1,
            coordinator: None,
            fully_finished: false,
            subtasks: vec![Subtask {
                index: 0,
                state: Some(Box::new(state)),
            }],
        }
    }

    fn id(number: usize) -> OperatorId {
        OperatorId((number as u128).to_be_bytes())
    }

    fn names(directory: &str, operators: Vec<Operator>) -> StateNames {
        let metadata = Metadata {
            version: 4,
            checkpoint_id: 1,
            master_states: Vec::new(),
            operators,
            properties: None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let location = Location::new(directory);
        let (paths, runtime) = (Paths::default(), runtime.unwrap());
        runtime.block_on(paths.keyed_states(&location, &metadata))
    }

    #[test]
    fn only_the_largest_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let operators = (0..HEADERS_MAX + 3).map(|number| {
            // The first are the smallest.
            operator(number, "missing", 1_000 + number as u64)
        });
        let names = names(directory.path().to_str().unwrap(), operators.collect());
        let too_many = |names: &StateNames| {
            let of = names
                .iter()
                .filter(|(_, it)| **it == Err(NamesUnknown::TooMany));
            of.map(|(id, _)| *id).collect::<Vec<_>>()
        };
        assert_eq!(too_many(&names), [id(0), id(1), id(2)]);
        assert_eq!(names.len(), HEADERS_MAX + 3);
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("folder")).unwrap();
        fs::write(directory.path().join("short"), [0, 0, 0, 6, 0]).unwrap();
        let operators = vec![
            operator(1, "folder", 10),
            operator(2, "../climbing", 10),
            operator(3, "short", 10),
            operator(4, "short", 0),
        ];
        let names = names(directory.path().to_str().unwrap(), operators);
        let why = |number| names[&id(number)].as_ref().unwrap_err().to_string();
        assert!(why(1).ends_with("/folder is not a file"), "{}", why(1));
        assert!(why(2).contains("`..`"), "{}", why(2));
        for number in [3, 4] {
            let why = why(number);
            assert!(why.starts_with("the header names 0 states in "), "{why}");
        }
    }
}
