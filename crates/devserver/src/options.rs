//! The options of `dev up`, and how they compare with a running server.

use std::fmt;
use std::str::FromStr;

use semver::Version;

use super::state::State;

/// The options of `dev up`. An option that is absent is taken from the running server, or else has a default.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct UpOptions {
    /// The number of nodes in the cluster, 1 to 5 [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=5))]
    pub nodes: Option<u8>,
    /// Enable security: TLS with its own CA, users and API keys
    #[arg(long)]
    pub secure: bool,
    /// The version of Elasticsearch, as on Maven Central: 9.5.3, 9.2.2, 8.19.0 and others [default: 9.5.3]
    #[arg(long, value_name = "V", value_parser = server_version)]
    pub version: Option<Version>,
    /// The Java heap of each node, such as 512m or 1g [default: 512m]
    #[arg(long, value_name = "SIZE")]
    pub heap: Option<Heap>,
    /// The HTTP port of the first node; the next nodes take the next ports [default: the first free one from 9200 on]
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// A setting of each node, as in elasticsearch.yml; overrides what `dev up` sets. May be given several times
    #[arg(long = "setting", value_name = "KEY=VALUE", value_parser = setting)]
    pub settings: Vec<String>,
    /// Stop the server when this process ends, however it ends (for test harnesses)
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub owner_pid: Option<u32>,
}

impl UpOptions {
    /// The newest version whose artifacts are on Maven Central, those of its security modules included.
    const DEFAULT_VERSION: Version = Version::new(9, 5, 3);

    pub(super) fn node_count(&self) -> usize {
        self.nodes.map_or(1, usize::from)
    }

    pub(super) fn server_version(&self) -> Version {
        self.version.clone().unwrap_or(Self::DEFAULT_VERSION)
    }

    pub(super) fn heap_size(&self) -> String {
        self.heap.as_ref().map_or("512m".to_owned(), Heap::to_string)
    }

    /// Returns the options in which a running server differs from the request, such as `heap 512m instead of 1g`.
    pub(super) fn differences(&self, state: &State) -> Vec<String> {
        let running_port = state.nodes.first().map(|node| node.http_port.to_string());
        let pairs = [
            ("nodes", self.nodes.map(|n| n.to_string()), Some(state.nodes.len().to_string())),
            ("version", self.version.as_ref().map(Version::to_string), Some(state.version.to_string())),
            ("secure", self.secure.then(|| true.to_string()), Some(state.secure.to_string())),
            ("heap", self.heap.as_ref().map(Heap::to_string), Some(state.heap.clone())),
            ("port", self.port.map(|p| p.to_string()), running_port),
            ("settings", (!self.settings.is_empty()).then(|| listed(&self.settings)), Some(listed(&state.settings))),
        ];
        let mut differences: Vec<String> = pairs
            .into_iter()
            .filter_map(|(name, asked, running)| {
                let (asked, running) = (asked?, running?);
                (asked != running).then(|| format!("{name} {running} instead of {asked}"))
            })
            .collect();
        // A server without an owner stays up for every caller. One with another owner may stop at any moment.
        if let Some(owner) = state.owner_pid.filter(|owner| self.owner_pid != Some(*owner)) {
            let asked = self.owner_pid.map_or("none".to_owned(), |pid| pid.to_string());
            differences.push(format!("owner process {owner} instead of {asked}"));
        }
        differences
    }
}

/// Returns the oldest Java release that can run a version of Elasticsearch.
pub(super) fn minimum_java(version: &Version) -> u32 {
    if version.major >= 9 { 21 } else { 17 }
}

fn listed(settings: &[String]) -> String {
    if settings.is_empty() { "none".to_owned() } else { settings.join(",") }
}

fn setting(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((key, _)) if !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) => {
            Ok(text.to_owned())
        }
        _ => Err("not a setting such as http.max_content_length=1mb".to_owned()),
    }
}

fn server_version(text: &str) -> Result<Version, String> {
    let version = Version::parse(text).map_err(|error| format!("not a version such as 9.5.3: {error}"))?;
    if version.major < 8 {
        return Err("Elasticsearch 8 or newer is needed".to_owned());
    }
    Ok(version)
}

/// A size of the Java heap, in Java's notation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heap {
    mebibytes: u32,
}

impl Heap {
    /// The server does not start with less.
    const LEAST_MEBIBYTES: u32 = 128;
}

impl FromStr for Heap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let (number, unit) = match (lower.strip_suffix('m'), lower.strip_suffix('g')) {
            (Some(number), _) => (number, 1),
            (_, Some(number)) => (number, 1024),
            _ => return Err("not a size such as 512m or 1g".to_owned()),
        };
        let number: u32 = number.parse().map_err(|_| "not a size such as 512m or 1g".to_owned())?;
        match number.checked_mul(unit) {
            Some(mebibytes) if mebibytes >= Self::LEAST_MEBIBYTES => Ok(Self { mebibytes }),
            Some(_) => Err(format!("at least {}m are needed", Self::LEAST_MEBIBYTES)),
            None => Err("too large".to_owned()),
        }
    }
}

impl fmt::Display for Heap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}m", self.mebibytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::NodeRecord;
    use super::*;

    #[test]
    fn heap_sizes_are_read() {
        for (text, expected) in [("512m", "512m"), ("1g", "1024m"), ("2G", "2048m"), ("1024M", "1024m")] {
            assert_eq!(text.parse::<Heap>().map(|heap| heap.to_string()), Ok(expected.to_owned()), "{text}");
        }
        for text in ["", "m", "512", "-1m", "1t", "64m", "0g", "4194304g", "99999999999m", "1.5g"] {
            assert!(text.parse::<Heap>().is_err(), "{text}");
        }
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(server_version("8.19.0"), Ok(Version::new(8, 19, 0)));
        for text in ["", "9", "9.2", "7.17.0", "latest", "../9.2.2", "9.2.2/.."] {
            assert!(server_version(text).is_err(), "{text}");
        }
        assert_eq!(minimum_java(&Version::new(8, 19, 0)), 17);
        assert_eq!(minimum_java(&Version::new(9, 0, 0)), 21);
    }

    #[test]
    fn settings_have_a_key_and_a_value() {
        for text in ["http.max_content_length=1mb", "a=", "node.attr.x-y_z=a=b"] {
            assert_eq!(setting(text), Ok(text.to_owned()));
        }
        for text in ["", "a", "=1", "a b=1", "a\nb=1", "a: b=1"] {
            assert!(setting(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_what_was_asked_for_can_differ() {
        let node = |http_port| NodeRecord { name: "node".into(), http_port, transport_port: 9300, process: None };
        let mut state = State {
            version: Version::new(9, 2, 2),
            heap: "512m".into(),
            owner_pid: None,
            secure: false,
            settings: Vec::new(),
            nodes: vec![node(9200), node(9201)],
        };
        let open = UpOptions::default();
        assert_eq!(open.differences(&state), Vec::<String>::new());
        assert_eq!(UpOptions { owner_pid: Some(7), ..open.clone() }.differences(&state), Vec::<String>::new());

        let asked = UpOptions {
            nodes: Some(3),
            secure: true,
            version: Some(Version::new(8, 19, 0)),
            heap: Some(Heap { mebibytes: 1024 }),
            port: Some(9400),
            settings: vec!["http.max_content_length=1mb".to_owned()],
            owner_pid: None,
        };
        let expected = [
            "nodes 2 instead of 3",
            "version 9.2.2 instead of 8.19.0",
            "secure false instead of true",
            "heap 512m instead of 1024m",
            "port 9200 instead of 9400",
            "settings none instead of http.max_content_length=1mb",
        ];
        assert_eq!(asked.differences(&state), expected);

        state.owner_pid = Some(8);
        assert_eq!(open.differences(&state), ["owner process 8 instead of none"]);
        assert_eq!(UpOptions { owner_pid: Some(8), ..open }.differences(&state), Vec::<String>::new());
    }
}
