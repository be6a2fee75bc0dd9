//! A real Flink in that Kubernetes: a session cluster in native mode, started by Flink's own client, so that
//! labels, services and owners are what Flink really makes.

mod image;
mod session;

pub use image::{IMAGE, RELEASE, archive};
pub use session::{Session, SessionSpec, VOLUME_PATH};
