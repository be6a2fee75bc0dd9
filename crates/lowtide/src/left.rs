//! What runs leave, as this process commits it: of runs that it walked from their claim to their end it need not ask
//! the catalog, which is busy with the last of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lowtide_core::name::RunId;
use lowtide_core::run::Run;
use lowtide_core::savepoint::Savepoint;

/// What came with the rows of a run, up to a version.
#[derive(Debug)]
struct Seen {
    version: u64,
    savepoints: Vec<Savepoint>,
}

/// Sees every row that this process commits.
#[derive(Debug, Default)]
pub struct Left(Mutex<BTreeMap<RunId, Seen>>);

impl Left {
    /// A row, and the savepoints that were committed with it; `None` if it was only read.
    pub fn saw(&self, run: &Run, savepoints: Option<&[Savepoint]>) {
        let Some(savepoints) = savepoints else {
            return;
        };
        let mut all = self.all();
        if run.version == 0 {
            let seen = Seen {
                version: 0,
                savepoints: savepoints.to_vec(),
            };
            all.insert(run.id, seen);
        } else if let Some(seen) = all.get_mut(&run.id)
            && seen.version + 1 == run.version
        {
            seen.version = run.version;
            seen.savepoints.extend_from_slice(savepoints);
        }
    }

    /// What the run left, oldest first; `None` if any of its rows was not seen.
    pub fn by(&self, run: &Run) -> Option<Vec<Savepoint>> {
        let all = self.all();
        let seen = all.get(&run.id).filter(|it| it.version == run.version)?;
        let mut savepoints = seen.savepoints.clone();
        savepoints.sort_by(|a, b| (a.taken_at, &a.location).cmp(&(b.taken_at, &b.location)));
        Some(savepoints)
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<RunId, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use lowtide_core::name::Location;
    use lowtide_core::savepoint::{Format, Provenance, Standing, Verification};

    use super::*;
    use crate::status::tests::run;

    fn version(version: u64) -> Run {
        Run { version, ..run() }
    }

    fn savepoint(name: &str, seconds: i64) -> Savepoint {
        let run = run();
        Savepoint {
            location: Location::new(name),
            application: run.application.clone(),
            provenance: Provenance::Run {
                run: run.id,
                attempt: 1,
                job: run.job.expect("a job"),
            },
            standing: Standing::Kept,
            format: Format::Canonical,
            taken_at: Timestamp::from_second(seconds).expect("a time"),
            duration_ms: None,
            verification: Verification::Nothing,
            verify_at: None,
            read_at: None,
        }
    }

    #[test]
    fn what_was_seen_from_the_claim_on_is_known_oldest_first() {
        let left = Left::default();
        left.saw(&version(0), Some(&[]));
        assert_eq!(left.by(&version(0)), Some(Vec::new()));
        left.saw(&version(1), Some(&[savepoint("later", 2)]));
        left.saw(&version(2), Some(&[savepoint("sooner", 1)]));
        let all = vec![savepoint("sooner", 1), savepoint("later", 2)];
        assert_eq!(left.by(&version(2)), Some(all));
    }

    #[test]
    fn a_row_that_was_not_seen_leaves_it_to_the_catalog() {
        let left = Left::default();
        left.saw(&version(3), Some(&[]));
        assert_eq!(left.by(&version(3)), None, "claimed by somebody else");
        left.saw(&version(0), Some(&[]));
        left.saw(&version(1), None);
        assert_eq!(left.by(&version(1)), None, "only read");
        left.saw(&version(2), Some(&[savepoint("seen", 1)]));
        assert_eq!(left.by(&version(2)), None, "one is missing");
    }
}
