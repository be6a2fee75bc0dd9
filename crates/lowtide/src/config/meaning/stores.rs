//! Stores: where they are, and how to sign in.

use std::collections::BTreeMap;
use std::ops::Range;

use lowtide_world::store::settings::{Azure, Gcs, Hdfs, Oss, S3, StoreSettings};
use secrecy::SecretString;
use url::Url;

use super::super::at::At;
use super::super::problem::Problem;
use super::super::raw::{self, File, SecretText, Text};
use super::Reader;
use super::platforms::AddressWords;

/// The most stores: each bucket that is asked for is compared with all of them.
const STORES_MAX: usize = 256;

const STORE_ADDRESS: AddressWords = AddressWords {
    example: "https://storage.example.org",
    speaks: "stores speak HTTP",
    login: "they go to keys of their own, as `${env:NAME}`",
};

/// What a bucket is named by: its kind of store, and its name. Empty: all others of that kind.
type Claim = (&'static str, String);

/// A store that was read: its kind, what it names, and what it says.
type Read<'f> = (&'static str, Option<&'f At<Vec<Text>>>, StoreSettings);

impl Reader<'_> {
    pub(super) fn stores(&mut self, file: &File) -> Vec<StoreSettings> {
        let mut claims: BTreeMap<Claim, Range<usize>> = BTreeMap::new();
        let entries = file.stores.as_ref().map_or(&[][..], |stores| &stores.0);
        if let Some((key, _)) = entries.get(STORES_MAX) {
            self.refuse(Problem::new(
                key.span.clone(),
                format!(
                    "there are {} `stores`, more than {STORES_MAX}",
                    entries.len()
                ),
            ));
        }
        let mut stores = Vec::new();
        for (key, store) in entries {
            let Some((kind, names, settings)) = self.store(key, store) else {
                continue;
            };
            self.claim(&mut claims, key, kind, names);
            stores.push(settings);
        }
        stores
    }

    /// Two entries for one bucket would leave open which of them counts.
    fn claim(
        &mut self,
        claims: &mut BTreeMap<Claim, Range<usize>>,
        key: &Text,
        kind: &'static str,
        names: Option<&At<Vec<Text>>>,
    ) {
        let everything = [key.clone()];
        let spans = names.map_or(&everything[..], |names| names.value.as_slice());
        for text in spans {
            let name = names.map_or_else(String::new, |_| text.value.clone());
            let message = if name.is_empty() {
                format!("two stores are for everything of the kind `{kind}` that no other names")
            } else {
                format!("`{name}` is named by two stores")
            };
            if let Some(first) = claims.insert((kind, name), text.span.clone()) {
                self.refuse(Problem::new(text.span.clone(), message).also(first, "first here"));
            }
        }
    }

    fn store<'f>(&mut self, key: &Text, store: &'f raw::Store) -> Option<Read<'f>> {
        let raw::Store {
            s3,
            gcs,
            azure,
            oss,
            hdfs,
        } = store;
        let (kind, names, settings) = match (s3, gcs, azure, oss, hdfs) {
            (Some(it), None, None, None, None) => {
                ("s3", it.buckets.as_ref(), StoreSettings::S3(self.s3(it)))
            }
            (None, Some(it), None, None, None) => {
                ("gcs", it.buckets.as_ref(), StoreSettings::Gcs(self.gcs(it)))
            }
            (None, None, Some(it), None, None) => {
                let settings = StoreSettings::Azure(self.azure(it));
                ("azure", it.accounts.as_ref(), settings)
            }
            (None, None, None, Some(it), None) => {
                ("oss", it.buckets.as_ref(), StoreSettings::Oss(self.oss(it)))
            }
            (None, None, None, None, Some(it)) => (
                "hdfs",
                it.namenodes.as_ref(),
                StoreSettings::Hdfs(self.hdfs(it)),
            ),
            (None, None, None, None, None) => {
                self.refuse(
                    Problem::new(
                        key.span.clone(),
                        format!("the store `{}` has no kind", key.value),
                    )
                    .hint(
                        "write one of `s3:`, `gcs:`, `azure:`, `oss:` and `hdfs:` under its name",
                    ),
                );
                return None;
            }
            _ => {
                self.refuse(
                    Problem::new(
                        key.span.clone(),
                        format!("the store `{}` has more than one kind", key.value),
                    )
                    .hint("give each a name of its own"),
                );
                return None;
            }
        };
        Some((kind, names, settings))
    }

    fn s3(&mut self, s3: &raw::S3) -> S3 {
        let keys = self.keys(s3.access_key.as_ref(), s3.secret_key.as_ref());
        if let (Some(token), None) = (&s3.session_token, &s3.access_key) {
            self.refuse(
                Problem::new(token.0.span.clone(), "`session_token` stands without keys")
                    .hint("write `access_key` and `secret_key` with it, or leave all three to the environment"),
            );
        }
        if let (Some(profile), Some(_)) = (&s3.profile, &s3.access_key) {
            self.refuse(Problem::new(
                profile.span.clone(),
                "`profile` and `access_key` exclude each other",
            ));
        }
        let token = s3.session_token.as_ref();
        S3 {
            buckets: self.names(s3.buckets.as_ref(), "buckets"),
            endpoint: self.endpoint(s3.endpoint.as_ref()),
            path_style: s3.path_style,
            region: self.written(s3.region.as_ref(), "region"),
            keys,
            session_token: token.and_then(|token| self.secret(token, "session_token")),
            profile: self.written(s3.profile.as_ref(), "profile"),
            anonymous: s3.anonymous.unwrap_or(false),
            ca: s3.ca.as_ref().and_then(|ca| self.path(ca)),
        }
    }

    fn gcs(&mut self, gcs: &raw::Gcs) -> Gcs {
        let credentials = gcs.credentials.as_ref();
        Gcs {
            buckets: self.names(gcs.buckets.as_ref(), "buckets"),
            endpoint: self.endpoint(gcs.endpoint.as_ref()),
            credentials: credentials.and_then(|path| self.path(path)),
            anonymous: gcs.anonymous.unwrap_or(false),
        }
    }

    fn azure(&mut self, azure: &raw::Azure) -> Azure {
        if let (Some(_), Some(token)) = (&azure.account_key, &azure.sas_token) {
            self.refuse(Problem::new(
                token.0.span.clone(),
                "`account_key` and `sas_token` exclude each other",
            ));
        }
        let (key, token) = (azure.account_key.as_ref(), azure.sas_token.as_ref());
        Azure {
            accounts: self.names(azure.accounts.as_ref(), "accounts"),
            endpoint: self.endpoint(azure.endpoint.as_ref()),
            account_key: key.and_then(|key| self.secret(key, "account_key")),
            sas_token: token.and_then(|token| self.secret(token, "sas_token")),
        }
    }

    fn oss(&mut self, oss: &raw::Oss) -> Oss {
        Oss {
            buckets: self.names(oss.buckets.as_ref(), "buckets"),
            endpoint: self.endpoint(oss.endpoint.as_ref()),
            keys: self.keys(oss.access_key.as_ref(), oss.secret_key.as_ref()),
        }
    }

    fn hdfs(&mut self, hdfs: &raw::Hdfs) -> Hdfs {
        let token = hdfs.delegation_token.as_ref();
        Hdfs {
            namenodes: self.names(hdfs.namenodes.as_ref(), "namenodes"),
            url: self.endpoint(hdfs.url.as_ref()),
            user: self.written(hdfs.user.as_ref(), "user"),
            delegation_token: token.and_then(|token| self.secret(token, "delegation_token")),
        }
    }

    /// An access key and its secret: one without the other opens nothing.
    fn keys(
        &mut self,
        access: Option<&SecretText>,
        secret: Option<&SecretText>,
    ) -> Option<(SecretString, SecretString)> {
        let (alone, missing) = match (access, secret) {
            (None, None) => return None,
            (Some(access), Some(secret)) => {
                let access = self.secret(access, "access_key");
                return access.zip(self.secret(secret, "secret_key"));
            }
            (Some(access), None) => (access, "secret_key"),
            (None, Some(secret)) => (secret, "access_key"),
        };
        self.refuse(
            Problem::new(
                alone.0.span.clone(),
                format!("`{missing}` is missing beside this"),
            )
            .hint("a key has two halves; without both, leave it to the environment"),
        );
        None
    }

    fn endpoint(&mut self, text: Option<&Text>) -> Option<Url> {
        text.and_then(|text| self.url(text, &STORE_ADDRESS))
    }

    /// A list of names; one that is there and empty would be for nothing.
    fn names(&mut self, written: Option<&At<Vec<Text>>>, key: &str) -> Vec<String> {
        let Some(written) = written else {
            return Vec::new();
        };
        if written.value.is_empty() {
            self.refuse(
                Problem::new(written.span.clone(), format!("`{key}` is empty"))
                    .hint("leave it out for all that no other entry names"),
            );
        }
        for text in &written.value {
            if text.value.is_empty() || text.value.contains('/') {
                self.refuse(
                    Problem::new(text.span.clone(), format!("this is no name for `{key}`"))
                        .hint("write the name alone, as it stands in locations between `//` and the next `/`"),
                );
            }
        }
        let names = written.value.iter();
        names.map(|text| text.value.clone()).collect()
    }
}
