//! Finds a JDK that can run the server.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, ErrorKind, Result};

/// A Java development kit that can run the server. A runtime is not enough: the server's launcher is started from its
/// source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Jdk {
    home: PathBuf,
    major: u32,
}

impl Jdk {
    pub(super) fn java(&self) -> PathBuf {
        self.home.join("bin/java")
    }

    pub(super) fn javac(&self) -> PathBuf {
        self.home.join("bin/javac")
    }

    pub(super) fn jar(&self) -> PathBuf {
        self.home.join("bin/jar")
    }

    pub(super) fn major(&self) -> u32 {
        self.major
    }

    /// Returns whether this JDK can write an archive of the loaded classes when a process ends.
    pub(super) fn shares_classes(&self) -> bool {
        const FIRST_TO_DO_SO: u32 = 19;
        self.major >= FIRST_TO_DO_SO
    }

    /// Returns the JDK in `home`, if there is one.
    fn at(home: &Path) -> Option<Self> {
        if !["bin/java", "bin/javac", "bin/jar"].iter().all(|tool| home.join(tool).is_file()) {
            return None;
        }
        let major = match std::fs::read_to_string(home.join("release")) {
            Ok(release) => major_in_release_file(&release),
            Err(_) => ask_java(home),
        }?;
        Some(Self { home: home.to_owned(), major })
    }
}

/// The locations where a JDK is searched.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    /// `ES_JAVA_HOME`, the variable that Elasticsearch's own scripts use.
    es_java_home: Option<PathBuf>,
    java_home: Option<PathBuf>,
    path: Option<OsString>,
    /// Folders that each contain a JDK.
    homes: Vec<PathBuf>,
}

impl Places {
    /// Returns the variables of this process and the folders that installers use.
    pub(super) fn of_this_machine() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let user = variable("HOME").map(PathBuf::from);
        let mut homes = folders_in("/usr/lib/jvm".as_ref());
        homes.extend(folders_in("/opt/java".as_ref()));
        homes.extend(bundles_in("/Library/Java/JavaVirtualMachines".as_ref()));
        for formulas in ["/opt/homebrew/opt", "/usr/local/opt"] {
            homes.extend(folders_in(formulas.as_ref()).iter().map(|f| f.join("libexec/openjdk.jdk/Contents/Home")));
        }
        if let Some(user) = user {
            homes.extend(folders_in(&user.join(".sdkman/candidates/java")));
            homes.extend(folders_in(&user.join(".jdks")));
            homes.extend(bundles_in(&user.join("Library/Java/JavaVirtualMachines")));
        }
        Self {
            es_java_home: variable("ES_JAVA_HOME").map(PathBuf::from),
            java_home: variable("JAVA_HOME").map(PathBuf::from),
            path: variable("PATH"),
            homes,
        }
    }

    /// Returns a JDK for a server that needs at least Java `minimum`. If `ES_JAVA_HOME` is set, only that JDK is
    /// considered. Otherwise the first suitable one of `JAVA_HOME` and `PATH` is used, then the newest installed one.
    pub(super) fn find(&self, minimum: u32) -> Result<Jdk> {
        if let Some(home) = &self.es_java_home {
            return match Jdk::at(home) {
                Some(jdk) if jdk.major >= minimum => Ok(jdk),
                found => Err(unusable(home, found.map(|jdk| jdk.major), minimum)),
            };
        }
        let chosen = self.java_home.clone().into_iter().chain(self.on_path());
        let first = chosen.filter_map(|home| Jdk::at(&home)).find(|jdk| jdk.major >= minimum);
        if let Some(jdk) = first {
            return Ok(jdk);
        }
        let installed: Vec<Jdk> = self.homes.iter().filter_map(|home| Jdk::at(home)).collect();
        match installed.iter().max_by_key(|jdk| jdk.major) {
            Some(jdk) if jdk.major >= minimum => Ok(jdk.clone()),
            newest => Err(missing(newest.map(|jdk| jdk.major), minimum)),
        }
    }

    /// Returns the homes of the `java` commands on the path, which are often links into a JDK.
    fn on_path(&self) -> Vec<PathBuf> {
        let folders = self.path.iter().flat_map(std::env::split_paths);
        let commands = folders.filter_map(|folder| folder.join("java").canonicalize().ok());
        commands.filter_map(|java| Some(java.parent()?.parent()?.to_owned())).collect()
    }
}

fn unusable(home: &Path, major: Option<u32>, minimum: u32) -> Error {
    let found = major.map_or("no JDK".to_owned(), |major| format!("a JDK {major}"));
    Error::invalid(
        format!(
            "ES_JAVA_HOME is {}, which holds {found}, and this Elasticsearch needs JDK {minimum} or newer",
            home.display()
        ),
        format!("set ES_JAVA_HOME to the folder of a JDK {minimum} or newer, or unset it to have one looked for"),
    )
}

fn missing(newest: Option<u32>, minimum: u32) -> Error {
    let found = newest.map_or(String::new(), |major| format!(" (the newest one found is JDK {major})"));
    Error::new(
        ErrorKind::Missing,
        format!("this Elasticsearch needs JDK {minimum} or newer, and none was found{found}"),
    )
    .with_hint(
        "install a JDK (Debian, Ubuntu: `apt-get install openjdk-21-jdk-headless`; macOS: `brew install openjdk@21`; \
             elsewhere: https://adoptium.net), or set ES_JAVA_HOME to the folder of one",
    )
}

fn ask_java(home: &Path) -> Option<u32> {
    let output = Command::new(home.join("bin/java")).arg("-version").output().ok()?;
    major_in_version_output(&String::from_utf8_lossy(&output.stderr))
}

/// Parses `JAVA_VERSION="21.0.2"` in the file `release` of a JDK's folder.
fn major_in_release_file(release: &str) -> Option<u32> {
    let value = release.lines().find_map(|line| line.trim().strip_prefix("JAVA_VERSION="))?;
    major(value.trim_matches('"'))
}

/// Parses `openjdk version "21.0.2" 2024-01-16` in the output of `java -version`.
fn major_in_version_output(output: &str) -> Option<u32> {
    output.lines().find_map(|line| major(line.split_once(" version \"")?.1))
}

/// Returns the Java release of a version: 8 for `1.8.0_392`, 21 for `21.0.2`, 25 for `25-ea`.
fn major(version: &str) -> Option<u32> {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    match numbers.next()?.parse().ok()? {
        1 => numbers.next()?.parse().ok(),
        major => Some(major),
    }
}

fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    folders
}

fn bundles_in(folder: &Path) -> Vec<PathBuf> {
    folders_in(folder).iter().map(|bundle| bundle.join("Contents/Home")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let cases = [
            ("1.8.0_392", Some(8)),
            ("11.0.21", Some(11)),
            ("17.0.15", Some(17)),
            ("21", Some(21)),
            ("25-ea", Some(25)),
            ("25.0.3+9-LTS", Some(25)),
            ("", None),
            ("1", None),
            ("ea", None),
            ("99999999999", None),
        ];
        for (version, expected) in cases {
            assert_eq!(major(version), expected, "{version}");
        }
    }

    #[test]
    fn release_files_and_version_output_are_read() {
        assert_eq!(major_in_release_file("IMPLEMENTOR=\"Debian\"\nJAVA_VERSION=\"17.0.15\"\n"), Some(17));
        assert_eq!(major_in_release_file("JAVA_VERSION_DATE=\"2026-04-21\"\n"), None);
        let output = "Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version \"21.0.2\" 2024-01-16\nOpenJDK Runtime\n";
        assert_eq!(major_in_version_output(output), Some(21));
        assert_eq!(major_in_version_output("java version \"1.8.0_392\"\n"), Some(8));
        assert_eq!(major_in_version_output("command not found\n"), None);
    }

    fn install(parent: &Path, name: &str, version: &str) -> PathBuf {
        let home = parent.join(name);
        std::fs::create_dir_all(home.join("bin")).expect("a folder");
        for tool in ["java", "javac", "jar"] {
            std::fs::write(home.join("bin").join(tool), "").expect("a file");
        }
        std::fs::write(home.join("release"), format!("JAVA_VERSION=\"{version}\"\n")).expect("a file");
        home
    }

    #[test]
    fn the_first_place_that_will_do_is_taken() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [jdk_17, jdk_21, jdk_25] = ["17.0.1", "21.0.2", "25"].map(|v| install(folder.path(), v, v));
        let runtime_only = install(folder.path(), "jre", "25");
        std::fs::remove_file(runtime_only.join("bin/javac")).expect("removed");
        let homes = vec![runtime_only.clone(), jdk_17.clone(), jdk_25.clone(), folder.path().join("absent")];
        let path = |home: &Path| Some(home.join("bin").into_os_string());

        let all =
            Places { es_java_home: Some(jdk_21.clone()), java_home: Some(jdk_25.clone()), path: path(&jdk_17), homes };
        assert_eq!(all.find(21).expect("ES_JAVA_HOME").home, jdk_21);
        let places = Places { es_java_home: None, ..all };
        assert_eq!(places.find(21).expect("JAVA_HOME").home, jdk_25);
        let places = Places { java_home: Some(jdk_17.clone()), path: path(&jdk_21), ..places };
        assert_eq!(places.find(21).expect("PATH").home, jdk_21);
        assert_eq!(places.find(17).expect("JAVA_HOME").home, jdk_17);
        let places = Places { java_home: Some(runtime_only), path: path(&jdk_17), ..places };
        assert_eq!(places.find(21).expect("installed").home, jdk_25);
    }

    #[test]
    fn what_is_missing_is_named_with_its_hint() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let jdk_17 = install(folder.path(), "17", "17.0.1");

        let places = Places { java_home: Some(jdk_17.clone()), homes: vec![jdk_17.clone()], ..Places::default() };
        let error = places.find(21).expect_err("too old");
        assert_eq!(error.kind(), ErrorKind::Missing);
        assert!(error.message().contains("JDK 21 or newer") && error.message().contains("JDK 17"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("openjdk-21-jdk") && hint.contains("ES_JAVA_HOME")));

        let places = Places { es_java_home: Some(jdk_17), ..places };
        let error = places.find(21).expect_err("the variable decides");
        assert_eq!(error.kind(), ErrorKind::Invalid, "a wrong variable is a mistake, not a machine without a JDK");
        assert!(error.message().contains("ES_JAVA_HOME is") && error.message().contains("a JDK 17"), "{error}");
    }
}
