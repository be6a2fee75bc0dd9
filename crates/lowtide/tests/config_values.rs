//! What a file that is right comes to.
#![allow(clippy::unwrap_used, clippy::unnecessary_wraps, missing_docs)]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use lowtide::config::{self, CatalogPlace, Config, ConfigError, SecretError, SecretSource};
use lowtide_core::engine::Application;
use lowtide_core::name::PlatformName;
use lowtide_core::savepoint::Format;
use lowtide_world::flink::Auth;
use lowtide_world::kubernetes::{Access, Source};
use lowtide_world::platform::PlatformSettings;
use lowtide_world::store::settings::StoreSettings;
use lowtide_world::ververica::Resolve;
use secrecy::{ExposeSecret, SecretString};

fn secrets(source: &SecretSource) -> Result<SecretString, SecretError> {
    match source {
        SecretSource::Env(name) => Ok(SecretString::from(format!("from {name}"))),
        SecretSource::File(path) => Ok(SecretString::from(format!("from-{}", path.display()))),
    }
}

fn read(text: &str) -> Config {
    config::parse("/etc/lowtide/lowtide.yaml", text, &secrets)
        .unwrap_or_else(|error| panic!("{error}"))
}

fn named<'a>(config: &'a Config, key: &str) -> &'a Application {
    let mut applications = config.applications.iter();
    applications.find(|a| a.key.to_string() == key).unwrap()
}

const FULL: &str = r#"
timezone: Europe/Berlin
platforms:
  session:
    flink:
      url: "https://proxy/flink"
      auth: { basic: { user: me, password: "${env:FLINK_PASSWORD}" } }
      ca: ca.pem
      client_cert: { cert: /etc/c.pem, key: /etc/c.key }
      timeout: 5s
      concurrency: 2
      paths: { "file:/opt": /mnt/a, "/opt/flink/state": /mnt/b }
  plain: { flink: { url: "http://jm:8081", auth: { bearer: '${file:token}' } } }
defaults:
  platform: session
  schedule: "H 1 * * *"
  deadline: 20m
applications:
  - orders
  - { name: payments, platform: plain, every: 30m, format: native, target: "s3://state/pay",
      job: "Payments v2", attempts: 1, patience: 1m, absent_for: 2m, catch_up: 0s,
      timezone: UTC, never: ["Mon-Fri 08:00-18:00"] }
  - name: "2024"
catalog: { sqlite: state/catalog.db }
read_every: 7d
read_limit: 100MB
"#;

#[test]
fn the_smallest_file_is_all_defaults() {
    let config = read(
        "platforms:\n  session: { flink: { url: \"http://jm:8081\" } }\nschedule: \"0 1 * * *\"\napplications: [orders, payments]\n",
    );
    assert_eq!(config.zone.iana_name(), Some("UTC"));
    let policy = &named(&config, "session/orders").policy;
    assert_eq!(policy.job, "orders");
    assert_eq!(policy.schedule.as_ref().unwrap().text(), "0 1 * * *");
    assert_eq!(policy.format, Format::Canonical);
    assert_eq!(policy.target, None);
    assert_eq!(policy.deadline, SignedDuration::from_hours(1));
    assert_eq!(policy.attempts, 3);
    assert_eq!(policy.patience, SignedDuration::from_mins(5));
    assert_eq!(policy.absent_for, SignedDuration::from_mins(10));
    assert_eq!(policy.catch_up, SignedDuration::from_hours(6));
    assert_eq!(policy.concurrency, 16);
    assert!(
        matches!(&config.catalog, CatalogPlace::File(path) if path.ends_with("lowtide/catalog.db"))
    );
}

#[test]
fn how_often_and_how_fast_every_byte_is_read() {
    let rules = |config: &Config| {
        let reading = config.reading?;
        Some((reading.every.as_hours(), reading.bytes_per_s_max))
    };
    let smallest = "platforms: {}\napplications: []\n";
    assert_eq!(rules(&read(smallest)), Some((30 * 24, 32 << 20)));
    assert_eq!(rules(&read(FULL)), Some((7 * 24, 100_000_000)));
    assert_eq!(rules(&read(&format!("{smallest}read_every: 0s\n"))), None);
}

#[test]
fn an_application_hides_the_defaults() {
    let config = read(FULL);
    let keys: Vec<String> = config
        .applications
        .iter()
        .map(|a| a.key.to_string())
        .collect();
    assert_eq!(keys, ["session/orders", "plain/payments", "session/2024"]);
    let orders = &named(&config, "session/orders").policy;
    let schedule = orders.schedule.as_ref().unwrap();
    assert_eq!(schedule.zone_name(), "Europe/Berlin");
    assert_eq!(orders.deadline, SignedDuration::from_mins(20));
    assert_eq!(orders.concurrency, 2);
    let payments = &named(&config, "plain/payments").policy;
    let schedule = payments.schedule.as_ref().unwrap();
    assert_eq!(schedule.text(), "30m");
    assert_eq!(schedule.zone_name(), "UTC");
    assert_eq!(payments.job, "Payments v2");
    assert_eq!(payments.format, Format::Native);
    assert_eq!(payments.target.as_deref(), Some("s3://state/pay"));
    assert_eq!(payments.attempts, 1);
    assert_eq!(payments.patience, SignedDuration::from_mins(1));
    assert_eq!(payments.absent_for, SignedDuration::from_mins(2));
    assert_eq!(payments.catch_up, SignedDuration::ZERO);
    let monday_noon = "2026-11-23T12:00:00Z".parse().unwrap();
    assert!(payments.never.held_until(monday_noon).is_some());
    assert!(orders.never.held_until(monday_noon).is_none());
    let catalog = PathBuf::from("/etc/lowtide/state/catalog.db");
    assert_eq!(config.catalog, CatalogPlace::File(catalog));
}

#[test]
fn platforms_are_read_with_their_secrets() {
    let config = read(FULL);
    let platform = |name: &str| match &config.platforms[&PlatformName::new(name).unwrap()] {
        PlatformSettings::Flink(flink) => flink,
        other => panic!("{other:?}"),
    };
    let session = platform("session");
    assert_eq!(session.url.as_str(), "https://proxy/flink");
    assert_eq!(
        session.ca.as_deref(),
        Some(Path::new("/etc/lowtide/ca.pem"))
    );
    assert_eq!(session.timeout, Duration::from_secs(5));
    assert_eq!(platform("plain").timeout, Duration::from_secs(30));
    assert_eq!(
        session.client_cert,
        Some(("/etc/c.pem".into(), "/etc/c.key".into()))
    );
    let path = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    assert_eq!(
        session.paths,
        [
            path("file:/opt", "/mnt/a"),
            path("file:/opt/flink/state", "/mnt/b")
        ]
    );
    let Some(Auth::Basic { user, password }) = &session.auth else {
        panic!("{:?}", session.auth);
    };
    assert_eq!(
        (user.as_str(), password.expose_secret()),
        ("me", "from FLINK_PASSWORD")
    );
    let Some(Auth::Bearer(token)) = &platform("plain").auth else {
        panic!("{:?}", platform("plain").auth);
    };
    assert_eq!(token.expose_secret(), "from-/etc/lowtide/token");
    assert!(!format!("{config:?}").contains("from FLINK_PASSWORD"));
    assert!(!format!("{config:?}").contains("from-/etc"));
}

#[test]
fn the_other_kinds_of_platform_are_read() {
    let config = read(
        r#"
platforms:
  small: { ververica: { url: "http://vvp:8080" } }
  vvp:
    ververica:
      url: "https://vvp/sub"
      namespace: Team A
      token: "${file:token}"
      resolve: pods
      kubernetes: { namespace: flink, context: prod, kubeconfig: kube/config }
      native_field: spec.formatType
      timeout: 5s
      paths: { "file:/opt": /mnt/a }
  fleet: { kubernetes: { namespace: flink, reach: proxy, concurrency: 3 } }
defaults: { platform: vvp, target: /nobody/asks }
catalog: none
applications:
  - { name: orders, format: native }
  - { name: fraud, platform: fleet }
"#,
    );
    assert_eq!(config.catalog, CatalogPlace::None);
    let platform = |name: &str| &config.platforms[&PlatformName::new(name).unwrap()];
    let PlatformSettings::Ververica(small) = platform("small") else {
        panic!("another kind")
    };
    assert_eq!(
        (small.namespace.as_str(), &small.resolve),
        ("default", &Resolve::Api)
    );
    assert!(small.connection.auth.is_none() && small.native.is_none());
    let PlatformSettings::Ververica(vvp) = platform("vvp") else {
        panic!("another kind")
    };
    assert_eq!(vvp.namespace, "Team A");
    let access = Access {
        kubeconfig: Some("/etc/lowtide/kube/config".into()),
        context: Some("prod".into()),
        namespace: Some("flink".into()),
    };
    let source = Source::List;
    assert_eq!(vvp.resolve, Resolve::Pods { access, source });
    assert!(
        matches!(&vvp.connection.auth, Some(Auth::Bearer(token)) if token.expose_secret() == "from-/etc/lowtide/token")
    );
    assert!(vvp.native.is_some());
    assert!(!format!("{vvp:?}").contains("from-/etc"));
    let PlatformSettings::Kubernetes(fleet) = platform("fleet") else {
        panic!("another kind")
    };
    assert_eq!(fleet.access.namespace.as_deref(), Some("flink"));
    // The platform chooses the directory, whatever all others have.
    assert_eq!(named(&config, "vvp/orders").policy.target, None);
    let fraud = &named(&config, "fleet/fraud").policy;
    assert_eq!(
        (fraud.target.as_deref(), fraud.concurrency),
        (Some("/nobody/asks"), 3)
    );
}

#[test]
fn patience_that_nobody_asked_for_leaves_time_to_trigger() {
    let config = read(
        "platforms: { a: { flink: { url: \"http://a\" } } }\napplications:\n  - { name: often, every: 20s }\n  - { name: hasty, deadline: 2m }\n",
    );
    let policy = |key| &named(&config, key).policy;
    assert_eq!(policy("a/often").patience, SignedDuration::from_secs(10));
    assert_eq!(policy("a/hasty").patience, SignedDuration::from_mins(1));
    assert_eq!(policy("a/hasty").absent_for, SignedDuration::from_mins(2));
    assert!(policy("a/hasty").schedule.is_none());
}

#[test]
fn anchors_and_merge_keys_are_yaml_too() {
    let config = read(
        "platforms: { a: { flink: { url: \"http://a\" } } }\napplications:\n  - &base { name: a, every: 1h, attempts: 2 }\n  - { <<: *base, name: b }\n",
    );
    assert_eq!(named(&config, "a/b").policy.attempts, 2);
}

#[test]
fn a_mark_at_the_beginning_of_the_file_is_no_text() {
    read("\u{feff}platforms: {}\napplications: []\n");
}

#[test]
fn the_flag_comes_before_the_environment_and_both_before_the_default() {
    let found = |flag: Option<&str>, env: Option<&str>| {
        config::find(flag.map(Path::new), env.map(OsStr::new))
    };
    assert_eq!(found(Some("a"), Some("b")).unwrap(), PathBuf::from("a"));
    assert_eq!(found(None, Some("b")).unwrap(), PathBuf::from("b"));
    // The directory of these tests has no `lowtide.yaml`; an empty variable is none.
    for env in [None, Some("")] {
        let error = found(None, env).unwrap_err();
        insta::assert_snapshot!("no_file", format!("{error}\n{}", error.hints().join("\n")));
    }
}

#[test]
fn files_that_cannot_be_read_are_told_apart() {
    let absent = config::load(Path::new("/nonexistent/lowtide.yaml")).unwrap_err();
    insta::assert_snapshot!("absent_file", absent.to_string());
    assert!(std::error::Error::source(&absent).is_some());
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, b"timezone: \xff").unwrap();
    let error = config::load(file.path()).unwrap_err();
    let shown = error
        .to_string()
        .replace(&*file.path().to_string_lossy(), "FILE");
    insta::assert_snapshot!("not_text", format!("{shown}\n{}", error.hints().join("\n")));
    assert!(
        matches!(error, ConfigError::NotText { at: 10, .. }),
        "{error}"
    );
}

#[test]
fn colour_is_never_the_only_carrier() {
    let error = config::parse("lowtide.yaml", "a: 1\n", &secrets).unwrap_err();
    let coloured = error.render(true);
    assert!(coloured.contains('\u{1b}'));
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    assert_eq!(plain, error.render(false));
}

#[test]
fn stores_are_read_with_their_secrets() {
    let config = read(
        r#"
platforms: { session: { flink: { url: "http://jm:8081" } } }
applications: [orders]
stores:
  state:
    s3: { buckets: [state, archive], endpoint: "http://minio:9000", path_style: false, region: r,
          access_key: "${env:A}", secret_key: "${file:s}", session_token: "${env:T}", ca: ca.pem }
  public: { s3: { anonymous: true, profile: p } }
  google: { gcs: { credentials: key.json } }
  azure: { azure: { accounts: [acct], sas_token: "${env:SAS}" } }
  ali: { oss: { endpoint: "https://oss-eu-central-1.aliyuncs.com" } }
  hadoop: { hdfs: { namenodes: ["nn:8020"], url: "http://nn:9870", user: flink, delegation_token: "${env:D}" } }
"#,
    );
    let [
        StoreSettings::S3(state),
        StoreSettings::S3(public),
        StoreSettings::Gcs(google),
        StoreSettings::Azure(azure),
        StoreSettings::Oss(ali),
        StoreSettings::Hdfs(hadoop),
    ] = &config.stores[..]
    else {
        panic!("{:?}", config.stores);
    };
    assert_eq!(state.buckets, ["state", "archive"]);
    assert_eq!(
        state.endpoint.as_ref().unwrap().as_str(),
        "http://minio:9000/"
    );
    assert_eq!(
        (state.path_style, state.region.as_deref()),
        (Some(false), Some("r"))
    );
    let (access, secret) = state.keys.as_ref().unwrap();
    assert_eq!(access.expose_secret(), "from A");
    assert_eq!(secret.expose_secret(), "from-/etc/lowtide/s");
    assert_eq!(
        state.session_token.as_ref().unwrap().expose_secret(),
        "from T"
    );
    assert_eq!(state.ca.as_deref(), Some(Path::new("/etc/lowtide/ca.pem")));
    assert!(public.anonymous && public.buckets.is_empty() && public.keys.is_none());
    assert_eq!(public.profile.as_deref(), Some("p"));
    assert_eq!(
        google.credentials.as_deref(),
        Some(Path::new("/etc/lowtide/key.json"))
    );
    assert_eq!(azure.accounts, ["acct"]);
    assert_eq!(
        azure.sas_token.as_ref().unwrap().expose_secret(),
        "from SAS"
    );
    assert_eq!(
        ali.endpoint.as_ref().unwrap().host_str(),
        Some("oss-eu-central-1.aliyuncs.com")
    );
    assert_eq!(
        (hadoop.user.as_deref(), hadoop.namenodes.len()),
        (Some("flink"), 1)
    );
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("from A") && !shown.contains("from SAS"),
        "{shown}"
    );
}

#[test]
fn a_path_may_lead_to_another_store() {
    let config = read(
        "platforms: { a: { flink: { url: \"http://jm:8081\", paths: { \"s3://state\": \"s3://replica/of\" } } } }\napplications: [orders]\n",
    );
    let PlatformSettings::Flink(flink) = &config.platforms[&PlatformName::new("a").unwrap()] else {
        panic!("a flink");
    };
    assert_eq!(
        flink.paths,
        [("s3://state".to_owned(), "s3://replica/of".to_owned())]
    );
}
