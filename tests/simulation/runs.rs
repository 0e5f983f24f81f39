//! Runs worlds on two threads, and reports those in which a promise was broken, and the coverage.

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use saved_objects::migrate::State;

use crate::executor::lock;
use crate::journal::Coverage;
use crate::profile::Profile;
use crate::weather::Fate;
use crate::world;
use crate::{model, operator};

/// The variable that replays a seed (`7`) or tries others (`100..300`).
const VARIABLE: &str = "SAVED_OBJECTS_SIMULATION_SEED";
/// The seeds of the ordinary run.
const USUAL: Range<u64> = 1..3_001;
/// The number of seeds that run twice and must give the same trace.
const TWICE: u64 = 100;
const THREADS: usize = 2;
/// Acts of users and of the adversary that the ordinary run must have.
const ACTS: [&str; 34] = [
    "a bad document",
    "stall",
    "kill",
    "foreign indices",
    "start Migrate",
    "start WaitOnly",
    "start Skip",
    "start migrated",
    "start waited",
    "start found nothing to do",
    "start failed",
    "roll back: RolledBack",
    "drop old: Dropped",
    "rotate keys: done",
    "an alias was moved by hand",
    "create",
    "create without an id",
    "create many",
    "read",
    "read with secrets",
    "update",
    "update a version",
    "delete",
    "delete a version",
    "claim",
    "import",
    "ask for a token",
    "refresh",
    "authorize a connector",
    "put aside: Migrated",
    "a document was brought back",
    "a bad document is in quarantine",
    "a key can be removed",
    "a kept generation was restored",
];
/// The number of promises whose first story is printed.
const MAX_STORIES: usize = 8;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Order {
    profile: String,
    seeds: Range<u64>,
    is_usual: bool,
    until: Option<Duration>,
    /// Whether seeds run twice, to check that they give the same trace.
    twice: bool,
    story: bool,
    whole: bool,
}

impl Order {
    pub(crate) fn from_args() -> Result<Self, String> {
        let mut order = Self {
            profile: Profile::MIXED.to_owned(),
            seeds: USUAL,
            is_usual: true,
            until: None,
            twice: true,
            story: false,
            whole: false,
        };
        let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
        if let Ok(text) = std::env::var(VARIABLE) {
            (order.is_usual, order.twice) = (false, false);
            order.seeds = match text.split_once("..") {
                Some((first, end)) => number(first)?..number(end)?,
                None => number(&text)?..number(&text)? + 1,
            };
        }
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--profile" => {
                    order.profile = value()?;
                    (order.is_usual, order.twice) = (false, false);
                    if !Profile::NAMES.contains(&order.profile.as_str()) {
                        return Err(format!("there are the profiles {:?}", Profile::NAMES));
                    }
                }
                "--hours" => {
                    let hours: f64 = value()?.parse().map_err(|error| format!("--hours: {error}"))?;
                    order.until = Some(Duration::from_secs_f64(hours * 3_600.0));
                    order.seeds.end = u64::MAX;
                    (order.is_usual, order.twice) = (false, false);
                }
                "--twice" => {
                    order.seeds = 0..0;
                    order.twice = true;
                    order.is_usual = false;
                }
                "--story" => order.story = true,
                "--whole" => (order.story, order.whole) = (true, true),
                // Arguments that `cargo test` passes to every test.
                other => return Err(format!("unknown argument {other:?}")),
            }
        }
        Ok(order)
    }
}

/// The sums over many worlds.
#[derive(Debug, Default)]
struct Sum {
    worlds: u64,
    coverage: Coverage,
    /// The seeds in which each promise was broken.
    broken: BTreeMap<&'static str, Vec<u64>>,
    failed: Vec<u64>,
}

pub(crate) fn run(order: &Order) -> ExitCode {
    let begun = Instant::now();
    let next = AtomicU64::new(order.seeds.start);
    let sum = Mutex::new(Sum::default());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let is_late = order.until.is_some_and(|until| begun.elapsed() > until);
                    if seed >= order.seeds.end || is_late {
                        return;
                    }
                    one(order, seed, &sum);
                }
            });
        }
    });
    let mut sum = sum.into_inner().expect("not poisoned");
    let mut passed = sum.worlds - sum.failed.len() as u64;
    let mut failed = sum.failed.len() as u64;
    println!("{} worlds of {} in {:.1?}", sum.worlds, order.profile, begun.elapsed());
    print_coverage(&sum.coverage);
    for (promise, seeds) in &mut sum.broken {
        seeds.sort_unstable();
        let first: Vec<_> = seeds.iter().take(8).collect();
        println!("broken in {} worlds: {promise}: {first:?}", seeds.len());
    }
    if order.is_usual {
        for missed in missed(&sum.coverage) {
            println!("not covered: {missed}");
            failed += 1;
        }
    }
    if order.twice {
        let wrong = unlike().map(|seed| format!("seed {seed} went another way when it was run again"));
        for wrong in wrong.into_iter().chain(model::tests()) {
            println!("{wrong}");
            failed += 1;
        }
        passed += u64::from(failed == 0);
    }
    println!("test result: {}. {passed} passed; {failed} failed", if failed == 0 { "ok" } else { "FAILED" });
    println!("{passed} passed, {failed} failed, 0 skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(order: &Order, seed: u64, sum: &Mutex<Sum>) {
    let mut ended = world::run(&order.profile, seed, order.story, order.whole);
    let is_broken = !ended.broken.is_empty();
    let is_new = {
        let mut sum = lock(sum);
        sum.worlds += 1;
        sum.coverage.add(std::mem::take(&mut ended.coverage));
        let mut is_new = false;
        for broken in &ended.broken {
            let seeds = sum.broken.entry(broken.promise).or_default();
            is_new |= seeds.is_empty();
            if !seeds.contains(&seed) {
                seeds.push(seed);
            }
        }
        if is_broken {
            sum.failed.push(seed);
        }
        is_new && sum.broken.len() <= MAX_STORIES
    };
    // Without the story a world does the same, faster.
    let again = (is_new && !order.story).then(|| world::run(&order.profile, seed, true, order.whole));
    let story = again.map_or(ended.story, |again| again.story);
    if is_broken || order.story {
        let _whole_story = lock(sum);
        if !story.is_empty() {
            println!("--- seed {seed} of {} ---\n{story}", order.profile);
        }
    }
    if is_broken && is_new {
        println!("failed with seed {seed}; {VARIABLE}={seed} replays it (--profile {})\n", order.profile);
    }
}

/// Returns a seed whose second run gives another trace, if there is one.
fn unlike() -> Option<u64> {
    let hash = |seed| world::run(Profile::MIXED, seed, false, false).trace_hash;
    (1..=TWICE).find(|&seed| hash(seed) != hash(seed))
}

fn print_coverage(coverage: &Coverage) {
    println!("{} requests; by state of the migration and fate:", coverage.requests);
    println!("{:18}{}", "", Fate::NAMES.map(|name| format!("{name:>13}")).concat());
    for state in ["-", "planning"].into_iter().chain(State::NAMES.iter().copied()) {
        let counts = Fate::NAMES.map(|fate| coverage.fates.get(&(state, fate)).copied().unwrap_or_default());
        println!("{state:18}{}", counts.map(|count| format!("{count:>13}")).concat());
    }
    let acts: Vec<String> = coverage.acts.iter().map(|(name, count)| format!("{name}: {count}")).collect();
    println!("{}", acts.join(" · "));
}

/// Returns what the ordinary run must reach and has not reached.
fn missed(coverage: &Coverage) -> Vec<String> {
    let mut missed = Vec::new();
    for &state in State::NAMES {
        for fate in Fate::NAMES {
            // Only bulks of several documents are cut.
            let has_bulks = matches!(state, "convert" | "fill");
            if (fate != "cut" || has_bulks) && !coverage.fates.contains_key(&(state, fate)) {
                missed.push(format!("{fate} in {state}"));
            }
        }
        // A state that ends has sent everything.
        for act in ["stalled", "killed"].map(|act| format!("{act} in {state}")) {
            if !coverage.acts.contains_key(&act) {
                missed.push(act);
            }
        }
    }
    let acts = operator::ACTS.iter().chain(&ACTS).copied();
    missed.extend(acts.filter(|act| !coverage.acts.contains_key(*act)).map(str::to_owned));
    missed
}
