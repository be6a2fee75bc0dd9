//! JobManagers sit behind proxies: base paths, logins, certificates; and what is said where these are wrong.

use std::fs;

use testbench::proxy::{Authority, Identity, Proxy};

use crate::bench::{Job, Lowtide, begun, cluster};

const SECRET: &str = "correct-horse-battery-staple";
const WRONG: &str = "wrong-horse";

#[test]
fn a_base_path() {
    let cluster = cluster();
    let job = Job::named(&cluster, "prefixed");
    let proxy = Proxy::builder(cluster.url())
        .base_path("/team/flink")
        .start()
        .unwrap();
    Lowtide::on(proxy.url())
        .application("prefixed")
        .take("prefixed")
        .kept();
    let slash = format!("{}/", proxy.url());
    Lowtide::on(&slash)
        .application("prefixed")
        .take("prefixed")
        .kept();
    assert_eq!(begun(&cluster, &job), 2);
    let root = proxy.url().trim_end_matches("/team/flink");
    let told = Lowtide::on(root).application("prefixed").take("prefixed");
    told.failed("denied")
        .because("404")
        .hints("is the path in `url:` right?")
        .attempts(0);
}

#[test]
fn a_bearer_token() {
    let cluster = cluster();
    let _job = Job::named(&cluster, "tokened");
    let proxy = Proxy::builder(cluster.url())
        .bearer(SECRET)
        .start()
        .unwrap();
    let with = |token: &str| {
        Lowtide::on(proxy.url())
            .platform("auth", "{ bearer: \"${env:FLINK_TOKEN}\" }")
            .environment("FLINK_TOKEN", token)
            .application("tokened")
    };
    let told = with(SECRET).take("tokened");
    told.kept();
    assert!(
        !format!("{told:?}").contains(SECRET),
        "a secret is shown: {told:#?}"
    );
    let told = with(WRONG).take("tokened");
    told.failed("denied")
        .because("status 401")
        .hints("the login in `auth:` is not accepted")
        .attempts(0);
    assert!(
        !format!("{told:?}").contains(WRONG),
        "a secret is shown: {told:#?}"
    );
    let told = Lowtide::on(proxy.url())
        .application("tokened")
        .take("tokened");
    told.failed("denied")
        .because("status 401")
        .hints("set `auth:`")
        .attempts(0);
    let checked = with(WRONG).run(&["check", "--online"]);
    assert_eq!(checked.code, 1, "{checked:#?}");
    checked.says("hint: the login in `auth:` is not accepted");
}

#[test]
fn a_user_and_a_password() {
    let cluster = cluster();
    let _job = Job::named(&cluster, "basic");
    let proxy = Proxy::builder(cluster.url())
        .basic_auth("lowtide", SECRET)
        .start()
        .unwrap();
    let with = |password: &str| {
        let lowtide = Lowtide::on(proxy.url()).application("basic");
        let file = lowtide.folder().join("password");
        fs::write(&file, format!("{password}\n")).unwrap();
        let basic = format!(
            "{{ basic: {{ user: lowtide, password: \"${{file:{}}}\" }} }}",
            file.display()
        );
        lowtide.platform("auth", basic)
    };
    let told = with(SECRET).take("basic");
    told.kept();
    assert!(
        !format!("{told:?}").contains(SECRET),
        "a secret is shown: {told:#?}"
    );
    let told = with(WRONG).take("basic");
    told.failed("denied")
        .because("status 401")
        .hints("the login in `auth:` is not accepted");
    assert!(
        !format!("{told:?}").contains(WRONG),
        "a secret is shown: {told:#?}"
    );
}

#[test]
fn an_authority_of_ones_own() {
    let cluster = cluster();
    let _job = Job::named(&cluster, "private");
    let (ours, theirs) = (Authority::new().unwrap(), Authority::new().unwrap());
    let proxy = Proxy::builder(cluster.url())
        .tls(&ours)
        .unwrap()
        .start()
        .unwrap();
    let with = |authority: &Authority| {
        let lowtide = Lowtide::on(proxy.url()).application("private");
        let file = lowtide.folder().join("ca.pem");
        fs::write(&file, authority.certificate_pem()).unwrap();
        lowtide.platform("ca", "ca.pem")
    };
    with(&ours).take("private").kept();
    let told = with(&theirs).take("private");
    told.failed("denied")
        .because("TLS: invalid peer certificate")
        .hints("its issuer in `ca:`")
        .attempts(0);
    let told = Lowtide::on(proxy.url())
        .application("private")
        .take("private");
    told.failed("denied")
        .because("TLS: invalid peer certificate")
        .hints("its issuer in `ca:`");
    let missing = with(&ours)
        .platform("ca", "not-there.pem")
        .run(&["take", "private"]);
    assert_eq!(missing.code, 2, "{missing:#?}");
    missing.says("not-there.pem").says("hint: ");
    // The wrong scheme, both ways.
    let plain = proxy.url().replace("https://", "http://");
    let told = Lowtide::on(&plain)
        .application("private")
        .rule("deadline", "2s")
        .take("private");
    told.failed("unreachable").hints("`https://`");
    let encrypted = cluster.url().replace("http://", "https://");
    let told = Lowtide::on(&encrypted)
        .application("private")
        .take("private");
    told.failed("denied")
        .because("TLS: ")
        .hints("try `http://`");
}

#[test]
fn a_client_certificate() {
    let cluster = cluster();
    let _job = Job::named(&cluster, "mutual");
    let authority = Authority::new().unwrap();
    let proxy = Proxy::builder(cluster.url())
        .mutual_tls(&authority)
        .unwrap()
        .start()
        .unwrap();
    let without = || {
        let lowtide = Lowtide::on(proxy.url()).application("mutual");
        fs::write(lowtide.folder().join("ca.pem"), authority.certificate_pem()).unwrap();
        lowtide.platform("ca", "ca.pem")
    };
    let with = |identity: &Identity| {
        let lowtide = without();
        fs::write(lowtide.folder().join("cert.pem"), &identity.certificate_pem).unwrap();
        fs::write(lowtide.folder().join("key.pem"), &identity.key_pem).unwrap();
        lowtide.platform("client_cert", "{ cert: cert.pem, key: key.pem }")
    };
    with(&authority.client("lowtide").unwrap())
        .take("mutual")
        .kept();
    let told = without().take("mutual");
    told.failed("denied")
        .because("TLS: ")
        .hints("client certificate (`client_cert:`)")
        .attempts(0);
    let stranger = Authority::new().unwrap().client("lowtide").unwrap();
    let told = with(&stranger).take("mutual");
    told.failed("denied")
        .because("TLS: ")
        .hints("client certificate (`client_cert:`)")
        .attempts(0);
}
