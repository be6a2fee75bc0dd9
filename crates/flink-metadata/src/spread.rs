//! How the bytes of an operator's state are spread: over its subtasks, its key groups, its operator
//! states.
//!
//! Over subtasks it is what each subtask's managed keyed state takes, whichever backend wrote it.
//! Over key groups it is known only where a handle says where each key group begins
//! (`KeyGroupsStateHandle`: canonical savepoints, and everything of the heap backend): from there to
//! where the next one begins, or to the end of the stream. Files of an LSM tree hold several key
//! groups, and a changelog is in the order of time.

use std::collections::BTreeMap;

use crate::handle::{KeyGroupsHandle, KeyedStateHandle, OperatorStateHandle, Redistribution};
use crate::model::Operator;

/// How bytes of managed keyed state are spread over subtasks or key groups. Bytes are those that were
/// stored: compressed, if Flink compressed them.
///
/// Flink gives each subtask `maximum parallelism ÷ parallelism` key groups, rounded up or down
/// (`KeyGroupRangeAssignment`). With evenly filled key groups the largest subtask therefore holds less
/// than twice the mean: a [`skew`](Self::skew) above is in the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// Over how many subtasks, or key groups.
    pub places: u32,
    /// How many of them hold any bytes.
    pub filled: u32,
    /// Bytes in all of them.
    pub bytes: u64,
    /// Number of the one that holds the most; the first of them, if several do.
    pub largest: u32,
    /// Bytes in that one.
    pub largest_bytes: u64,
}

impl Spread {
    /// Of bytes by the number of their place; `None` if there are no bytes at all.
    fn of(bytes_of: &BTreeMap<u32, u64>, places: u32) -> Option<Self> {
        let filled = bytes_of.values().filter(|bytes| **bytes > 0).count();
        let filled = u32::try_from(filled).unwrap_or(u32::MAX);
        let first = |(number, bytes): &(&u32, &u64)| (**bytes, std::cmp::Reverse(**number));
        let (largest, largest_bytes) = bytes_of.iter().max_by_key(first)?;
        (*largest_bytes > 0).then(|| Self {
            places: places.max(filled),
            filled,
            bytes: bytes_of.values().copied().fold(0, u64::saturating_add),
            largest: *largest,
            largest_bytes: *largest_bytes,
        })
    }

    /// Bytes in each, were they spread evenly, rounded down.
    #[must_use]
    pub fn mean_bytes(&self) -> u64 {
        self.bytes / u64::from(self.places)
    }

    /// How many times the mean the largest holds: 1 if all hold the same, and
    /// [`places`](Self::places) if one holds everything.
    #[must_use]
    pub fn skew(&self) -> f64 {
        self.largest_bytes as f64 * f64::from(self.places) / self.bytes as f64
    }
}

/// One operator state of all subtasks together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperatorStateSum {
    /// How it is spread when the parallelism changes.
    pub mode: Redistribution,
    /// How many items all subtasks wrote.
    pub items: u64,
    /// Bytes of the items, where the length of the stream is known. Each subtask writes its own copy
    /// of broadcast state.
    pub bytes: u64,
}

impl Operator {
    /// How its managed keyed state is spread over its subtasks; `None` if it has none. A subtask that
    /// sent nothing, or had finished, counts as one with no bytes.
    ///
    /// ```
    /// # use flink_metadata::{Operator, Spread};
    /// /// Is one subtask's state much larger than that of the others?
    /// fn is_skewed(operator: &Operator) -> bool {
    ///     operator.spread_over_subtasks().is_some_and(|spread| spread.skew() >= 2.0)
    /// }
    /// ```
    #[must_use]
    pub fn spread_over_subtasks(&self) -> Option<Spread> {
        let mut bytes_of = BTreeMap::new();
        for (subtask, handle) in self.keyed_handles() {
            let bytes: &mut u64 = bytes_of.entry(subtask).or_default();
            *bytes = bytes.saturating_add(handle.state_bytes());
        }
        Spread::of(&bytes_of, self.parallelism)
    }

    /// How its managed keyed state is spread over its key groups; `None` if it has none, or if the
    /// metadata does not tell.
    ///
    /// It tells where each key group begins in the streams of canonical savepoints and of the heap
    /// backend (`KeyGroupsStateHandle`): a key group is the bytes up to the next one, or to the end of
    /// the stream. It does not tell of LSM files, which hold several key groups each, nor of
    /// changelogs, which are in the order of time.
    #[must_use]
    pub fn spread_over_key_groups(&self) -> Option<Spread> {
        let mut bytes_of = BTreeMap::new();
        for (_, handle) in self.keyed_handles() {
            let KeyedStateHandle::KeyGroups(handle) = handle else {
                return None;
            };
            for (key_group, bytes) in handle.bytes_by_key_group()? {
                let all: &mut u64 = bytes_of.entry(key_group).or_default();
                *all = all.saturating_add(bytes);
            }
        }
        Spread::of(&bytes_of, self.max_parallelism)
    }

    /// The managed operator states of all subtasks by name, with their sizes.
    #[must_use]
    pub fn operator_state_sums(&self) -> BTreeMap<&str, OperatorStateSum> {
        let states = self.subtasks.iter().filter_map(|it| it.state.as_deref());
        let mut sums = BTreeMap::new();
        for handle in states.filter_map(|state| state.managed_operator.as_ref()) {
            handle.add_to(&mut sums);
        }
        sums
    }

    fn keyed_handles(&self) -> impl Iterator<Item = (u32, &KeyedStateHandle)> {
        self.subtasks.iter().filter_map(|subtask| {
            let handle = subtask.state.as_deref()?.managed_keyed.as_ref()?;
            Some((subtask.index, handle))
        })
    }
}

impl KeyGroupsHandle {
    /// The bytes of each key group that has an offset of its own; `None` if the length of the stream
    /// is unknown.
    ///
    /// An offset of 0 or -1 is that of an empty key group: a stream begins with a header.
    fn bytes_by_key_group(&self) -> Option<Vec<(u32, u64)>> {
        let begins = (self.range.start..=u32::MAX).zip(&self.offsets);
        let begins = begins
            .filter(|(_, offset)| **offset > 0)
            .filter_map(|(key_group, offset)| Some((u64::try_from(*offset).ok()?, key_group)));
        Some(lengths(begins.collect(), self.stream.length()?))
    }
}

impl OperatorStateHandle {
    fn add_to<'a>(&'a self, sums: &mut BTreeMap<&'a str, OperatorStateSum>) {
        for state in &self.states {
            let sum = sums.entry(state.name.as_str()).or_insert(OperatorStateSum {
                mode: state.mode,
                items: 0,
                bytes: 0,
            });
            sum.items += state.offsets.len() as u64;
        }
        let begins = self.states.iter().flat_map(|state| {
            let offsets = state.offsets.iter();
            let offsets = offsets.filter_map(|offset| u64::try_from(*offset).ok());
            offsets.map(|offset| (offset, state.name.as_str()))
        });
        let end = self.stream.length().unwrap_or(0);
        for (name, bytes) in lengths(begins.collect(), end) {
            if let Some(sum) = sums.get_mut(name) {
                sum.bytes = sum.bytes.saturating_add(bytes);
            }
        }
    }
}

/// The bytes from each beginning to the next one, or to the end of the stream. Beginnings may come in
/// any order, and may be anything: what lies behind the end has no bytes.
fn lengths<T: Ord>(mut begins: Vec<(u64, T)>, end: u64) -> Vec<(T, u64)> {
    begins.sort_unstable();
    let mut next = end;
    let mut lengths = Vec::with_capacity(begins.len());
    for (begin, what) in begins.into_iter().rev() {
        lengths.push((what, next.saturating_sub(begin)));
        next = next.min(begin);
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(bytes: &[u64], places: u32) -> Option<Spread> {
        Spread::of(&(0..).zip(bytes.iter().copied()).collect(), places)
    }

    #[test]
    fn even_is_one_and_all_in_one_is_their_number() {
        let skew = |bytes: &[u64], places| spread(bytes, places).map(|it| it.skew());
        assert_eq!(skew(&[7, 7, 7, 7], 4), Some(1.0));
        assert_eq!(skew(&[0, 9, 0, 0], 4), Some(4.0));
        // A subtask that sent nothing is one of them.
        assert_eq!(skew(&[5, 5], 4), Some(2.0));
        assert_eq!(skew(&[0, 0], 4), None);
        assert_eq!(skew(&[], 4), None);
    }

    #[test]
    fn the_first_of_the_largest_is_named() {
        let spread = spread(&[1, 8, 8, 0], 4);
        let expected = Spread {
            places: 4,
            filled: 3,
            bytes: 17,
            largest: 1,
            largest_bytes: 8,
        };
        assert_eq!(spread, Some(expected));
        assert_eq!(spread.map(|it| it.mean_bytes()), Some(4));
    }

    #[test]
    fn a_piece_ends_where_the_next_begins() {
        let mut found = lengths(vec![(30, 'c'), (10, 'a'), (20, 'b')], 100);
        found.sort_unstable();
        assert_eq!(found, [('a', 10), ('b', 10), ('c', 70)]);
        // Beyond the end there is nothing.
        let mut found = lengths(vec![(10, 'a'), (200, 'b')], 100);
        found.sort_unstable();
        assert_eq!(found, [('a', 90), ('b', 0)]);
    }
}
