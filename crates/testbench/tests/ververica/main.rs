//! The emulator keeps to the published facts of each release, and every setting and fault is seen on the wire.

#![allow(clippy::unwrap_used)]

mod access;
mod common;
mod faults;
mod real;
mod releases;
mod settings;
