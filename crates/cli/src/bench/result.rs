//! The result of a benchmark.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// The document that `bench --json` prints.
#[derive(Debug, Clone, Serialize)]
pub(super) struct BenchResult {
    pub(super) measure: String,
    /// The engine's median, in `unit`.
    pub(super) ours: f64,
    /// The raw loop's median, in `unit`.
    pub(super) raw: f64,
    /// 1 if the engine is as fast as the raw loop; more if it is faster.
    pub(super) ratio: f64,
    pub(super) unit: &'static str,
    /// How many times each side was measured.
    pub(super) runs: usize,
    /// The peak resident memory of this process while the engine was measured, if the system reports it.
    pub(super) peak_rss_mb: Option<u64>,
    /// The number of documents, or values, in one run.
    pub(super) documents: usize,
    /// Processor time of this process per document or request on the engine's side, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ours_processor_us: Option<f64>,
    /// The same for the raw side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) raw_processor_us: Option<f64>,
    /// The number of requests that the engine makes for each operation, if that is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) requests: Option<BTreeMap<&'static str, f64>>,
}

impl fmt::Display for BenchResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { measure, ours, raw, ratio, unit, runs, documents, .. } = self;
        write!(f, "{measure}: {ours:.1} {unit}, raw {raw:.1} {unit}: ratio {ratio:.2}")?;
        write!(f, " (medians of {runs} runs of {documents}")?;
        if let (Some(ours), Some(raw)) = (self.ours_processor_us, self.raw_processor_us) {
            write!(f, "; {ours:.1} µs of processor time each, raw {raw:.1} µs")?;
        }
        if let Some(peak) = self.peak_rss_mb {
            write!(f, "; peak resident {peak} MB")?;
        }
        for (operation, requests) in self.requests.iter().flatten() {
            write!(f, "; {requests:.2} requests a {operation}")?;
        }
        write!(f, ")")
    }
}

/// Returns the middle value, or the mean of the middle two; 0 if there are no values.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    if sorted.len() % 2 == 1 {
        return upper;
    }
    let lower = (sorted.len() / 2).checked_sub(1).and_then(|index| sorted.get(index)).copied();
    (lower.unwrap_or_default() + upper) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        let table: [(&[f64], f64); 4] =
            [(&[], 0.0), (&[3.0], 3.0), (&[9.0, 1.0, 4.0], 4.0), (&[9.0, 1.0, 4.0, 2.0], 3.0)];
        for (values, expected) in table {
            assert!((median(values) - expected).abs() < f64::EPSILON, "{values:?}");
        }
    }
}
