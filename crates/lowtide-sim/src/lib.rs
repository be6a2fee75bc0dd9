//! A simulated fleet, clock and catalog: the very engine of `lowtide-core`, driven through faults
//! that a test against real things could neither order nor repeat.
//!
//! A seed is a fleet of at least 20 applications on two or three platforms, two or three
//! processes of Lowtide on one catalog, two hours of slots and faults, and a quiet period in which
//! everything must come to its end. Time is tokio's paused clock on one thread, all chance comes
//! from one seeded source: the same seed is the same story, event by event.
//!
//! What is true is kept apart from what a process can see ([`state`]); [`witness`] compares the
//! two after every commit, claim and call, and at the end. [`law::Invariant`] lists what must
//! hold.
//!
//! # What the design bears
//!
//! - **Clocks.** Each process has a wall clock of its own that drifts, and is set forward and
//!   back. Two clocks differ by less than 20 s at any moment
//!   ([`lowtide_core::run::CLOCKS_APART_MAX`]). More would break no commit (versions see to that),
//!   but an owner could call after another process took its run over.
//! - **Requests** arrive within 30 s of the call or never (`lowtide_core::run::REPEAT_MARGIN`),
//!   also at a `JobManager` that came up meanwhile, and also when the caller gave up or died.
//! - **Lists** of platforms without trigger ids show a savepoint within 29 s of the call that made
//!   it, and the platform's clock is as far from true time as a process's may be.
//! - **Pods** without a catalog wait 30 s by a clock that is not set meanwhile. A request that is
//!   accepted later than that may become a second savepoint, as the product page says: none is
//!   drawn.
//! - **Processes** stall for as long as they like, except between the check of their claim and
//!   the request leaving them: there a stall counts as delay of the request.

mod chaos;
mod fleet;
mod hands;
mod journal;
pub mod law;
mod memory;
mod model;
mod planted;
mod platform;
mod pod;
mod points;
mod process;
mod scenario;
mod seed;
mod state;
mod sweep;
mod trouble;
mod unnamed;
mod wall;
mod witness;

pub use journal::Event;
pub use planted::{ModelBug, Plant};
pub use seed::{Seen, run};
#[cfg(lowtide_planted_bugs)]
pub use sweep::sweep_planted;
pub use sweep::{Broken, SLOTS_MIN, Summary, replay, sweep};
pub use trouble::{CRASH_PHASES, Spot, Tally, Trouble};
