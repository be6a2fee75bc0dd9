//! Savepoints in a real S3 server: what a real Flink wrote there by its own S3 plugin, and trees of
//! files of our own where the number of requests counts.
#![allow(clippy::unwrap_used)]

#[path = "s3/flink.rs"]
mod flink;
#[path = "s3/metadata.rs"]
mod metadata;
#[path = "s3/requests.rs"]
mod requests;
#[path = "s3/shared.rs"]
mod shared;
