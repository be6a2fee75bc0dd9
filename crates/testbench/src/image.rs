//! Container images without Docker and without a registry.
//!
//! What `docker save` writes and `docker load`, containerd and podman read is a tar of few files: each layer
//! a tar of its own, a configuration that names the layers' digests, and `manifest.json`, which names all of
//! them (Docker Image Specification v1.2, "Combined Image JSON + Filesystem Changeset Format"; the
//! configuration is that of the OCI Image Format Specification).
//!
//! The same contents give the same bytes: entries are sorted, times are the epoch, owners are numbers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

/// What every image says about when it was made.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// The mode of directories that nobody described.
const DIRECTORY_MODE: u32 = 0o755;

/// One layer: files, directories and links by their path in the image. Missing parents are made as root's
/// directories with mode 755. A path that is given twice holds what was given last.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    entries: BTreeMap<String, Entry>,
    owner: Owner,
}

#[derive(Debug, Clone, Copy, Default)]
struct Owner {
    uid: u64,
    gid: u64,
}

#[derive(Debug, Clone)]
struct Entry {
    content: Content,
    mode: u32,
    owner: Owner,
}

#[derive(Debug, Clone)]
enum Content {
    Directory,
    /// The target, as it is to be read in the image.
    Symlink(String),
    Bytes(Vec<u8>),
    /// A file of this machine, read when the image is written.
    File(PathBuf),
}

impl Layer {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Who owns all that is added from here on; root unless told.
    #[must_use]
    pub fn owner(mut self, uid: u64, gid: u64) -> Self {
        self.owner = Owner { uid, gid };
        self
    }

    /// A directory.
    #[must_use]
    pub fn directory(self, path: &str, mode: u32) -> Self {
        self.add(path, Content::Directory, mode)
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.add(path, Content::Symlink(target.to_owned()), 0o777)
    }

    /// A file with these bytes.
    #[must_use]
    pub fn bytes(self, path: &str, bytes: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.add(path, Content::Bytes(bytes.into()), mode)
    }

    /// A copy of a file of this machine; links are followed.
    #[must_use]
    pub fn file(self, path: &str, source: impl Into<PathBuf>, mode: u32) -> Self {
        self.add(path, Content::File(source.into()), mode)
    }

    /// A copy of a folder of this machine with all that is in it, at `path`, with the modes it has there.
    /// Links within it stay links.
    ///
    /// # Errors
    /// It cannot be read, or holds a name that is no Unicode.
    pub fn tree(mut self, path: &str, source: &Path) -> Result<Self> {
        for entry in fs::read_dir(source).with_context(|| format!("list {}", source.display()))? {
            let entry = entry?;
            let name = unicode(Path::new(&entry.file_name()))?;
            let (inner, source) = (format!("{path}/{name}"), entry.path());
            let about = fs::symlink_metadata(&source)?;
            let mode = about.permissions().mode() & 0o7777;
            self = if about.is_symlink() {
                self.symlink(&inner, &unicode(&fs::read_link(&source)?)?)
            } else if about.is_dir() {
                self.directory(&inner, mode).tree(&inner, &source)?
            } else {
                self.file(&inner, source, mode)
            };
        }
        Ok(self)
    }

    fn add(mut self, path: &str, content: Content, mode: u32) -> Self {
        let entry = Entry {
            content,
            mode,
            owner: self.owner,
        };
        self.entries
            .insert(path.trim_matches('/').to_owned(), entry);
        self
    }

    /// Writes the layer's tar.
    fn write(&self, out: impl Write) -> Result<()> {
        let mut entries = self.entries.clone();
        for path in self.entries.keys() {
            for (end, _) in path.match_indices('/') {
                entries.entry(path[..end].to_owned()).or_insert(Entry {
                    content: Content::Directory,
                    mode: DIRECTORY_MODE,
                    owner: Owner::default(),
                });
            }
        }
        let mut tar = Builder::new(out);
        for (path, entry) in &entries {
            entry
                .write(path, &mut tar)
                .with_context(|| format!("write /{path}"))?;
        }
        tar.finish().context("end the layer")
    }
}

impl Entry {
    fn write(&self, path: &str, tar: &mut Builder<impl Write>) -> Result<()> {
        match &self.content {
            Content::Directory => {
                let mut header = self.header(EntryType::Directory, 0);
                tar.append_data(&mut header, format!("{path}/"), io::empty())?;
            }
            Content::Symlink(target) => {
                let mut header = self.header(EntryType::Symlink, 0);
                tar.append_link(&mut header, path, target)?;
            }
            Content::Bytes(bytes) => {
                let mut header = self.header(EntryType::Regular, bytes.len() as u64);
                tar.append_data(&mut header, path, &bytes[..])?;
            }
            Content::File(source) => {
                let file =
                    File::open(source).with_context(|| format!("open {}", source.display()))?;
                let mut header = self.header(EntryType::Regular, file.metadata()?.len());
                tar.append_data(&mut header, path, file)?;
            }
        }
        Ok(())
    }

    fn header(&self, kind: EntryType, bytes: u64) -> Header {
        header(kind, bytes, self.mode, self.owner)
    }
}

fn header(kind: EntryType, bytes: u64, mode: u32, owner: Owner) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(bytes);
    header.set_mode(mode);
    header.set_uid(owner.uid);
    header.set_gid(owner.gid);
    header.set_mtime(0);
    header
}

/// An image: layers from the lowest to the highest, and how its containers start.
#[derive(Debug, Clone, Default)]
pub struct Archive {
    layers: Vec<Layer>,
    entrypoint: Vec<String>,
    command: Vec<String>,
    user: String,
    env: Vec<String>,
    working_directory: String,
    labels: BTreeMap<String, String>,
}

impl Archive {
    /// An empty one: no layer, nothing to start.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more layer, on top of the others.
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// The program that a container starts, and its first arguments.
    #[must_use]
    pub fn entrypoint<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.entrypoint = words.into_iter().map(Into::into).collect();
        self
    }

    /// The arguments that follow where a container is given none.
    #[must_use]
    pub fn command<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.command = words.into_iter().map(Into::into).collect();
        self
    }

    /// The user and group a container runs as, as in `65532:65532`. Numbers: Kubernetes cannot see whether a
    /// name is root, and refuses it under `runAsNonRoot`.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    /// One more environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push(format!("{name}={value}"));
        self
    }

    /// Where a container starts; `/` unless told.
    #[must_use]
    pub fn working_directory(mut self, path: &str) -> Self {
        path.clone_into(&mut self.working_directory);
        self
    }

    /// One more label, as in `org.opencontainers.image.version`.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Writes the archive to `path` under the image name `tag`, as in `lowtide:test`. Returns the image's id:
    /// the digest of its configuration, `sha256:…`.
    ///
    /// # Errors
    /// A source cannot be read, or the archive cannot be written.
    pub fn write(&self, path: &Path, tag: &str) -> Result<String> {
        ensure!(tag.contains(':'), "{tag} has no tag: write name:tag");
        let scratch = tempfile::tempdir().context("scratch folder")?;
        let mut layers = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let file = scratch.path().join(index.to_string());
            let digest = digested(&file, layer)?;
            layers.push((file, digest));
        }
        let digests: Vec<_> = layers.iter().map(|(_, digest)| digest.as_str()).collect();
        let configuration = self.configuration(&digests).to_string().into_bytes();
        let id = hex::encode(&Sha256::digest(&configuration)[..]);
        let manifest = json!([{
            "Config": format!("{id}.json"),
            "RepoTags": [tag],
            "Layers": digests.iter().map(|it| format!("{it}.tar")).collect::<Vec<_>>(),
        }]);

        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        let mut tar = Builder::new(io::BufWriter::new(file));
        for (file, digest) in &layers {
            let layer = File::open(file)?;
            let bytes = layer.metadata()?.len();
            member(&mut tar, &format!("{digest}.tar"), bytes, layer)?;
        }
        for (name, bytes) in [
            (format!("{id}.json"), configuration),
            (
                "manifest.json".to_owned(),
                manifest.to_string().into_bytes(),
            ),
        ] {
            member(&mut tar, &name, bytes.len() as u64, &bytes[..])?;
        }
        let mut out = tar.into_inner().context("end the archive")?;
        out.flush().context("end the archive")?;
        Ok(format!("sha256:{id}"))
    }

    fn configuration(&self, digests: &[&str]) -> Value {
        let folder = if self.working_directory.is_empty() {
            "/"
        } else {
            &self.working_directory
        };
        let mut config = json!({ "Env": self.env, "WorkingDir": folder });
        // An empty list is not the same as none to every reader.
        for (key, words) in [("Entrypoint", &self.entrypoint), ("Cmd", &self.command)] {
            if !words.is_empty() {
                config[key] = json!(words);
            }
        }
        if !self.user.is_empty() {
            config["User"] = json!(self.user);
        }
        if !self.labels.is_empty() {
            config["Labels"] = json!(self.labels);
        }
        json!({
            "architecture": architecture(),
            "os": "linux",
            "created": CREATED,
            "config": config,
            "rootfs": {
                "type": "layers",
                "diff_ids": digests.iter().map(|it| format!("sha256:{it}")).collect::<Vec<_>>(),
            },
        })
    }
}

/// This machine's, by the name that Go gives it, which is what images use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn member(tar: &mut Builder<impl Write>, name: &str, bytes: u64, content: impl Read) -> Result<()> {
    let mut header = header(EntryType::Regular, bytes, 0o644, Owner::default());
    tar.append_data(&mut header, name, content)
        .with_context(|| format!("write {name}"))
}

/// Writes a layer to `path` and returns its SHA-256 in hex.
fn digested(path: &Path, layer: &Layer) -> Result<String> {
    struct Digesting<W> {
        out: W,
        hash: Sha256,
    }
    impl<W: Write> Write for Digesting<W> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.out.write(bytes)?;
            self.hash.update(&bytes[..count]);
            Ok(count)
        }
        fn flush(&mut self) -> io::Result<()> {
            self.out.flush()
        }
    }
    let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    let mut out = Digesting {
        out: io::BufWriter::new(file),
        hash: Sha256::new(),
    };
    layer.write(&mut out)?;
    out.flush()?;
    Ok(hex::encode(&out.hash.finalize()[..]))
}

fn unicode(path: &Path) -> Result<String> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| anyhow!("{} is no Unicode", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn layer() -> Layer {
        Layer::new()
            .bytes("/opt/tool/run", "x", 0o755)
            .symlink("/bin/run", "../opt/tool/run")
            .directory("/tmp", 0o1777)
            .owner(65_532, 65_532)
            .bytes("/home/note", "y", 0o600)
    }

    #[test]
    fn a_layer_holds_parents_modes_owners_and_links() {
        let mut bytes = Vec::new();
        layer().write(&mut bytes).unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let listing: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                let link = entry.link_name().unwrap();
                format!(
                    "{} {:o} {} {}",
                    entry.path().unwrap().display(),
                    header.mode().unwrap(),
                    header.uid().unwrap(),
                    link.map_or_else(String::new, |it| it.display().to_string()),
                )
            })
            .collect();
        assert_eq!(
            listing,
            [
                "bin/ 755 0 ",
                "bin/run 777 0 ../opt/tool/run",
                "home/ 755 0 ",
                "home/note 600 65532 ",
                "opt/ 755 0 ",
                "opt/tool/ 755 0 ",
                "opt/tool/run 755 0 ",
                "tmp/ 1777 0 ",
            ]
        );
    }

    #[test]
    fn the_same_contents_give_the_same_bytes_and_the_digests_are_right() {
        let folder = tempfile::tempdir().unwrap();
        let image = Archive::new()
            .layer(layer())
            .entrypoint(["/bin/run"])
            .user("65532:65532")
            .env("A", "b");
        let paths = ["one", "two"].map(|name| folder.path().join(name));
        let ids = paths
            .clone()
            .map(|path| image.write(&path, "tool:1").unwrap());
        assert_eq!(ids[0], ids[1]);
        let bytes = fs::read(&paths[0]).unwrap();
        assert!(bytes == fs::read(&paths[1]).unwrap());

        let members: BTreeMap<String, Vec<u8>> = tar::Archive::new(&bytes[..])
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                (entry.path().unwrap().display().to_string(), content)
            })
            .collect();
        let manifest: Value = serde_json::from_slice(&members["manifest.json"]).unwrap();
        assert_eq!(manifest[0]["RepoTags"], json!(["tool:1"]));
        let config: Value =
            serde_json::from_slice(&members[manifest[0]["Config"].as_str().unwrap()]).unwrap();
        assert_eq!(config["config"]["User"], "65532:65532");
        let layer = &members[manifest[0]["Layers"][0].as_str().unwrap()];
        let digest = format!("sha256:{}", hex::encode(&Sha256::digest(layer)[..]));
        assert_eq!(config["rootfs"]["diff_ids"], json!([digest]));
    }
}
