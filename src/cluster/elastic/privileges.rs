//! What the credentials may do and see, according to the server's has privileges API.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::connection::{Connection, Request, Verb};
use crate::cluster::{ClusterResult, Privileges};

/// The privileges that are needed to see an index and its contents.
const TO_SEE: [&str; 2] = ["read", "view_index_metadata"];

/// Privileges that are granted or not.
#[derive(Deserialize)]
struct Granted {
    #[serde(default)]
    cluster: BTreeMap<String, bool>,
    /// By the name or pattern of indices.
    #[serde(default)]
    index: BTreeMap<String, BTreeMap<String, bool>>,
}

/// Returns those of `names` that match an index which the credentials may not see. A server without security shows
/// everything.
pub(super) async fn unseen(connection: &Connection, names: &[&str]) -> ClusterResult<Vec<String>> {
    let needed = |name: &&str| ((*name).to_owned(), TO_SEE.map(str::to_owned).to_vec());
    let asked = Privileges { cluster: Vec::new(), indices: names.iter().map(needed).collect() };
    let Some(granted) = granted(connection, &asked).await? else { return Ok(Vec::new()) };
    let is_seen = |name: &str| granted.index.get(name).is_some_and(|of_name| of_name.values().all(|may| *may));
    Ok(names.iter().filter(|name| !is_seen(name)).map(|name| (*name).to_owned()).collect())
}

/// Returns those of the privileges that the credentials lack, or `None` without security.
pub(super) async fn lacking(connection: &Connection, asked: &Privileges) -> ClusterResult<Option<Privileges>> {
    let Some(granted) = granted(connection, asked).await? else { return Ok(None) };
    let lacks = |granted: Option<&BTreeMap<String, bool>>, asked: &[String]| -> Vec<String> {
        let is_granted = |name: &&String| granted.and_then(|granted| granted.get(*name)).is_some_and(|may| *may);
        asked.iter().filter(|name| !is_granted(name)).cloned().collect()
    };
    let of_index = |(name, asked): (&String, &Vec<String>)| {
        let lacking = lacks(granted.index.get(name), asked);
        (!lacking.is_empty()).then(|| (name.clone(), lacking))
    };
    Ok(Some(Privileges {
        cluster: lacks(Some(&granted.cluster), &asked.cluster),
        indices: asked.indices.iter().filter_map(of_index).collect(),
    }))
}

/// Asks which privileges are granted. A server without security has no such API.
async fn granted(connection: &Connection, asked: &Privileges) -> ClusterResult<Option<Granted>> {
    let of_index = |(name, privileges): (&String, &Vec<String>)| {
        // Names that begin with a dot may be those of system indices, which only some roles can access.
        json!({ "names": [name], "privileges": privileges, "allow_restricted_indices": name.starts_with('.') })
    };
    let indices: Vec<Value> = asked.indices.iter().map(of_index).collect();
    let request = Request::read(Verb::Post, "_security/user/_has_privileges")
        .json(&json!({ "cluster": asked.cluster, "index": indices }))
        .accept(&[400, 405]);
    let answer = connection.send(&request).await?;
    if answer.status == 200 { answer.parse().map(Some) } else { Ok(None) }
}
