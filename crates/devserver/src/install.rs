//! Installs a version of the server below the folder of the development server.

use std::path::{Path, PathBuf};

use semver::Version;

use super::files;
use super::jdk::Jdk;
use super::layout::Layout;
use super::maven::{Project, descriptor_in, fetch, without_module_name};
use super::modules;
use crate::Result;
use crate::output::Output;

const TRANSPORT_MODULE: &str = "transport-netty4";
/// The server without security.
const SERVER: Project =
    Project { module: TRANSPORT_MODULE, file: "pom.xml", text: include_str!("../elasticsearch/pom.xml") };

/// Returns the folder with the server of `version`. Fetches the server from Maven Central if it is not installed yet.
///
/// The server is assembled in a temporary folder and then renamed, so that a folder of that name is always complete.
/// The caller must hold the lock.
pub(super) async fn ensure(
    layout: &Layout,
    version: &Version,
    secure: bool,
    jdk: &Jdk,
    output: Output<'_>,
) -> Result<PathBuf> {
    let home = layout.install(version, secure);
    if is_installed(layout, version, secure) {
        return Ok(home);
    }
    let size = if secure { "90 MB, with security" } else { "40 MB" };
    output.say(format!("fetching Elasticsearch {version} from Maven Central (about {size}, once) ..."));
    remove_unfinished(layout)?;
    files::remove_folder(&home)?;
    let unfinished = layout.installs().join(format!("{version}.unfinished-{}", std::process::id()));
    files::create_folder(&unfinished)?;
    if let Err(error) = put_together(&unfinished, version, secure, jdk).await {
        files::remove_folder(&unfinished)?;
        return Err(error);
    }
    std::fs::rename(&unfinished, &home).map_err(|error| files::failed("write", &home, error))?;
    Ok(home)
}

/// Returns whether the server of `version` is installed, as this program installs it.
pub(super) fn is_installed(layout: &Layout, version: &Version, secure: bool) -> bool {
    let home = layout.install(version, secure);
    let modules: &[Project] = if secure { &modules::PROJECTS } else { &[] };
    let is_from =
        |project: &Project| std::fs::read(home.join(project.file)).is_ok_and(|text| text == project.text.as_bytes());
    is_from(&SERVER) && modules.iter().all(is_from)
}

async fn put_together(folder: &Path, version: &Version, secure: bool, jdk: &Jdk) -> Result<()> {
    fetch(&SERVER, folder, version, &folder.join("lib")).await?;
    arrange(folder, version, jdk).await?;
    if secure { modules::add(folder, version, jdk).await } else { Ok(()) }
}

/// Removes what an earlier run left when it was killed.
fn remove_unfinished(layout: &Layout) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(layout.installs()) else { return Ok(()) };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().contains(".unfinished-") {
            files::remove_folder(&entry.path())?;
        }
    }
    Ok(())
}

/// Moves the transport into a module folder of its own, because the server loads it with a separate class loader.
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
    let descriptor = descriptor_in(&module, TRANSPORT_MODULE, version, folder, jdk).await?;
    files::write(&module.join("plugin-descriptor.properties"), without_module_name(&descriptor))
}

fn belongs_to_transport(jar: &str) -> bool {
    [TRANSPORT_MODULE, "netty-", "elasticsearch-ssl-config"].iter().any(|prefix| jar.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

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
