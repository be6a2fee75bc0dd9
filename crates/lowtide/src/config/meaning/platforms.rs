//! Platforms: where they are, how to sign in, and what they call a location.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use lowtide_core::name::{Location, PlatformName};
use lowtide_core::policy::{CONCURRENCY, CONCURRENCY_APART};
use lowtide_core::run::REPEAT_MARGIN;
use lowtide_core::schedule::format_duration;
use lowtide_world::flink::{self, Auth};
use lowtide_world::kubernetes::{Access, Source};
use lowtide_world::platform::{PlatformSettings, kubernetes};
use lowtide_world::ververica::{self, Connection, NativeField};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::super::at::At;
use super::super::entries::Entries;
use super::super::problem::Problem;
use super::super::raw::{self, File, SecretText, Text};
use super::super::secret::{NotAReference, reference};
use super::Reader;

/// The shortest timeout of a request: a garbage collection of a busy `JobManager` takes longer
/// than anything below.
const TIMEOUT_MIN: SignedDuration = SignedDuration::from_secs(1);
/// The longest timeout of a request. A trigger request may still arrive while it has not timed
/// out, and the core leaves exactly this much of the cluster's memory of trigger ids unused.
const TIMEOUT_MAX: SignedDuration = REPEAT_MARGIN;
/// The most savepoints under way at once: beyond any cluster that there is.
const CONCURRENCY_MAX: u32 = 1_000;
/// The most `paths` of a platform: each location is compared with all of them.
const PATHS_MAX: usize = 64;

/// The platforms of a file.
#[derive(Default)]
pub(super) struct Platforms {
    /// What the program needs of them.
    pub settings: BTreeMap<PlatformName, PlatformSettings>,
    /// What applications need to know of each; also of those with a mistake, so that the
    /// applications on them are not told of a missing platform.
    pub traits: BTreeMap<PlatformName, Traits>,
}

/// What applications need to know of their platform.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traits {
    /// How many savepoints may be under way.
    pub concurrency: u32,
    /// Whether it chooses the directories of savepoints itself.
    pub chooses_directory: bool,
    /// Whether it can be asked for the native format.
    pub takes_native: bool,
}

impl Traits {
    fn of(platform: &raw::Platform, concurrency: u32) -> Self {
        let ververica = platform.ververica.as_ref();
        Self {
            concurrency,
            chooses_directory: ververica.is_some(),
            takes_native: ververica.is_none_or(|vvp| vvp.native_field.is_some()),
        }
    }
}

/// What the addresses of a kind of platform are like, for people.
pub(super) struct AddressWords {
    pub example: &'static str,
    pub speaks: &'static str,
    pub login: &'static str,
}

const FLINK_ADDRESS: AddressWords = AddressWords {
    example: "http://jobmanager:8081",
    speaks: "Flink's REST endpoint speaks HTTP",
    login: "write `auth: { basic: { user: …, password: \"${env:NAME}\" } }`",
};

const VERVERICA_ADDRESS: AddressWords = AddressWords {
    example: "http://vvp-gateway:8080",
    speaks: "the platform's gateway speaks HTTP",
    login: "write `token: \"${env:NAME}\"` with an API token",
};

impl Reader<'_> {
    pub(super) fn platforms(&mut self, file: &File) -> Platforms {
        let mut platforms = Platforms::default();
        for (key, platform) in &file.platforms.0 {
            let name = match PlatformName::new(key.value.as_str()) {
                Ok(name) => name,
                Err(error) => {
                    self.refuse(Problem::new(key.span.clone(), error.to_string()));
                    continue;
                }
            };
            let concurrency = self.concurrency(platform);
            let traits = Traits::of(platform, concurrency);
            platforms.traits.insert(name.clone(), traits);
            if let Some(settings) = self.platform(key, platform) {
                platforms.settings.insert(name, settings);
            }
        }
        platforms
    }

    fn platform(&mut self, key: &Text, platform: &raw::Platform) -> Option<PlatformSettings> {
        match (&platform.flink, &platform.ververica, &platform.kubernetes) {
            (Some(flink), None, None) => self.flink(flink).map(PlatformSettings::Flink),
            (None, Some(vvp), None) => self.ververica(vvp).map(PlatformSettings::Ververica),
            (None, None, Some(fleet)) => self.kubernetes(fleet).map(PlatformSettings::Kubernetes),
            (None, None, None) => {
                self.refuse(
                    Problem::new(
                        key.span.clone(),
                        format!("the platform `{}` has no kind", key.value),
                    )
                    .hint("write one of `flink:`, `ververica:` and `kubernetes:` under its name"),
                );
                None
            }
            _ => {
                self.refuse(
                    Problem::new(
                        key.span.clone(),
                        format!("the platform `{}` has more than one kind", key.value),
                    )
                    .hint("give each a name of its own"),
                );
                None
            }
        }
    }

    fn concurrency(&mut self, platform: &raw::Platform) -> u32 {
        let usual = if platform.ververica.is_some() {
            CONCURRENCY_APART
        } else {
            CONCURRENCY
        };
        match platform.concurrency() {
            None => usual,
            Some(number) if (1..=CONCURRENCY_MAX).contains(&number.value) => number.value,
            Some(number) => {
                let message = format!(
                    "`concurrency` is {}; it goes from 1 to {CONCURRENCY_MAX}",
                    number.value
                );
                let problem = Problem::new(number.span.clone(), message);
                self.refuse(match number.value {
                    0 => problem.hint(
                        "with 0 no savepoint would ever be taken; use `lowtide pause` for that",
                    ),
                    _ => problem,
                });
                usual
            }
        }
    }

    fn flink(&mut self, flink: &raw::Flink) -> Option<flink::Settings> {
        let problems = self.problems.len();
        let url = self.url(&flink.url, &FLINK_ADDRESS);
        let (ca, cert) = (flink.ca.as_ref(), flink.client_cert.as_ref());
        self.refuse_tls_without_https(url.as_ref(), &flink.url, ca, cert);
        let auth = flink.auth.as_ref().and_then(|auth| self.auth(auth));
        let ca = ca.and_then(|ca| self.path(ca));
        let client_cert = self.client_cert(cert);
        let timeout = self.timeout(flink.timeout.as_ref());
        let paths = self.paths(flink.paths.as_ref());
        // What is absent because it is wrong must not pass for absent.
        (self.problems.len() == problems).then_some(flink::Settings {
            url: url?,
            auth,
            ca,
            client_cert,
            timeout: timeout?,
            paths,
        })
    }

    fn ververica(&mut self, vvp: &raw::Ververica) -> Option<ververica::Settings> {
        let problems = self.problems.len();
        let url = self.url(&vvp.url, &VERVERICA_ADDRESS);
        let (ca, cert) = (vvp.ca.as_ref(), vvp.client_cert.as_ref());
        self.refuse_tls_without_https(url.as_ref(), &vvp.url, ca, cert);
        let token = vvp.token.as_ref();
        let auth = token.and_then(|token| self.bearer(token, "token"));
        let ca = ca.and_then(|ca| self.path(ca));
        let client_cert = self.client_cert(cert);
        let timeout = self.timeout(vvp.timeout.as_ref());
        let namespace = self.written(vvp.namespace.as_ref(), "namespace");
        let resolve = self.resolve(vvp);
        let native = vvp.native_field.as_ref();
        let native = native.and_then(|field| self.native_field(field));
        let paths = self.paths(vvp.paths.as_ref());
        (self.problems.len() == problems).then_some(ververica::Settings {
            connection: Connection {
                url: url?,
                auth,
                ca,
                client_cert,
                timeout: timeout?,
            },
            namespace: namespace.unwrap_or_else(|| ververica::NAMESPACE.to_owned()),
            resolve,
            native,
            paths,
        })
    }

    fn resolve(&mut self, vvp: &raw::Ververica) -> ververica::Resolve {
        let by_pods = vvp
            .resolve
            .as_ref()
            .is_some_and(|resolve| resolve.value == raw::Resolve::Pods);
        let access = match &vvp.kubernetes {
            Some(access) if !by_pods => {
                self.refuse(
                    Problem::new(
                        access.span.clone(),
                        "`kubernetes` has no use: names are resolved by the platform's API",
                    )
                    .hint("write `resolve: pods`, or remove `kubernetes`"),
                );
                Access::default()
            }
            Some(access) => {
                let access = &access.value;
                self.access(
                    access.namespace.as_ref(),
                    access.context.as_ref(),
                    access.kubeconfig.as_ref(),
                )
            }
            None => Access::default(),
        };
        if by_pods {
            ververica::Resolve::Pods {
                access,
                source: Source::default(),
            }
        } else {
            ververica::Resolve::Api
        }
    }

    fn native_field(&mut self, text: &Text) -> Option<NativeField> {
        match text.value.parse() {
            Ok(field) => Some(field),
            Err(error) => {
                let error: ververica::NativeFieldError = error;
                self.refuse(
                    Problem::new(text.span.clone(), error.to_string())
                        .hint("write a path such as `spec.formatType`, or `spec.native=true`"),
                );
                None
            }
        }
    }

    fn kubernetes(&mut self, fleet: &raw::Kubernetes) -> Option<kubernetes::Settings> {
        let problems = self.problems.len();
        let access = self.access(
            fleet.namespace.as_ref(),
            fleet.context.as_ref(),
            fleet.kubeconfig.as_ref(),
        );
        let reach = fleet.reach.as_ref().map(|reach| match reach.value {
            raw::Reach::Service => kubernetes::Reach::Service,
            raw::Reach::Proxy => kubernetes::Reach::Proxy,
        });
        let timeout = self.timeout(fleet.timeout.as_ref());
        let paths = self.paths(fleet.paths.as_ref());
        (self.problems.len() == problems).then_some(kubernetes::Settings {
            access,
            reach,
            source: Source::default(),
            timeout: timeout?,
            paths,
        })
    }

    fn access(
        &mut self,
        namespace: Option<&Text>,
        context: Option<&Text>,
        kubeconfig: Option<&Text>,
    ) -> Access {
        Access {
            kubeconfig: kubeconfig.and_then(|path| self.path(path)),
            context: self.written(context, "context"),
            namespace: self.written(namespace, "namespace"),
        }
    }

    /// A name that is not empty.
    pub(super) fn written(&mut self, text: Option<&Text>, key: &str) -> Option<String> {
        let text = text?;
        if text.value.trim().is_empty() {
            self.refuse(Problem::new(text.span.clone(), format!("`{key}` is empty")));
        }
        Some(text.value.clone())
    }

    fn client_cert(&mut self, pair: Option<&raw::ClientCert>) -> Option<(PathBuf, PathBuf)> {
        let pair = pair?;
        self.path(&pair.cert).zip(self.path(&pair.key))
    }

    pub(super) fn url(&mut self, text: &Text, words: &AddressWords) -> Option<Url> {
        let span = || text.span.clone();
        let refusal = match Url::parse(&text.value) {
            Err(error) => Problem::new(span(), format!("this is not a URL: {error}")).hint(
                format!("write it with its scheme, such as {}", words.example),
            ),
            Ok(url) if !matches!(url.scheme(), "http" | "https") => {
                let problem = Problem::new(span(), "the URL begins with neither http nor https");
                if text.value.contains("://") {
                    problem.hint(words.speaks)
                } else {
                    problem.hint(format!("did you mean http://{}?", text.value))
                }
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                Problem::new(span(), "credentials do not belong into a URL").hint(words.login)
            }
            Ok(url) if url.query().is_some() || url.fragment().is_some() => {
                Problem::new(span(), "the URL has something after its path")
                    .hint("remove what begins with `?` or `#`")
            }
            Ok(url) => return Some(url),
        };
        self.refuse(refusal);
        None
    }

    /// Certificates that would never be used give a false sense of safety.
    fn refuse_tls_without_https(
        &mut self,
        url: Option<&Url>,
        written: &Text,
        ca: Option<&Text>,
        cert: Option<&raw::ClientCert>,
    ) {
        if url.is_none_or(|url| url.scheme() == "https") {
            return;
        }
        let ca = ca.map(|ca| ("ca", ca));
        let cert = cert.map(|pair| ("client_cert", &pair.cert));
        for (key, value) in ca.into_iter().chain(cert) {
            self.refuse(
                Problem::new(
                    value.span.clone(),
                    format!("`{key}` has no use: the connection is not encrypted"),
                )
                .also(written.span.clone(), "http, not https")
                .hint(format!("write https in `url`, or remove `{key}`")),
            );
        }
    }

    fn auth(&mut self, auth: &At<raw::Auth>) -> Option<Auth> {
        match (&auth.value.basic, &auth.value.bearer) {
            (Some(basic), None) => {
                let user = self.user(&basic.user);
                let password = self.secret(&basic.password, "password");
                Some(Auth::Basic {
                    user: user?,
                    password: password?,
                })
            }
            (None, Some(bearer)) => self.bearer(bearer, "bearer"),
            (both, _) => {
                let message = match both {
                    Some(_) => "`basic` and `bearer` exclude each other",
                    None => "`auth` says neither `basic` nor `bearer`",
                };
                self.refuse(
                    Problem::new(auth.span.clone(), message)
                        .hint("write `basic: { user: …, password: \"${env:NAME}\" }` or `bearer: \"${env:NAME}\"`"),
                );
                None
            }
        }
    }

    fn bearer(&mut self, reference: &SecretText, key: &str) -> Option<Auth> {
        let token = self.secret(reference, key)?;
        // What a header can carry (RFC 6750, 2.1).
        let graphic = token.expose_secret().bytes().all(|b| b.is_ascii_graphic());
        if !graphic {
            self.refuse(
                Problem::new(
                    reference.0.span.clone(),
                    "the token behind this has blanks or other characters that no header can carry",
                )
                .hint("look at the file or variable that it comes from"),
            );
            return None;
        }
        Some(Auth::Bearer(token))
    }

    fn user(&mut self, user: &Text) -> Option<String> {
        let wrong = user.value.is_empty() || user.value.contains(':');
        if wrong || user.value.contains(char::is_control) {
            self.refuse(Problem::new(
                user.span.clone(),
                "a user's name is not empty and has no colon in it (RFC 7617)",
            ));
            return None;
        }
        Some(user.value.clone())
    }

    pub(super) fn secret(
        &mut self,
        SecretText(text): &SecretText,
        key: &str,
    ) -> Option<SecretString> {
        let example = format!("write `{key}: \"${{env:NAME}}\"` or `{key}: \"${{file:/path}}\"`");
        let refusal = match reference(&text.value, &self.directory) {
            Ok(source) => match (self.secrets)(&source) {
                Ok(secret) => return Some(secret),
                Err(error) => Problem::new(text.span.clone(), error.to_string()),
            },
            Err(NotAReference::Literal) => Problem::new(
                text.span.clone(),
                format!("the value of `{key}` stands in the file itself"),
            )
            .hint(format!("a secret comes from outside: {example}"))
            .hint("if the file was shared, change the secret"),
            Err(NotAReference::Partial) => Problem::new(
                text.span.clone(),
                "a reference to a secret is the whole value, with nothing before or after it",
            )
            .hint(example),
            Err(NotAReference::Unknown) => {
                Problem::new(text.span.clone(), "secrets come from `env` or `file`").hint(example)
            }
            Err(NotAReference::NoName) => Problem::new(
                text.span.clone(),
                "the reference names nothing that can be read",
            )
            .hint(example),
        };
        self.refuse(refusal);
        None
    }

    fn timeout(&mut self, text: Option<&Text>) -> Option<Duration> {
        let Some(text) = text else {
            return Some(flink::TIMEOUT);
        };
        let timeout = self.duration(text)?;
        if timeout < TIMEOUT_MIN || timeout > TIMEOUT_MAX {
            let (min, max) = (format_duration(TIMEOUT_MIN), format_duration(TIMEOUT_MAX));
            self.refuse(
                Problem::new(
                    text.span.clone(),
                    format!("`timeout` is {}; it goes from {min} to {max}", text.value),
                )
                .hint("it is for one request; a savepoint itself may take as long as it needs"),
            );
            return None;
        }
        Some(timeout.unsigned_abs())
    }

    fn paths(&mut self, written: Option<&Entries<Text>>) -> Vec<(String, String)> {
        let mut paths: Vec<(String, String)> = Vec::new();
        let mut places: BTreeMap<Location, Range<usize>> = BTreeMap::new();
        let entries = written.map_or(&[][..], |entries| &entries.0);
        if let Some((key, _)) = entries.get(PATHS_MAX) {
            self.refuse(Problem::new(
                key.span.clone(),
                format!("there are {} `paths`, more than {PATHS_MAX}", entries.len()),
            ));
        }
        for (from, to) in entries {
            if let Err(message) = absolute_location(&from.value) {
                self.refuse(Problem::new(from.span.clone(), message).hint(LOCATION_HINT));
            }
            let location = Location::new(&from.value);
            if let Some(first) = places.insert(location.clone(), from.span.clone()) {
                self.refuse(
                    Problem::new(from.span.clone(), format!("{location} is mapped twice"))
                        .also(first, "first here"),
                );
            }
            if absolute_location(&to.value).is_err() {
                self.refuse(
                    Problem::new(to.span.clone(), "this is not an absolute path").hint(
                        "name the directory where Lowtide reaches the location, such as /mnt/state, or another location, such as s3://replica",
                    ),
                );
            }
            paths.push((location.to_string(), to.value.clone()));
        }
        paths
    }
}

/// What a location looks like.
pub(super) const LOCATION_HINT: &str =
    "write an absolute path or a URI, such as /mnt/savepoints or s3://state/savepoints";

/// Checks that a location means the same place wherever it is read.
pub(super) fn absolute_location(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("the location is empty");
    }
    if text.contains(char::is_control) {
        return Err("the location has a control character in it");
    }
    if text.starts_with('/') {
        return Ok(());
    }
    let Some((scheme, rest)) = text.split_once(":/") else {
        return Err("the location is relative: it would depend on where a process was started");
    };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-'));
    if !is_scheme {
        return Err("the location is relative: it would depend on where a process was started");
    }
    let authority = rest
        .strip_prefix('/')
        .and_then(|rest| rest.split('/').next());
    let user_info = authority.and_then(|authority| authority.rsplit_once('@'));
    if user_info.is_some_and(|(user_info, _)| user_info.contains(':')) {
        return Err("credentials do not belong into a location");
    }
    if authority == Some("") && scheme != "file" {
        return Err("the location names no bucket or host");
    }
    Ok(())
}
