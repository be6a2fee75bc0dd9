//! Every mistake in a configuration that a person can make, as they read it.
#![allow(clippy::unwrap_used, missing_docs)]

use lowtide::config::{self, SecretError, SecretSource};
use secrecy::SecretString;

fn secrets(source: &SecretSource) -> Result<SecretString, SecretError> {
    match source {
        SecretSource::Env(name) if name == "GOOD" => Ok(SecretString::from("hunter2")),
        SecretSource::Env(name) if name == "BLANKS" => Ok(SecretString::from("hunter2 2")),
        SecretSource::Env(name) if name == "EMPTY" => Err(SecretError::Empty),
        SecretSource::Env(name) if name == "LONG" => Err(SecretError::TooLong),
        SecretSource::Env(name) if name == "CONTROL" => Err(SecretError::NotText),
        SecretSource::Env(name) => Err(SecretError::NotSet(name.clone())),
        SecretSource::File(path) => Err(SecretError::Unreadable {
            path: path.clone(),
            why: "No such file or directory (os error 2)".to_owned(),
        }),
    }
}

/// What a person sees for this text.
fn shown(text: &str) -> String {
    match config::parse("lowtide.yaml", text, &secrets) {
        Ok(_) => panic!("this must be refused:\n{text}"),
        Err(error) => {
            let shown = error.render(false);
            assert!(!shown.contains("hunter2"), "a secret is shown:\n{shown}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
            assert_eq!(shown, error.to_string());
            shown
        }
    }
}

/// A file with one platform and this application.
fn application(text: &str) -> String {
    format!(
        "platforms:\n  session: {{ flink: {{ url: \"http://jm:8081\" }} }}\napplications:\n  - {text}\n"
    )
}

/// A file with these settings of its platform.
fn platform(text: &str) -> String {
    format!(
        "platforms:\n  session:\n    flink:\n      {}\napplications: [orders]\n",
        text.replace('\n', "\n      ")
    )
}

/// A file with these settings of its Ververica Platform, and this application.
fn ververica(text: &str, application: &str) -> String {
    format!(
        "platforms:\n  vvp:\n    ververica:\n      {}\napplications:\n  - {application}\n",
        text.replace('\n', "\n      ")
    )
}

/// A file with these stores.
fn stores(text: &str) -> String {
    application("orders") + "stores:\n  " + &text.replace('\n', "\n  ") + "\n"
}

macro_rules! refused {
    ($($name:ident: $text:expr;)*) => {$(
        #[test]
        fn $name() {
            let text = $text;
            insta::assert_snapshot!(stringify!($name), format!("{}\n\n{}", text.trim_end(), shown(&text)));
        }
    )*};
}

// The shape.
refused! {
    empty_file: String::new();
    not_a_map: "- orders\n".to_owned();
    only_a_comment: "# nothing\n".to_owned();
    broken_yaml: "platforms: { a: { flink: { url: \"http://a\" } } }\napplications: [orders\ntimezone: UTC\n".to_owned();
    tab_indent: "platforms:\n\ta: 1\n".to_owned();
    two_documents: application("orders") + "---\na: 1\n";
    missing_platforms: "applications: [orders]\n".to_owned();
    missing_applications: "platforms: { a: { flink: { url: \"http://a\" } } }\n".to_owned();
    unknown_key_at_the_top: application("orders") + "aplications: [a]\n";
    unknown_key_elsewhere: application("orders") + "target: /mnt/a\n";
    unknown_key_without_likeness: application("{ name: orders, retries: 3 }");
    unknown_key_in_application: application("{ name: orders, schedul: \"0 1 * * *\" }");
    unknown_key_on_a_line_of_its_own: application("name: orders\n    dead_line: 3h");
    job_in_defaults: application("orders") + "defaults: { job: a }\n";
    duplicate_key: application("{ name: orders, format: native, format: canonical }");
    duplicate_platform: "platforms:\n  a: { flink: { url: \"http://a\" } }\n  a: { flink: { url: \"http://b\" } }\napplications: []\n".to_owned();
    key_of_a_later_release_quiet: application("{ name: orders, quiet: { wait: 45m } }");
    key_of_a_later_release_keep: application("orders") + "defaults:\n  keep: { last: 3 }\n";
    key_of_a_later_release_promise: application("{ name: orders, promise: { max_age: 26h } }");
    key_of_a_later_release_postgres: application("orders") + "catalog: { postgres: \"host=a\" }\n";
    platform_kind_operator: "platforms: { fleet: { operator: { namespace: flink } } }\napplications: [orders]\n".to_owned();
    platform_kind_unknown: "platforms: { fleet: { yarn: { url: a } } }\napplications: [orders]\n".to_owned();
    platform_without_kind: "platforms: { fleet: {} }\napplications: [orders]\n".to_owned();
    platform_is_a_url: "platforms: { fleet: \"http://a\" }\napplications: [orders]\n".to_owned();
    platforms_is_a_list: "platforms: [a]\napplications: [orders]\n".to_owned();
    flink_without_url: platform("timeout: 10s");
    applications_is_a_map: "platforms: { a: { flink: { url: \"http://a\" } } }\napplications: { orders: {} }\n".to_owned();
    applications_without_value: "platforms: { a: { flink: { url: \"http://a\" } } }\napplications:\n".to_owned();
    application_without_name: application("{ schedule: \"@daily\" }");
    application_is_a_number: application("2024");
    application_is_a_list: application("[a]");
    schedule_without_value: application("orders") + "schedule:\n";
    attempts_is_a_word: application("{ name: orders, attempts: many }");
    attempts_is_negative: application("{ name: orders, attempts: -1 }");
    never_is_a_text: application("{ name: orders, never: \"Mon-Fri\" }");
    format_unknown: application("{ name: orders, format: Native }");
    unknown_alias: application("{ name: orders, schedule: *nightly }");
    deep_nesting: application(&format!("{}{}", "[".repeat(20), "]".repeat(20)));
}

// Times.
refused! {
    cron_field_plain: application("name: orders\n    schedule: 0 61 * * *");
    cron_field_single_quoted: application("{ name: orders, schedule: '0 25 * * *' }");
    cron_field_double_quoted: application("{ name: orders, schedule: \"0 1 \\x33\\x32 * *\" }");
    cron_field_block: application("name: orders\n    schedule: >-\n      0 61 *\n      * *");
    cron_too_few_fields: application("{ name: orders, schedule: \"0 1 * *\" }");
    cron_impossible: application("{ name: orders, schedule: \"0 0 30 2 *\" }");
    cron_by_alias: "platforms: { a: { flink: { url: \"http://a\" } } }\nschedule: &nightly \"0 61 * * *\"\napplications:\n  - { name: orders, schedule: *nightly }\n".to_owned();
    every_too_short: application("{ name: orders, every: 5s }");
    every_is_a_number: application("{ name: orders, every: 90 }");
    schedule_and_every: application("{ name: orders, schedule: \"@daily\", every: 6h }");
    schedule_and_every_at_the_top: application("orders") + "schedule: \"@daily\"\nevery: 6h\n";
    schedule_at_the_top_and_in_defaults: application("orders") + "schedule: \"@daily\"\ndefaults: { every: 6h }\n";
    zone_of_the_file_unknown: application("orders") + "timezone: Berlin\n";
    zone_of_the_application_unknown: application("{ name: orders, timezone: Mars/Olympus }");
    deadline_too_short: application("{ name: orders, deadline: 500ms }");
    deadline_fraction: application("{ name: orders, deadline: 1.5h }");
    attempts_zero: application("{ name: orders, attempts: 0 }");
    attempts_eleven: application("{ name: orders, attempts: 11 }");
    catch_up_negative: application("{ name: orders, catch_up: -1h }");
    read_every_number: application("orders") + "read_every: 30\n";
    read_limit_without_unit: application("orders") + "read_limit: 50\n";
    patience_longer_than_deadline: application("{ name: orders, patience: 2h, deadline: 1h30m }");
    patience_longer_than_default_deadline: application("{ name: orders, patience: 1h }");
    patience_longer_than_interval: application("{ name: orders, patience: 10m, schedule: \"*/5 * * * *\" }");
    absent_for_longer_than_deadline: application("{ name: orders, absent_for: 2h }");
    never_wrong_day: application("{ name: orders, never: [\"Mon-Fri 08:00-18:00\", \"Moonday\"] }");
    never_whole_week: application("{ name: orders, never: [\"Mon-Fri\", \"Sat,Sun 00:00-24:00\"] }");
    never_too_many: application(&format!("{{ name: orders, never: [{}] }}", vec!["Sun"; 65].join(", ")));
    mistake_in_defaults_is_told_once: "platforms: { a: { flink: { url: \"http://a\" } } }\ndefaults: { schedule: \"0 61 * * *\" }\napplications: [orders, payments, fraud]\n".to_owned();
    mistake_in_defaults_that_nobody_uses: "platforms: { a: { flink: { url: \"http://a\" } } }\ndefaults: { deadline: 5 }\napplications:\n  - { name: orders, deadline: 5m }\n".to_owned();
}

// Names and places.
refused! {
    name_with_a_slash: application("\"team/orders\"");
    name_with_a_space: application("{ name: \"my orders\" }");
    name_empty: application("\"\"");
    name_too_long: application(&"a".repeat(129));
    platform_name_wrong: "platforms: { \"a b\": { flink: { url: \"http://a\" } } }\napplications: []\n".to_owned();
    job_empty: application("{ name: orders, job: \"\" }");
    platform_unknown: application("{ name: orders, platform: sesion }");
    platform_unknown_in_defaults: application("orders") + "defaults: { platform: vvp }\n";
    platform_not_named: "platforms:\n  a: { flink: { url: \"http://a\" } }\n  b: { flink: { url: \"http://b\" } }\napplications:\n  - orders\n".to_owned();
    no_platforms: "platforms: {}\napplications: [orders]\n".to_owned();
    application_twice: "platforms: { a: { flink: { url: \"http://a\" } } }\napplications:\n  - orders\n  - payments\n  - { name: orders, job: other }\n".to_owned();
    target_relative: application("{ name: orders, target: savepoints }");
    target_without_bucket: application("{ name: orders, target: \"s3:///a\" }");
    target_with_credentials: application("{ name: orders, target: \"s3://key:hunter2@bucket/a\" }");
    target_empty: application("{ name: orders, target: \"\" }");
    same_directory_on_two_platforms: "platforms:\n  a: { flink: { url: \"http://a\" } }\n  b: { flink: { url: \"http://b\" } }\napplications:\n  - { name: orders, platform: a, target: /mnt/s }\n  - { name: orders, platform: b, target: \"file:///mnt/s/\" }\n".to_owned();
    catalog_empty: application("orders") + "catalog: { sqlite: \"\" }\n";
    catalog_with_tilde: application("orders") + "catalog: { sqlite: ~/lowtide.db }\n";
}

// Platforms.
refused! {
    url_without_scheme: platform("url: jobmanager:8081");
    url_with_another_scheme: platform("url: ftp://jobmanager:8081");
    url_without_host: platform("url: \"http://\"");
    url_with_credentials: platform("url: http://admin:hunter2@jobmanager:8081");
    url_with_query: platform("url: http://jobmanager:8081/?a=b");
    timeout_too_long: platform("url: http://jobmanager:8081\ntimeout: 1m");
    timeout_too_short: platform("url: http://jobmanager:8081\ntimeout: 10ms");
    concurrency_zero: platform("url: http://jobmanager:8081\nconcurrency: 0");
    concurrency_huge: platform("url: http://jobmanager:8081\nconcurrency: 1001");
    ca_without_https: platform("url: http://jobmanager:8081\nca: /etc/ca.pem");
    client_cert_without_https: platform("url: http://jobmanager:8081\nclient_cert: { cert: /a, key: /b }");
    client_cert_without_key: platform("url: https://jobmanager:8081\nclient_cert: { cert: /a }");
    paths_relative: platform("url: http://jobmanager:8081\npaths: { opt/flink: /mnt, \"file:/a\": mnt }");
    paths_twice: platform("url: http://jobmanager:8081\npaths: { /opt/a: /mnt, \"file:///opt/a/\": /mnt }");
    paths_too_many: platform(&format!("url: http://jobmanager:8081\npaths: {{ {} }}", (0..65).map(|n| format!("/f{n}: /t")).collect::<Vec<_>>().join(", ")));
}

// Ververica Platform and Kubernetes.
refused! {
    vvp_without_url: ververica("namespace: default", "orders");
    vvp_url_without_scheme: ververica("url: vvp-gateway", "orders");
    vvp_url_with_credentials: ververica("url: http://admin:hunter2@vvp:8080", "orders");
    vvp_token_literal: ververica("url: http://vvp:8080\ntoken: hunter2", "orders");
    vvp_token_with_blanks: ververica("url: http://vvp:8080\ntoken: \"${env:BLANKS}\"", "orders");
    vvp_namespace_empty: ververica("url: http://vvp:8080\nnamespace: \"\"", "orders");
    vvp_resolve_unknown: ververica("url: http://vvp:8080\nresolve: pod", "orders");
    vvp_kubernetes_of_no_use: ververica("url: http://vvp:8080\nkubernetes: { namespace: flink }", "orders");
    vvp_native_field_wrong: ververica("url: http://vvp:8080\nnative_field: spec.=x", "orders");
    vvp_native_without_field: ververica("url: http://vvp:8080", "{ name: orders, format: native }");
    vvp_target: ververica("url: http://vvp:8080", "{ name: orders, target: /mnt/a }");
    vvp_ca_without_https: ververica("url: http://vvp:8080\nca: /etc/ca.pem", "orders");
    kubernetes_reach_unknown: "platforms: { fleet: { kubernetes: { reach: ingress } } }\napplications: [orders]\n".to_owned();
    platform_of_two_kinds: "platforms: { fleet: { kubernetes: {}, flink: { url: \"http://a\" } } }\napplications: [orders]\n".to_owned();
    token_of_flink: platform("url: http://jm:8081\ntoken: hunter2");
    catalog_unknown_word: application("orders") + "catalog: memory\n";
}

// Secrets.
refused! {
    secret_literal_password: platform("url: http://jm:8081\nauth: { basic: { user: me, password: hunter2 } }");
    secret_literal_bearer: platform("url: http://jm:8081\nauth:\n  bearer: \"hunter2\"");
    secret_literal_block: platform("url: http://jm:8081\nauth:\n  bearer: |\n    hunter2");
    secret_in_the_wrong_place: platform("url: http://jm:8081\nauth: hunter2");
    secret_partial: platform("url: http://jm:8081\nauth: { bearer: \"Bearer hunter2${env:GOOD}\" }");
    secret_of_another_kind: platform("url: http://jm:8081\nauth: { bearer: \"${vault:a/b}\" }");
    secret_without_name: platform("url: http://jm:8081\nauth: { bearer: \"${env:}\" }");
    secret_env_not_set: platform("url: http://jm:8081\nauth: { bearer: \"${env:ABSENT}\" }");
    secret_file_not_there: platform("url: http://jm:8081\nauth: { bearer: \"${file:/run/absent}\" }");
    secret_token_with_blanks: platform("url: http://jm:8081\nauth: { bearer: \"${env:BLANKS}\" }");
    secret_empty: platform("url: http://jm:8081\nauth: { bearer: \"${env:EMPTY}\" }");
    secret_too_long: platform("url: http://jm:8081\nauth: { bearer: \"${env:LONG}\" }");
    secret_with_line_break: platform("url: http://jm:8081\nauth: { bearer: \"${env:CONTROL}\" }");
    secret_elsewhere: platform("url: \"http://${env:HOST}:8081\"\nauth: { bearer: \"${env:GOOD}\" }");
    auth_both: platform("url: http://jm:8081\nauth: { basic: { user: me, password: \"${env:GOOD}\" }, bearer: \"${env:GOOD}\" }");
    auth_neither: platform("url: http://jm:8081\nauth: {}");
    auth_user_with_colon: platform("url: http://jm:8081\nauth: { basic: { user: \"a:b\", password: \"${env:GOOD}\" } }");
    unknown_key_beside_a_literal_secret: platform("url: http://jm:8081\nauth: { basic: { user: me, password: hunter2, realm: a } }");
}

// All at once.
refused! {
    several_mistakes: "\
timezone: Europe/Berlim
platforms:
  session: { flink: { url: \"jobmanager:8081\", concurrency: 0 } }
defaults: { schedule: \"H 1 * *\" }
applications:
  - orders
  - { name: payments, platform: sesion, attempts: 0 }
  - { name: fraud, deadline: 90, never: [\"Mon 8-18\"] }
".to_owned();
    more_mistakes_than_are_shown: format!(
        "platforms: {{ a: {{ flink: {{ url: \"http://a\" }} }} }}\napplications:\n{}",
        (0..25).map(|n| format!("  - {{ name: a{n}, attempts: 0 }}")).collect::<Vec<_>>().join("\n")
    );
}

// Stores.
refused! {
    store_without_kind: stores("state: {}");
    store_with_two_kinds: stores("state: { s3: {}, gcs: {} }");
    store_of_an_unknown_kind: stores("state: { swift: {} }");
    store_with_half_a_key: stores("state: { s3: { access_key: \"${env:GOOD}\" } }\nother: { oss: { secret_key: \"${env:GOOD}\" } }");
    store_with_its_secret: stores("state: { s3: { access_key: hunter2, secret_key: hunter2 } }\nblobs: { azure: { account_key: hunter2 } }");
    store_named_twice: stores("a: { s3: { buckets: [state] } }\nb: { s3: { buckets: [other, state] } }\nc: { gcs: { buckets: [state] } }");
    store_for_everything_twice: stores("a: { s3: {} }\nb: { s3: { region: eu-central-1 } }");
    store_for_nothing: stores("a: { s3: { buckets: [] } }");
    store_with_a_location: stores("a: { s3: { buckets: [\"s3://state/x\"] } }");
    store_with_two_logins: stores("a: { s3: { profile: p, access_key: \"${env:GOOD}\", secret_key: \"${env:GOOD}\" } }\nb: { s3: { buckets: [x], session_token: \"${env:GOOD}\" } }\nc: { azure: { account_key: \"${env:GOOD}\", sas_token: \"${env:GOOD}\" } }");
    store_at_no_url: stores("a: { s3: { endpoint: \"minio:9000\" } }\nb: { hdfs: { url: \"http://me:hunter2@namenode:9870\" } }");
    store_with_a_reference: stores("a: { s3: { region: \"${env:GOOD}\" } }");
}
