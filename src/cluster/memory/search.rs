//! Searches: the matching documents in order, one page at a time.

use std::cmp::Ordering;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::aggregate::{Aggregations, FoundDocument, ordered_type};
use super::document::Document;
use super::documents::Searched;
use super::field_value::{FieldType, FieldValue};
use super::query::{Filter, SEQ_NO, Scope};
use super::refusals::Refused;
use super::relevance::Relevance;
use crate::cluster::{Direction, Page, SCORE, Search, SearchIn, Sort};

/// The largest sum of `from` and `size`.
const MAX_RESULT_WINDOW: u64 = 10_000;

/// One page of the matches of a search, in order.
pub(super) struct Matches<'a> {
    pub(super) entries: Vec<Entry<'a>>,
    pub(super) total: u64,
    pub(super) aggregations: Map<String, Value>,
}

/// Returns a page of a search. Fails if a real server refuses the search, or if the cluster in memory does not model
/// it.
pub(super) fn search(searched: &[Searched], request: &Search, now: Timestamp) -> Result<Page, Refused> {
    let found = find(searched, request, now)?;
    Ok(Page {
        last_sort: found.entries.last().map(Entry::sort_json).filter(|sort| !sort.is_empty()),
        hits: found.entries.iter().map(|entry| entry.document.to_hit(entry.index)).collect(),
        total: request.count_total.then_some(found.total),
        point_in_time: match &request.within {
            SearchIn::Index(_) => None,
            SearchIn::PointInTime(point_in_time) => Some(point_in_time.clone()),
        },
        aggregations: found.aggregations,
    })
}

/// Returns the matches of a search. Fails if a real server refuses it, or if the cluster in memory does not model it.
pub(super) fn find<'a>(searched: &'a [Searched], request: &Search, now: Timestamp) -> Result<Matches<'a>, Refused> {
    check(request)?;
    let order = Order::of(request, searched)?;
    let aggregations = Aggregations::compile(&request.aggregations, searched, now)?;
    let after = request.after.as_deref().map(|after| order.after(after)).transpose()?;
    let mut found = Vec::new();
    for (shard, searched) in searched.iter().enumerate() {
        let filter = Filter::compile(&request.query, Scope { mapping: &searched.mapping, now })?;
        let relevance = order.is_by_score().then(|| Relevance::of(&filter, &searched.documents));
        for (place, document) in searched.documents.iter().enumerate() {
            let is_in_slice =
                request.slice.is_none_or(|slice| place as u64 % u64::from(slice.max) == u64::from(slice.id));
            if is_in_slice && filter.finds(document) {
                let position = ((shard as i64) << 32) | place as i64;
                // The server computes in 32 bits.
                let score = relevance.as_ref().map(|relevance| f64::from(relevance.score(&filter, document) as f32));
                let sort = order.values(document, position, score);
                found.push(Entry { sort, is_shown: order.is_shown, shard, index: &searched.index, document });
            }
        }
    }
    let total = found.len() as u64;
    let of_entry = |entry: &Entry<'a>| -> FoundDocument<'a> { (entry.shard, entry.document) };
    let aggregations = match aggregations.is_empty() {
        true => Map::new(),
        false => aggregations.compute(&found.iter().map(of_entry).collect::<Vec<_>>()),
    };
    if let Some(after) = &after {
        found.retain(|entry| order.compare(&entry.sort, after) == Ordering::Greater);
    }
    found.sort_by(|a, b| order.compare(&a.sort, &b.sort));
    let entries = found.into_iter().skip(request.from as usize).take(request.size as usize).collect();
    Ok(Matches { entries, total, aggregations })
}

fn check(request: &Search) -> Result<(), Refused> {
    let is_on_index = matches!(request.within, SearchIn::Index(_));
    if u64::from(request.from) + u64::from(request.size) > MAX_RESULT_WINDOW {
        return Err(format!(
            "Result window is too large, from + size must be less than or equal to: [{MAX_RESULT_WINDOW}] but was [{}]. See the \
             scroll api for a more efficient way to request large data sets. This limit can be set by changing the \
             [index.max_result_window] index level setting.",
            u64::from(request.from) + u64::from(request.size)
        )
        .into());
    }
    if request.after.is_some() && request.from > 0 {
        return Err("from must be 0 when search_after is used".into());
    }
    if request.after.is_some() && request.sort.is_empty() && is_on_index {
        return Err("search_after needs a sort".into());
    }
    match request.slice {
        Some(_) if is_on_index => Err("slice can only be used with a point in time".into()),
        Some(slice) if slice.max < 2 || slice.id >= slice.max => {
            Err(format!("there is no slice {} of {}", slice.id, slice.max).into())
        }
        _ => Ok(()),
    }
}

/// A matching document.
pub(super) struct Entry<'a> {
    sort: Vec<SortValue>,
    /// Whether answers have the sort values.
    is_shown: bool,
    /// The place of the index among those searched.
    shard: usize,
    pub(super) index: &'a str,
    pub(super) document: &'a Document,
}

impl Entry<'_> {
    /// Returns the document's sort values, or an empty list if the search has no order.
    pub(super) fn sort_json(&self) -> Vec<Value> {
        self.sort.iter().filter(|_| self.is_shown).map(to_json).collect()
    }
}

/// `None` if the document has no value; it then comes last.
type SortValue = Option<FieldValue>;

/// The order of a search's hits.
struct Order<'a> {
    keys: Vec<Key<'a>>,
    /// Whether answers have the sort values: not if only relevance orders the hits because no sort was requested.
    is_shown: bool,
}

struct Key<'a> {
    by: By<'a>,
    direction: Direction,
}

#[derive(Clone, Copy)]
enum By<'a> {
    Field(&'a str, FieldType),
    SequenceNumber,
    /// Relevance to the searched texts.
    Score,
    /// The document's position in the index, by which a point in time sorts equal documents.
    Place,
}

impl<'a> Order<'a> {
    fn of(request: &'a Search, searched: &[Searched]) -> Result<Self, Refused> {
        let mut keys = Vec::new();
        let is_shown = !request.sort.is_empty() || matches!(request.within, SearchIn::PointInTime(_));
        if !is_shown && request.query.is_scored() {
            keys.push(Key { by: By::Score, direction: Direction::Descending });
        }
        for sort in &request.sort {
            if sort.field == SCORE {
                keys.push(Key { by: By::Score, direction: sort.direction });
                continue;
            }
            let by = searched.iter().map(|searched| by_field(sort, searched)).collect::<Result<Vec<_>, _>>()?;
            keys.extend(by.first().map(|&by| Key { by, direction: sort.direction }));
        }
        if matches!(request.within, SearchIn::PointInTime(_)) {
            keys.push(Key { by: By::Place, direction: Direction::Ascending });
        }
        Ok(Self { keys, is_shown })
    }

    fn is_by_score(&self) -> bool {
        self.keys.iter().any(|key| matches!(key.by, By::Score))
    }

    fn values(&self, document: &Document, position: i64, score: Option<f64>) -> Vec<SortValue> {
        let value = |key: &Key<'_>| match (key.by, key.direction) {
            (By::Place, _) => Some(FieldValue::Whole(position)),
            (By::Score, _) => score.map(FieldValue::Fraction),
            (By::SequenceNumber, _) => i64::try_from(document.sequence.seq_no).ok().map(FieldValue::Whole),
            (By::Field(path, _), Direction::Ascending) => outermost(document.values(path), Ordering::Less),
            (By::Field(path, _), Direction::Descending) => outermost(document.values(path), Ordering::Greater),
        };
        self.keys.iter().map(value).collect()
    }

    /// Parses the sort values of [`Page::last_sort`], after which the page begins. The last one, a document's position,
    /// is optional.
    fn after(&self, values: &[Value]) -> Result<Vec<SortValue>, Refused> {
        let given = values.len();
        let is_place = |key: &Key<'_>| matches!(key.by, By::Place);
        let without_place = self.keys.len() - usize::from(given > 0 && self.keys.last().is_some_and(is_place));
        if given != self.keys.len() && given != without_place {
            return Err(format!("search_after has {given} values but sort has {}", self.keys.len()).into());
        }
        self.keys.iter().zip(values).map(|(key, value)| key.parse(value)).collect()
    }

    /// Compares as many values as both have.
    fn compare(&self, a: &[SortValue], b: &[SortValue]) -> Ordering {
        let compare = |((key, a), b): ((&Key<'_>, &SortValue), &SortValue)| match (a, b) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => {
                let order = a.partial_cmp(b).unwrap_or(Ordering::Equal);
                if key.direction == Direction::Ascending { order } else { order.reverse() }
            }
        };
        self.keys.iter().zip(a).zip(b).map(compare).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl Key<'_> {
    fn parse(&self, value: &Value) -> Result<SortValue, Refused> {
        let parsed = match self.by {
            _ if value.is_null() => return Ok(None),
            By::Field(_, FieldType::Keyword | FieldType::Flattened) => {
                value.as_str().map(|text| FieldValue::Text(text.to_owned()))
            }
            By::Score | By::Field(_, FieldType::Double | FieldType::Float) => value.as_f64().map(FieldValue::Fraction),
            _ => value.as_i64().map(FieldValue::Whole),
        };
        parsed.map(Some).ok_or_else(|| format!("Failed to parse search_after value for field {value}").into())
    }
}

fn by_field<'a>(sort: &'a Sort, searched: &Searched) -> Result<By<'a>, Refused> {
    let field = sort.field.as_str();
    if field == SEQ_NO {
        return Ok(By::SequenceNumber);
    }
    match ordered_type(field, searched)? {
        Some(FieldType::Binary) => Err(format!("Sorting by [{field}] of type [binary] is not supported").into()),
        Some(field_type) => Ok(By::Field(field, field_type)),
        None => Err(Refused::mapping(format!("No mapping found for [{field}] in order to sort on"))),
    }
}

/// Returns the smallest (`Less`) or the largest (`Greater`) of the values.
fn outermost(values: &[FieldValue], end: Ordering) -> SortValue {
    let mut values = values.iter();
    let start = values.next()?;
    Some(values.fold(start, |best, value| if value.partial_cmp(best) == Some(end) { value } else { best }).clone())
}

fn to_json(value: &SortValue) -> Value {
    match value {
        None => Value::Null,
        Some(FieldValue::Text(text)) => text.as_str().into(),
        Some(FieldValue::Words(words)) => words.as_slice().into(),
        Some(FieldValue::Whole(whole)) => (*whole).into(),
        Some(FieldValue::Fraction(fraction)) => (*fraction).into(),
    }
}
