//! The file as it is written: what can stand where. The JSON Schema is generated from these
//! types, and their descriptions are the reference documentation.
//!
//! Only the shape is checked here. What a value means, and what contradicts what, is decided in
//! [`super::meaning`], where all problems are collected.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::at::At;
use super::entries::Entries;

/// A text with its place.
pub(super) type Text = At<String>;

/// Reads a value that must be there if its key is: `schedule:` with nothing after it is a
/// mistake, not a wish for the default.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The configuration of Lowtide: which applications get savepoints, where they run, and when.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    title = "Lowtide configuration",
    example = serde_json::json!({
        "platforms": { "session": { "flink": { "url": "http://jobmanager:8081" } } },
        "schedule": "0 1 * * *",
        "applications": ["orders", "payments"],
    })
)]
pub(super) struct File {
    /// The IANA time zone that governs schedules, never-windows and display, for all applications
    /// that do not name their own. Default: `UTC`.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("default" = "UTC", "examples" = ["Europe/Berlin", "America/New_York"]))]
    pub timezone: Option<Text>,

    /// Where applications run: a name of your choice for each place. The names become part of
    /// directories and of `H` in schedules, so choose them to last.
    pub platforms: Entries<Platform>,

    /// How to reach the stores where savepoints lie, where they are not mounted: a name of your
    /// choice for each. What nothing is said of here is reached as the store's own tools would:
    /// credentials from the environment, profiles, and the identity of the workload.
    #[serde(default, deserialize_with = "present")]
    pub stores: Option<Entries<Store>>,

    /// The schedule of all applications without their own: a five-field cron pattern. The same as
    /// `defaults.schedule`. Excludes `every`.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("examples" = ["0 1 * * *", "H 1 * * *", "@daily"]))]
    pub schedule: Option<Text>,

    /// The interval of all applications without a schedule of their own. The same as
    /// `defaults.every`. Excludes `schedule`.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("examples" = ["6h", "30m"]))]
    pub every: Option<Text>,

    /// What holds for every application that does not say otherwise.
    #[serde(default, deserialize_with = "present")]
    pub defaults: Option<Defaults>,

    /// The applications that get savepoints: names, or maps where something differs from the
    /// defaults. An application is known by its platform and its name; the pair must be unique.
    pub applications: Vec<At<Listed>>,

    /// Where Lowtide remembers runs and savepoints.
    #[serde(default, deserialize_with = "present")]
    pub catalog: Option<Catalog>,

    /// Within which time `serve` reads every byte of each savepoint that may be restored from, and
    /// compares it with the first reading; one that is found broken no longer counts as verified.
    /// `0s` reads none. Default: `30d`.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("default" = "30d", "examples" = ["7d"]))]
    pub read_every: Option<Text>,

    /// How many bytes a second `serve` reads at most for that. Default: `32MiB`.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("default" = "32MiB", "examples" = ["100MiB"]))]
    pub read_limit: Option<Text>,
}

/// The memory of Lowtide: none, or a file.
#[derive(Debug)]
pub(super) enum Catalog {
    /// Nothing outlives the process.
    None,
    /// In a file.
    Kept(Kept),
}

/// What the memory of Lowtide is, for errors.
const CATALOG_EXPECTED: &str = "`none`, or a map with `sqlite`";

struct CatalogVisitor;

impl<'de> Visitor<'de> for CatalogVisitor {
    type Value = Catalog;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CATALOG_EXPECTED)
    }

    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Catalog, E> {
        match word {
            "none" => Ok(Catalog::None),
            other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Catalog, A::Error> {
        Kept::deserialize(MapAccessDeserializer::new(map)).map(Catalog::Kept)
    }
}

impl<'de> Deserialize<'de> for Catalog {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CatalogVisitor)
    }
}

impl JsonSchema for Catalog {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Catalog".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kept = generator.subschema_for::<Kept>();
        schemars::json_schema!({
            "oneOf": [
                {
                    "const": "none",
                    "description": "Nothing outlives the process: `lowtide run --slot` asks the platform itself what a slot already has. For pods without a volume; not for `lowtide serve`.",
                },
                kept,
            ]
        })
    }
}

/// A catalog in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// The file of an `SQLite` database, created where it is absent; on a local disk, not on a
    /// network file system. A relative path is taken from the directory of this configuration
    /// file. Default: `$XDG_STATE_HOME/lowtide/catalog.db`, or
    /// `~/.local/state/lowtide/catalog.db`.
    #[schemars(extend("examples" = ["/var/lib/lowtide/catalog.db"]))]
    pub sqlite: Text,
}

/// One place where applications run, by its kind: one of `flink`, `ververica` and `kubernetes`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(super) struct Platform {
    /// A Flink cluster, Flink 1.15 to 2.3, reached by the REST endpoint of its `JobManager`.
    #[serde(default, deserialize_with = "present")]
    pub flink: Option<Flink>,

    /// A namespace of Ververica Platform 2.1 to 2.15; its applications are deployments.
    #[serde(default, deserialize_with = "present")]
    pub ververica: Option<Ververica>,

    /// A Kubernetes namespace with Flink clusters, native or standalone, found by their labels. Its
    /// applications are clusters by their id, or jobs by their name.
    #[serde(default, deserialize_with = "present")]
    pub kubernetes: Option<Kubernetes>,
}

/// How to reach a namespace of Ververica Platform.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ververica {
    /// The address of the platform's gateway, `http` or `https`, without `/api`.
    #[schemars(extend("format" = "uri", "examples" = ["http://vvp-gateway:8080"]))]
    pub url: Text,

    /// The namespace of the platform; it has nothing to do with those of Kubernetes. Default:
    /// `default`.
    #[serde(default, deserialize_with = "present")]
    #[schemars(length(min = 1), extend("default" = "default"))]
    pub namespace: Option<Text>,

    /// An API token of that namespace with the role `editor`, sent as `Authorization: Bearer …`.
    /// Only as `${env:NAME}` or `${file:/path}`: a secret does not belong in this file. The
    /// community edition needs none.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("examples" = ["${env:VVP_TOKEN}"]))]
    pub token: Option<SecretText>,

    /// How names become ids: by the platform's own API, or by the labels of pods, which shows only
    /// deployments that have pods of their own. Default: `api`.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("default" = "api"))]
    pub resolve: Option<At<Resolve>>,

    /// Where the pods are, with `resolve: pods`. Default: the namespace of the pod that Lowtide
    /// runs in, or what `kubectl` would use.
    #[serde(default, deserialize_with = "present")]
    pub kubernetes: Option<At<Access>>,

    /// The field of a request that asks for the native format, from 2.15.8 on: a path such as
    /// `spec.formatType`, which becomes `NATIVE`, or with a value in JSON (`spec.native=true`). Its
    /// name is in the description that your platform serves at `/api/swagger.json`. Without it
    /// savepoints are canonical.
    #[serde(default, deserialize_with = "present")]
    #[schemars(length(min = 1), extend("examples" = ["spec.formatType"]))]
    pub native_field: Option<Text>,

    /// A file of PEM certificates to trust besides the system's. A relative path is taken from the
    /// directory of this configuration file.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("examples" = ["/etc/lowtide/ca.pem"]))]
    pub ca: Option<Text>,

    /// The certificate that Lowtide shows to the platform or to the proxy in front of it.
    #[serde(default, deserialize_with = "present")]
    pub client_cert: Option<ClientCert>,

    /// How long one request may take, from `1s` to `30s`. Default: `30s`.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("default" = "30s"))]
    pub timeout: Option<Text>,

    /// How many savepoints may be under way at once on this platform, from 1 to 1000; due slots
    /// beyond that wait. Default: 256, as each deployment has a cluster of its own.
    #[serde(default, deserialize_with = "present")]
    #[schemars(range(min = 1, max = 1000), extend("default" = 256))]
    pub concurrency: Option<At<u32>>,

    /// Where Lowtide reaches what the platform calls a location: for each prefix of its locations
    /// the directory where Lowtide has it mounted, or another location. The longest prefix that fits
    /// is used.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("examples" = [{ "file:/opt/flink/state": "/mnt/state" }]))]
    pub paths: Option<Entries<Text>>,
}

/// How names become ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Resolve {
    /// By the platform's own API.
    Api,
    /// By the labels of pods in Kubernetes.
    Pods,
}

/// Which Kubernetes, and which namespace of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Access {
    /// The namespace. Default: that of the pod that Lowtide runs in, or of the context.
    #[serde(default, deserialize_with = "present")]
    #[schemars(length(min = 1))]
    pub namespace: Option<Text>,

    /// A context of the kubeconfig, instead of its current one.
    #[serde(default, deserialize_with = "present")]
    #[schemars(length(min = 1))]
    pub context: Option<Text>,

    /// A kubeconfig file, instead of what `kubectl` would use; in a pod, the pod's own account is
    /// used without one. A relative path is taken from the directory of this configuration file.
    #[serde(default, deserialize_with = "present")]
    pub kubeconfig: Option<Text>,
}

/// How to reach the Flink clusters of a Kubernetes namespace.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Kubernetes {
    /// The namespace. Default: that of the pod that Lowtide runs in, or of the context.
    #[serde(default, deserialize_with = "present")]
    #[schemars(length(min = 1), extend("examples" = ["flink"]))]
    pub namespace: Option<Text>,

    /// A context of the kubeconfig, instead of its current one.
    #[serde(default, deserialize_with = "present")]
    #[schemars(length(min = 1))]
    pub context: Option<Text>,

    /// A kubeconfig file, instead of what `kubectl` would use; in a pod, the pod's own account is
    /// used without one. A relative path is taken from the directory of this configuration file.
    #[serde(default, deserialize_with = "present")]
    pub kubeconfig: Option<Text>,

    /// How requests get to the clusters' REST services. Default: `service` in a pod of that
    /// Kubernetes, `proxy` elsewhere.
    #[serde(default, deserialize_with = "present")]
    pub reach: Option<At<Reach>>,

    /// How long one request may take, from `1s` to `30s`. Default: `30s`.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("default" = "30s"))]
    pub timeout: Option<Text>,

    /// How many savepoints may be under way at once on this platform, from 1 to 1000; due slots
    /// beyond that wait. Default: 16.
    #[serde(default, deserialize_with = "present")]
    #[schemars(range(min = 1, max = 1000), extend("default" = 16))]
    pub concurrency: Option<At<u32>>,

    /// Where Lowtide reaches what the clusters call a location: for each prefix of their locations
    /// the directory where Lowtide has it mounted, or another location. The longest prefix that fits
    /// is used.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("examples" = [{ "file:/opt/flink/state": "/mnt/state" }]))]
    pub paths: Option<Entries<Text>>,
}

/// How requests get to a cluster's REST service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reach {
    /// Straight to the Service: works within the Kubernetes cluster.
    Service,
    /// Through the API server, which passes requests on: works from wherever `kubectl` works, and
    /// needs the verbs `get` and `create` on `services/proxy`.
    Proxy,
}

/// How to reach a Flink cluster.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Flink {
    /// The REST endpoint, `http` or `https`; a path before `/jobs` is kept (`https://proxy/flink`).
    /// Credentials go to `auth`, never into the URL.
    #[schemars(extend("format" = "uri", "examples" = ["http://jobmanager:8081"]))]
    pub url: Text,

    /// How to sign in to a proxy in front of the cluster; `basic` or `bearer`.
    #[serde(default, deserialize_with = "present")]
    pub auth: Option<At<Auth>>,

    /// A file of PEM certificates to trust besides the system's. A relative path is taken from the
    /// directory of this configuration file.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("examples" = ["/etc/lowtide/ca.pem"]))]
    pub ca: Option<Text>,

    /// The certificate that Lowtide shows to the cluster or to the proxy in front of it.
    #[serde(default, deserialize_with = "present")]
    pub client_cert: Option<ClientCert>,

    /// How long one request may take, from `1s` to `30s`. Default: `30s`.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("default" = "30s"))]
    pub timeout: Option<Text>,

    /// How many savepoints may be under way at once on this platform, from 1 to 1000; due slots
    /// beyond that wait. Default: 16.
    #[serde(default, deserialize_with = "present")]
    #[schemars(range(min = 1, max = 1000), extend("default" = 16))]
    pub concurrency: Option<At<u32>>,

    /// Where Lowtide reaches what the cluster calls a location: for each prefix of the cluster's
    /// locations the directory where Lowtide has it mounted, or another location. The longest prefix
    /// that fits is used.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("examples" = [{ "file:/opt/flink/state": "/mnt/state" }]))]
    pub paths: Option<Entries<Text>>,
}

/// A store, by its kind: one of `s3`, `gcs`, `azure`, `oss` and `hdfs`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(super) struct Store {
    /// Amazon S3, or a server that speaks its protocol: `s3:`, `s3a:` and `s3p:`.
    #[serde(default, deserialize_with = "present")]
    pub s3: Option<S3>,

    /// Google Cloud Storage: `gs:`.
    #[serde(default, deserialize_with = "present")]
    pub gcs: Option<Gcs>,

    /// Azure Blob Storage and Data Lake Storage: `abfs:`, `abfss:`, `wasb:` and `wasbs:`.
    #[serde(default, deserialize_with = "present")]
    pub azure: Option<Azure>,

    /// Alibaba Cloud OSS: `oss:`.
    #[serde(default, deserialize_with = "present")]
    pub oss: Option<Oss>,

    /// Hadoop's HDFS, by the HTTP API of its name node: `hdfs:`, `webhdfs:` and `swebhdfs:`.
    #[serde(default, deserialize_with = "present")]
    pub hdfs: Option<Hdfs>,
}

/// Amazon S3, or a server that speaks its protocol.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct S3 {
    /// The buckets that this is for. Default: all that no other entry names.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("examples" = [["state"]]))]
    pub buckets: Option<At<Vec<Text>>>,

    /// The address of the server, where it is not Amazon's. Default: `AWS_ENDPOINT_URL_S3` or
    /// `AWS_ENDPOINT_URL` of the environment, else Amazon's.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("format" = "uri", "examples" = ["http://minio:9000"]))]
    pub endpoint: Option<Text>,

    /// Whether the bucket goes into the path of requests instead of the host's name. Default:
    /// `true` where there is an endpoint.
    #[serde(default, deserialize_with = "present")]
    pub path_style: Option<bool>,

    /// The region. Default: `AWS_REGION` or `AWS_DEFAULT_REGION` of the environment; with an
    /// endpoint `us-east-1`.
    #[serde(default, deserialize_with = "present")]
    #[schemars(length(min = 1), extend("examples" = ["eu-central-1"]))]
    pub region: Option<Text>,

    /// The access key, with `secret_key`. Only as `${env:NAME}` or `${file:/path}`. Default: what
    /// Amazon's own tools would use: the environment, `~/.aws`, the service account of the pod
    /// (IRSA, Pod Identity), the machine's role.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("examples" = ["${env:S3_ACCESS_KEY}"]))]
    pub access_key: Option<SecretText>,

    /// The secret key that belongs to `access_key`. Only as `${env:NAME}` or `${file:/path}`.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("examples" = ["${env:S3_SECRET_KEY}"]))]
    pub secret_key: Option<SecretText>,

    /// The token that belongs to temporary keys. Only as `${env:NAME}` or `${file:/path}`.
    #[serde(default, deserialize_with = "present")]
    pub session_token: Option<SecretText>,

    /// A profile of `~/.aws`, instead of what `AWS_PROFILE` names.
    #[serde(default, deserialize_with = "present")]
    #[schemars(length(min = 1))]
    pub profile: Option<Text>,

    /// Whether requests are sent without a signature, for buckets that anybody may read. Default:
    /// `false`.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("default" = false))]
    pub anonymous: Option<bool>,

    /// A file of PEM certificates to trust besides the system's. A relative path is taken from the
    /// directory of this configuration file.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("examples" = ["/etc/lowtide/ca.pem"]))]
    pub ca: Option<Text>,
}

/// Google Cloud Storage.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Gcs {
    /// The buckets that this is for. Default: all that no other entry names.
    #[serde(default, deserialize_with = "present")]
    pub buckets: Option<At<Vec<Text>>>,

    /// The address of the server, where it is not Google's.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("format" = "uri"))]
    pub endpoint: Option<Text>,

    /// The file of a service account's key, or of workload identity federation. A relative path is
    /// taken from the directory of this configuration file. Default: what
    /// `GOOGLE_APPLICATION_CREDENTIALS` names, `gcloud`'s own, the workload's identity.
    #[serde(default, deserialize_with = "present")]
    pub credentials: Option<Text>,

    /// Whether requests are sent without a signature, for buckets that anybody may read. Default:
    /// `false`.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("default" = false))]
    pub anonymous: Option<bool>,
}

/// A storage account of Azure.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Azure {
    /// The storage accounts that this is for. Default: all that no other entry names.
    #[serde(default, deserialize_with = "present")]
    pub accounts: Option<At<Vec<Text>>>,

    /// The address of the Blob API, where it is not `https://ACCOUNT.blob.core.windows.net`.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("format" = "uri"))]
    pub endpoint: Option<Text>,

    /// The account's key. Only as `${env:NAME}` or `${file:/path}`. Default: the environment
    /// (`AZURE_CLIENT_ID` and the like), the workload's identity, the machine's.
    #[serde(default, deserialize_with = "present")]
    pub account_key: Option<SecretText>,

    /// A shared access signature, instead of the key. Only as `${env:NAME}` or `${file:/path}`.
    #[serde(default, deserialize_with = "present")]
    pub sas_token: Option<SecretText>,
}

/// Alibaba Cloud OSS.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Oss {
    /// The buckets that this is for. Default: all that no other entry names.
    #[serde(default, deserialize_with = "present")]
    pub buckets: Option<At<Vec<Text>>>,

    /// The address of the buckets' region. Default: `OSS_ENDPOINT` of the environment.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("format" = "uri", "examples" = ["https://oss-eu-central-1.aliyuncs.com"]))]
    pub endpoint: Option<Text>,

    /// The access key, with `secret_key`. Only as `${env:NAME}` or `${file:/path}`. Default: the
    /// environment (`ALIBABA_CLOUD_ACCESS_KEY_ID` and the like), the workload's role.
    #[serde(default, deserialize_with = "present")]
    pub access_key: Option<SecretText>,

    /// The secret key that belongs to `access_key`. Only as `${env:NAME}` or `${file:/path}`.
    #[serde(default, deserialize_with = "present")]
    pub secret_key: Option<SecretText>,
}

/// Hadoop's HDFS, by the HTTP API of its name node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Hdfs {
    /// What stands for the cluster in locations: `namenode:8020`, or the name of a nameservice.
    /// Default: all that no other entry names.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("examples" = [["namenode:8020", "mycluster"]]))]
    pub namenodes: Option<At<Vec<Text>>>,

    /// The HTTP address of its name node, or of a gateway such as `HttpFS`. Default: port 9870 of
    /// the host in the location.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("format" = "uri", "examples" = ["http://namenode:9870"]))]
    pub url: Option<Text>,

    /// As whom to ask, where Hadoop believes what it is told. Default: `HADOOP_USER_NAME` of the
    /// environment.
    #[serde(default, deserialize_with = "present")]
    #[schemars(length(min = 1))]
    pub user: Option<Text>,

    /// A delegation token, where Hadoop asks for Kerberos. Only as `${env:NAME}` or
    /// `${file:/path}`.
    #[serde(default, deserialize_with = "present")]
    pub delegation_token: Option<SecretText>,
}

/// How to sign in: one of `basic` and `bearer`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(super) struct Auth {
    /// A user name and a password.
    #[serde(default, deserialize_with = "present")]
    pub basic: Option<Basic>,

    /// A token, sent as `Authorization: Bearer …`. Only as `${env:NAME}` or `${file:/path}`: a
    /// secret does not belong in this file.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("examples" = ["${file:/var/run/secrets/flink/token}"]))]
    pub bearer: Option<SecretText>,
}

/// HTTP basic authentication.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Basic {
    /// The user's name; no colon in it (RFC 7617).
    #[schemars(length(min = 1))]
    pub user: Text,

    /// The password. Only as `${env:NAME}` or `${file:/path}`: a secret does not belong in this
    /// file.
    #[schemars(extend("examples" = ["${env:FLINK_PASSWORD}"]))]
    pub password: SecretText,
}

/// A reference to a secret; what was written by mistake may be the secret itself, so it has no
/// `Debug` that shows it.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("pattern" = r"^\$\{(env|file):[^}]+\}$"))]
pub(super) struct SecretText(pub Text);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

/// A client certificate and its key, as PEM files. Relative paths are taken from the directory of
/// this configuration file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientCert {
    /// The file of the certificate, with its chain.
    pub cert: Text,
    /// The file of its private key.
    pub key: Text,
}

/// The format of a savepoint.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Format {
    /// Flink's own, independent of the state backend: it can be read by any other.
    Canonical,
    /// The state backend's: written and read faster, tied to that backend.
    Native,
}

/// An entry of `applications`: a name, or a map.
#[derive(Debug)]
pub(super) enum Listed {
    /// Only a name: all else is default.
    Name(String),
    /// A name and what differs.
    Map(Box<Application>),
}

/// What an entry of `applications` is, for errors.
pub(super) const LISTED_EXPECTED: &str = "the name of an application, or a map with `name`";

struct ListedVisitor;

impl<'de> Visitor<'de> for ListedVisitor {
    type Value = Listed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(LISTED_EXPECTED)
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Listed, E> {
        Ok(Listed::Name(name.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Listed, A::Error> {
        Application::deserialize(MapAccessDeserializer::new(map))
            .map(|application| Listed::Map(Box::new(application)))
    }
}

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListedVisitor)
    }
}

impl JsonSchema for Listed {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Listed".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let map = generator.subschema_for::<Application>();
        schemars::json_schema!({
            "oneOf": [
                {
                    "type": "string",
                    "description": "The name of an application; all else is default.",
                    "minLength": 1,
                    "maxLength": lowtide_core::name::NAME_BYTES_MAX,
                },
                map,
            ]
        })
    }
}

/// Two maps share these keys: what `defaults` says, an application may say otherwise. They are
/// written out in both, and not flattened, because flattening loses the places.
macro_rules! with_rules {
    ($(#[$doc:meta])* struct $name:ident { $($own:tt)* }) => {
        #[derive(Debug, Deserialize, JsonSchema)]
        $(#[$doc])*
        pub(super) struct $name {
            $($own)*

            /// The platform it runs on. Default: the only platform, where there is one only.
            #[serde(default, deserialize_with = "present")]
            pub platform: Option<Text>,

            /// When savepoints are due: a five-field cron pattern (minute, hour, day of month,
            /// month, day of week) with names, ranges, steps, lists, `L`, `W`, `#`, and `H` for a
            /// value that is drawn once from the application's name; or `@hourly`, `@daily`,
            /// `@midnight`, `@weekly`, `@monthly`. Excludes `every`. Without either, savepoints
            /// are only taken by hand.
            #[serde(default, deserialize_with = "present")]
            #[schemars(extend("examples" = ["0 1 * * *", "H 1 * * *", "*/30 8-18 * * Mon-Fri"]))]
            pub schedule: Option<Text>,

            /// The other form of a schedule: whole periods counted from the Unix epoch, at least
            /// `10s`. Excludes `schedule`.
            #[serde(default, deserialize_with = "present")]
            #[schemars(extend("examples" = ["6h", "30m"]))]
            pub every: Option<Text>,

            /// The IANA time zone of the schedule and the never-windows. Default: `timezone` of
            /// the file.
            #[serde(default, deserialize_with = "present")]
            #[schemars(extend("examples" = ["Europe/Berlin"]))]
            pub timezone: Option<Text>,

            /// The format of the savepoints. Default: `canonical`.
            #[serde(default, deserialize_with = "present")]
            #[schemars(extend("default" = "canonical"))]
            pub format: Option<At<Format>>,

            /// The directory for savepoints, as the cluster writes it: an absolute path or a URI.
            /// Each savepoint gets a directory of its own, `<target>/<application>/<slot>`.
            /// Default: the cluster's savepoint directory.
            #[serde(default, deserialize_with = "present")]
            #[schemars(extend("examples" = ["s3://state/savepoints", "/mnt/savepoints"]))]
            pub target: Option<Text>,

            /// How long after its time a slot may still ask for a savepoint, at least `1s`; the
            /// next slot ends it earlier. Default: `1h`.
            #[serde(default, deserialize_with = "present")]
            #[schemars(extend("default" = "1h"))]
            pub deadline: Option<Text>,

            /// How many times a slot may ask, from 1 to 10. Another time only after the one before
            /// is proven to have come to nothing. Default: 3.
            #[serde(default, deserialize_with = "present")]
            #[schemars(range(min = 1, max = 10), extend("default" = 3))]
            pub attempts: Option<At<u32>>,

            /// How long to wait for what passes by itself (a checkpoint in progress,
            /// back-pressure, a recent restart) before the savepoint is taken all the same;
            /// shorter than `deadline` and than the schedule's shortest interval. Default: `5m`,
            /// or half of the shorter of those two where that is less.
            #[serde(default, deserialize_with = "present")]
            #[schemars(extend("default" = "5m"))]
            pub patience: Option<Text>,

            /// How long no running job may carry the name before that is a failure: a `JobManager`
            /// that restarts has no jobs for a while. At most `deadline`. Default: `10m`, or
            /// `deadline` where that is less.
            #[serde(default, deserialize_with = "present")]
            #[schemars(extend("default" = "10m"))]
            pub absent_for: Option<Text>,

            /// How old the newest slot that was missed while Lowtide was down may be to be made up
            /// for; at most half the schedule's interval counts. `0s` makes up for none.
            /// Default: `6h`.
            #[serde(default, deserialize_with = "present")]
            #[schemars(extend("default" = "6h"))]
            pub catch_up: Option<Text>,

            /// Times of the week at which no slot asks for a savepoint: weekdays, times, or both.
            /// A slot that is due then waits for the end of the window, if that is within its
            /// deadline.
            #[serde(default, deserialize_with = "present")]
            #[schemars(
                length(max = 64),
                extend("examples" = [["Mon-Fri 08:00-18:00", "Sat,Sun", "22:00-04:00"]])
            )]
            pub never: Option<At<Vec<Text>>>,
        }

        impl $name {
            /// The keys that both maps have.
            pub fn rules(&self) -> Rules<'_> {
                Rules {
                    platform: self.platform.as_ref(),
                    schedule: self.schedule.as_ref(),
                    every: self.every.as_ref(),
                    timezone: self.timezone.as_ref(),
                    format: self.format.as_ref(),
                    target: self.target.as_ref(),
                    deadline: self.deadline.as_ref(),
                    attempts: self.attempts.as_ref(),
                    patience: self.patience.as_ref(),
                    absent_for: self.absent_for.as_ref(),
                    catch_up: self.catch_up.as_ref(),
                    never: self.never.as_ref(),
                }
            }
        }
    };
}

/// What `defaults` and an application can both say.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rules<'a> {
    pub platform: Option<&'a Text>,
    pub schedule: Option<&'a Text>,
    pub every: Option<&'a Text>,
    pub timezone: Option<&'a Text>,
    pub format: Option<&'a At<Format>>,
    pub target: Option<&'a Text>,
    pub deadline: Option<&'a Text>,
    pub attempts: Option<&'a At<u32>>,
    pub patience: Option<&'a Text>,
    pub absent_for: Option<&'a Text>,
    pub catch_up: Option<&'a Text>,
    pub never: Option<&'a At<Vec<Text>>>,
}

with_rules! {
    /// What holds for every application that does not say otherwise.
    #[serde(deny_unknown_fields)]
    struct Defaults {}
}

with_rules! {
    /// An application, and where it differs from the defaults.
    #[serde(deny_unknown_fields)]
    struct Application {
        /// What you call it: letters, digits, `.`, `_` and `-`. It becomes a directory's name and
        /// decides what `H` draws.
        #[schemars(length(min = 1, max = 128))]
        pub name: Text,

        /// The exact name of its job on the platform. Default: `name`.
        #[serde(default, deserialize_with = "present")]
        #[schemars(length(min = 1))]
        pub job: Option<Text>,
    }
}

impl File {
    /// Every text that is no secret, free keys included.
    pub fn plain_texts(&self) -> Vec<&Text> {
        let mut texts: Vec<&Text> = [
            &self.timezone,
            &self.schedule,
            &self.every,
            &self.read_every,
            &self.read_limit,
        ]
        .into_iter()
        .flatten()
        .collect();
        for (name, platform) in &self.platforms.0 {
            texts.push(name);
            texts.extend(platform.plain_texts());
        }
        for (name, store) in self.stores.iter().flat_map(|stores| &stores.0) {
            texts.push(name);
            texts.extend(store.plain_texts());
        }
        if let Some(defaults) = &self.defaults {
            texts.extend(defaults.rules().plain_texts());
        }
        for listed in &self.applications {
            if let Listed::Map(application) = &listed.value {
                texts.push(&application.name);
                texts.extend(&application.job);
                texts.extend(application.rules().plain_texts());
            }
        }
        if let Some(Catalog::Kept(kept)) = &self.catalog {
            texts.push(&kept.sqlite);
        }
        texts
    }
}

impl Store {
    fn plain_texts(&self) -> Vec<&Text> {
        let Self {
            s3,
            gcs,
            azure,
            oss,
            hdfs,
        } = self;
        let mut lists = Vec::new();
        let mut texts: Vec<&Option<Text>> = Vec::new();
        if let Some(s3) = s3 {
            lists.push(&s3.buckets);
            texts.extend([&s3.endpoint, &s3.region, &s3.profile, &s3.ca]);
        }
        if let Some(gcs) = gcs {
            lists.push(&gcs.buckets);
            texts.extend([&gcs.endpoint, &gcs.credentials]);
        }
        if let Some(azure) = azure {
            lists.push(&azure.accounts);
            texts.push(&azure.endpoint);
        }
        if let Some(oss) = oss {
            lists.push(&oss.buckets);
            texts.push(&oss.endpoint);
        }
        if let Some(hdfs) = hdfs {
            lists.push(&hdfs.namenodes);
            texts.extend([&hdfs.url, &hdfs.user]);
        }
        let listed = lists.into_iter().flatten().flat_map(|list| &list.value);
        listed.chain(texts.into_iter().flatten()).collect()
    }
}

impl Platform {
    /// The cap on its savepoints, whatever its kind.
    pub fn concurrency(&self) -> Option<&At<u32>> {
        let flink = self.flink.as_ref().map(|flink| &flink.concurrency);
        let ververica = self.ververica.as_ref().map(|vvp| &vvp.concurrency);
        let kubernetes = self.kubernetes.as_ref().map(|fleet| &fleet.concurrency);
        flink.or(ververica).or(kubernetes)?.as_ref()
    }

    fn plain_texts(&self) -> Vec<&Text> {
        let mut texts = Vec::new();
        texts.extend(self.flink.iter().flat_map(Flink::plain_texts));
        texts.extend(self.ververica.iter().flat_map(Ververica::plain_texts));
        texts.extend(self.kubernetes.iter().flat_map(Kubernetes::plain_texts));
        texts
    }
}

impl Ververica {
    fn plain_texts(&self) -> Vec<&Text> {
        let mut texts = vec![&self.url];
        texts.extend(
            [&self.namespace, &self.native_field, &self.ca, &self.timeout]
                .into_iter()
                .flatten(),
        );
        if let Some(access) = &self.kubernetes {
            let Access {
                namespace,
                context,
                kubeconfig,
            } = &access.value;
            texts.extend([namespace, context, kubeconfig].into_iter().flatten());
        }
        texts.extend(cert_texts(self.client_cert.as_ref()));
        texts.extend(path_texts(self.paths.as_ref()));
        texts
    }
}

impl Kubernetes {
    fn plain_texts(&self) -> Vec<&Text> {
        let mut texts = Vec::new();
        texts.extend(
            [
                &self.namespace,
                &self.context,
                &self.kubeconfig,
                &self.timeout,
            ]
            .into_iter()
            .flatten(),
        );
        texts.extend(path_texts(self.paths.as_ref()));
        texts
    }
}

fn cert_texts(pair: Option<&ClientCert>) -> impl Iterator<Item = &Text> {
    pair.into_iter().flat_map(|pair| [&pair.cert, &pair.key])
}

fn path_texts(paths: Option<&Entries<Text>>) -> impl Iterator<Item = &Text> {
    paths
        .into_iter()
        .flat_map(|paths| &paths.0)
        .flat_map(|(from, to)| [from, to])
}

impl Flink {
    fn plain_texts(&self) -> Vec<&Text> {
        let mut texts = vec![&self.url];
        texts.extend([&self.ca, &self.timeout].into_iter().flatten());
        let basic = self
            .auth
            .as_ref()
            .and_then(|auth| auth.value.basic.as_ref());
        texts.extend(basic.map(|basic| &basic.user));
        texts.extend(cert_texts(self.client_cert.as_ref()));
        texts.extend(path_texts(self.paths.as_ref()));
        texts
    }
}

impl<'a> Rules<'a> {
    fn plain_texts(self) -> Vec<&'a Text> {
        let mut texts: Vec<&Text> = [
            self.platform,
            self.schedule,
            self.every,
            self.timezone,
            self.target,
            self.deadline,
            self.patience,
            self.absent_for,
            self.catch_up,
        ]
        .into_iter()
        .flatten()
        .collect();
        texts.extend(self.never.iter().flat_map(|never| &never.value));
        texts
    }
}
