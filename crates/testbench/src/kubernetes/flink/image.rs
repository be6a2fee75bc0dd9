//! The image that Flink's pods run: a Java runtime, Flink's jars, and the few scripts that Flink's client
//! expects in any image of Flink.
//!
//! The Python package has Flink's jars but none of its scripts, and Flink's official image lies in a registry.
//! So the scripts here are ours: they start the same classes with the arguments that the client gives them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::flink::Release;
use crate::image::{Archive, Layer};
use crate::{cache, java, process, say};

/// The release in the image.
pub const RELEASE: Release = Release::V1_20;

/// The name of the image.
pub const IMAGE: &str = "lowtide.invalid/flink:1.20";

/// The user of Flink's official image.
pub(super) const USER: u64 = 9999;

const HOME: &str = "/opt/flink";
pub(super) const CONFIGURATION: &str = "/opt/flink/conf";
const JAVA: &str = "/opt/java";

/// What Flink and Kubernetes' client in it use of Java; DNS, as services are found by name.
const MODULES: &str =
    "java.se,jdk.unsupported,jdk.crypto.ec,jdk.management,jdk.zipfs,jdk.naming.dns";

/// Not `--strip-debug`: it also wants `objcopy`, and Debian's native libraries are stripped already.
const SLIM: [&str; 3] = [
    "--strip-java-debug-attributes",
    "--no-header-files",
    "--no-man-pages",
];

/// Within the 704 MB that a pod is given.
const JOB_MANAGER_MEMORY: &str = "-Xms96m -Xmx320m -XX:MaxMetaspaceSize=160m -Xss512k";

const ENTRYPOINT: &str = "#!/bin/bash\nexec \"$@\"\n";

/// The archive of [`IMAGE`], from the cache or made.
///
/// # Errors
/// No Java, no Flink, or a program of this machine that the image needs is missing.
pub fn archive() -> Result<PathBuf> {
    let folder = cache::entry(&key()?, |folder| {
        let started = Instant::now();
        say::step(format!("making an image of Flink {}", RELEASE.version()));
        make(folder)?;
        let seconds = started.elapsed().as_secs_f32();
        say::step(format!("the image is there after {seconds:.1} s"));
        Ok(())
    })?;
    Ok(folder.join("image.tar"))
}

fn key() -> Result<String> {
    let about_java = java::home()?.join("release");
    let mut hash = Sha256::new();
    hash.update(fs::read(&about_java).with_context(|| about_java.display().to_string())?);
    for text in [
        &job_manager_script(),
        &task_manager_script(),
        MODULES,
        ENTRYPOINT,
        &SLIM.concat(),
    ] {
        hash.update(text);
    }
    let hash = hex::encode(&hash.finalize()[..6]);
    Ok(format!("kubernetes/flink-{}-{hash}", RELEASE.version()))
}

fn make(folder: &Path) -> Result<()> {
    let runtime = folder.join("runtime");
    link_runtime(&runtime)?;
    let base = Layer::new().tree(JAVA, &runtime)?;
    let bash = Path::new("/bin/bash");
    let base = libraries(&runtime, bash)?
        .into_iter()
        .fold(base, |layer, path| {
            let name = path.to_string_lossy().into_owned();
            layer.file(&name, path, 0o755)
        })
        .file("/bin/bash", bash, 0o755)
        .symlink("/bin/sh", "bash")
        .directory("/tmp", 0o1777)
        .bytes("/etc/nsswitch.conf", "hosts: files dns\n", 0o644)
        .bytes("/etc/group", format!("root:x:0:\nflink:x:{USER}:\n"), 0o644)
        .bytes(
            "/etc/passwd",
            format!("root:x:0:0:root:/:/bin/bash\nflink:x:{USER}:{USER}:flink:{HOME}:/bin/bash\n"),
            0o644,
        );
    let jars = RELEASE.ensure()?;
    let flink = Layer::new()
        .tree(&format!("{HOME}/lib"), jars.lib())?
        .bytes("/docker-entrypoint.sh", ENTRYPOINT, 0o755)
        .bytes("/bin/kubernetes-jobmanager.sh", job_manager_script(), 0o755)
        .bytes(
            "/bin/kubernetes-taskmanager.sh",
            task_manager_script(),
            0o755,
        )
        .directory(CONFIGURATION, 0o755)
        .owner(USER, USER)
        .directory(HOME, 0o755);
    Archive::new()
        .layer(base)
        .layer(flink)
        .entrypoint(["/docker-entrypoint.sh"])
        .user(&format!("{USER}:{USER}"))
        .env("PATH", &format!("{JAVA}/bin:/bin"))
        .env("JAVA_HOME", JAVA)
        .env("FLINK_HOME", HOME)
        // Without it the JobManager ends with a NullPointerException.
        .env("FLINK_CONF_DIR", CONFIGURATION)
        .working_directory(HOME)
        .write(&folder.join("image.tar"), IMAGE)?;
    fs::remove_dir_all(runtime).context("remove the runtime")
}

/// A Java runtime of the modules alone, with its class data.
fn link_runtime(target: &Path) -> Result<()> {
    let mut jlink = process::bound(java::bin()?.join("jlink"));
    jlink
        .args(SLIM)
        .args(["--add-modules", MODULES, "--output"])
        .arg(target);
    process::output(jlink).context("jlink")?;
    let mut dump = process::bound(target.join("bin/java"));
    dump.args(["-Xshare:dump", "-XX:+UseSerialGC"]);
    process::output(dump).context("java -Xshare:dump").map(drop)
}

/// The shared libraries outside the runtime that it and bash load, and the loader itself, as `ldd` names them.
fn libraries(runtime: &Path, bash: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut programs = vec![bash.to_owned(), runtime.join("bin/java")];
    for folder in ["lib", "lib/server"] {
        for entry in fs::read_dir(runtime.join(folder))? {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == "so") {
                programs.push(path);
            }
        }
    }
    let mut ldd = process::bound("ldd");
    ldd.args(&programs);
    let said = process::output(ldd).context("ldd")?;
    Ok(said
        .lines()
        .filter_map(library)
        .filter(|path| !path.starts_with(runtime))
        .collect())
}

/// The path in `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)` or `/lib64/ld-linux-x86-64.so.2 (0x…)`.
fn library(line: &str) -> Option<PathBuf> {
    let (before, _) = line.trim().split_once(" (0x")?;
    let path = before.rsplit(" => ").next()?;
    path.starts_with('/').then(|| PathBuf::from(path))
}

/// Flink's client calls it with `kubernetes-session` or `kubernetes-application`.
fn job_manager_script() -> String {
    format!(
        "#!/bin/bash\n\
         kind=\"$1\"; shift\n\
         case \"$kind\" in\n\
         kubernetes-session) class=KubernetesSessionClusterEntrypoint ;;\n\
         kubernetes-application) class=KubernetesApplicationClusterEntrypoint ;;\n\
         *) echo \"unknown kind $kind\" >&2; exit 2 ;;\n\
         esac\n\
         {java} {JOB_MANAGER_MEMORY} {class_path} \\\n\
         \x20 \"org.apache.flink.kubernetes.entrypoint.$class\" --configDir \"$FLINK_CONF_DIR\" \"$@\"\n",
        java = java_command(),
        class_path = class_path(),
    )
}

/// The client has computed the memory of the JVM and gives its flags in a variable.
fn task_manager_script() -> String {
    format!(
        "#!/bin/bash\n\
         {java} $FLINK_TM_JVM_MEM_OPTS {class_path} \\\n\
         \x20 org.apache.flink.kubernetes.taskmanager.KubernetesTaskExecutorRunner \\\n\
         \x20 --configDir \"$FLINK_CONF_DIR\" \"$@\"\n",
        java = java_command(),
        class_path = class_path(),
    )
}

fn java_command() -> String {
    format!(
        "exec java {} {}",
        java::FRUGAL.join(" "),
        java::OPENED.join(" ")
    )
}

fn class_path() -> String {
    format!(
        "-Dlog4j.configurationFile=file:{CONFIGURATION}/log4j-console.properties -cp '{HOME}/lib/*'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_ldd_prints() {
        let path = |line| library(line).map(|it| it.display().to_string());
        assert_eq!(
            path("\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)"),
            Some("/lib/x86_64-linux-gnu/libc.so.6".into())
        );
        assert_eq!(
            path("\t/lib64/ld-linux-x86-64.so.2 (0x00007f)"),
            Some("/lib64/ld-linux-x86-64.so.2".into())
        );
        assert_eq!(path("\tlinux-vdso.so.1 (0x00007ffd)"), None);
        assert_eq!(path("/bin/bash:"), None);
    }
}
