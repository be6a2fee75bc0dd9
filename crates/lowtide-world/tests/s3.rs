//! Savepoints in a real S3 server: what a real Flink wrote there by its own S3 plugin, and files of our
//! own in every kind of disorder.
#![allow(clippy::unwrap_used)]

#[path = "s3/disorder.rs"]
mod disorder;
#[path = "s3/flink.rs"]
mod flink;
#[path = "s3/metadata.rs"]
mod metadata;
#[path = "s3/names.rs"]
mod names;
#[path = "s3/shared.rs"]
mod shared;
