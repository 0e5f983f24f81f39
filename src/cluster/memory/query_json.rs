//! Parses queries in JSON into [`Query`], and refuses those that it cannot express.

use serde_json::{Map, Value};

use super::refusals::Refused;
use crate::cluster::Query;

/// Parses a query: the reverse of [`Query::to_json`].
pub(super) fn parse(json: &Value) -> Result<Query, Refused> {
    let (name, inner) = only_entry(json)?;
    Ok(match name {
        "match_all" => Query::Everything,
        "match_none" => Query::Or(Vec::new()),
        "terms" => {
            let (field, values) = only_entry(inner)?;
            let values = values.as_array().ok_or("[terms] query does not support its values")?;
            Query::AnyOf { field: field.to_owned(), values: values.clone() }
        }
        "term" => {
            let (field, value) = only_entry(inner)?;
            Query::equals(field, value.get("value").unwrap_or(value).clone())
        }
        "exists" => Query::Exists { field: text(inner, "field")? },
        "range" => range(inner)?,
        "nested" => {
            let query = inner.get("query").ok_or("[nested] requires 'query' field")?;
            Query::Nested { path: text(inner, "path")?, query: Box::new(parse(query)?) }
        }
        "ids" => {
            let values = inner.get("values").and_then(Value::as_array).ok_or("[ids] requires values")?;
            let id = |value: &Value| value.as_str().map(str::to_owned).ok_or("an id is no text");
            Query::Ids(values.iter().map(id).collect::<Result<_, _>>()?)
        }
        "bool" => boolean(inner.as_object().ok_or("[bool] query malformed")?)?,
        "match" => {
            let (field, text) = searched_text(inner)?;
            Query::Words { field, text }
        }
        "match_phrase" => {
            let (field, text) = searched_text(inner)?;
            Query::Phrase { field, text }
        }
        "query_string" => {
            only(inner, &["fields", "query", "analyze_wildcard"])?;
            let pattern = pattern_parts(&text(inner, "query")?);
            let is_analyzed = inner.get("analyze_wildcard") == Some(&Value::Bool(true));
            match (fields(inner)?.as_slice(), pattern) {
                ([field], Some(parts)) if is_analyzed => Query::Pattern { field: field.clone(), parts },
                _ => return Err(Refused::unsupported("`query_string` queries other than patterns of one field")),
            }
        }
        "simple_query_string" => {
            only(inner, &["fields", "query", "default_operator", "lenient"])?;
            if inner.get("lenient") != Some(&Value::Bool(true)) {
                return Err(Refused::unsupported("`simple_query_string` queries that are not lenient"));
            }
            let all_words = inner.get("default_operator").is_some_and(|operator| operator == "and");
            Query::Text { fields: fields(inner)?, text: text(inner, "query")?, all_words }
        }
        other if OTHER_QUERIES.contains(&other) => {
            return Err(Refused::unsupported(format!("queries of the kind `{other}`")));
        }
        unknown => return Err(format!("unknown query [{unknown}]").into()),
    })
}

/// Queries that a server has, and [`Query`] does not.
const OTHER_QUERIES: &[&str] = &[
    "boosting",
    "combined_fields",
    "constant_score",
    "dis_max",
    "distance_feature",
    "function_score",
    "fuzzy",
    "geo_bounding_box",
    "geo_distance",
    "geo_polygon",
    "geo_shape",
    "has_child",
    "has_parent",
    "intervals",
    "knn",
    "match_bool_prefix",
    "match_phrase_prefix",
    "more_like_this",
    "multi_match",
    "parent_id",
    "percolate",
    "pinned",
    "prefix",
    "rank_feature",
    "regexp",
    "rule",
    "script",
    "script_score",
    "semantic",
    "shape",
    "sparse_vector",
    "term_set",
    "terms_set",
    "text_expansion",
    "wildcard",
    "wrapper",
];

/// Fails if `json` has other keys than these.
fn only(json: &Value, known: &[&str]) -> Result<(), Refused> {
    let mut keys = json.as_object().into_iter().flat_map(Map::keys);
    match keys.find(|key| !known.contains(&key.as_str())) {
        Some(odd) => Err(Refused::unsupported(format!("the parameter `{odd}` of a query"))),
        None => Ok(()),
    }
}

/// Returns the field and the text of a query such as `{"field": {"query": "text"}}`.
fn searched_text(json: &Value) -> Result<(String, String), Refused> {
    let (field, inner) = only_entry(json)?;
    only(inner, &["query"])?;
    Ok((field.to_owned(), text(inner, "query")?))
}

fn fields(json: &Value) -> Result<Vec<String>, Refused> {
    let fields = json.get("fields").and_then(Value::as_array).ok_or("[fields] is missing")?;
    let field = |field: &Value| field.as_str().map(str::to_owned).ok_or("a field's name is no text");
    Ok(fields.iter().map(field).collect::<Result<_, _>>()?)
}

fn range(json: &Value) -> Result<Query, Refused> {
    let (field, bounds) = only_entry(json)?;
    let bounds = bounds.as_object().ok_or("[range] query malformed")?;
    if let Some(unknown) = bounds.keys().find(|name| !["gte", "gt", "lte", "lt"].contains(&name.as_str())) {
        return Err(format!("[range] query does not support [{unknown}]").into());
    }
    let bound = |name: &str| bounds.get(name).cloned();
    Ok(Query::Range {
        field: field.to_owned(),
        from: bound("gte"),
        above: bound("gt"),
        to: bound("lte"),
        below: bound("lt"),
    })
}

fn boolean(json: &Map<String, Value>) -> Result<Query, Refused> {
    let mut all = Vec::new();
    for (name, inner) in json {
        match name.as_str() {
            "filter" | "must" => all.extend(list(inner)?),
            "should" => all.push(Query::Or(list(inner)?)),
            "must_not" => all.extend(list(inner)?.into_iter().map(|query| Query::Not(Box::new(query)))),
            "minimum_should_match" if inner.as_u64() == Some(1) => {}
            unknown => return Err(format!("[bool] query does not support [{unknown}]").into()),
        }
    }
    let is_one = all.len() == 1 && !json.contains_key("filter") && !json.contains_key("must");
    Ok(match all.pop() {
        Some(one) if is_one => one,
        last => {
            all.extend(last);
            Query::And(all)
        }
    })
}

fn list(json: &Value) -> Result<Vec<Query>, Refused> {
    match json {
        Value::Array(queries) => queries.iter().map(parse).collect(),
        one => Ok(vec![parse(one)?]),
    }
}

/// Splits a text of the server's `query_string` at its `*`, and takes the escapes out. Returns `None` if it has other
/// syntax.
fn pattern_parts(text: &str) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let character = match character {
            '*' => {
                parts.push(String::new());
                continue;
            }
            '\\' => characters.next()?,
            plain if plain.is_alphanumeric() && !plain.is_ascii_uppercase() => plain,
            _ => return None,
        };
        parts.last_mut()?.push(character);
    }
    Some(parts)
}

fn only_entry(json: &Value) -> Result<(&str, &Value), Refused> {
    let mut entries = json.as_object().ok_or("query malformed, must start with start_object")?.iter();
    match (entries.next(), entries.next()) {
        (Some((name, inner)), None) => Ok((name, inner)),
        _ => Err("query malformed, expected one field".into()),
    }
}

fn text(json: &Value, name: &str) -> Result<String, Refused> {
    json.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| format!("[{name}] is missing").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_engine_asks_comes_back() {
        let exists = || Query::Exists { field: "a.b".into() };
        for query in [
            Query::Everything,
            Query::equals("type", "note"),
            Query::AnyOf { field: "n".into(), values: vec![] },
            exists(),
            Query::Range { field: "n".into(), from: Some(1.into()), above: None, to: None, below: Some("x".into()) },
            Query::Nested { path: "refs".into(), query: Box::new(exists()) },
            Query::Ids(vec!["1".into(), "2".into()]),
            Query::And(vec![]),
            Query::And(vec![exists()]),
            Query::And(vec![exists(), Query::Not(Box::new(exists()))]),
            Query::Or(vec![]),
            Query::Or(vec![exists(), Query::Everything]),
            Query::Not(Box::new(Query::Or(vec![Query::Everything]))),
            Query::Words { field: "t".into(), text: "one \"two".into() },
            Query::Phrase { field: "t".into(), text: "one two".into() },
            Query::Pattern { field: "t".into(), parts: vec!["A b".into(), "*\u{e4}".into(), String::new()] },
            Query::Text { fields: vec!["t".into(), "u".into()], text: "one +two".into(), all_words: true },
            Query::And(vec![exists(), Query::Text { fields: vec!["t".into()], text: "one".into(), all_words: false }]),
        ] {
            assert_eq!(parse(&query.to_json()), Ok(query.clone()), "{query:?}");
        }
    }

    #[test]
    fn what_is_not_modelled_is_refused() {
        for json in [
            json!({}),
            json!([]),
            json!({ "fuzzy": {} }),
            json!({ "match_all": {}, "match_none": {} }),
            json!({ "bool": { "should": [], "minimum_should_match": 2 } }),
            json!({ "range": { "n": { "from": 1 } } }),
        ] {
            assert!(parse(&json).is_err(), "{json}");
        }
    }

    #[test]
    fn escapes_are_no_syntax() {
        assert_eq!(pattern_parts(r"a\ \*b*\O\R"), Some(vec!["a *b".to_owned(), "OR".to_owned()]));
        for syntax in ["a b", "a:b", "a?", "OR", "\\"] {
            assert_eq!(pattern_parts(syntax), None, "{syntax}");
        }
    }
}
