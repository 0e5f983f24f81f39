//! Fetches the server's jars from Maven Central and reads the descriptors of modules in them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Output as Finished;

use semver::Version;
use tokio::process::Command;

use super::files;
use super::jdk::Jdk;
use crate::{Error, ErrorKind, Result};

/// A Maven project whose dependencies are jars of the server.
pub(super) struct Project {
    /// The module that the project fetches.
    pub(super) module: &'static str,
    /// The file name of the project in the server's folder.
    pub(super) file: &'static str,
    pub(super) text: &'static str,
}

/// Returns the command of Maven that is first in `PATH`.
pub(super) fn command() -> Result<PathBuf> {
    command_in(&std::env::var_os("PATH").unwrap_or_default())
}

fn command_in(path: &OsStr) -> Result<PathBuf> {
    std::env::split_paths(path).map(|folder| folder.join("mvn")).find(|command| command.is_file()).ok_or_else(|| {
        Error::new(ErrorKind::Missing, "the command `mvn` was not found").with_hint(
            "install Maven, which fetches the server (Debian, Ubuntu: `apt-get install maven`; macOS: \
             `brew install maven`; elsewhere: https://maven.apache.org/install.html)",
        )
    })
}

/// Writes a project into `folder` and fetches its jars.
pub(super) async fn fetch(project: &Project, folder: &Path, version: &Version, jars: &Path) -> Result<()> {
    let pom = folder.join(project.file);
    files::write(&pom, project.text)?;
    let mut maven = Command::new(command()?);
    // "Update snapshots" also retries artifacts that were missing the last time.
    maven.args(["--batch-mode", "--quiet", "--update-snapshots", "-Dstyle.color=never", "--file"]).arg(&pom);
    maven.args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
    maven.arg(format!("-Delasticsearch.version={version}"));
    maven.arg(format!("-DoutputDirectory={}", jars.display()));
    let finished = maven.kill_on_drop(true).output().await.map_err(|error| {
        Error::new(ErrorKind::Unavailable, format!("the command `mvn` does not start: {error}")).with_source(error)
    })?;
    if finished.status.success() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unavailable,
        format!("Maven could not fetch Elasticsearch {version}: {}", maven_reason(&text_of(&finished))),
    )
    .with_hint(format!(
        "check that version {version} of org.elasticsearch.plugin:{} is on Maven Central and that \
             Maven reaches it (proxy and mirror settings are in ~/.m2/settings.xml)",
        project.module
    )))
}

/// Returns the descriptor of the plugin `plugin`, which is packed into its jar in `module`. Unpacks it in `folder`.
pub(super) async fn descriptor_in(
    module: &Path,
    plugin: &str,
    version: &Version,
    folder: &Path,
    jdk: &Jdk,
) -> Result<String> {
    let name = format!("META-INF/es-plugins/{plugin}/plugin-descriptor.properties");
    let unpacked = folder.join("META-INF");
    let jar = module.join(format!("{plugin}-{version}.jar"));
    let jar = std::path::absolute(&jar).map_err(|error| files::failed("find", &jar, error))?;
    let mut command = Command::new(jdk.jar());
    command.current_dir(folder).arg("xf").arg(&jar).arg(&name);
    let finished = command.output().await.map_err(|error| files::failed("run", &jdk.jar(), error))?;
    let descriptor = std::fs::read_to_string(folder.join(&name)).map_err(|error| {
        Error::new(ErrorKind::Incompatible, format!("{} holds no {name}: {}", jar.display(), text_of(&finished).trim()))
            .with_hint("choose another --version")
            .with_source(error)
    })?;
    files::remove_folder(&unpacked)?;
    Ok(descriptor)
}

/// Removes the module name, because the module is loaded from the class path, where it has no name as a Java module.
pub(super) fn without_module_name(descriptor: &str) -> String {
    descriptor.lines().filter(|line| !line.starts_with("modulename")).map(|line| format!("{line}\n")).collect()
}

/// Returns the reason of Maven's failure: its first paragraph of errors, without the advice about Maven's options that
/// follows.
fn maven_reason(output: &str) -> String {
    let plain = output.replace("\u{1b}[0m", "");
    let errors = plain.lines().filter_map(|line| line.trim_start().strip_prefix("[ERROR]"));
    let paragraph: Vec<&str> = errors.map(str::trim).take_while(|line| !line.is_empty()).collect();
    if paragraph.is_empty() { files::last_lines(&plain, 12) } else { paragraph.join("\n") }
}

pub(super) fn text_of(finished: &Finished) -> String {
    let bytes = [finished.stdout.as_slice(), finished.stderr.as_slice()].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maven_is_the_first_one_on_the_path() {
        let folders = [(); 3].map(|()| tempfile::tempdir().expect("a temporary folder"));
        let path = std::env::join_paths(folders.iter().map(tempfile::TempDir::path)).expect("a path");
        let error = command_in(&path).expect_err("no Maven");
        assert_eq!(error.kind(), ErrorKind::Missing);
        assert!(error.hint().is_some_and(|hint| hint.contains("install Maven")), "{error}");
        assert_eq!(command_in("".as_ref()).expect_err("no path").kind(), ErrorKind::Missing);
        for folder in &folders[1..] {
            std::fs::write(folder.path().join("mvn"), "").expect("a file");
        }
        assert_eq!(command_in(&path).expect("found"), folders[1].path().join("mvn"));
    }

    #[test]
    fn the_descriptor_loses_its_module_name() {
        let descriptor = "name=transport-netty4\nmodulename=org.elasticsearch.transport.netty4\njava.version=21\n";
        assert_eq!(without_module_name(descriptor), "name=transport-netty4\njava.version=21\n");
    }

    #[test]
    fn mavens_reason_is_told_without_its_hints() {
        let output = "\u{1b}[0m[ERROR] Failed to execute goal: no such artifact -> [Help 1]\n[ERROR] \n\
                      [ERROR] Re-run Maven using the -X switch to enable full debug logging.\n";
        assert_eq!(maven_reason(output), "Failed to execute goal: no such artifact -> [Help 1]");
        assert_eq!(maven_reason("The JAVA_HOME variable is not defined\n"), "The JAVA_HOME variable is not defined");
    }
}
