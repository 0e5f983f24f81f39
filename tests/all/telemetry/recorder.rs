//! A recorder of metrics and a layer for spans that keep everything in memory, for one thread.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use tracing::span::{Attributes, Id};
use tracing::{Subscriber, field};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// A metric with its kind and the values of its labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) labels: Vec<(String, String)>,
}

/// The value of a series, and how often it moved.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Recorded {
    /// The sum of a counter, the latest value of a gauge, the sum of a histogram.
    pub(super) value: f64,
    pub(super) moves: u64,
}

/// What was recorded. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Recording {
    series: Arc<Mutex<BTreeMap<Series, Recorded>>>,
    described: Arc<Mutex<BTreeSet<String>>>,
}

impl Recording {
    pub(super) fn series(&self) -> BTreeMap<Series, Recorded> {
        self.series.lock().expect("no test panics with the lock").clone()
    }

    pub(super) fn described(&self) -> BTreeSet<String> {
        self.described.lock().expect("no test panics with the lock").clone()
    }

    /// Returns the sum of all series of a metric that have these labels.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |series: &Series, (label, value): &(&str, &str)| {
            series.labels.iter().any(|(its, its_value)| its == label && its_value == value)
        };
        let is_it = |series: &Series| series.name == name && labels.iter().all(|label| has(series, label));
        self.series().iter().filter(|(series, _)| is_it(series)).map(|(_, recorded)| recorded.value).sum()
    }

    fn of(&self, key: &Key, kind: &'static str) -> Arc<OfSeries> {
        let labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned())).collect();
        let series = Series { name: key.name().to_owned(), kind, labels };
        self.series.lock().expect("no test panics with the lock").entry(series.clone()).or_default();
        Arc::new(OfSeries { recording: self.clone(), series })
    }
}

struct OfSeries {
    recording: Recording,
    series: Series,
}

impl OfSeries {
    fn change(&self, moves: bool, change: impl FnOnce(&mut f64)) {
        let mut all = self.recording.series.lock().expect("no test panics with the lock");
        let recorded = all.entry(self.series.clone()).or_default();
        change(&mut recorded.value);
        recorded.moves += u64::from(moves);
    }
}

impl CounterFn for OfSeries {
    fn increment(&self, by: u64) {
        self.change(by > 0, |value| *value += by as f64);
    }

    fn absolute(&self, _: u64) {
        panic!("the library only increments");
    }
}

impl GaugeFn for OfSeries {
    fn increment(&self, by: f64) {
        self.change(true, |value| *value += by);
    }

    fn decrement(&self, by: f64) {
        self.change(true, |value| *value -= by);
    }

    fn set(&self, to: f64) {
        self.change(true, |value| *value = to);
    }
}

impl HistogramFn for OfSeries {
    fn record(&self, sample: f64) {
        self.change(true, |value| *value += sample);
    }
}

impl Recorder for Recording {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().expect("no test panics with the lock").insert(name.as_str().to_owned());
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, meaning: SharedString) {
        self.describe_counter(name, unit, meaning);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, meaning: SharedString) {
        self.describe_counter(name, unit, meaning);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.of(key, "Counter"))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.of(key, "Gauge"))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.of(key, "Histogram"))
    }
}

/// A span that was opened: its name and level, its fields with their values, and the name of the span that it is in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SeenSpan {
    pub(super) name: &'static str,
    pub(super) level: String,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) parent: Option<&'static str>,
}

/// The spans of the library that were opened. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Spans(Arc<Mutex<BTreeSet<SeenSpan>>>);

impl Spans {
    pub(super) fn seen(&self) -> BTreeSet<SeenSpan> {
        self.0.lock().expect("no test panics with the lock").clone()
    }
}

#[derive(Default)]
struct Fields(Vec<(&'static str, String)>);

impl field::Visit for Fields {
    fn record_debug(&mut self, field: &field::Field, value: &dyn fmt::Debug) {
        self.0.push((field.name(), format!("{value:?}")));
    }
}

impl<S> Layer<S> for Spans
where
    S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let metadata = attributes.metadata();
        if !metadata.target().starts_with("saved_objects") {
            return;
        }
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let parent = context.span(id).and_then(|span| Some(span.parent()?.name()));
        let level = metadata.level().as_str().to_owned();
        let seen = SeenSpan { name: metadata.name(), level, fields: fields.0, parent };
        self.0.lock().expect("no test panics with the lock").insert(seen);
    }
}
