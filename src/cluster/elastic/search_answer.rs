//! The answer to a search, parsed as a stream: each hit is passed on as soon as it is parsed, so that callers need no
//! copy.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::answers::DocumentAnswer;

/// The parts of an answer other than its hits.
#[derive(Debug, Default)]
pub(super) struct SearchAnswer {
    pub(super) pit_id: Option<String>,
    pub(super) total: Option<u64>,
    /// The sort values of the last hit.
    pub(super) last_sort: Option<Vec<Value>>,
    pub(super) aggregations: Map<String, Value>,
}

/// Parses an answer, and passes each hit on as soon as it is parsed.
pub(super) struct EachHit<'f, 'de>(pub(super) &'f mut dyn FnMut(DocumentAnswer<'de>));

impl<'de> DeserializeSeed<'de> for EachHit<'_, 'de> {
    type Value = SearchAnswer;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<SearchAnswer, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EachHit<'_, 'de> {
    type Value = SearchAnswer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer to a search")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SearchAnswer, A::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "snake_case")]
        enum Field {
            PitId,
            Hits,
            Aggregations,
            #[serde(other)]
            Other,
        }
        let mut answer = SearchAnswer::default();
        let mut has_hits = false;
        while let Some(field) = map.next_key()? {
            match field {
                Field::PitId => answer.pit_id = map.next_value()?,
                Field::Hits => {
                    map.next_value_seed(HitsObject { answer: &mut answer, each: &mut *self.0 })?;
                    has_hits = true;
                }
                Field::Aggregations => answer.aggregations = map.next_value()?,
                Field::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if has_hits { Ok(answer) } else { Err(A::Error::missing_field("hits")) }
    }
}

/// `{"total", "hits": [...]}`.
struct HitsObject<'a, 'de> {
    answer: &'a mut SearchAnswer,
    each: &'a mut dyn FnMut(DocumentAnswer<'de>),
}

impl<'de> DeserializeSeed<'de> for HitsObject<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HitsObject<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the hits of a search")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "snake_case")]
        enum Field {
            Total,
            Hits,
            #[serde(other)]
            Other,
        }
        #[derive(Deserialize)]
        struct Total {
            value: u64,
        }
        let mut has_hits = false;
        while let Some(field) = map.next_key()? {
            match field {
                Field::Total => self.answer.total = map.next_value::<Option<Total>>()?.map(|total| total.value),
                Field::Hits => {
                    map.next_value_seed(HitList { last_sort: &mut self.answer.last_sort, each: &mut *self.each })?;
                    has_hits = true;
                }
                Field::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if has_hits { Ok(()) } else { Err(A::Error::missing_field("hits")) }
    }
}

struct HitList<'a, 'de> {
    last_sort: &'a mut Option<Vec<Value>>,
    each: &'a mut dyn FnMut(DocumentAnswer<'de>),
}

impl<'de> DeserializeSeed<'de> for HitList<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for HitList<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of hits")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(mut document) = seq.next_element::<DocumentAnswer<'de>>()? {
            *self.last_sort = document.sort.take();
            (self.each)(document);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str) -> (Vec<String>, serde_json::Result<SearchAnswer>) {
        let mut ids = Vec::new();
        let answer = EachHit(&mut |hit| ids.extend(hit.into_hit().map(|found| found.hit.id)))
            .deserialize(&mut serde_json::Deserializer::from_str(answer));
        (ids, answer)
    }

    fn hit(id: &str) -> String {
        format!(
            r#"{{"_index":"i","_id":"{id}","_seq_no":1,"_primary_term":1,"_source":{{"x":[1]}},"sort":["{id}",7]}}"#
        )
    }

    #[test]
    fn hits_are_handed_over_in_order_and_the_rest_is_kept() {
        let (a, b) = (hit("a"), hit("b"));
        let (ids, answer) = read(&format!(
            r#"{{"took":1,"pit_id":"p","hits":{{"total":{{"value":9}},"max_score":null,"hits":[{a},{b}]}},"aggregations":{{"n":1}}}}"#
        ));
        let answer = answer.expect("well-formed");
        assert_eq!((ids.join(""), answer.pit_id.as_deref(), answer.total), ("ab".to_owned(), Some("p"), Some(9)));
        assert_eq!(answer.last_sort, Some(vec!["b".into(), 7.into()]));
        assert_eq!(answer.aggregations["n"], 1);
    }

    #[test]
    fn no_order_of_fields_is_counted_on() {
        let hit = r#"{"_source": {"b":1} ,"sort":[7],"_score":null,"_primary_term":2,"_ignored":["x"],"_id":"\"\u00e4","_seq_no":3,"_index":"i"}"#;
        let missing = r#"{"_id":"gone","_index":"i","sort":[8]}"#;
        let (ids, answer) = read(&format!(
            r#"{{"aggregations":{{}},"hits":{{"hits":[{hit},{missing}],"max_score":1.5,"total":{{"relation":"eq","value":2}}}},"pit_id":"p","_shards":{{"total":1}}}}"#
        ));
        let answer = answer.expect("well-formed");
        assert_eq!((ids, answer.total, answer.pit_id.as_deref()), (vec!["\"\u{e4}".to_owned()], Some(2), Some("p")));
        assert_eq!(answer.last_sort, Some(vec![8.into()]), "what goes on goes on after all that was answered");
    }

    #[test]
    fn nothing_else_is_taken_for_an_answer() {
        let a = hit("a");
        let cut = format!(r#"{{"hits":{{"hits":[{a},{{"_index":"#);
        let cases = [("[]", 0), ("{}", 0), (r#"{"hits":{}}"#, 0), (r#"{"hits":{"hits":7}}"#, 0), (cut.as_str(), 1)];
        for (answer, handed_over) in cases {
            let (ids, answer) = read(answer);
            assert!(answer.is_err() && ids.len() == handed_over, "{answer:?}");
        }
        let (ids, answer) = read(r#"{"hits":{"hits":[]}}"#);
        assert!(ids.is_empty() && answer.is_ok_and(|answer| answer.total.is_none() && answer.last_sort.is_none()));
    }
}
