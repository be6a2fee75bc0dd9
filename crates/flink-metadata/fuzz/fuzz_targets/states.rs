//! Headers of keyed state: what a prefix gives is what the whole gives.

#![no_main]

use flink_metadata::{HeaderError, keyed_states};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = keyed_states(bytes);
    if let Ok(found) = keyed_states(&bytes[..bytes.len() / 2]) {
        assert_eq!(whole, Ok(found));
    }
    if let Err(HeaderError::NeedsMore { given, .. }) = whole {
        assert_eq!(given, bytes.len());
    }
});
