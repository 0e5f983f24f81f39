//! Assembles the modules that give the server security from jars on Maven Central, because the distribution that
//! contains them is not there.

use std::path::{Path, PathBuf};

use semver::Version;
use tokio::process::Command;

use super::files;
use super::jdk::Jdk;
use super::maven::{Project, descriptor_in, fetch, text_of, without_module_name};
use crate::{Error, ErrorKind, Result};

/// The modules; each follows the one that it extends.
pub(super) const PROJECTS: [Project; 2] = [
    Project { module: CORE, file: "x-pack-core.xml", text: include_str!("../elasticsearch/x-pack-core.xml") },
    Project {
        module: SECURITY,
        file: "x-pack-security.xml",
        text: include_str!("../elasticsearch/x-pack-security.xml"),
    },
];
const CORE: &str = "x-pack-core";
const SECURITY: &str = "x-pack-security";

const ANALYSIS: &str = include_str!("../elasticsearch/DevAnalysisPlugin.java");
const ANALYSIS_CLASS: &str = "DevAnalysisPlugin";
const ANALYSIS_MODULE: &str = "dev-analysis";

/// The SAML types that signatures of the module name. Their library is not on Maven Central, and none of its code runs
/// here.
const SAML_TYPES: [&str; 10] = [
    "org.opensaml.core.xml.XMLObject",
    "org.opensaml.saml.saml2.core.AuthnRequest",
    "org.opensaml.saml.saml2.core.LogoutRequest",
    "org.opensaml.saml.saml2.core.LogoutResponse",
    "org.opensaml.saml.saml2.core.NameID",
    "org.opensaml.saml.saml2.core.RequestAbstractType",
    "org.opensaml.saml.saml2.core.StatusResponseType",
    "org.opensaml.saml.saml2.metadata.EntityDescriptor",
    "org.opensaml.saml.saml2.metadata.impl.EntityDescriptorMarshaller",
    "org.opensaml.security.x509.X509Credential",
];
/// The oldest Java that can run a server of version 9.
const RELEASE: &str = "21";

/// Adds the modules to the server in `home`, which already has its `lib` and its transport.
pub(super) async fn add(home: &Path, version: &Version, jdk: &Jdk) -> Result<()> {
    let modules = home.join("modules");
    for project in &PROJECTS {
        let module = modules.join(project.module);
        files::create_folder(&module)?;
        fetch(project, home, version, &module).await?;
    }
    // A class must not be in two locations that see each other: a module sees `lib` and the module that it extends.
    let of_lib = jars_in(&home.join("lib"))?;
    remove_jars(&modules.join(CORE), &of_lib)?;
    remove_jars(&modules.join(SECURITY), &of_lib)?;
    remove_jars(&modules.join(SECURITY), &jars_in(&modules.join(CORE))?)?;
    for name in [CORE, SECURITY] {
        let module = modules.join(name);
        let descriptor = descriptor_in(&module, name, version, home, jdk).await?;
        files::write(&module.join("plugin-descriptor.properties"), without_module_name(&descriptor))?;
    }
    add_saml_types(&modules.join(SECURITY), home, jdk).await?;
    add_analysis(&modules.join(ANALYSIS_MODULE), version, home, jdk).await
}

fn jars_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|error| files::failed("read", folder, error))?;
    let jars = entries.flatten().map(|entry| entry.path());
    Ok(jars.filter(|path| path.extension().is_some_and(|ending| ending == "jar")).collect())
}

/// Removes the jars from `folder` that have the same names as `others`.
fn remove_jars(folder: &Path, others: &[PathBuf]) -> Result<()> {
    others.iter().filter_map(|jar| jar.file_name()).try_for_each(|name| files::remove(&folder.join(name)))
}

async fn add_saml_types(module: &Path, home: &Path, jdk: &Jdk) -> Result<()> {
    let work = home.join("saml");
    let mut sources = Vec::new();
    for name in SAML_TYPES {
        let Some((package, class)) = name.rsplit_once('.') else { continue };
        let folder = work.join("sources").join(package.replace('.', "/"));
        files::create_folder(&folder)?;
        let source = folder.join(format!("{class}.java"));
        files::write(&source, format!("package {package};\n\npublic interface {class} {{}}\n"))?;
        sources.push(source);
    }
    compile(&sources, home, &work.join("classes"), jdk).await?;
    pack(&module.join("saml-types.jar"), &work.join("classes"), jdk).await?;
    files::remove_folder(&work)
}

/// Adds the analyzers that the index of users and API keys needs; the server cannot create that index without them.
async fn add_analysis(module: &Path, version: &Version, home: &Path, jdk: &Jdk) -> Result<()> {
    files::create_folder(module)?;
    let work = home.join("analysis");
    files::create_folder(&work)?;
    let source = work.join(format!("{ANALYSIS_CLASS}.java"));
    files::write(&source, ANALYSIS)?;
    compile(&[source], home, &work.join("classes"), jdk).await?;
    pack(&module.join(format!("{ANALYSIS_MODULE}.jar")), &work.join("classes"), jdk).await?;
    let descriptor = format!(
        "description=What the index .security needs of analysis-common\nversion={version}\nname={ANALYSIS_MODULE}\n\
         java.version={RELEASE}\nelasticsearch.version={version}\nclassname={ANALYSIS_CLASS}\ndeployment.target=ALL\n"
    );
    files::write(&module.join("plugin-descriptor.properties"), descriptor)?;
    files::remove_folder(&work)
}

async fn compile(sources: &[PathBuf], home: &Path, classes: &Path, jdk: &Jdk) -> Result<()> {
    let mut command = Command::new(jdk.javac());
    command.args(["--release", RELEASE, "-cp"]).arg(home.join("lib").join("*")).arg("-d").arg(classes).args(sources);
    run(command, &jdk.javac()).await
}

async fn pack(jar: &Path, classes: &Path, jdk: &Jdk) -> Result<()> {
    let mut command = Command::new(jdk.jar());
    command.args(["--create", "--file"]).arg(jar).arg("-C").arg(classes).arg(".");
    run(command, &jdk.jar()).await
}

async fn run(mut command: Command, program: &Path) -> Result<()> {
    let finished = command.kill_on_drop(true).output().await.map_err(|error| files::failed("run", program, error))?;
    if finished.status.success() {
        return Ok(());
    }
    let reason = files::last_lines(&text_of(&finished), 12);
    Err(Error::new(ErrorKind::Incompatible, format!("{} failed: {reason}", program.display()))
        .with_hint("choose another --version"))
}
