//! What a location means: which store, which bucket, which key. Pure, and without settings.
//!
//! The schemes are those of Flink's file systems and of Hadoop's behind them: `s3`, `s3a` and
//! `s3p` are three clients of one store (Flink's docs, "Amazon S3"), `abfs` and `wasb` two
//! protocols of one account (`AzureBlobFileSystem`, `NativeAzureFileSystem`), `hdfs` and
//! `webhdfs` two doors of one name node.

use std::fmt;
use std::path::PathBuf;

use lowtide_core::name::Location;

/// Where Azure's public cloud has its storage accounts.
const AZURE_SUFFIX: &str = "core.windows.net";

/// Where to find a location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// On a local or mounted file system.
    Local(PathBuf),
    /// In a store that is asked over the network.
    Object(Object),
    /// Nowhere that Lowtide can read; why, for people.
    Unsupported(String),
}

/// A place in a store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Object {
    /// The bucket, container or name node.
    pub root: Root,
    /// The path within it, without slashes at its ends.
    pub key: String,
}

impl Object {
    /// The path as that of a directory: with a slash at its end, or empty at the top.
    pub fn prefix(&self) -> String {
        if self.key.is_empty() {
            String::new()
        } else {
            format!("{}/", self.key)
        }
    }

    /// One level down.
    pub fn join(&self, name: &str) -> Self {
        Self {
            root: self.root.clone(),
            key: format!("{}{name}", self.prefix()),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.root, self.key)
    }
}

/// What one client serves: a bucket, a container, a name node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Root {
    /// A bucket of S3, or of what speaks its protocol.
    S3 { bucket: String },
    /// A bucket of Google Cloud Storage.
    Gcs { bucket: String },
    /// A container of an Azure storage account, whether it was named for its Blob or its Data
    /// Lake endpoint.
    Azure {
        account: String,
        container: String,
        /// What follows `blob.` or `dfs.` in the host's name.
        suffix: String,
    },
    /// A bucket of Alibaba Cloud OSS.
    Oss { bucket: String },
    /// A Hadoop cluster by its RPC address or its logical name: `hdfs://AUTHORITY`.
    Hdfs { authority: String },
    /// A Hadoop cluster by its HTTP address.
    WebHdfs { authority: String, tls: bool },
}

impl Root {
    /// What people call a store that Lowtide was never seen to work with from end to end; `None`
    /// for those that its tests start for real.
    pub fn unproven(&self) -> Option<&'static str> {
        match self {
            Self::S3 { .. } | Self::Hdfs { .. } | Self::WebHdfs { .. } => None,
            Self::Gcs { .. } => Some("Google Cloud Storage"),
            Self::Azure { .. } => Some("Azure Storage"),
            Self::Oss { .. } => Some("Alibaba Cloud OSS"),
        }
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket } => write!(f, "s3://{bucket}"),
            Self::Gcs { bucket } => write!(f, "gs://{bucket}"),
            Self::Azure {
                account,
                container,
                suffix,
            } => write!(f, "abfss://{container}@{account}.dfs.{suffix}"),
            Self::Oss { bucket } => write!(f, "oss://{bucket}"),
            Self::Hdfs { authority } => write!(f, "hdfs://{authority}"),
            Self::WebHdfs { authority, tls } => {
                write!(f, "{}webhdfs://{authority}", if *tls { "s" } else { "" })
            }
        }
    }
}

/// What a location means.
pub(crate) fn place(location: &Location) -> Place {
    let text = location.as_str();
    if let Some(path) = text.strip_prefix("file:") {
        return Place::Local(PathBuf::from(path));
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return Place::Unsupported(format!(
            "{location} is neither an absolute path nor a location with a scheme"
        ));
    };
    let scheme = scheme.to_ascii_lowercase();
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_once('/').unwrap_or((rest, "")),
        None => ("", rest),
    };
    let key = path.trim_matches('/').to_owned();
    match root(&scheme, authority) {
        Ok(root) => Place::Object(Object { root, key }),
        Err(why) => Place::Unsupported(format!("{location}: {why}")),
    }
}

/// A location without the doubled slashes and dots that a file system ignores.
pub(crate) fn plain(location: &Location) -> Location {
    match place(location) {
        Place::Local(path) => {
            let path: PathBuf = path.components().collect();
            path.to_str()
                .map_or_else(|| location.clone(), Location::new)
        }
        Place::Object(_) | Place::Unsupported(_) => location.clone(),
    }
}

/// Every way to write a location that [`place`] takes for the same place.
pub(crate) fn spellings(location: &Location) -> Vec<Location> {
    let Place::Object(object) = place(location) else {
        return vec![location.clone()];
    };
    let key = &object.key;
    let all = match &object.root {
        Root::S3 { bucket } => ["s3", "s3a", "s3p", "s3n"]
            .map(|scheme| format!("{scheme}://{bucket}/{key}"))
            .to_vec(),
        Root::Azure {
            account,
            container,
            suffix,
        } => [
            ("abfss", "dfs"),
            ("abfs", "dfs"),
            ("wasbs", "blob"),
            ("wasb", "blob"),
        ]
        .map(|(scheme, door)| format!("{scheme}://{container}@{account}.{door}.{suffix}/{key}"))
        .to_vec(),
        root @ (Root::Gcs { .. } | Root::Oss { .. } | Root::Hdfs { .. } | Root::WebHdfs { .. }) => {
            vec![format!("{root}/{key}")]
        }
    };
    all.iter().map(Location::new).collect()
}

fn root(scheme: &str, authority: &str) -> Result<Root, String> {
    let named = |what: &str| {
        if authority.is_empty() {
            Err(format!("the location names no {what}"))
        } else {
            Ok(authority.to_owned())
        }
    };
    Ok(match scheme {
        "s3" | "s3a" | "s3p" | "s3n" => Root::S3 {
            bucket: named("bucket")?,
        },
        "gs" => Root::Gcs {
            bucket: named("bucket")?,
        },
        "oss" => Root::Oss {
            bucket: named("bucket")?,
        },
        "abfs" | "abfss" => azure(authority, ".dfs.")?,
        "wasb" | "wasbs" => azure(authority, ".blob.")?,
        "hdfs" => Root::Hdfs {
            authority: named("name node")?,
        },
        "webhdfs" | "swebhdfs" => Root::WebHdfs {
            authority: named("name node")?,
            tls: scheme == "swebhdfs",
        },
        _ => return Err(format!("Lowtide cannot read `{scheme}:`")),
    })
}

/// `CONTAINER@ACCOUNT.dfs.core.windows.net`, or `CONTAINER@ACCOUNT` for short.
fn azure(authority: &str, door: &str) -> Result<Root, String> {
    let Some((container, host)) = authority.split_once('@') else {
        return Err("the location names no storage account, as in `container@account`".to_owned());
    };
    let (account, suffix) = host
        .split_once(door)
        .or_else(|| host.split_once(".dfs."))
        .or_else(|| host.split_once(".blob."))
        .unwrap_or((host, AZURE_SUFFIX));
    if container.is_empty() || account.is_empty() || suffix.is_empty() {
        return Err("the location names no container or no storage account".to_owned());
    }
    Ok(Root::Azure {
        account: account.to_owned(),
        container: container.to_owned(),
        suffix: suffix.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(location: &str) -> Place {
        place(&Location::new(location))
    }

    fn shown(location: &str) -> String {
        match read(location) {
            Place::Local(path) => format!("local {}", path.display()),
            Place::Object(object) => format!("{} | {}", object.root, object.key),
            Place::Unsupported(why) => format!("unsupported: {why}"),
        }
    }

    #[test]
    fn every_spelling_of_a_local_path() {
        for spelling in [
            "/a/b",
            "/a/b/",
            "file:/a/b",
            "file:///a/b",
            "file://localhost/a/b",
            "file:////a/b",
        ] {
            assert_eq!(shown(spelling), "local /a/b", "{spelling}");
        }
    }

    #[test]
    fn every_form_of_a_location_has_its_root_and_key() {
        for (location, meant) in [
            ("s3://state/sp/savepoint-1", "s3://state | sp/savepoint-1"),
            ("s3a://state/sp/", "s3://state | sp"),
            ("s3p://state", "s3://state | "),
            ("S3://state/a//b", "s3://state | a//b"),
            ("s3://state/a b%20c", "s3://state | a b%20c"),
            ("gs://state/x", "gs://state | x"),
            ("oss://state/x", "oss://state | x"),
            (
                "abfs://c@acct.dfs.core.windows.net/a/b",
                "abfss://c@acct.dfs.core.windows.net | a/b",
            ),
            (
                "abfss://c@acct.dfs.core.chinacloudapi.cn/a",
                "abfss://c@acct.dfs.core.chinacloudapi.cn | a",
            ),
            (
                "wasb://c@acct.blob.core.windows.net/a",
                "abfss://c@acct.dfs.core.windows.net | a",
            ),
            (
                "wasbs://c@acct/a",
                "abfss://c@acct.dfs.core.windows.net | a",
            ),
            ("hdfs://namenode:8020/a/b", "hdfs://namenode:8020 | a/b"),
            ("hdfs://mycluster/a", "hdfs://mycluster | a"),
            ("webhdfs://host:9870/a", "webhdfs://host:9870 | a"),
            ("swebhdfs://host:9871/a", "swebhdfs://host:9871 | a"),
        ] {
            assert_eq!(shown(location), meant, "{location}");
        }
    }

    #[test]
    fn the_two_protocols_of_one_account_are_one_root() {
        assert_eq!(
            read("abfs://c@a.dfs.core.windows.net/x"),
            read("wasbs://c@a.blob.core.windows.net/x")
        );
    }

    #[test]
    fn what_names_nothing_is_refused_with_its_reason() {
        for (location, why) in [
            ("relative/x", "neither an absolute path"),
            ("s3:///x", "names no bucket"),
            ("s3:/x", "names no bucket"),
            ("hdfs:///x", "names no name node"),
            ("abfs://container/x", "names no storage account"),
            ("wasb://@account/x", "no container or no storage account"),
            ("viewfs://x/y", "cannot read `viewfs:`"),
        ] {
            assert!(shown(location).contains(why), "{}", shown(location));
        }
    }

    #[test]
    fn prefixes_end_where_a_part_of_the_path_ends() {
        let Place::Object(directory) = read("s3://b/a") else {
            panic!("an object");
        };
        assert_eq!(directory.prefix(), "a/");
        assert_eq!(directory.join("_metadata").key, "a/_metadata");
        let Place::Object(top) = read("s3://b") else {
            panic!("an object");
        };
        assert_eq!(
            (top.prefix().as_str(), top.join("x").key.as_str()),
            ("", "x")
        );
    }
}
