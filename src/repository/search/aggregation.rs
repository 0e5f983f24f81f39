//! Aggregations: what a search computes over all objects that it finds.

use serde_json::{Map, Value, json};

use super::compared_names::{self, ComparedNames};
use super::filter::{Field, Filter};
use super::searchable::Use;
use crate::cluster::Query;
use crate::registry::TypeDefinition;
use crate::{Error, Result};

/// The largest number of levels of aggregations within aggregations.
const MAX_DEPTH: usize = 5;
/// The largest number of buckets of one aggregation by value.
const MAX_BUCKETS: u32 = 10_000;

/// A computation over all objects that a search finds, from a safe list: it runs no script and sees no object that the
/// search does not find.
///
/// ```
/// # use saved_objects::repository::{Aggregation, Find, RootField};
/// let by_state = Aggregation::by_value("state", 10).with("newest", Aggregation::max(RootField::UpdatedAt));
/// let request = Find::new().per_page(0).aggregation("states", by_state);
/// ```
///
/// The result is in [`Found::aggregations`](crate::repository::Found::aggregations) as Elasticsearch returns it:
/// `buckets` with `key` and `doc_count`, or `value`.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregation {
    kind: Kind,
    inner: Vec<(String, Aggregation)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Metric(&'static str, Field),
    ByValue(Field, u32),
    ByInterval(Field, f64),
    ByDates(Field, Vec<Bounds>),
    Fitting(Filter),
}

/// A span of time between two moments, in ISO 8601 or Elasticsearch's date mathematics (`now-7d`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bounds {
    /// The first moment of the span. Without it the span has no beginning.
    pub from: Option<String>,
    /// The first moment after the span. Without it the span has no end.
    pub to: Option<String>,
}

impl Aggregation {
    /// Computes the smallest value.
    pub fn min(field: impl Into<Field>) -> Self {
        Self::metric("min", field)
    }

    /// Computes the largest value.
    pub fn max(field: impl Into<Field>) -> Self {
        Self::metric("max", field)
    }

    /// Computes the mean of all values.
    pub fn average(field: impl Into<Field>) -> Self {
        Self::metric("avg", field)
    }

    /// Computes the sum of all values.
    pub fn sum(field: impl Into<Field>) -> Self {
        Self::metric("sum", field)
    }

    /// Counts the values.
    pub fn count(field: impl Into<Field>) -> Self {
        Self::metric("value_count", field)
    }

    /// Counts the different values, approximately.
    pub fn distinct(field: impl Into<Field>) -> Self {
        Self::metric("cardinality", field)
    }

    /// Divides the objects by the value of the field: one bucket for each of the `size` most frequent values, at most
    /// 10,000.
    pub fn by_value(field: impl Into<Field>, size: u32) -> Self {
        Self::of(Kind::ByValue(field.into(), size))
    }

    /// Divides the objects by the value of a number, into buckets that are `interval` wide.
    pub fn by_interval(field: impl Into<Field>, interval: f64) -> Self {
        Self::of(Kind::ByInterval(field.into(), interval))
    }

    /// Divides the objects by spans of time.
    pub fn by_dates(field: impl Into<Field>, spans: impl IntoIterator<Item = Bounds>) -> Self {
        Self::of(Kind::ByDates(field.into(), spans.into_iter().collect()))
    }

    /// Selects the objects found that also match a filter.
    pub fn fitting(filter: Filter) -> Self {
        Self::of(Kind::Fitting(filter))
    }

    /// Computes `inner` for each bucket.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, inner: Self) -> Self {
        self.inner.push((name.into(), inner));
        self
    }

    fn metric(name: &'static str, field: impl Into<Field>) -> Self {
        Self::of(Kind::Metric(name, field.into()))
    }

    fn of(kind: Kind) -> Self {
        Self { kind, inner: Vec::new() }
    }

    /// Adds the names of namespaces that objects of `types` are compared with.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) if it would reveal other names.
    pub(in crate::repository) fn add_compared_names(&self, types: &[&str], names: &mut ComparedNames) -> Result<()> {
        match &self.kind {
            Kind::Metric(_, field) | Kind::ByValue(field, _) | Kind::ByInterval(field, _) | Kind::ByDates(field, _) => {
                if field.is_namespaces() {
                    return Err(compared_names::telling("objects must not be aggregated by"));
                }
            }
            Kind::Fitting(filter) => filter.add_compared_names(types, names)?,
        }
        self.inner.iter().try_for_each(|(_, inner)| inner.add_compared_names(types, names))
    }

    /// Adds the queries of its filters.
    pub(in crate::repository) fn add_queries(&self, definitions: &[&TypeDefinition], queries: &mut Vec<Query>) {
        if let Kind::Fitting(filter) = &self.kind {
            queries.extend(definitions.iter().filter_map(|definition| filter.compile(definition).ok()));
        }
        self.inner.iter().for_each(|(_, inner)| inner.add_queries(definitions, queries));
    }

    fn compile(&self, definitions: &[&TypeDefinition], depth: usize) -> Result<Value> {
        let path = |field: &Field| path(field, definitions);
        let (name, body) = match &self.kind {
            Kind::Metric(name, _) if !self.inner.is_empty() => {
                return Err(Error::invalid(
                    format!("the aggregation {name} has no buckets to aggregate in"),
                    "put it inside of the other one",
                ));
            }
            Kind::Metric(name, field) => (*name, json!({ "field": path(field)? })),
            Kind::ByValue(field, size) if (1..=MAX_BUCKETS).contains(size) => {
                ("terms", json!({ "field": path(field)?, "size": size }))
            }
            Kind::ByValue(field, size) => {
                return Err(Error::invalid(
                    format!("{size} values of {field} cannot be asked for"),
                    format!("ask for 1 to {MAX_BUCKETS}"),
                ));
            }
            Kind::ByInterval(field, interval) if interval.is_finite() && *interval > 0.0 => {
                ("histogram", json!({ "field": path(field)?, "interval": interval, "min_doc_count": 1 }))
            }
            Kind::ByInterval(field, _) => {
                return Err(Error::invalid(format!("the interval of {field} is not a width"), "give one above 0"));
            }
            Kind::ByDates(field, spans) => {
                let span = |span: &Bounds| {
                    let bounds = [("from", &span.from), ("to", &span.to)];
                    let bound = |(name, bound): (&str, &Option<String>)| {
                        Some((name.to_owned(), Value::from(bound.as_deref()?)))
                    };
                    Value::Object(bounds.into_iter().filter_map(bound).collect())
                };
                let spans: Vec<_> = spans.iter().map(span).collect();
                ("date_range", json!({ "field": path(field)?, "ranges": spans }))
            }
            Kind::Fitting(filter) => {
                let of_type = |definition: &&TypeDefinition| {
                    let is_type = Query::equals("type", definition.name());
                    Ok(Query::And(vec![is_type, filter.compile(definition)?]))
                };
                ("filter", Query::Or(definitions.iter().map(of_type).collect::<Result<_>>()?).to_json())
            }
        };
        let mut compiled = json!({ name: body });
        if !self.inner.is_empty() {
            compiled["aggs"] = compile_all(&self.inner, definitions, depth + 1)?.into();
        }
        Ok(compiled)
    }
}

/// Returns the aggregations in Elasticsearch's language.
pub(in crate::repository) fn compile_all(
    aggregations: &[(String, Aggregation)],
    definitions: &[&TypeDefinition],
    depth: usize,
) -> Result<Map<String, Value>> {
    if depth > MAX_DEPTH {
        return Err(Error::invalid("aggregations are nested too deep", format!("nest at most {MAX_DEPTH}")));
    }
    let mut compiled = Map::new();
    for (name, aggregation) in aggregations {
        if name.is_empty() || name.contains(['[', ']', '>']) {
            return Err(Error::invalid(format!("an aggregation cannot be called {name:?}"), "use letters and digits"));
        }
        let body = aggregation.compile(definitions, depth).map_err(|error| error.context(name))?;
        if compiled.insert(name.clone(), body).is_some() {
            return Err(Error::invalid(format!("two aggregations are called {name:?}"), "rename one"));
        }
    }
    Ok(compiled)
}

/// Returns the full path of a field. The server must be able to sort by it.
fn path(field: &Field, definitions: &[&TypeDefinition]) -> Result<String> {
    match (field, definitions) {
        (Field::Attribute(path), [_, _, ..]) => Err(Error::invalid(
            format!("objects of several types cannot be aggregated by the attribute {path:?}"),
            "aggregate by a root field, or ask for one type",
        )),
        (field, [definition, ..]) => field.path(definition, Use::Sort),
        (Field::Root(field), []) => Ok(field.as_str().to_owned()),
        (Field::Attribute(path), []) => {
            Err(Error::invalid(format!("no type is named that has the attribute {path:?}"), "name one"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::testing::{note, read, version};
    use crate::repository::RootField;

    fn compile(aggregation: Aggregation) -> Result<Value> {
        let definition = read(&note(json!({})), &[version(json!({}))]).expect("fine");
        aggregation.compile(&[&definition], 0)
    }

    #[test]
    fn aggregations_are_compiled_to_elasticsearchs_language() {
        let week = Bounds { from: Some("now-7d".to_owned()), to: None };
        let table = [
            (Aggregation::count("title"), json!({"value_count": {"field": "note.title"}})),
            (
                Aggregation::by_value("title", 3).with("newest", Aggregation::max(RootField::UpdatedAt)),
                json!({"terms": {"field": "note.title", "size": 3}, "aggs": {"newest": {"max": {"field": "updated_at"}}}}),
            ),
            (
                Aggregation::by_dates(RootField::CreatedAt, [week]),
                json!({"date_range": {"field": "created_at", "ranges": [{"from": "now-7d"}]}}),
            ),
            (
                Aggregation::by_interval("title", 5.0),
                json!({"histogram": {"field": "note.title", "interval": 5.0, "min_doc_count": 1}}),
            ),
        ];
        for (aggregation, expected) in table {
            assert_eq!(compile(aggregation).expect("fine"), expected);
        }
        let fitting = compile(Aggregation::fitting(Filter::equals("title", "t"))).expect("fine");
        assert!(fitting["filter"].to_string().contains("note.title"), "{fitting}");
    }

    #[test]
    fn aggregations_outside_the_safe_list_are_refused() {
        let mut deep = Aggregation::count("title");
        for _ in 0..=MAX_DEPTH {
            deep = Aggregation::by_value("title", 1).with("inner", deep);
        }
        for aggregation in [
            deep,
            Aggregation::count("body"),
            Aggregation::count("nothing"),
            Aggregation::by_value("title", 0),
            Aggregation::by_value("title", MAX_BUCKETS + 1),
            Aggregation::by_interval("title", 0.0),
            Aggregation::by_interval("title", f64::NAN),
            Aggregation::count("title").with("inner", Aggregation::count("title")),
            Aggregation::by_value("title", 1).with("a>b", Aggregation::count("title")),
        ] {
            let error = compile(aggregation.clone()).expect_err("refused");
            assert!(error.hint().is_some(), "{aggregation:?}: {error}");
        }
    }
}
