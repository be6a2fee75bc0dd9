//! What a release's catalog says, read when no pod has it open any more.

use std::path::Path;

use lowtide_catalog::{Catalog, RunFilter, SavepointFilter};
use lowtide_core::run::{Outcome, Run};
use lowtide_core::savepoint::{Savepoint, Standing};

/// More rows than any of these tests makes.
const ROWS_MAX: u32 = 10_000;

/// All rows.
#[derive(Debug)]
pub struct Ledger {
    /// Every run.
    pub runs: Vec<Run>,
    /// Every savepoint.
    pub savepoints: Vec<Savepoint>,
}

impl Ledger {
    /// Reads the catalog in the folder of a volume.
    pub fn read(folder: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let catalog = Catalog::open(folder.join("catalog.db")).await.unwrap();
            let runs = RunFilter {
                applications: None,
                outcome: None,
                limit: ROWS_MAX,
            };
            let savepoints = SavepointFilter {
                applications: None,
                standings: None,
                only_good: false,
                limit: ROWS_MAX,
            };
            let ledger = Self {
                runs: catalog.runs(&runs).await.unwrap(),
                savepoints: catalog.savepoints(&savepoints).await.unwrap(),
            };
            catalog.close().await;
            ledger
        })
    }

    /// The runs of one application.
    pub fn runs_of(&self, application: &str) -> Vec<&Run> {
        let its = |run: &&Run| run.application.application.as_str() == application;
        self.runs.iter().filter(its).collect()
    }

    /// The locations that one application's runs kept, each proven by having been read.
    pub fn kept(&self, application: &str) -> Vec<String> {
        let runs = self.runs_of(application);
        let kept = runs.iter().filter_map(|run| match &run.outcome {
            Some(Outcome::Kept { location }) => Some(location.to_string()),
            _ => None,
        });
        kept.collect()
    }

    /// What the savepoint at a location is.
    pub fn standing(&self, location: &str) -> Standing {
        let mut found = self.savepoints.iter();
        let savepoint = found.find(|it| it.location.as_str() == location);
        savepoint
            .unwrap_or_else(|| panic!("{location} is not in the catalog"))
            .standing
    }
}
