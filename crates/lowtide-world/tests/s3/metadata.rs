//! A `_metadata` of our own making, with as many files as a test likes.

use flink_metadata::{
    BackendFile, IncrementalHandle, KeyGroupRange, KeyedStateHandle, Metadata, Operator,
    OperatorId, StreamHandle, Subtask, SubtaskState, write,
};

/// A file beside the `_metadata`.
pub fn file(name: &str, bytes: u64) -> StreamHandle {
    StreamHandle::Relative {
        path: name.to_owned(),
        size: Some(bytes),
    }
}

/// The bytes of a `_metadata` of one subtask with these files.
pub fn metadata(files: Vec<StreamHandle>) -> Vec<u8> {
    let private = files.into_iter().enumerate();
    let keyed = IncrementalHandle {
        checkpoint_id: 1,
        backend_id: "backend".to_owned(),
        range: KeyGroupRange {
            start: 0,
            count: 128,
        },
        meta: StreamHandle::Inline {
            name: "meta".to_owned(),
            bytes: vec![0],
        },
        shared: Vec::new(),
        private: private
            .map(|(number, stream)| BackendFile {
                local_path: format!("MANIFEST-{number:06}"),
                stream,
            })
            .collect(),
        details: None,
    };
    let state = SubtaskState {
        managed_keyed: Some(KeyedStateHandle::Incremental(keyed)),
        ..SubtaskState::default()
    };
    let operator = Operator {
        name: None,
        uid: None,
        id: OperatorId([1; 16]),
        parallelism: 1,
        max_parallelism: 128,
        coordinator: None,
        fully_finished: false,
        subtasks: vec![Subtask {
            index: 0,
            state: Some(Box::new(state)),
        }],
    };
    let metadata = Metadata {
        version: 3,
        checkpoint_id: 1,
        master_states: Vec::new(),
        operators: vec![operator],
        properties: None,
    };
    write(&metadata).unwrap()
}
