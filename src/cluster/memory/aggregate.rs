//! Aggregations over the documents that a search finds, in the form of the server's answers.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::document::Document;
use super::documents::Searched;
use super::field_value::{FieldType, FieldValue};
use super::mapping::Found;
use super::query::{Filter, Scope};
use super::query_json;
use super::refusals::Refused;
use crate::environment::iso_millis;

/// A found document, and the place of its index among those searched.
pub(super) type FoundDocument<'a> = (usize, &'a Document);

/// Aggregations by their names.
#[derive(Debug)]
pub(super) struct Aggregations(Vec<(String, Aggregation)>);

#[derive(Debug)]
struct Aggregation {
    kind: Kind,
    inner: Aggregations,
}

#[derive(Debug)]
enum Kind {
    Metric(Metric, Source),
    Terms(Source, usize),
    Histogram(Source, f64),
    DateRange(Source, Vec<DateBounds>),
    /// The filter as compiled for each of the indices.
    Filter(Vec<Filter>),
    Composite(Composite),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metric {
    Min,
    Max,
    Average,
    Sum,
    Count,
    Distinct,
}

/// A field whose values are aggregated.
#[derive(Debug)]
struct Source {
    path: String,
    /// `None` if no index maps the field.
    field_type: Option<FieldType>,
}

#[derive(Debug, Clone, Copy)]
struct DateBounds {
    from: Option<i64>,
    to: Option<i64>,
}

#[derive(Debug)]
struct Composite {
    size: usize,
    /// Each with its name, and whether documents without a value count under null.
    sources: Vec<(String, Source, bool)>,
    after: Option<Vec<SourceKey>>,
}

/// The value of a composite's source. `None` is a missing value, and comes first.
type SourceKey = Option<String>;

impl Aggregations {
    /// Compiles aggregations. Fails if a real server refuses them, or if the cluster in memory does not model them.
    pub(super) fn compile(json: &Map<String, Value>, searched: &[Searched], now: Timestamp) -> Result<Self, Refused> {
        let compile = |(name, json): (&String, &Value)| Ok((name.clone(), Aggregation::compile(json, searched, now)?));
        json.iter().map(compile).collect::<Result<_, Refused>>().map(Self)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the results by the names of the aggregations.
    pub(super) fn compute(&self, documents: &[FoundDocument<'_>]) -> Map<String, Value> {
        self.0.iter().map(|(name, aggregation)| (name.clone(), aggregation.compute(documents))).collect()
    }

    /// Returns a bucket of `documents` with the results in it.
    fn bucket(&self, mut bucket: Map<String, Value>, documents: &[FoundDocument<'_>]) -> Value {
        bucket.insert("doc_count".to_owned(), documents.len().into());
        bucket.extend(self.compute(documents));
        bucket.into()
    }
}

impl Aggregation {
    fn compile(json: &Value, searched: &[Searched], now: Timestamp) -> Result<Self, Refused> {
        let malformed = || Refused::from("an aggregation is malformed");
        let json = json.as_object().ok_or_else(malformed)?;
        let inner = json.get("aggs").map(|inner| inner.as_object().ok_or_else(malformed)).transpose()?;
        let inner = Aggregations::compile(inner.unwrap_or(&Map::new()), searched, now)?;
        let mut kinds = json.iter().filter(|(name, _)| *name != "aggs");
        let (Some((name, body)), None) = (kinds.next(), kinds.next()) else { return Err(malformed()) };
        let source = || Source::of(body, searched);
        let number = |key: &str| body.get(key).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
        let kind = match name.as_str() {
            "min" => Kind::Metric(Metric::Min, source()?.numeric(name)?),
            "max" => Kind::Metric(Metric::Max, source()?.numeric(name)?),
            "avg" => Kind::Metric(Metric::Average, source()?.numeric(name)?),
            "sum" => Kind::Metric(Metric::Sum, source()?.numeric(name)?),
            "value_count" => Kind::Metric(Metric::Count, source()?),
            "cardinality" => Kind::Metric(Metric::Distinct, source()?),
            "terms" => Kind::Terms(source()?, number("size").unwrap_or(10)),
            "histogram" => {
                let interval = body.get("interval").and_then(Value::as_f64).ok_or_else(malformed)?;
                if body.get("min_doc_count").and_then(Value::as_u64) != Some(1) {
                    return Err(Refused::unsupported("histograms with empty buckets"));
                }
                Kind::Histogram(source()?.numeric(name)?, interval)
            }
            "date_range" => {
                let source = source()?;
                if source.field_type.is_some_and(|field_type| field_type != FieldType::Date) {
                    return Err(Refused::unsupported("ranges of dates on fields of other types"));
                }
                let ranges = body.get("ranges").and_then(Value::as_array).ok_or_else(malformed)?;
                let mut ranges =
                    ranges.iter().map(|range| DateBounds::of(range, now)).collect::<Result<Vec<_>, _>>()?;
                let key = |bounds: &DateBounds| (bounds.from.unwrap_or(i64::MIN), bounds.to.unwrap_or(i64::MAX));
                ranges.sort_by_key(key);
                Kind::DateRange(source, ranges)
            }
            "filter" => {
                let query = query_json::parse(body)?;
                let compile = |searched: &Searched| Filter::compile(&query, Scope { mapping: &searched.mapping, now });
                Kind::Filter(searched.iter().map(compile).collect::<Result<_, _>>()?)
            }
            "composite" => Kind::Composite(Composite::of(body, searched)?),
            other => return Err(Refused::unsupported(format!("aggregations of the kind `{other}`"))),
        };
        Ok(Self { kind, inner })
    }

    fn compute(&self, documents: &[FoundDocument<'_>]) -> Value {
        match &self.kind {
            Kind::Metric(metric, source) => metric.compute(source, documents),
            Kind::Terms(source, size) => self.terms(source, *size, documents),
            Kind::Histogram(source, interval) => self.histogram(source, *interval, documents),
            Kind::DateRange(source, ranges) => {
                let bucket = |bounds: &DateBounds| {
                    let is_in = |document: &&FoundDocument<'_>| source.numbers(document).any(|at| bounds.contains(at));
                    let within: Vec<FoundDocument<'_>> = documents.iter().filter(is_in).copied().collect();
                    self.inner.bucket(bounds.to_json(), &within)
                };
                json!({ "buckets": ranges.iter().map(bucket).collect::<Vec<_>>() })
            }
            Kind::Filter(filters) => {
                let is_in = |(shard, document): &&FoundDocument<'_>| {
                    filters.get(*shard).is_some_and(|filter| filter.finds(document))
                };
                let within: Vec<FoundDocument<'_>> = documents.iter().filter(is_in).copied().collect();
                self.inner.bucket(Map::new(), &within)
            }
            Kind::Composite(composite) => self.composite(composite, documents),
        }
    }

    fn terms(&self, source: &Source, size: usize, documents: &[FoundDocument<'_>]) -> Value {
        let mut buckets: Vec<(&FieldValue, Vec<FoundDocument<'_>>)> = Vec::new();
        for document in documents {
            for value in source.distinct(document) {
                match buckets.iter_mut().find(|(key, _)| *key == value) {
                    Some((_, within)) => within.push(*document),
                    None => buckets.push((value, vec![*document])),
                }
            }
        }
        let order = |(key, within): &(&FieldValue, Vec<_>), (other, others): &(&FieldValue, Vec<_>)| {
            let by_key = || key.partial_cmp(other).unwrap_or(Ordering::Equal);
            others.len().cmp(&within.len()).then_with(by_key)
        };
        buckets.sort_by(order);
        let others: usize = buckets.iter().skip(size).map(|(_, within)| within.len()).sum();
        let bucket = |(key, within): &(&FieldValue, Vec<FoundDocument<'_>>)| self.inner.bucket(source.key(key), within);
        let buckets: Vec<Value> = buckets.iter().take(size).map(bucket).collect();
        json!({ "doc_count_error_upper_bound": 0, "sum_other_doc_count": others, "buckets": buckets })
    }

    fn histogram(&self, source: &Source, interval: f64, documents: &[FoundDocument<'_>]) -> Value {
        let mut buckets: Vec<(f64, Vec<FoundDocument<'_>>)> = Vec::new();
        for document in documents {
            let mut keys: Vec<f64> = source.numbers(document).map(|number| (number / interval).floor()).collect();
            keys.dedup();
            for key in keys {
                match buckets.iter_mut().find(|(other, _)| *other == key) {
                    // A document with several values in the interval counts once.
                    Some((_, within)) if within.last().is_some_and(|last| std::ptr::eq(last.1, document.1)) => {}
                    Some((_, within)) => within.push(*document),
                    None => buckets.push((key, vec![*document])),
                }
            }
        }
        buckets.sort_by(|(key, _), (other, _)| key.total_cmp(other));
        let bucket = |(key, within): &(f64, Vec<FoundDocument<'_>>)| {
            self.inner.bucket(source.numeric_key(key * interval), within)
        };
        json!({ "buckets": buckets.iter().map(bucket).collect::<Vec<_>>() })
    }

    fn composite(&self, composite: &Composite, documents: &[FoundDocument<'_>]) -> Value {
        let mut buckets: BTreeMap<Vec<SourceKey>, Vec<FoundDocument<'_>>> = BTreeMap::new();
        for document in documents {
            for key in composite.keys(document) {
                buckets.entry(key).or_default().push(*document);
            }
        }
        let named = |key: &[SourceKey]| -> Map<String, Value> {
            let names = composite.sources.iter().map(|(name, ..)| name.clone());
            names.zip(key.iter().map(|value| json!(value))).collect()
        };
        let is_after = |key: &Vec<SourceKey>| composite.after.as_ref().is_none_or(|after| key > after);
        let page: Vec<_> = buckets.iter().filter(|(key, _)| is_after(key)).take(composite.size).collect();
        let bucket = |(key, within): &(&Vec<SourceKey>, &Vec<FoundDocument<'_>>)| {
            self.inner.bucket(Map::from_iter([("key".to_owned(), named(key).into())]), within)
        };
        let mut answer = json!({ "buckets": page.iter().map(bucket).collect::<Vec<_>>() });
        if let Some((last, _)) = page.last() {
            answer["after_key"] = named(last).into();
        }
        answer
    }
}

impl Metric {
    fn compute(self, source: &Source, documents: &[FoundDocument<'_>]) -> Value {
        let numbers = || documents.iter().flat_map(|document| source.numbers(document));
        let values = || documents.iter().flat_map(|document| source.values(document));
        let sum = || numbers().sum::<f64>();
        let value = match self {
            Self::Count => return json!({ "value": values().count() }),
            Self::Distinct => {
                let mut distinct: Vec<&FieldValue> = Vec::new();
                values().for_each(|value| {
                    if !distinct.contains(&value) {
                        distinct.push(value);
                    }
                });
                return json!({ "value": distinct.len() });
            }
            Self::Min => numbers().reduce(f64::min),
            Self::Max => numbers().reduce(f64::max),
            Self::Sum => Some(sum()),
            Self::Average => match numbers().count() {
                0 => None,
                count => Some(sum() / count as f64),
            },
        };
        let mut answer = Map::from_iter([("value".to_owned(), json!(value))]);
        if let (Some(value), Some(FieldType::Date)) = (value, source.field_type) {
            answer.insert("value_as_string".to_owned(), iso(value as i64).into());
        }
        answer.into()
    }
}

impl Source {
    fn of(body: &Value, searched: &[Searched]) -> Result<Self, Refused> {
        let path = body.get("field").and_then(Value::as_str).ok_or("an aggregation names no field")?;
        if let Some(odd) =
            body.as_object().into_iter().flat_map(Map::keys).find(|key| !PARAMETERS.contains(&key.as_str()))
        {
            return Err(Refused::unsupported(format!("the parameter `{odd}` of an aggregation")));
        }
        let mut field_type = None;
        for searched in searched {
            field_type = field_type.or(ordered_type(path, searched)?);
        }
        Ok(Self { path: path.to_owned(), field_type })
    }

    /// Returns this source, unless its values are no numbers.
    fn numeric(self, aggregation: &str) -> Result<Self, Refused> {
        match self.field_type {
            Some(field_type @ (FieldType::Keyword | FieldType::Flattened | FieldType::Binary)) => Err(format!(
                "Field [{}] of type [{}] is not supported for aggregation [{aggregation}]",
                self.path,
                field_type.name()
            )
            .into()),
            _ => Ok(self),
        }
    }

    fn values<'a>(&self, (_, document): &FoundDocument<'a>) -> &'a [FieldValue] {
        match self.field_type {
            Some(_) => document.fields.values(&self.path),
            None => &[],
        }
    }

    /// Returns each value of the document once.
    fn distinct<'a>(&self, document: &FoundDocument<'a>) -> Vec<&'a FieldValue> {
        let mut distinct: Vec<&FieldValue> = Vec::new();
        for value in self.values(document) {
            if !distinct.contains(&value) {
                distinct.push(value);
            }
        }
        distinct
    }

    fn numbers<'a>(&self, document: &FoundDocument<'a>) -> impl Iterator<Item = f64> + use<'a> {
        self.values(document).iter().filter_map(|value| match value {
            FieldValue::Whole(whole) => Some(*whole as f64),
            FieldValue::Fraction(fraction) => Some(*fraction),
            FieldValue::Text(_) | FieldValue::Words(_) => None,
        })
    }

    /// Returns the key of a bucket, with its text if the server adds one.
    fn key(&self, value: &FieldValue) -> Map<String, Value> {
        let key = match value {
            FieldValue::Text(text) => json!(text),
            FieldValue::Words(words) => json!(words),
            FieldValue::Whole(whole) => json!(whole),
            FieldValue::Fraction(fraction) => json!(fraction),
        };
        let text = match (self.field_type, value) {
            (Some(FieldType::Date), FieldValue::Whole(at)) => Some(iso(*at)),
            (Some(FieldType::Boolean), FieldValue::Whole(boolean)) => Some((*boolean != 0).to_string()),
            _ => None,
        };
        let text = text.map(|text| ("key_as_string".to_owned(), Value::from(text)));
        [("key".to_owned(), key)].into_iter().chain(text).collect()
    }

    fn numeric_key(&self, number: f64) -> Map<String, Value> {
        let text = (self.field_type == Some(FieldType::Date)).then(|| iso(number as i64));
        let text = text.map(|text| ("key_as_string".to_owned(), Value::from(text)));
        [("key".to_owned(), json!(number))].into_iter().chain(text).collect()
    }
}

/// The parameters of an aggregation that are modelled.
const PARAMETERS: &[&str] = &["field", "size", "interval", "min_doc_count", "ranges", "missing_bucket"];

/// Returns the type of a field by which documents can be sorted and aggregated, or `None` if there is no such field.
///
/// # Errors
/// The server's refusal if the field keeps no values for that.
pub(super) fn ordered_type(path: &str, searched: &Searched) -> Result<Option<FieldType>, Refused> {
    match searched.mapping.find(path) {
        Found::Leaf(leaf) | Found::Key(leaf) if leaf.has_doc_values() => Ok(Some(leaf.field_type)),
        Found::Leaf(leaf) | Found::Key(leaf) if leaf.field_type == FieldType::Text => Err(format!(
            "Fielddata is disabled on [{path}] in [{}]. Text fields are not optimised for operations that require \
             per-document field data like aggregations and sorting, so these operations are disabled by default. Please \
             use a keyword field instead.",
            searched.index
        )
        .into()),
        Found::Leaf(leaf) | Found::Key(leaf) => Err(format!(
            "Can't load fielddata on [{path}] because fielddata is unsupported on fields of type [{}]. Use doc values \
             instead.",
            leaf.field_type.name()
        )
        .into()),
        Found::Object | Found::Nothing => Ok(None),
    }
}

impl DateBounds {
    fn of(range: &Value, now: Timestamp) -> Result<Self, Refused> {
        let bound = |name: &str| match range.get(name).filter(|bound| !bound.is_null()) {
            None => Ok::<_, Refused>(None),
            Some(bound) => match FieldType::Date.of_query(bound, now).map_err(Refused::before_the_query)? {
                (FieldValue::Whole(first), _) => Ok(Some(first)),
                _ => Ok(None),
            },
        };
        Ok(Self { from: bound("from")?, to: bound("to")? })
    }

    fn contains(self, at: f64) -> bool {
        self.from.is_none_or(|from| at >= from as f64) && self.to.is_none_or(|to| at < to as f64)
    }

    fn to_json(self) -> Map<String, Value> {
        let shown = |bound: Option<i64>| bound.map_or_else(|| "*".to_owned(), iso);
        let mut json =
            Map::from_iter([("key".to_owned(), Value::from(format!("{}-{}", shown(self.from), shown(self.to))))]);
        for (name, bound) in [("from", self.from), ("to", self.to)] {
            if let Some(bound) = bound {
                json.insert(name.to_owned(), json!(bound as f64));
                json.insert(format!("{name}_as_string"), iso(bound).into());
            }
        }
        json
    }
}

impl Composite {
    fn of(body: &Value, searched: &[Searched]) -> Result<Self, Refused> {
        let malformed = || Refused::from("a composite aggregation is malformed");
        let mut sources = Vec::new();
        for source in body.get("sources").and_then(Value::as_array).ok_or_else(malformed)? {
            for (name, source) in source.as_object().ok_or_else(malformed)? {
                let Some(terms) = source.get("terms") else {
                    return Err(Refused::unsupported("composite aggregations of other sources than terms"));
                };
                let of_terms = Source::of(terms, searched)?;
                if of_terms.field_type.is_some_and(|field_type| field_type != FieldType::Keyword) {
                    return Err(Refused::unsupported("composite aggregations of other fields than keywords"));
                }
                sources.push((name.clone(), of_terms, terms.get("missing_bucket") == Some(&Value::Bool(true))));
            }
        }
        let size = body.get("size").map_or(Some(10), Value::as_u64).and_then(|size| usize::try_from(size).ok());
        let text = |after: &Value, name: &str| after.get(name).and_then(Value::as_str).map(str::to_owned);
        let after = body.get("after").map(|after| sources.iter().map(|(name, ..)| text(after, name)).collect());
        Ok(Self { size: size.ok_or_else(malformed)?, sources, after })
    }

    /// Returns the keys of the buckets that a document is in: every combination of its values.
    fn keys(&self, document: &FoundDocument<'_>) -> Vec<Vec<SourceKey>> {
        let mut keys = vec![Vec::new()];
        for (_, source, counts_missing) in &self.sources {
            let text = |value: &&FieldValue| match value {
                FieldValue::Text(text) => Some(Some(text.clone())),
                _ => None,
            };
            let mut values: Vec<SourceKey> = source.distinct(document).iter().filter_map(text).collect();
            if values.is_empty() && *counts_missing {
                values.push(None);
            }
            let with = |key: &Vec<SourceKey>| -> Vec<Vec<SourceKey>> {
                values.iter().map(|value| key.iter().chain([value]).cloned().collect()).collect()
            };
            keys = keys.iter().flat_map(with).collect();
        }
        keys
    }
}

/// Returns milliseconds since 1970 as the server formats dates.
fn iso(millis: i64) -> String {
    Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), iso_millis)
}
