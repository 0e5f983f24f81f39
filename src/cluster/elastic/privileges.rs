//! The indices that the credentials may see, according to the server's has privileges API.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::connection::{Connection, Request, Verb};
use crate::cluster::ClusterResult;

/// The privileges that are needed to see an index and its contents.
const TO_SEE: [&str; 2] = ["read", "view_index_metadata"];

/// Returns those of `names` that match an index which the credentials may not see. A server without security has no
/// such API, and shows everything.
pub(super) async fn unseen(connection: &Connection, names: &[&str]) -> ClusterResult<Vec<String>> {
    #[derive(Deserialize)]
    struct Granted {
        #[serde(default)]
        index: BTreeMap<String, BTreeMap<String, bool>>,
    }
    // Names that begin with a dot may be those of system indices, which only some roles can access.
    let (of_system, others): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.starts_with('.'));
    let asked: Vec<Value> = [(others, false), (of_system, true)]
        .into_iter()
        .filter(|(names, _)| !names.is_empty())
        .map(|(names, is_of_system)| {
            json!({ "names": names, "privileges": TO_SEE, "allow_restricted_indices": is_of_system })
        })
        .collect();
    let request = Request::read(Verb::Post, "_security/user/_has_privileges")
        .json(&json!({ "index": asked }))
        .accept(&[400, 405]);
    let answer = connection.send(&request).await?;
    if answer.status != 200 {
        return Ok(Vec::new());
    }
    let granted: Granted = answer.parse()?;
    let is_seen = |name: &str| granted.index.get(name).is_some_and(|of_name| of_name.values().all(|may| *may));
    Ok(names.iter().filter(|name| !is_seen(name)).map(|name| (*name).to_owned()).collect())
}
