//! The Helm chart: what it renders, what it refuses, what it may do, and whether the API server and the program take
//! what it renders. Real Helm, a real API server, the real program.
//!
//! The values files in `charts/lowtide/ci` are the matrix; every test of what is rendered goes over all of them.

#![allow(clippy::unwrap_used)]

mod agreement;
mod helm;
mod pods;
mod program;
mod refusals;
mod rendered;
mod rights;
mod server;
