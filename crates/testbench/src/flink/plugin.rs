//! Flink's plugins, which the archives of `PyPI` do not have: from Maven.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::Release;
use crate::{cache, maven, say};

const ARTIFACT: &str = "flink-s3-fs-hadoop";

/// The folder that holds Flink's S3 plugin (`flink-s3-fs-hadoop`), as `FLINK_PLUGINS_DIR` wants it.
///
/// # Errors
/// It is not in the cache and cannot be fetched (no network, no Maven), or there is none for the release.
pub fn s3_plugin(release: Release) -> Result<PathBuf> {
    // The plugin of another patch release does, where a registry lacks that of our own.
    let version = match release {
        Release::V1_20 => "1.20.1",
        Release::V2_3 => "2.3.0",
        Release::V1_15 | Release::V1_17 | Release::V2_0 => {
            bail!(
                "the S3 plugin of Flink {} was never tried",
                release.version()
            )
        }
    };
    cache::entry(&format!("flink-plugins/s3-hadoop-{version}"), |folder| {
        say::step(format!("downloading {ARTIFACT} {version} (31 MB)"));
        let artifact = format!("org.apache.flink:{ARTIFACT}:{version}");
        maven::copy(&artifact, &folder.join("s3"))
    })
}
