use std::io::ErrorKind as IoErrorKind;
use std::path::{Path, PathBuf};
use std::process::Output as Finished;

use semver::Version;
use tokio::process::Command;

use super::files;
use super::jdk::Jdk;
use super::layout::Layout;
use crate::cli::output::Output;
use crate::{Error, ErrorKind, Result};

/// The Maven project whose dependencies are the server.
const POM: &str = include_str!("../../../dev/elasticsearch/pom.xml");
const POM_FILE: &str = "pom.xml";
const TRANSPORT_MODULE: &str = "transport-netty4";

/// The server's folder of `version`, fetched from Maven Central if it is not there yet.
///
/// It is put together aside and then renamed, so that a folder of that name is complete. Call it under the lock.
pub(super) async fn ensure(layout: &Layout, version: &Version, jdk: &Jdk, output: Output) -> Result<PathBuf> {
    let home = layout.install(version);
    if std::fs::read(home.join(POM_FILE)).is_ok_and(|pom| pom == POM.as_bytes()) {
        return Ok(home);
    }
    output.say(format!("fetching Elasticsearch {version} from Maven Central (about 40 MB, once) ..."));
    remove_unfinished(layout)?;
    files::remove_folder(&home)?;
    let unfinished = layout.installs().join(format!("{version}.unfinished-{}", std::process::id()));
    files::create_folder(&unfinished)?;
    if let Err(error) = put_together(&unfinished, version, jdk).await {
        files::remove_folder(&unfinished)?;
        return Err(error);
    }
    std::fs::rename(&unfinished, &home).map_err(|error| files::failed("write", &home, error))?;
    Ok(home)
}

async fn put_together(folder: &Path, version: &Version, jdk: &Jdk) -> Result<()> {
    fetch(version, folder).await?;
    arrange(folder, version, jdk).await
}

/// What an earlier run left when it was killed.
fn remove_unfinished(layout: &Layout) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(layout.installs()) else { return Ok(()) };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().contains(".unfinished-") {
            files::remove_folder(&entry.path())?;
        }
    }
    Ok(())
}

async fn fetch(version: &Version, folder: &Path) -> Result<()> {
    let pom = folder.join(POM_FILE);
    files::write(&pom, POM)?;
    let mut maven = Command::new("mvn");
    // "Update snapshots" also asks anew for what was missing the last time.
    maven.args(["--batch-mode", "--quiet", "--update-snapshots", "-Dstyle.color=never", "--file"]).arg(&pom);
    maven.args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
    maven.arg(format!("-Delasticsearch.version={version}"));
    maven.arg(format!("-DoutputDirectory={}", folder.join("lib").display()));
    let finished = maven.kill_on_drop(true).output().await.map_err(|error| match error.kind() {
        IoErrorKind::NotFound => Error::new(ErrorKind::Invalid, "the command `mvn` was not found").with_cure(
            "install Maven, which fetches the server (Debian, Ubuntu: `apt-get install maven`; macOS: \
             `brew install maven`; elsewhere: https://maven.apache.org/install.html)",
        ),
        _ => {
            Error::new(ErrorKind::Unavailable, format!("the command `mvn` does not start: {error}")).with_source(error)
        }
    })?;
    if finished.status.success() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unavailable,
        format!("Maven could not fetch Elasticsearch {version}: {}", maven_reason(&text_of(&finished))),
    )
    .with_cure(format!(
        "check that version {version} of org.elasticsearch.plugin:transport-netty4 is on Maven Central and that \
             Maven reaches it (proxy and mirror settings are in ~/.m2/settings.xml)"
    )))
}

/// The server expects its transport as a module with a folder and a class loader of its own.
async fn arrange(folder: &Path, version: &Version, jdk: &Jdk) -> Result<()> {
    let (lib, module) = (folder.join("lib"), folder.join("modules").join(TRANSPORT_MODULE));
    files::create_folder(&module)?;
    let entries = std::fs::read_dir(&lib).map_err(|error| files::failed("read", &lib, error))?;
    for entry in entries {
        let jar = entry.map_err(|error| files::failed("read", &lib, error))?;
        if belongs_to_transport(&jar.file_name().to_string_lossy()) {
            let target = module.join(jar.file_name());
            std::fs::rename(jar.path(), &target).map_err(|error| files::failed("write", &target, error))?;
        }
    }
    let jar = module.join(format!("{TRANSPORT_MODULE}-{version}.jar"));
    let descriptor = descriptor_in(&jar, folder, jdk).await?;
    files::write(&module.join("plugin-descriptor.properties"), without_module_name(&descriptor))
}

fn belongs_to_transport(jar: &str) -> bool {
    [TRANSPORT_MODULE, "netty-", "elasticsearch-ssl-config"].iter().any(|prefix| jar.starts_with(prefix))
}

/// The plugin's descriptor, which is packed into its jar.
async fn descriptor_in(jar: &Path, folder: &Path, jdk: &Jdk) -> Result<String> {
    let name = format!("META-INF/es-plugins/{TRANSPORT_MODULE}/plugin-descriptor.properties");
    let unpacked = folder.join("META-INF");
    let jar = std::path::absolute(jar).map_err(|error| files::failed("find", jar, error))?;
    let mut command = Command::new(jdk.jar());
    command.current_dir(folder).arg("xf").arg(&jar).arg(&name);
    let finished = command.output().await.map_err(|error| files::failed("run", &jdk.jar(), error))?;
    let descriptor = std::fs::read_to_string(folder.join(&name)).map_err(|error| {
        Error::new(ErrorKind::Incompatible, format!("{} holds no {name}: {}", jar.display(), text_of(&finished).trim()))
            .with_cure("choose another --version")
            .with_source(error)
    })?;
    files::remove_folder(&unpacked)?;
    Ok(descriptor)
}

/// The module is loaded from the class path, where it has no name as a Java module.
fn without_module_name(descriptor: &str) -> String {
    descriptor.lines().filter(|line| !line.starts_with("modulename")).map(|line| format!("{line}\n")).collect()
}

/// What Maven says went wrong: its first paragraph of errors, without the hints about its own options that follow.
fn maven_reason(output: &str) -> String {
    let plain = output.replace("\u{1b}[0m", "");
    let errors = plain.lines().filter_map(|line| line.trim_start().strip_prefix("[ERROR]"));
    let paragraph: Vec<&str> = errors.map(str::trim).take_while(|line| !line.is_empty()).collect();
    if paragraph.is_empty() { files::last_lines(&plain, 12) } else { paragraph.join("\n") }
}

fn text_of(finished: &Finished) -> String {
    let bytes = [finished.stdout.as_slice(), finished.stderr.as_slice()].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn the_transport_has_its_own_jars() {
        for jar in ["transport-netty4-9.2.2.jar", "netty-common-4.1.jar", "elasticsearch-ssl-config-9.2.2.jar"] {
            assert!(belongs_to_transport(jar), "{jar}");
        }
        for jar in ["elasticsearch-9.2.2.jar", "lucene-core-10.3.2.jar", "elasticsearch-native-9.2.2.jar"] {
            assert!(!belongs_to_transport(jar), "{jar}");
        }
    }
}
