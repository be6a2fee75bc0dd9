//! Trees as Flink leaves them, and what is said of each.
#![allow(clippy::unwrap_used)]

use super::*;
