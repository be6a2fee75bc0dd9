//! Ids and times as VVP writes them.

use jiff::Timestamp;

/// Hex digits of the five groups of a UUID.
const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

/// A random UUID (RFC 9562, version 4).
pub(super) fn uuid() -> String {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).expect("the kernel has randomness");
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    dashed(&hex::encode(bytes))
}

/// Flink's 32 hex digits as a UUID: VVP's job id is Flink's with dashes.
pub(super) fn dashed(id: &str) -> String {
    let mut rest = id;
    let mut groups = Vec::new();
    for length in GROUPS {
        let (group, after) = rest.split_at(length.min(rest.len()));
        groups.push(group);
        rest = after;
    }
    groups.join("-")
}

/// A UUID without dashes, as Flink writes ids.
pub(super) fn undashed(id: &str) -> String {
    id.replace('-', "")
}

/// Whether `text` is a UUID.
pub(super) fn is_uuid(text: &str) -> bool {
    let groups: Vec<_> = text.split('-').collect();
    let lengths = groups.iter().map(|group| group.len());
    lengths.eq(GROUPS)
        && groups
            .iter()
            .all(|group| group.bytes().all(|it| it.is_ascii_hexdigit()))
}

/// A time in ISO 8601 with milliseconds, `2019-10-07T11:07:12.667Z`.
pub(super) fn iso(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_flinks_id_with_dashes() {
        let id = uuid();
        assert!(is_uuid(&id), "{id}");
        assert_eq!(dashed(&undashed(&id)), id);
        for other in ["", "orders", "3f1da3c86f22430f9200eda014ea5319", &id[1..]] {
            assert!(!is_uuid(other), "{other}");
        }
    }

    #[test]
    fn times_have_three_decimals() {
        let at = Timestamp::from_millisecond(1_570_446_432_060);
        assert_eq!(
            at.map(iso).ok().as_deref(),
            Some("2019-10-07T11:07:12.060Z")
        );
    }
}
