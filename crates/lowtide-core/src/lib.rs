//! The domain of Lowtide: decides everything, does nothing.

pub mod schedule;
