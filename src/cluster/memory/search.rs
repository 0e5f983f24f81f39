//! One page of a search.

use std::cmp::Ordering;

use serde_json::Value;

use super::document::Document;
use super::field_value::{FieldType, FieldValue};
use super::mapping::{Found, Mapping};
use super::query::{Filter, SEQ_NO};
use super::state::Searched;
use crate::cluster::{Direction, Page, Search, SearchIn, Sort};

/// How far into its result a search can go by `from` and `size`.
const MAX_RESULT_WINDOW: u64 = 10_000;

/// What a search found, in order: one page of it.
pub(super) struct Matches<'a> {
    pub(super) entries: Vec<Entry<'a>>,
    pub(super) total: u64,
}

/// An error if a real server refuses the search, or if it is beyond what the memory cluster models.
pub(super) fn search(searched: &[Searched], request: &Search) -> Result<Page, String> {
    let found = find(searched, request)?;
    Ok(Page {
        last_sort: found.entries.last().map(Entry::sort_json).filter(|sort| !sort.is_empty()),
        hits: found.entries.iter().map(|entry| entry.document.to_hit(entry.index)).collect(),
        total: request.count_total.then_some(found.total),
        point_in_time: match &request.within {
            SearchIn::Index(_) => None,
            SearchIn::PointInTime(point_in_time) => Some(point_in_time.clone()),
        },
        aggregations: serde_json::Map::new(),
    })
}

/// An error if a real server refuses the search, or if it is beyond what the memory cluster models.
pub(super) fn find<'a>(searched: &'a [Searched], request: &Search) -> Result<Matches<'a>, String> {
    check(request)?;
    let order = Order::of(request, searched)?;
    let after = request.after.as_deref().map(|after| order.after(after)).transpose()?;
    let mut found = Vec::new();
    for (shard, searched) in searched.iter().enumerate() {
        let filter = Filter::compile(&request.query, &searched.mapping)?;
        for (place, document) in searched.documents.iter().enumerate() {
            let is_in_slice =
                request.slice.is_none_or(|slice| place as u64 % u64::from(slice.max) == u64::from(slice.id));
            if is_in_slice && filter.finds(document) {
                let position = ((shard as i64) << 32) | place as i64;
                found.push(Entry { sort: order.values(document, position), index: &searched.index, document });
            }
        }
    }
    let total = found.len() as u64;
    if let Some(after) = &after {
        found.retain(|entry| order.compare(&entry.sort, after) == Ordering::Greater);
    }
    found.sort_by(|a, b| order.compare(&a.sort, &b.sort));
    let entries = found.into_iter().skip(request.from as usize).take(request.size as usize).collect();
    Ok(Matches { entries, total })
}

fn check(request: &Search) -> Result<(), String> {
    let is_on_index = matches!(request.within, SearchIn::Index(_));
    if u64::from(request.from) + u64::from(request.size) > MAX_RESULT_WINDOW {
        return Err(format!("result window is too large: from + size must be at most {MAX_RESULT_WINDOW}"));
    }
    if request.after.is_some() && request.from > 0 {
        return Err("from must be 0 when search_after is used".to_owned());
    }
    if request.after.is_some() && request.sort.is_empty() && is_on_index {
        return Err("search_after needs a sort".to_owned());
    }
    if !request.aggregations.is_empty() {
        return Err("the memory cluster does not aggregate".to_owned());
    }
    match request.slice {
        Some(_) if is_on_index => Err("slice can only be used with a point in time".to_owned()),
        Some(slice) if slice.max < 2 || slice.id >= slice.max => {
            Err(format!("there is no slice {} of {}", slice.id, slice.max))
        }
        _ => Ok(()),
    }
}

/// A document found.
pub(super) struct Entry<'a> {
    sort: Vec<SortValue>,
    pub(super) index: &'a str,
    pub(super) document: &'a Document,
}

impl Entry<'_> {
    /// The values that it is sorted by; none if the search has no order.
    pub(super) fn sort_json(&self) -> Vec<Value> {
        self.sort.iter().map(to_json).collect()
    }
}

/// None if the document has no value, which comes last.
type SortValue = Option<FieldValue>;

/// The order of a search's hits.
struct Order<'a> {
    keys: Vec<Key<'a>>,
}

struct Key<'a> {
    by: By<'a>,
    direction: Direction,
}

#[derive(Clone, Copy)]
enum By<'a> {
    Field(&'a str, FieldType),
    SequenceNumber,
    /// The document's place in the index: what a point in time sorts equal documents by.
    Place,
}

impl<'a> Order<'a> {
    fn of(request: &'a Search, searched: &[Searched]) -> Result<Self, String> {
        let mut keys = Vec::new();
        for sort in &request.sort {
            let by =
                searched.iter().map(|searched| by_field(sort, &searched.mapping)).collect::<Result<Vec<_>, _>>()?;
            keys.extend(by.first().map(|&by| Key { by, direction: sort.direction }));
        }
        if matches!(request.within, SearchIn::PointInTime(_)) {
            keys.push(Key { by: By::Place, direction: Direction::Ascending });
        }
        Ok(Self { keys })
    }

    fn values(&self, document: &Document, position: i64) -> Vec<SortValue> {
        let value = |key: &Key<'_>| match (key.by, key.direction) {
            (By::Place, _) => Some(FieldValue::Whole(position)),
            (By::SequenceNumber, _) => i64::try_from(document.sequence.seq_no).ok().map(FieldValue::Whole),
            (By::Field(path, _), Direction::Ascending) => outermost(document.values(path), Ordering::Less),
            (By::Field(path, _), Direction::Descending) => outermost(document.values(path), Ordering::Greater),
        };
        self.keys.iter().map(value).collect()
    }

    /// The values to go on after, of [`Page::last_sort`]. The last one, a document's place, can be left out.
    fn after(&self, values: &[Value]) -> Result<Vec<SortValue>, String> {
        let given = values.len();
        let is_place = |key: &Key<'_>| matches!(key.by, By::Place);
        let without_place = self.keys.len() - usize::from(given > 0 && self.keys.last().is_some_and(is_place));
        if given != self.keys.len() && given != without_place {
            return Err(format!("search_after has {given} values but sort has {}", self.keys.len()));
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
    fn parse(&self, value: &Value) -> Result<SortValue, String> {
        let parsed = match self.by {
            _ if value.is_null() => return Ok(None),
            By::Field(_, FieldType::Keyword | FieldType::Flattened) => {
                value.as_str().map(|text| FieldValue::Text(text.to_owned()))
            }
            By::Field(_, FieldType::Double | FieldType::Float) => value.as_f64().map(FieldValue::Fraction),
            _ => value.as_i64().map(FieldValue::Whole),
        };
        parsed.map(Some).ok_or_else(|| format!("failed to parse the search_after value {value}"))
    }
}

fn by_field<'a>(sort: &'a Sort, mapping: &Mapping) -> Result<By<'a>, String> {
    let field = sort.field.as_str();
    match mapping.find(field) {
        _ if field == SEQ_NO => Ok(By::SequenceNumber),
        Found::Leaf(leaf) if leaf.field_type == FieldType::Binary => {
            Err(format!("cannot sort by [{field}], whose values have no order"))
        }
        Found::Leaf(leaf) | Found::Key(leaf) if leaf.has_doc_values() => Ok(By::Field(field, leaf.field_type)),
        Found::Leaf(_) | Found::Key(_) => Err(format!("cannot sort by [{field}], which has no doc values")),
        Found::Object | Found::Nothing => Err(format!("no mapping found for [{field}] in order to sort on")),
    }
}

/// The smallest (`Less`) or the largest (`Greater`) of the values.
fn outermost(values: &[FieldValue], end: Ordering) -> SortValue {
    let mut values = values.iter();
    let start = values.next()?;
    Some(values.fold(start, |best, value| if value.partial_cmp(best) == Some(end) { value } else { best }).clone())
}

fn to_json(value: &SortValue) -> Value {
    match value {
        None | Some(FieldValue::Present) => Value::Null,
        Some(FieldValue::Text(text)) => text.as_str().into(),
        Some(FieldValue::Whole(whole)) => (*whole).into(),
        Some(FieldValue::Fraction(fraction)) => (*fraction).into(),
    }
}
