//! The documents that a mapping accepts.

use bytes::Bytes;
use serde_json::{Value, json};

use super::case::named_cases;
use super::room::{Room, item_refused, operation};
use super::verdict::{Failure, Verdict, equal, some};
use crate::cluster::{BulkAction, ItemErrorKind, ItemOutcome};

named_cases!(
    unknown_fields_are_refused_where_the_mapping_is_strict,
    unknown_fields_are_kept_where_it_is_not,
    names_with_dots_are_objects,
    odd_names_are_refused,
    objects_and_values_are_told_apart,
    keywords,
    whole_numbers,
    fractions,
    booleans,
    dates,
    flattened_objects,
    texts_and_binaries,
    metadata_names_are_refused,
    what_is_no_object_is_refused,
    a_refused_value_is_not_quoted,
);

fn properties() -> Value {
    json!({
        "k": { "type": "keyword" }, "short": { "type": "keyword", "ignore_above": 3 },
        "n": { "type": "long" }, "i": { "type": "integer" }, "b": { "type": "boolean" }, "d": { "type": "date" },
        "x": { "type": "double" }, "f": { "type": "flattened" }, "t": { "type": "text" }, "bin": { "type": "binary" },
        "loose": { "dynamic": false, "properties": { "a": { "type": "keyword" } } },
        "strict": { "dynamic": "strict", "properties": { "a": { "type": "keyword" } } },
        "off": { "type": "object", "enabled": false },
        "refs": { "type": "nested", "properties": { "id": { "type": "keyword" } } },
    })
}

/// Fails unless the documents `taken`, as JSON texts, are accepted and those `refused` are refused.
async fn expect(room: &Room, taken: &[&str], refused: &[&str]) -> Verdict {
    room.create(properties()).await?;
    for (place, outcome) in put_all(room, taken).await?.into_iter().enumerate() {
        outcome.map_err(|error| Failure(format!("{} is refused: {error:?}", taken.get(place).unwrap_or(&""))))?;
    }
    for (document, outcome) in refused.iter().zip(put_all(room, refused).await?) {
        item_refused(document, &outcome, ItemErrorKind::MappingRefused)?;
    }
    for (place, document) in taken.iter().enumerate() {
        let stored = some(document, room.cluster.get(&room.index(), &place.to_string()).await?)?;
        equal("the source", stored.source.get(), *document)?;
    }
    Ok(())
}

async fn put_all(room: &Room, documents: &[&str]) -> Result<Vec<ItemOutcome>, Failure> {
    let put = |document: &str| BulkAction::Put { source: Bytes::from(document.to_owned()) };
    let operations: Vec<_> =
        documents.iter().enumerate().map(|(place, document)| operation(&place.to_string(), put(document))).collect();
    room.bulk(&room.alias(), &operations).await
}

async fn unknown_fields_are_refused_where_the_mapping_is_strict(room: Room) -> Verdict {
    let refused = [
        r#"{"new":1}"#,
        r#"{"new":null}"#,
        r#"{"new":[]}"#,
        r#"{"new":{}}"#,
        r#"{"strict":{"new":1}}"#,
        r#"{"strict.new":1}"#,
        r#"{"refs":[{"new":1}]}"#,
    ];
    expect(&room, &[r#"{}"#, r#"{"strict":{"a":"x"}}"#], &refused).await
}

async fn unknown_fields_are_kept_where_it_is_not(room: Room) -> Verdict {
    let taken = [
        r#"{"loose":{"new":{"deep":[1,{"a.":2,"":3}]}}}"#,
        r#"{"loose.new":1}"#,
        r#"{"off":[1,{"new":null}]}"#,
        r#"{"off":"text"}"#,
    ];
    expect(&room, &taken, &[]).await
}

async fn names_with_dots_are_objects(room: Room) -> Verdict {
    expect(&room, &[r#"{"strict.a":"x"}"#, r#"{"loose":{"new.":1}}"#], &[r#"{"strict":{"b.c":1}}"#]).await
}

async fn odd_names_are_refused(room: Room) -> Verdict {
    let refused =
        [r#"{"loose":{"":1}}"#, r#"{"loose":{" ":1}}"#, r#"{"loose":{".new":1}}"#, r#"{"loose":{"new..er":1}}"#];
    expect(&room, &[], &refused).await
}

async fn objects_and_values_are_told_apart(room: Room) -> Verdict {
    let taken = [
        r#"{"loose":null}"#,
        r#"{"loose":[]}"#,
        r#"{"loose":[{"a":"1"},[{"a":"2"}]]}"#,
        r#"{"refs":{"id":"1"}}"#,
        r#"{"refs":[{"id":"1"},{"id":"2"}]}"#,
    ];
    expect(&room, &taken, &[r#"{"loose":"x"}"#, r#"{"loose":[1]}"#, r#"{"refs":1}"#]).await
}

async fn keywords(room: Room) -> Verdict {
    let fitting = json!({ "k": "a".repeat(32_766) }).to_string();
    let immense = json!({ "k": "a".repeat(32_767) }).to_string();
    let ignored = json!({ "short": "a".repeat(40_000) }).to_string();
    let taken = [r#"{"k":1}"#, r#"{"k":true}"#, r#"{"k":["a",["b",null]]}"#, r#"{"k":""}"#, &fitting, &ignored];
    expect(&room, &taken, &[r#"{"k":{"a":1}}"#, &immense]).await
}

async fn whole_numbers(room: Room) -> Verdict {
    let taken = [
        r#"{"n":"12"}"#,
        r#"{"n":"12.7"}"#,
        r#"{"n":12.7}"#,
        r#"{"n":1e3}"#,
        r#"{"n":""}"#,
        r#"{"n":[1,null]}"#,
        r#"{"n":-9223372036854775808}"#,
        r#"{"i":2147483647}"#,
    ];
    let refused =
        [r#"{"n":true}"#, r#"{"n":"abc"}"#, r#"{"n":{}}"#, r#"{"n":9223372036854775808}"#, r#"{"i":2147483648}"#];
    expect(&room, &taken, &refused).await
}

async fn fractions(room: Room) -> Verdict {
    expect(&room, &[r#"{"x":1}"#, r#"{"x":"1.5"}"#, r#"{"x":""}"#], &[r#"{"x":"abc"}"#, r#"{"x":true}"#]).await
}

async fn booleans(room: Room) -> Verdict {
    let taken = [r#"{"b":true}"#, r#"{"b":"false"}"#, r#"{"b":""}"#, r#"{"b":[true,false]}"#];
    expect(&room, &taken, &[r#"{"b":1}"#, r#"{"b":"yes"}"#, r#"{"b":"True"}"#]).await
}

async fn dates(room: Room) -> Verdict {
    let taken = [
        r#"{"d":"2021-01-01T12:16:40.000Z"}"#,
        r#"{"d":"2021-01-01T12:16:40.123456789Z"}"#,
        r#"{"d":"2021-01-01T12:16:40,5"}"#,
        r#"{"d":"2021-01-01T12:16:40+01:00"}"#,
        r#"{"d":"2021-01-01T12:16:40-0100"}"#,
        r#"{"d":"2021-01-01T12:16Z"}"#,
        r#"{"d":"2021-01-01T12"}"#,
        r#"{"d":"2021-01-01T"}"#,
        r#"{"d":"2021-01-01"}"#,
        r#"{"d":"2021"}"#,
        r#"{"d":2021}"#,
        r#"{"d":1609503400000}"#,
        r#"{"d":"1609503400000"}"#,
        r#"{"d":-5}"#,
    ];
    let refused = [
        r#"{"d":"x"}"#,
        r#"{"d":""}"#,
        r#"{"d":true}"#,
        r#"{"d":"2021-13-01"}"#,
        r#"{"d":"2021-02-30"}"#,
        r#"{"d":"2021-1-1"}"#,
        r#"{"d":"2021-01-01 12:16:40"}"#,
        r#"{"d":"2021-01-01t12:16:40z"}"#,
        r#"{"d":"2021-01-01Z"}"#,
        r#"{"d":"2021-01-01T12:16:60Z"}"#,
        r#"{"d":"2021-01-01T24:00:00Z"}"#,
        r#"{"d":"12021-01-01"}"#,
    ];
    expect(&room, &taken, &refused).await
}

async fn flattened_objects(room: Room) -> Verdict {
    let immense = json!({ "f": { "a": "a".repeat(40_000) } }).to_string();
    let taken = [r#"{"f":{"a":1,"b":{"c":["x",true,null]}}}"#, r#"{"f":[{"a":1},{"a":2}]}"#, r#"{"f":{"a.b":"q"}}"#];
    expect(&room, &taken, &[r#"{"f":"x"}"#, &immense]).await
}

async fn texts_and_binaries(room: Room) -> Verdict {
    let long = json!({ "t": "a".repeat(40_000) }).to_string();
    expect(&room, &[r#"{"t":5}"#, &long, r#"{"bin":"aGk="}"#], &[r#"{"t":{"a":1}}"#]).await
}

async fn metadata_names_are_refused(room: Room) -> Verdict {
    expect(&room, &[r#"{"loose":{"_id":5}}"#], &[r#"{"_id":"5"}"#, r#"{"_seq_no":5}"#, r#"{"_source":{}}"#]).await
}

async fn what_is_no_object_is_refused(room: Room) -> Verdict {
    expect(&room, &[], &["[]", "5", "\"a\"", "null", r#"{"n":"#, r#"{"n":1} x"#]).await
}

async fn a_refused_value_is_not_quoted(room: Room) -> Verdict {
    room.create(properties()).await?;
    let outcomes = put_all(&room, &[r#"{"n":"SECRET"}"#, r#"{"k":{"a":"SECRET"}}"#, r#"{"d":"SECRET"}"#]).await?;
    equal("a value is quoted", format!("{outcomes:?}").contains("SECRET"), false)
}
