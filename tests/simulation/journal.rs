//! What happened in a world: lines of a readable story, the broken promises, and the coverage.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use crate::executor::{Simulator, lock};

/// The subject of a line, so that a story shows only relevant lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum About {
    /// Objects, by `type:id`, and indices.
    Names(Vec<String>),
    /// A step of a migration on an index group, by its alias.
    Migration(String),
    /// An event that concerns everything, such as the death of a node.
    Act,
}

#[derive(Debug)]
struct Line {
    at: Duration,
    about: About,
    text: String,
}

/// A broken promise.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    pub(crate) at: Duration,
    /// The name of the promise.
    pub(crate) promise: &'static str,
    /// How it was broken.
    pub(crate) how: String,
    /// The object or index; empty for the whole world.
    pub(crate) subject: String,
}

/// How often each case was reached, over many worlds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Coverage {
    /// By the state of the migration and the fate of its request.
    pub(crate) fates: BTreeMap<(&'static str, &'static str), u64>,
    /// Acts of users, the operator and the adversary.
    pub(crate) acts: BTreeMap<String, u64>,
    pub(crate) requests: u64,
}

impl Coverage {
    pub(crate) fn add(&mut self, other: Self) {
        other.fates.into_iter().for_each(|(key, count)| *self.fates.entry(key).or_default() += count);
        other.acts.into_iter().for_each(|(key, count)| *self.acts.entry(key).or_default() += count);
        self.requests += other.requests;
    }
}

/// The journal of one world.
#[derive(Debug)]
pub(crate) struct Journal {
    simulator: Simulator,
    /// Whether lines are kept. Without them worlds are faster; what happens is the same.
    is_told: bool,
    lines: Mutex<Vec<Line>>,
    broken: Mutex<Vec<Broken>>,
    coverage: Mutex<Coverage>,
}

impl Journal {
    pub(crate) fn new(simulator: Simulator, is_told: bool) -> Self {
        let (lines, broken, coverage) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { simulator, is_told, lines, broken, coverage }
    }

    /// Adds a line, if lines are kept.
    pub(crate) fn tell(&self, line: impl FnOnce() -> (About, String)) {
        if self.is_told {
            let (about, text) = line();
            lock(&self.lines).push(Line { at: self.simulator.now(), about, text });
        }
    }

    /// Counts an act of a user, the operator or the adversary, and adds its line.
    pub(crate) fn act(&self, name: &str, text: impl FnOnce() -> String) {
        self.count(name);
        self.simulator.record(name);
        self.tell(|| (About::Act, text()));
    }

    pub(crate) fn count(&self, name: &str) {
        *lock(&self.coverage).acts.entry(name.to_owned()).or_default() += 1;
    }

    pub(crate) fn fate(&self, state: &'static str, fate: &'static str) {
        let mut coverage = lock(&self.coverage);
        coverage.requests += 1;
        *coverage.fates.entry((state, fate)).or_default() += 1;
    }

    /// Records that a promise was broken. Only the first break of a promise for a subject counts.
    pub(crate) fn broken(&self, promise: &'static str, subject: impl Into<String>, how: impl Into<String>) {
        let broken = Broken { at: self.simulator.now(), promise, how: how.into(), subject: subject.into() };
        let mut all = lock(&self.broken);
        if !all.iter().any(|known| (known.promise, &known.subject) == (broken.promise, &broken.subject)) {
            all.push(broken);
        }
    }

    pub(crate) fn all_broken(&self) -> Vec<Broken> {
        lock(&self.broken).clone()
    }

    pub(crate) fn coverage(&self) -> Coverage {
        lock(&self.coverage).clone()
    }

    /// Returns the story of the broken promises: only lines about their subjects, steps of migrations and acts, unless
    /// `whole`.
    pub(crate) fn story(&self, whole: bool) -> String {
        let broken = self.all_broken();
        let subjects: BTreeSet<&str> = broken.iter().map(|broken| broken.subject.as_str()).collect();
        let group = |subject: &str| match subject.split_once(':') {
            Some(("vault", _)) => "-vaults".to_owned(),
            Some(("tally", _)) => "-tallies".to_owned(),
            Some(_) => "-connectors".to_owned(),
            None => subject.to_owned(),
        };
        let is_wanted = |about: &About| match about {
            _ if whole => true,
            About::Act => true,
            About::Names(names) => names.iter().any(|name| subjects.contains(name.as_str())),
            About::Migration(path) => {
                subjects.iter().any(|subject| path.contains(&group(subject)) || subject.is_empty())
            }
        };
        let mut story = String::new();
        for line in lock(&self.lines).iter().filter(|line| is_wanted(&line.about)) {
            let _ = writeln!(story, "{:>9.3} s  {}", line.at.as_secs_f64(), line.text);
        }
        for broken in &broken {
            let Broken { at, promise, how, subject } = broken;
            let _ = writeln!(story, "BROKEN at {:.3} s: {promise} ({subject})\n  {how}", at.as_secs_f64());
        }
        story
    }
}
