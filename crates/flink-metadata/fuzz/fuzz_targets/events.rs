//! Events are as many and the same as what `parse` reads, and refused at the same byte.

#![no_main]

use flink_metadata::{Event, EventReader, ReadError, events, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut files = Vec::new();
    let mut ended = Ok(());
    for event in events(bytes) {
        match event {
            Ok(Event::Handle(handle)) => files.extend(handle.file().map(|it| format!("{it:?}"))),
            Ok(_) => {}
            Err(error) => ended = Err(error),
        }
    }
    match (parse(bytes), &ended) {
        (Ok(metadata), Ok(())) => {
            assert!(metadata.files().map(|it| format!("{it:?}")).eq(files));
        }
        (Err(expected), Err(error)) => assert_eq!(expected.at, error.at, "{expected} {error}"),
        (expected, ended) => panic!("{expected:?} {ended:?}"),
    }
    let mut reader = EventReader::new(bytes);
    let read = loop {
        match reader.next_event() {
            Ok(Some(_)) => {}
            Ok(None) => break Ok(()),
            Err(ReadError::Parse(error)) => break Err(error),
            Err(ReadError::Io(error)) => panic!("{error}"),
        }
    };
    assert_eq!(read.is_ok(), ended.is_ok());
});
