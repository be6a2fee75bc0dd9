//! Real things to test Lowtide against.
//!
//! A platform client that was only ever tested against our own idea of Flink proves our idea, not the
//! client. So this crate starts the real thing: Flink's own jars under Debian's Java, several releases,
//! with and without high availability, and small Java programs of ours that run on it.
//!
//! A cluster may be shared by the tests of one binary in a static: it ends with the process, though nobody
//! then removes its scratch folder. Two tests on one cluster need job names of their own.
//!
//! Everything here is blocking, and what needs an async runtime has one of its own: tests call it from a
//! plain `#[test]` or from `spawn_blocking`. Everything listens on loopback only, keeps its files in a scratch folder of its own,
//! and ends with the process that started it, even when that process is killed.

pub mod azure;
pub mod cache;
pub mod control;
pub mod flink;
pub mod gcs;
pub mod go;
pub mod hdfs;
pub mod http;
pub mod image;
pub mod java;
pub mod kubernetes;
pub mod lease;
mod maven;
pub mod port;
pub mod process;
pub mod proxy;
mod python;
pub mod s3;
pub mod say;
mod server;
pub mod small_fs;
pub mod ververica;
mod wire;
