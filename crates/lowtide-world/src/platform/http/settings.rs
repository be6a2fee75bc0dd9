//! How to reach an HTTP API: address, login, certificates.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Default for how long a request may take as a whole.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// How to reach an HTTP API.
#[derive(Clone)]
pub struct Connection {
    /// Where the API begins; a path is kept (`https://proxy/flink/`).
    pub url: Url,
    /// How Lowtide names itself.
    pub auth: Option<Auth>,
    /// A PEM file of certificates to trust besides the system's.
    pub ca: Option<PathBuf>,
    /// PEM files of the certificate chain and the private key that Lowtide shows.
    pub client_cert: Option<(PathBuf, PathBuf)>,
    /// How long a request may take as a whole; see [`TIMEOUT`].
    pub timeout: Duration,
}

impl Connection {
    /// A connection that needs nothing but an address.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            auth: None,
            ca: None,
            client_cert: None,
            timeout: TIMEOUT,
        }
    }

    /// The address without a password, and how to log in: a user and a password within the
    /// address count as basic authentication.
    pub(super) fn address(&self) -> Result<(Url, Option<Auth>), SettingsError> {
        let mut url = self.url.clone();
        if !matches!(url.scheme(), "http" | "https") {
            return Err(SettingsError::Scheme(url.scheme().to_owned()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(SettingsError::Query);
        }
        let embedded = embedded_auth(&url);
        let plain = url.set_username("").and_then(|()| url.set_password(None));
        if plain.is_err() {
            return Err(SettingsError::Scheme(url.scheme().to_owned()));
        }
        let auth = match (embedded, self.auth.clone()) {
            (Some(_), Some(_)) => return Err(SettingsError::TwoLogins),
            (embedded, given) => embedded.or(given),
        };
        if let Some(Auth::Bearer(token)) = &auth {
            // What a header can carry (RFC 6750, 2.1: no blanks, no line ends).
            let token = token.expose_secret();
            if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(SettingsError::Token);
            }
        }
        Ok((url, auth))
    }
}

fn embedded_auth(url: &Url) -> Option<Auth> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    Some(Auth::Basic {
        user: percent_decoded(url.username()),
        password: percent_decoded(url.password().unwrap_or_default()).into(),
    })
}

/// A user or password within a URL stands there percent-encoded.
fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("url", &redacted(&self.url))
            .field("auth", &self.auth)
            .field("ca", &self.ca)
            .field("client_cert", &self.client_cert)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// The address as it may be shown: without user, password and query.
pub(in crate::platform) fn redacted(url: &Url) -> String {
    let mut shown = url.clone();
    let hidden = shown
        .set_username("")
        .and_then(|()| shown.set_password(None));
    shown.set_query(None);
    match hidden {
        Ok(()) => shown.to_string(),
        // An address without a host: nothing that Lowtide could use, so nothing to show.
        Err(()) => format!("{}:…", url.scheme()),
    }
}

/// How Lowtide logs in; secrets never show in `Debug`.
#[derive(Debug, Clone)]
pub enum Auth {
    /// `Authorization: Basic` (RFC 7617).
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: SecretString,
    },
    /// `Authorization: Bearer` (RFC 6750).
    Bearer(SecretString),
}

/// What is wrong with the settings of a connection.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Neither HTTP nor HTTPS.
    #[error("`{0}:` is not an address that Lowtide can speak to")]
    Scheme(String),
    /// The address has a query or a fragment.
    #[error("the address has a query or a fragment, where a base address has none")]
    Query,
    /// A user in the address, and `auth` beside it.
    #[error("there is a user in `url` and another login in `auth`")]
    TwoLogins,
    /// A token that no header can carry.
    #[error("the bearer token is empty, or has blanks or line ends in it")]
    Token,
    /// A file cannot be read.
    #[error("cannot read {what} {}", path.display())]
    Unreadable {
        /// What the file is to be.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not what it is to be.
    #[error("{what} {} holds no {wanted} in PEM form", path.display())]
    NotPem {
        /// What the file is to be.
        what: &'static str,
        /// What it must hold.
        wanted: &'static str,
        /// Which file.
        path: PathBuf,
    },
    /// Certificate and key do not go together, or cannot be used.
    #[error("the client certificate cannot be used")]
    ClientCertificate(#[source] rustls::Error),
    /// The HTTP client could not be made.
    #[error("cannot prepare the HTTP client")]
    Client(#[source] reqwest::Error),
}

impl SettingsError {
    /// What a person can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Scheme(_) => "write `http://host:8081` or `https://host/path/`".into(),
            Self::Query => "leave out what begins with `?` or `#`".into(),
            Self::TwoLogins => "keep `auth`, and take the user out of `url`".into(),
            Self::Token => "look at the file or variable that the token comes from".into(),
            Self::Unreadable { what, .. } => {
                format!("{what} must be a file that Lowtide may read; is it mounted?")
            }
            Self::NotPem { wanted: "private key", .. } => {
                "the file must hold `-----BEGIN PRIVATE KEY-----`; an encrypted key has to be decrypted first (`openssl pkey`)".into()
            }
            Self::NotPem { .. } => {
                "the file must hold `-----BEGIN CERTIFICATE-----`; a DER file can be converted (`openssl x509 -inform der`)".into()
            }
            Self::ClientCertificate(_) => {
                "do the certificate and the key in `client_cert` belong together?".into()
            }
            Self::Client(_) => {
                "look at the proxy variables (`HTTP_PROXY`, `HTTPS_PROXY`) in the environment".into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn connection(url: &str) -> Connection {
        Connection::new(url.parse().unwrap())
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut with_bearer = connection("https://host/flink/?token=tops3cret");
        with_bearer.auth = Some(Auth::Bearer("tops3cret".into()));
        let mut with_basic = connection("https://host/");
        with_basic.auth = Some(Auth::Basic {
            user: "ann".into(),
            password: "tops3cret".into(),
        });
        for shown in [
            connection("http://ann:tops3cret@host/flink/"),
            with_bearer,
            with_basic,
        ] {
            let shown = format!("{shown:?}");
            assert!(!shown.contains("tops3cret"), "{shown}");
            assert!(shown.contains("host"), "{shown}");
        }
    }

    #[test]
    fn a_user_in_the_address_is_basic_authentication() {
        let (url, auth) = connection("http://ann:a%40b@host/flink").address().unwrap();
        assert_eq!(url.as_str(), "http://host/flink");
        let Some(Auth::Basic { user, password }) = auth else {
            panic!("no login");
        };
        assert_eq!((user.as_str(), password.expose_secret()), ("ann", "a@b"));
    }

    #[test]
    fn what_cannot_work_is_refused_with_a_hint() {
        let mut two = connection("http://ann:b@host");
        two.auth = Some(Auth::Bearer("t".into()));
        let mut token = connection("http://host");
        token.auth = Some(Auth::Bearer("t\n".into()));
        for wrong in [
            two,
            token,
            connection("ftp://host"),
            connection("http://host/?a=b"),
        ] {
            assert!(!wrong.address().unwrap_err().hint().is_empty());
        }
    }
}
