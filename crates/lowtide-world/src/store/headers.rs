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
