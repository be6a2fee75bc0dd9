//! What a configuration says of stores, and which of it concerns a bucket.

use std::path::PathBuf;

use secrecy::SecretString;
use url::Url;

use super::place::Root;

/// What a configuration says of one store, or of some buckets of it.
#[derive(Debug, Clone)]
pub enum StoreSettings {
    /// Amazon S3, and what speaks its protocol.
    S3(S3),
    /// Google Cloud Storage.
    Gcs(Gcs),
    /// Azure Blob Storage and Data Lake Storage.
    Azure(Azure),
    /// Alibaba Cloud OSS.
    Oss(Oss),
    /// Hadoop, by its `WebHDFS`.
    Hdfs(Hdfs),
}

/// How to reach S3, or what speaks its protocol.
#[derive(Debug, Clone, Default)]
pub struct S3 {
    /// The buckets that this is for; all if there are none.
    pub buckets: Vec<String>,
    /// The server, where it is not Amazon's.
    pub endpoint: Option<Url>,
    /// Whether the bucket goes into the path instead of the host; so by default where there is an
    /// endpoint.
    pub path_style: Option<bool>,
    /// The region.
    pub region: Option<String>,
    /// Access key and secret key.
    pub keys: Option<(SecretString, SecretString)>,
    /// The token that belongs to temporary keys.
    pub session_token: Option<SecretString>,
    /// A profile of `~/.aws`.
    pub profile: Option<String>,
    /// Whether requests are not signed at all.
    pub anonymous: bool,
    /// A PEM file of certificates to trust besides the system's.
    pub ca: Option<PathBuf>,
}

/// How to reach Google Cloud Storage.
#[derive(Debug, Clone, Default)]
pub struct Gcs {
    /// The buckets that this is for; all if there are none.
    pub buckets: Vec<String>,
    /// The server, where it is not Google's.
    pub endpoint: Option<Url>,
    /// A file of credentials in JSON: a service account's key, or workload identity federation.
    pub credentials: Option<PathBuf>,
    /// Whether requests are not signed at all.
    pub anonymous: bool,
}

/// How to reach a storage account of Azure.
#[derive(Debug, Clone, Default)]
pub struct Azure {
    /// The accounts that this is for; all if there are none.
    pub accounts: Vec<String>,
    /// The server of the Blob API, where it is not Azure's.
    pub endpoint: Option<Url>,
    /// The account's key.
    pub account_key: Option<SecretString>,
    /// A shared access signature.
    pub sas_token: Option<SecretString>,
}

/// How to reach Alibaba Cloud OSS.
#[derive(Debug, Clone, Default)]
pub struct Oss {
    /// The buckets that this is for; all if there are none.
    pub buckets: Vec<String>,
    /// The server of the buckets' region.
    pub endpoint: Option<Url>,
    /// Access key and secret key.
    pub keys: Option<(SecretString, SecretString)>,
}

/// How to reach a Hadoop cluster.
#[derive(Debug, Clone, Default)]
pub struct Hdfs {
    /// What stands for the cluster in locations (`namenode:8020`, `mycluster`); all if there are
    /// none.
    pub namenodes: Vec<String>,
    /// The HTTP address of its name node, or of a gateway.
    pub url: Option<Url>,
    /// As whom requests are made, where Hadoop trusts what it is told.
    pub user: Option<String>,
    /// A delegation token.
    pub delegation_token: Option<SecretString>,
}

/// The settings that concern a bucket: those that name it, else those that name none.
pub(super) fn for_root<'a>(all: &'a [StoreSettings], root: &Root) -> Option<&'a StoreSettings> {
    let fits = |settings: &&StoreSettings| names(settings, root).is_some();
    let named = |settings: &&StoreSettings| names(settings, root) == Some(true);
    all.iter().find(named).or_else(|| all.iter().find(fits))
}

/// Whether settings name a root; `None` if they are for others.
fn names(settings: &StoreSettings, root: &Root) -> Option<bool> {
    let (listed, name) = match (settings, root) {
        (StoreSettings::S3(S3 { buckets, .. }), Root::S3 { bucket })
        | (StoreSettings::Gcs(Gcs { buckets, .. }), Root::Gcs { bucket })
        | (StoreSettings::Oss(Oss { buckets, .. }), Root::Oss { bucket }) => (buckets, bucket),
        (StoreSettings::Azure(Azure { accounts, .. }), Root::Azure { account, .. }) => {
            (accounts, account)
        }
        (
            StoreSettings::Hdfs(Hdfs { namenodes, .. }),
            Root::Hdfs { authority } | Root::WebHdfs { authority, .. },
        ) => (namenodes, authority),
        _ => return None,
    };
    match listed.as_slice() {
        [] => Some(false),
        listed => listed.contains(name).then_some(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(buckets: &[&str], region: &str) -> StoreSettings {
        StoreSettings::S3(S3 {
            buckets: buckets.iter().map(ToString::to_string).collect(),
            region: Some(region.to_owned()),
            ..S3::default()
        })
    }

    fn region(all: &[StoreSettings], bucket: &str) -> Option<String> {
        let root = Root::S3 {
            bucket: bucket.to_owned(),
        };
        match for_root(all, &root)? {
            StoreSettings::S3(s3) => s3.region.clone(),
            _ => None,
        }
    }

    #[test]
    fn who_names_the_bucket_goes_before_who_names_none() {
        let all = [s3(&[], "any"), s3(&["a", "b"], "ab"), s3(&["c"], "c")];
        assert_eq!(region(&all, "b").as_deref(), Some("ab"));
        assert_eq!(region(&all, "c").as_deref(), Some("c"));
        assert_eq!(region(&all, "d").as_deref(), Some("any"));
        assert_eq!(region(&all[1..], "d"), None);
        let other = [StoreSettings::Gcs(Gcs::default())];
        assert_eq!(region(&other, "a"), None);
    }
}
