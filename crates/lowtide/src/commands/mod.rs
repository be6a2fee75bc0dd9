//! One module a command. Each reads what it needs, prints its result, and says how it ended.

pub mod adopt;
pub mod check;
pub mod diff;
pub mod generate;
pub mod inspect;
pub mod latest;
pub mod list;
pub mod pause;
pub mod plan;
pub mod resolve;
pub mod scan;
pub mod serve;
pub mod show;
pub mod take;
pub mod verify;

mod results;
mod slot_from_job;
