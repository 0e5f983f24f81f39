//! Blockers, and their hints: followed literally, as they are written in the blocker and in `docs/migrations.md`.

use std::collections::BTreeMap;

use saved_objects::cluster::IndexState;
use saved_objects::migrate::{Blocker, Outcome};
use saved_objects::registry::TypeDefinition;
use serde_json::Value;

use crate::context::Context;

/// Returns all indices of the test, with the number of writes that each has taken.
pub(crate) async fn indices(context: &Context) -> BTreeMap<String, (IndexState, Option<u64>)> {
    let cluster = context.cluster();
    let mut all = BTreeMap::new();
    for (name, state) in cluster.indices(&[&format!("{}-*", context.prefix)]).await.expect("answered") {
        let writes = cluster.write_count(&name).await.ok();
        all.insert(name, (state, writes));
    }
    all
}

/// Returns the blocker of a start of these types, and asserts that the start writes nothing to any group.
pub(crate) async fn blocker(context: &Context, types: fn() -> Vec<TypeDefinition>) -> Blocker {
    let before = indices(context).await;
    let plan = context.migrator(types()).describe().await;
    let report = context.migrator(types()).migrate().await;
    assert_eq!((report.outcome, plan.outcome), (Outcome::Blocked, Outcome::Blocked), "{report:?}");
    assert_eq!(plan.blockers, report.blockers);
    let status = context.migrator(types()).status().await.expect("answered");
    let closed: Vec<_> = status.indices.iter().filter_map(|index| index.closed.clone()).collect();
    let others: Vec<_> = status.blockers.into_iter().filter(|blocker| !closed.contains(blocker)).collect();
    assert_eq!(others, report.blockers);
    assert_eq!(before, indices(context).await, "nothing was written");
    report.blockers[0].clone()
}

/// Follows the hint of a blocker literally: sends the first request in it, which is also the request in the page for
/// operators. Replaces what is in angle brackets.
pub(crate) async fn hint(context: &Context, blocker: &Blocker, values: &[(&str, &str)]) {
    let fill_in = |text: &str| values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
    let followed = fill_in(&blocker.hint);
    if let Some(on_page) = request_in(&fill_in(&hint_on_page(blocker))) {
        assert_eq!(request_in(&followed), Some(on_page), "the page says something else than {followed}");
    }
    let (method, path, body) = request_in(&followed).expect("a request");
    let answer = context.raw(&method, &path, body).await;
    assert_eq!(answer["acknowledged"], true, "{followed}: {answer}");
}

/// Returns the last column of the blocker's row in `docs/migrations.md`.
pub(crate) fn hint_on_page(blocker: &Blocker) -> String {
    let page = include_str!("../../docs/migrations.md");
    let page = page.split("## It does not start").nth(1).expect("the chapter is there");
    let is_about = |pattern: &str| {
        let mut rest = blocker.what.as_str();
        pattern.trim_matches(['`', ' ']).split('…').all(|part| match rest.find(part.trim()) {
            Some(at) => {
                rest = &rest[at + part.trim().len()..];
                true
            }
            None => false,
        })
    };
    let rows = page.lines().filter(|line| line.starts_with("| `")).filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches(['|', ' ']).split(" | ").collect();
        // A blocker is a sentence; other tables have policies and kinds.
        (cells.len() == 3 && cells[0].contains(' ') && is_about(cells[0])).then(|| cells[2].to_owned())
    });
    let rows: Vec<String> = rows.collect();
    assert_eq!(rows.len(), 1, "rows of the page about {blocker:?}: {rows:?}");
    rows[0].clone()
}

/// Returns the first request in a text that changes something, if the text has the complete request.
pub(crate) fn request_in(text: &str) -> Option<(String, String, Option<Value>)> {
    let begin = ["POST /", "PUT /", "DELETE /"].iter().filter_map(|verb| text.find(verb)).min()?;
    let mut words = text[begin..].splitn(3, ' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.trim_end_matches([';', ',', '`']).to_owned());
    let body = words.next().and_then(|rest| serde_json::Deserializer::from_str(rest).into_iter::<Value>().next()?.ok());
    (method == "DELETE" || path.ends_with("/_open") || body.is_some()).then_some((method, path, body))
}
