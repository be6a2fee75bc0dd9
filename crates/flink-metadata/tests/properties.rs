//! What must hold for any metadata and for any bytes.

#![allow(clippy::unwrap_used)]

mod common;

use common::arbitrary::metadata;
use flink_metadata::{parse, write};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn what_is_written_is_read_back(written in metadata()) {
        let bytes = write(&written).unwrap();
        prop_assert_eq!(parse(&bytes).unwrap(), written);
    }

    #[test]
    fn what_is_cut_off_is_refused(written in metadata(), end in any::<Index>()) {
        let bytes = write(&written).unwrap();
        prop_assert!(parse(&bytes[..end.index(bytes.len())]).is_err());
    }

    #[test]
    fn what_is_appended_is_refused(written in metadata(), extra in vec(any::<u8>(), 1..5)) {
        let mut bytes = write(&written).unwrap();
        bytes.extend(extra);
        prop_assert!(parse(&bytes).is_err());
    }

    /// Whatever is read from damaged bytes can be looked at, and written and read again.
    #[test]
    fn damaged_bytes_do_no_harm(
        written in metadata(),
        flips in vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = write(&written).unwrap();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= value;
        }
        if let Ok(read) = parse(&bytes) {
            read.files().for_each(drop);
            let _ = (read.anomalies(), read.snapshot_type());
            let _ = (read.state_bytes(), read.checkpointed_bytes());
            prop_assert_eq!(read.bytes_by_kind().total(), read.state_bytes());
            for operator in &read.operators {
                let _ = (operator.operator_state_sums(), operator.spread_over_key_groups());
                if let Some(spread) = operator.spread_over_subtasks() {
                    prop_assert!(spread.mean_bytes() <= spread.largest_bytes);
                    prop_assert!(spread.filled <= spread.places);
                }
            }
            let again = write(&read).unwrap();
            prop_assert_eq!(parse(&again).unwrap(), read);
        }
    }

    #[test]
    fn random_bytes_do_no_harm(version in 0..9_u32, tail in vec(any::<u8>(), 0..200)) {
        let _ = parse(&tail);
        let mut bytes = 0x4960_672d_u32.to_be_bytes().to_vec();
        bytes.extend(version.to_be_bytes());
        bytes.extend(tail);
        if let Err(error) = parse(&bytes) {
            prop_assert!(error.at <= bytes.len());
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
