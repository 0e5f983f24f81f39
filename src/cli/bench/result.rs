use std::fmt;

use serde::Serialize;

/// What `bench --json` prints.
#[derive(Debug, Clone, Serialize)]
pub(super) struct BenchResult {
    pub(super) measure: String,
    /// The engine's median, in `unit`.
    pub(super) ours: f64,
    /// The raw loop's median, in `unit`.
    pub(super) raw: f64,
    /// 1 if the engine is as fast as the raw loop, more if it is faster.
    pub(super) ratio: f64,
    pub(super) unit: &'static str,
    /// How often each side was measured.
    pub(super) runs: usize,
    /// The largest resident memory of this process while the engine was measured, where the system tells it.
    pub(super) peak_rss_mb: Option<u64>,
    /// How many documents, or values, one run works on.
    pub(super) documents: usize,
}

impl fmt::Display for BenchResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { measure, ours, raw, ratio, unit, runs, documents, .. } = self;
        write!(f, "{measure}: {ours:.1} {unit}, raw {raw:.1} {unit}: ratio {ratio:.2}")?;
        write!(f, " (medians of {runs} runs of {documents}")?;
        match self.peak_rss_mb {
            Some(peak) => write!(f, "; peak resident {peak} MB)"),
            None => write!(f, ")"),
        }
    }
}

/// The middle of the values, or the mean of the middle two; 0 for none.
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
