//! From settings to a client of one bucket. Nothing is sent here, and nothing is made before a
//! location asks for it: most commands never meet an object store.
//!
//! Credentials come the way each store's own tools find them: what the configuration says, then
//! the environment, profiles and files, the identity that a workload was given, the metadata
//! service of the machine. `OpenDAL`'s signers look there by themselves.

use std::time::Duration;

use lowtide_core::fault::Fault;
use opendal::services;
use opendal::{HttpTransporter, OperationContext, Operator};
use opendal_http_transport_reqwest::ReqwestTransport;
use secrecy::ExposeSecret as _;
use url::Url;

use super::fault;
use super::place::Root;
use super::settings::{Azure, Gcs, Hdfs, Oss, S3, StoreSettings};
use crate::platform::http;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a store may send nothing while it owes an answer.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// What servers other than Amazon's take for a region, where they take any.
const REGION_ELSEWHERE: &str = "us-east-1";
/// The port of a name node's HTTP server (`dfs.namenode.http-address` of Hadoop 3).
const WEBHDFS_PORT: u16 = 9870;

/// Variables of the environment.
pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The client of a bucket.
pub(super) fn operator(
    root: &Root,
    settings: Option<&StoreSettings>,
    env: Env<'_>,
) -> Result<Operator, Fault> {
    let ca = match settings {
        Some(StoreSettings::S3(s3)) => s3.ca.as_deref(),
        _ => None,
    };
    let tls = http::tls_of(ca)
        .map_err(|wrong| Fault::permanent(format!("{root}: {wrong}")).hint(wrong.hint()))?;
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(SILENCE_MAX)
        .user_agent("lowtide")
        .build()
        .map_err(|wrong| {
            Fault::permanent(format!("{root}: cannot prepare the HTTP client: {wrong}"))
        })?;
    let transport = HttpTransporter::new(ReqwestTransport::new(client));
    let context = OperationContext::new().with_http_transport(transport);
    let built = match (root, settings) {
        (Root::S3 { bucket }, Some(StoreSettings::S3(settings))) => s3(bucket, settings, env)?,
        (Root::S3 { bucket }, _) => s3(bucket, &S3::default(), env)?,
        (Root::Gcs { bucket }, Some(StoreSettings::Gcs(settings))) => gcs(bucket, settings),
        (Root::Gcs { bucket }, _) => gcs(bucket, &Gcs::default()),
        (
            Root::Azure {
                account,
                container,
                suffix,
            },
            settings,
        ) => match settings {
            Some(StoreSettings::Azure(settings)) => azure(account, container, suffix, settings),
            _ => azure(account, container, suffix, &Azure::default()),
        },
        (Root::Oss { bucket }, Some(StoreSettings::Oss(settings))) => oss(bucket, settings, env)?,
        (Root::Oss { bucket }, _) => oss(bucket, &Oss::default(), env)?,
        (Root::Hdfs { .. } | Root::WebHdfs { .. }, Some(StoreSettings::Hdfs(settings))) => {
            hdfs(root, settings, env)
        }
        (Root::Hdfs { .. } | Root::WebHdfs { .. }, _) => hdfs(root, &Hdfs::default(), env),
    };
    built
        .map(|operator| operator.with_context(context))
        .map_err(|error| fault::of(&error, "reach", &root.to_string()))
}

fn s3(bucket: &str, settings: &S3, env: Env<'_>) -> Result<opendal::Result<Operator>, Fault> {
    let endpoint = settings.endpoint.as_ref().map(address).or_else(|| {
        // As Amazon's own tools read them ("Service-specific endpoints").
        env("AWS_ENDPOINT_URL_S3").or_else(|| env("AWS_ENDPOINT_URL"))
    });
    let region = settings
        .region
        .clone()
        .or_else(|| env("AWS_REGION"))
        .or_else(|| env("AWS_DEFAULT_REGION"))
        .or_else(|| endpoint.is_some().then(|| REGION_ELSEWHERE.to_owned()));
    let Some(region) = region else {
        return Err(Fault::permanent(format!(
            "s3://{bucket}: the region of the bucket is not known"
        ))
        .hint("set AWS_REGION, or write `region` (elsewhere than at Amazon: `endpoint`) in an `s3` under `stores:`"));
    };
    // A bucket with a dot in its name has no valid certificate as a host.
    let in_path = settings
        .path_style
        .unwrap_or(endpoint.is_some() || bucket.contains('.'));
    let mut builder = services::S3::default().bucket(bucket).region(&region);
    if let Some(endpoint) = &endpoint {
        builder = builder.endpoint(endpoint);
    }
    if !in_path {
        builder = builder.enable_virtual_host_style();
    }
    if let Some((access, secret)) = &settings.keys {
        builder = builder
            .access_key_id(access.expose_secret())
            .secret_access_key(secret.expose_secret());
    }
    if let Some(token) = &settings.session_token {
        builder = builder.session_token(token.expose_secret());
    }
    if let Some(profile) = &settings.profile {
        builder = builder.profile(profile);
    }
    if settings.anonymous {
        builder = builder.skip_signature();
    }
    Ok(Operator::new(builder))
}

fn gcs(bucket: &str, settings: &Gcs) -> opendal::Result<Operator> {
    let mut builder = services::Gcs::default().bucket(bucket);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.endpoint(&address(endpoint));
    }
    if let Some(path) = &settings.credentials {
        builder = builder.credential_path(&path.to_string_lossy());
    }
    if settings.anonymous {
        builder = builder.skip_signature();
    }
    Operator::new(builder)
}

/// Accounts with a hierarchical namespace answer the Blob API too ("Multi-protocol access on
/// Azure Data Lake Storage"), so one client serves `abfs` and `wasb`.
fn azure(
    account: &str,
    container: &str,
    suffix: &str,
    settings: &Azure,
) -> opendal::Result<Operator> {
    let endpoint = settings
        .endpoint
        .as_ref()
        .map_or_else(|| format!("https://{account}.blob.{suffix}"), address);
    let mut builder = services::Azblob::default()
        .container(container)
        .account_name(account)
        .endpoint(&endpoint);
    if let Some(key) = &settings.account_key {
        builder = builder.account_key(key.expose_secret());
    }
    if let Some(token) = &settings.sas_token {
        builder = builder.sas_token(token.expose_secret());
    }
    Operator::new(builder)
}

fn oss(bucket: &str, settings: &Oss, env: Env<'_>) -> Result<opendal::Result<Operator>, Fault> {
    let endpoint = settings.endpoint.as_ref().map(address);
    let Some(endpoint) = endpoint.or_else(|| env("OSS_ENDPOINT")) else {
        return Err(Fault::permanent(format!(
            "oss://{bucket}: the server of the bucket's region is not known"
        ))
        .hint("set OSS_ENDPOINT, or write `endpoint` in an `oss` under `stores:`, such as https://oss-eu-central-1.aliyuncs.com"));
    };
    let mut builder = services::Oss::default().bucket(bucket).endpoint(&endpoint);
    if let Some((access, secret)) = &settings.keys {
        builder = builder
            .access_key_id(access.expose_secret())
            .access_key_secret(secret.expose_secret());
    }
    Ok(Operator::new(builder))
}

fn hdfs(root: &Root, settings: &Hdfs, env: Env<'_>) -> opendal::Result<Operator> {
    let url = settings.url.as_ref().map_or_else(|| webhdfs(root), address);
    let mut builder = services::Webhdfs::default().endpoint(&url);
    if let Some(user) = settings.user.clone().or_else(|| env("HADOOP_USER_NAME")) {
        builder = builder.user_name(&user);
    }
    if let Some(token) = &settings.delegation_token {
        builder = builder.delegation(token.expose_secret());
    }
    Operator::new(builder)
}

/// The HTTP address that goes with a name node's RPC address, where nothing else is told.
fn webhdfs(root: &Root) -> String {
    match root {
        Root::WebHdfs { authority, tls } => {
            format!("http{}://{authority}", if *tls { "s" } else { "" })
        }
        Root::Hdfs { authority } => {
            let host = authority
                .rsplit_once(':')
                .map_or(authority.as_str(), |(host, _)| host);
            format!("http://{host}:{WEBHDFS_PORT}")
        }
        other => other.to_string(),
    }
}

/// An address without a slash at its end.
fn address(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use lowtide_core::fault::FaultKind;

    use super::*;

    fn bucket() -> Root {
        Root::S3 {
            bucket: "state".to_owned(),
        }
    }

    fn none(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn a_region_that_nobody_names_is_asked_for() {
        let fault = operator(&bucket(), None, &none).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Permanent);
        assert!(fault.text.contains("s3://state") && fault.hint.unwrap().contains("AWS_REGION"));
    }

    #[test]
    fn the_environment_and_the_configuration_name_it() {
        for variable in ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3"] {
            let env = |name: &str| (name == variable).then(|| "http://127.0.0.1:1".to_owned());
            operator(&bucket(), None, &env).unwrap();
        }
        let settings = StoreSettings::S3(S3 {
            region: Some("eu-central-1".to_owned()),
            ..S3::default()
        });
        operator(&bucket(), Some(&settings), &none).unwrap();
    }

    #[test]
    fn the_other_stores_need_no_region() {
        let azure = Root::Azure {
            account: "acct".to_owned(),
            container: "c".to_owned(),
            suffix: "core.windows.net".to_owned(),
        };
        let gcs = Root::Gcs {
            bucket: "b".to_owned(),
        };
        let hdfs = Root::Hdfs {
            authority: "namenode:8020".to_owned(),
        };
        for root in [azure, gcs, hdfs] {
            operator(&root, None, &none).unwrap();
        }
        let oss = Root::Oss {
            bucket: "b".to_owned(),
        };
        let fault = operator(&oss, None, &none).unwrap_err();
        assert!(fault.hint.unwrap().contains("OSS_ENDPOINT"));
    }

    #[test]
    fn the_http_port_goes_with_the_rpc_port() {
        let hdfs = |authority: &str| {
            webhdfs(&Root::Hdfs {
                authority: authority.to_owned(),
            })
        };
        assert_eq!(hdfs("namenode:8020"), "http://namenode:9870");
        assert_eq!(hdfs("namenode"), "http://namenode:9870");
        let tls = Root::WebHdfs {
            authority: "host:9871".to_owned(),
            tls: true,
        };
        assert_eq!(webhdfs(&tls), "https://host:9871");
    }
}
