//! Rounds of a benchmark: runs both sides in turns after a warm-up of each, and computes their medians.

use std::time::Duration;

use super::process;
use super::result::{BenchResult, median};
use crate::output::Output;
use saved_objects::Result;
use saved_objects::environment::Environment;

/// The side that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The engine.
    Ours,
    /// The same work without the engine.
    Raw,
}

/// The cost of one run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// The amount of work done, in the unit of the measure.
    done: usize,
    elapsed: Duration,
    /// Processor time of this process on all cores; `None` if the system does not report it.
    processor: Option<Duration>,
}

impl Run {
    /// Adds the cost of another part of the work on the same documents. The time between the parts does not count.
    pub(super) fn and_then(self, next: Self) -> Self {
        let processor = self.processor.zip(next.processor).map(|(first, second)| first + second);
        Self { done: self.done, elapsed: self.elapsed + next.elapsed, processor }
    }

    fn rate(self) -> f64 {
        self.done as f64 / self.elapsed.as_secs_f64()
    }

    fn processor_us(self) -> Option<f64> {
        Some(self.processor?.as_secs_f64() * 1e6 / self.done.max(1) as f64)
    }
}

/// Measures a run in progress.
pub(super) struct Stopwatch<'a> {
    environment: &'a Environment,
    began: Duration,
    processor: Option<Duration>,
}

impl<'a> Stopwatch<'a> {
    pub(super) fn start(environment: &'a Environment) -> Self {
        process::reset_peak();
        Self::go_on(environment)
    }

    /// Continues after a break in the same run.
    pub(super) fn go_on(environment: &'a Environment) -> Self {
        Self { environment, began: environment.clock().monotonic(), processor: process::processor_time() }
    }

    /// Ends the run, with the amount of work done in it.
    pub(super) fn stop(self, done: usize) -> Run {
        let elapsed = self.environment.clock().monotonic().saturating_sub(self.began);
        let processor = process::processor_time().zip(self.processor).map(|(now, then)| now.saturating_sub(then));
        Run { done, elapsed, processor }
    }
}

/// A measure in rates: more is better.
pub(super) struct Rounds {
    pub(super) measure: String,
    pub(super) unit: &'static str,
    /// How many times each side is measured, without the warm-up.
    pub(super) runs: usize,
    /// The amount of work in one run.
    pub(super) documents: usize,
    pub(super) output: Output,
}

impl Rounds {
    /// Calls `run` for each side in turns.
    pub(super) async fn measure(self, mut run: impl AsyncFnMut(Side) -> Result<Run>) -> Result<BenchResult> {
        let (mut ours, mut raw, mut peak) = (Vec::new(), Vec::new(), None);
        for round in 0..=self.runs {
            // The second side finds a server that was busy a moment ago, so the sides alternate in being first.
            let sides = if round % 2 == 0 { [Side::Ours, Side::Raw] } else { [Side::Raw, Side::Ours] };
            for side in sides {
                let run = run(side).await?;
                self.say(round, side, run);
                if side == Side::Ours {
                    peak = peak.max(process::peak_mb());
                }
                match side {
                    _ if round == 0 => {}
                    Side::Ours => ours.push(run),
                    Side::Raw => raw.push(run),
                }
            }
        }
        let rate = |runs: &[Run]| median(&runs.iter().map(|run| run.rate()).collect::<Vec<_>>());
        let processor = |runs: &[Run]| {
            let times: Option<Vec<f64>> = runs.iter().map(|run| run.processor_us()).collect();
            times.map(|times| median(&times))
        };
        Ok(BenchResult {
            measure: self.measure,
            ours: rate(&ours),
            raw: rate(&raw),
            ratio: rate(&ours) / rate(&raw),
            unit: self.unit,
            runs: self.runs,
            peak_rss_mb: peak,
            documents: self.documents,
            ours_processor_us: processor(&ours),
            raw_processor_us: processor(&raw),
            requests: None,
        })
    }

    fn say(&self, round: usize, side: Side, run: Run) {
        let name = if round == 0 { "warm-up" } else { "run" };
        let processor =
            run.processor_us().map_or_else(String::new, |us| format!(", {us:.1} µs of processor time each"));
        self.output.say(format!("{name}: {side:?} {:.0} {}{processor}", run.rate(), self.unit));
    }
}
