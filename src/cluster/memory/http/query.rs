//! Queries as JSON, read back into [`Query`]. What it has no word for is refused.

use serde_json::{Map, Value};

use crate::cluster::Query;

/// The reverse of [`Query::to_json`].
pub(super) fn parse(json: &Value) -> Result<Query, String> {
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
        // The memory cluster refuses all of these in the same words.
        "match" | "match_phrase" | "query_string" | "simple_query_string" => {
            Query::Words { field: String::new(), text: String::new() }
        }
        unknown => return Err(format!("unknown query [{unknown}]")),
    })
}

fn range(json: &Value) -> Result<Query, String> {
    let (field, bounds) = only_entry(json)?;
    let bounds = bounds.as_object().ok_or("[range] query malformed")?;
    if let Some(unknown) = bounds.keys().find(|name| !["gte", "gt", "lte", "lt"].contains(&name.as_str())) {
        return Err(format!("[range] query does not support [{unknown}]"));
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

fn boolean(json: &Map<String, Value>) -> Result<Query, String> {
    let mut all = Vec::new();
    for (name, inner) in json {
        match name.as_str() {
            "filter" | "must" => all.extend(list(inner)?),
            "should" => all.push(Query::Or(list(inner)?)),
            "must_not" => all.extend(list(inner)?.into_iter().map(|query| Query::Not(Box::new(query)))),
            "minimum_should_match" if inner.as_u64() == Some(1) => {}
            unknown => return Err(format!("[bool] query does not support [{unknown}]")),
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

fn list(json: &Value) -> Result<Vec<Query>, String> {
    match json {
        Value::Array(queries) => queries.iter().map(parse).collect(),
        one => Ok(vec![parse(one)?]),
    }
}

fn only_entry(json: &Value) -> Result<(&str, &Value), String> {
    let mut entries = json.as_object().ok_or("query malformed, must start with start_object")?.iter();
    match (entries.next(), entries.next()) {
        (Some((name, inner)), None) => Ok((name, inner)),
        _ => Err("query malformed, expected one field".to_owned()),
    }
}

fn text(json: &Value, name: &str) -> Result<String, String> {
    json.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| format!("[{name}] is missing"))
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
}
