//! Lowtide in a real Kubernetes, whole: Helm installs the chart, a `CronJob` or a `Deployment` makes a pod, the
//! pod runs the image under the chart's `ServiceAccount` in a namespace that enforces the `restricted` Pod
//! Security Standard, resolves names, has savepoints taken by a real Flink, and proves them on a volume that
//! it sees at another path than Flink does.
//!
//! What really happened is read from the emulator of Ververica Platform, from Flink's directories and from the
//! API server's audit log, not from Lowtide. Each test has namespaces, a platform and a release of its own;
//! they share one node and one Flink. Nothing sleeps: what is to last is held (a reply, a snapshot, a file),
//! and what comes is waited for, with a limit.

#![allow(clippy::unwrap_used)]

mod cronjob;
mod fleet;
mod killed;
mod ledger;
mod release;
mod rights;
mod scene;
mod serve;
mod vvp;
