//! The headers of state files name the keyed states of the program, whichever backend wrote them.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lowtide_core::flink_metadata::{
    KeyedState, KeyedStateHandle, KeyedStateKind, OperatorId, StreamHandle, keyed_states,
    read_keyed_states,
};
use lowtide_core::name::Location;

use super::take::Snapshot;

/// The states of the operator `accounts` (`StatefulApp.java`).
const STATES: [(&str, KeyedStateKind); 3] = [
    ("balance", KeyedStateKind::Value),
    ("recent", KeyedStateKind::List),
    ("by-kind", KeyedStateKind::Map),
];

/// Each stream that begins with a header names them all, and so does the one that is read through the
/// stores.
pub fn are_those_of_the_program(snapshot: &Snapshot) {
    let metadata = snapshot.metadata();
    let accounts = OperatorId::from_uid("accounts");
    let operators = metadata.operators.iter().filter(|it| it.id == accounts);
    let states = operators
        .flat_map(|operator| &operator.subtasks)
        .filter_map(|subtask| subtask.state.as_deref()?.managed_keyed.as_ref());
    let streams: Vec<_> = states.flat_map(KeyedStateHandle::header_streams).collect();
    assert!(!streams.is_empty(), "{snapshot} has no header");
    for stream in streams {
        let found = states_of(snapshot, stream);
        for (name, kind) in STATES {
            let state = found.iter().find(|state| state.name == name);
            assert_eq!(
                state.map(|state| state.kind),
                Some(kind),
                "{snapshot}: {name} in {found:?} of {stream:?}"
            );
        }
    }
    through_the_stores(snapshot, accounts);
}

fn through_the_stores(snapshot: &Snapshot, accounts: OperatorId) {
    let location = Location::new(snapshot.directory.to_str().unwrap());
    let metadata = snapshot.metadata();
    let reading = lowtide_world::keyed_states(&location, &metadata, Arc::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let names = runtime.unwrap().block_on(reading);
    let keyed = metadata
        .operators
        .iter()
        .filter(|it| it.bytes_by_kind().managed_keyed > 0);
    assert_eq!(names.len(), keyed.count(), "{snapshot}: {names:?}");
    let told = names[&accounts]
        .as_ref()
        .unwrap_or_else(|why| panic!("{snapshot}: {why}"));
    for (name, kind) in STATES {
        let is_this = |state: &KeyedState| state.name == name && state.kind == kind;
        assert!(told.states.iter().any(is_this), "{snapshot}: {told:?}");
    }
}

fn states_of(snapshot: &Snapshot, stream: &StreamHandle) -> Vec<KeyedState> {
    let (path, range) = match stream {
        StreamHandle::Inline { bytes, .. } => {
            let found = keyed_states(bytes);
            return found
                .unwrap_or_else(|error| panic!("{snapshot}: {error}"))
                .states;
        }
        StreamHandle::Relative { path, size } => (snapshot.directory.join(path), 0..size.unwrap()),
        StreamHandle::File { path, size } => (local(path), 0..size.unwrap()),
        StreamHandle::Segment(it) => (local(&it.path), it.start..it.start + it.size),
        StreamHandle::KeyGroups { stream, .. } => return states_of(snapshot, stream),
        StreamHandle::EmptySegment => panic!("{snapshot}: a header in no bytes"),
    };
    header(snapshot, &path, range)
}

fn header(snapshot: &Snapshot, path: &Path, range: Range<u64>) -> Vec<KeyedState> {
    let file =
        File::open(path).unwrap_or_else(|error| panic!("{snapshot}: {}: {error}", path.display()));
    let found = read_keyed_states(range, |offset, bytes| {
        let mut read = vec![0; bytes];
        file.read_exact_at(&mut read, offset).map(|()| read)
    });
    found
        .unwrap_or_else(|error| panic!("{snapshot}: {}: {error}", path.display()))
        .states
}

fn local(uri: &str) -> PathBuf {
    PathBuf::from(uri.strip_prefix("file:").unwrap_or(uri))
}
