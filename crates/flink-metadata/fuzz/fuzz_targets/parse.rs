//! Any bytes are answered; what is read can be looked at, and written and read again.

#![no_main]

use flink_metadata::{parse, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let metadata = match parse(bytes) {
        Ok(metadata) => metadata,
        Err(error) => {
            assert!(error.at <= bytes.len());
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    metadata.files().for_each(drop);
    for anomaly in metadata.anomalies() {
        assert!(!anomaly.to_string().is_empty());
    }
    let _ = (metadata.snapshot_type(), metadata.state_bytes());
    let _ = metadata.checkpointed_bytes();
    assert_eq!(metadata.bytes_by_kind().total(), metadata.state_bytes());
    for operator in &metadata.operators {
        let _ = (operator.operator_states(), operator.operator_state_sums());
        let _ = operator.spread_over_key_groups();
        if let Some(spread) = operator.spread_over_subtasks() {
            assert!(spread.mean_bytes() <= spread.largest_bytes);
        }
    }
    let written = write(&metadata).expect("what was read can be written");
    assert_eq!(parse(&written).as_ref(), Ok(&metadata));
});
