//! Plans the take-over of an index that Kibana wrote (record 28): a copy into the first generation of a group of ours,
//! which the states of any copy perform. Kibana's index gets a write block and is not changed otherwise. Pure.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::blockers::{alias_missing, blocked_by};
use super::carry::Carried;
use super::generations;
use super::metadata::{GroupMetadata, Source, is_behind};
use super::plan::CurrentIndex;
use super::survey::Survey;
use super::{Blocker, CheckName, GroupPlan, Way};
use crate::cluster::IndexState;
use crate::encryption::{KEY_FILE_VARIABLE, KEY_VARIABLE, KIBANA_KEYS_FILE_VARIABLE};
use crate::layout::{IndexMeta, IndexNames, TakenOver};
use crate::registry::Registry;
use crate::{Error, Result};

/// A requested take-over. Its text form is `ALIAS` or `ALIAS=GROUP`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeOver {
    /// The alias through which Kibana uses its index, such as `.kibana_alerting_cases`.
    pub alias: String,
    /// The group that the index becomes, or `None` for the group whose types are in the index.
    pub group: Option<String>,
}

impl FromStr for TakeOver {
    type Err = Error;

    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the alias or the group is empty, or the alias is a pattern or a list.
    fn from_str(text: &str) -> Result<Self> {
        let (alias, group) = match text.split_once('=') {
            Some((alias, group)) => (alias, Some(group)),
            None => (text, None),
        };
        let is_name = |name: &str| !name.is_empty() && !name.contains(|c| c <= ' ' || r#"*,/=\?"<>|#"#.contains(c));
        if !is_name(alias) || group.is_some_and(|group| !is_name(group)) {
            return Err(Error::invalid(
                format!("{text:?} does not name an alias, and a group of types"),
                "write it as .kibana_alerting_cases=connectors",
            ));
        }
        Ok(Self { alias: alias.to_owned(), group: group.map(str::to_owned) })
    }
}

/// Decides which group each source becomes.
pub(super) fn assign(registry: &Registry, found: Vec<(TakeOver, Source)>) -> (BTreeMap<String, Source>, Vec<Blocker>) {
    let groups = registry.groups();
    let (mut assigned, mut blockers) = (BTreeMap::new(), Vec::new());
    for (wanted, source) in found {
        let has_type_of = |group: &&str| {
            let types = groups.get(group).into_iter().flatten();
            let is_there = |name: &str| {
                source
                    .indices
                    .values()
                    .any(|state| state.mapping.pointer("/properties").is_some_and(|p| p.get(name).is_some()))
            };
            types.into_iter().any(|definition| is_there(definition.name()))
        };
        let candidates: Vec<&str> = match &wanted.group {
            Some(group) => groups.keys().copied().filter(|name| name == group).collect(),
            None if groups.len() == 1 => groups.keys().copied().collect(),
            None => groups.keys().copied().filter(has_type_of).collect(),
        };
        let all = || groups.keys().copied().collect::<Vec<_>>().join(", ");
        match candidates.as_slice() {
            [group] => match assigned.insert((*group).to_owned(), source) {
                None => {}
                Some(other) => blockers.push(Blocker {
                    check: CheckName::Definitions,
                    what: format!("both {} and {} would become the group {group}", other.alias, wanted.alias),
                    hint: "take over one alias for each group".to_owned(),
                }),
            },
            _ if source.indices.is_empty() && wanted.group.is_none() => blockers.push(no_source(&wanted.alias)),
            [] => blockers.push(Blocker {
                check: CheckName::Definitions,
                what: match &wanted.group {
                    Some(group) => format!("no registered type belongs to the group {group}"),
                    None => format!("no registered type is in {}", wanted.alias),
                },
                hint: format!(
                    "register the types with --types; or name one of the groups that there are ({}): --take-over \
                     {}=<group>",
                    all(),
                    wanted.alias
                ),
            }),
            several => blockers.push(Blocker {
                check: CheckName::Definitions,
                what: format!("{} has types of several groups: {}", wanted.alias, several.join(", ")),
                hint: format!("say which one it becomes: --take-over {}=<group>", wanted.alias),
            }),
        }
    }
    (assigned, blockers)
}

/// Returns whether the group was taken over from `source` already.
pub(super) fn is_done(names: &IndexNames, found: &GroupMetadata, source: &Source) -> Result<bool> {
    let Some((index, state)) = found.indices.iter().find(|(name, state)| is_behind(names.alias(), name, state)) else {
        return Ok(false);
    };
    let meta = IndexMeta::from_mapping(&state.mapping).map_err(|error| error.context(index))?;
    Ok(meta
        .taken_over
        .is_some_and(|from| from.alias == source.alias || source.indices.values().any(|state| state.uuid == from.uuid)))
}

/// Returns the blocker of a take-over whose source does not exist.
pub(super) fn no_source(alias: &str) -> Blocker {
    Blocker {
        check: CheckName::Definitions,
        what: format!("there is no index behind {alias} to take over"),
        hint: "name the alias that Kibana uses, such as .kibana_alerting_cases; restore its snapshot first if that is \
               where it is"
            .to_owned(),
    }
}

/// Turns the plan of a group without an index into the plan of a take-over.
pub(super) fn plan(
    group: &mut GroupPlan,
    found: &GroupMetadata,
    source: &Source,
    blockers: &mut Vec<Blocker>,
) -> Result<()> {
    let alias = group.names.alias();
    if let Some(index) = found.indices.iter().find_map(|(name, state)| is_behind(alias, name, state).then_some(name)) {
        blockers.push(Blocker {
            check: CheckName::Definitions,
            what: format!("{alias} leads to {index} already, which was not taken over from {}", source.alias),
            hint: format!(
                "take over under another --prefix; or see what is in it with `saved-objects status`, and if it is \
                 empty, as after a first start, delete it: DELETE /{index}"
            ),
        });
        group.way = Way::None;
        group.index.clone_from(index);
        return Ok(());
    }
    let mut sources = source.indices.iter();
    let (index, state) = match (sources.next(), sources.next()) {
        (Some(one), None) => one,
        (None, _) => {
            blockers.push(no_source(&source.alias));
            return Ok(());
        }
        (Some((one, _)), Some((other, _))) => {
            blockers.push(Blocker {
                check: CheckName::Definitions,
                what: format!("{} leads to several indices: {one}, {other}", source.alias),
                hint: "name the index that Kibana used last".to_owned(),
            });
            return Ok(());
        }
    };
    let meta = IndexMeta::from_mapping(&state.mapping).map_err(|error| error.context(index))?;
    if meta != IndexMeta::default() {
        blockers.push(Blocker {
            check: CheckName::Definitions,
            what: format!("{index} is not Kibana's: this library made it"),
            hint: "migrate it without --take-over".to_owned(),
        });
        return Ok(());
    }
    // With one of these blocks no write block can be added.
    blockers.extend(state.other_blocks.first().map(|block| blocked_by(block, index)));
    // The remains of a take-over of the same index are resumed, or removed on the way.
    let is_of_this = |other: &IndexState| {
        let copy = IndexMeta::from_mapping(&other.mapping).ok().and_then(|meta| meta.copy);
        copy.is_some_and(|copy| copy.source_uuid == state.uuid)
    };
    let others = found.indices.iter().filter(|(_, other)| !is_of_this(other));
    let others = others.map(|(name, other)| (name.clone(), other.clone())).collect();
    if let Some(blocker) = alias_missing(&group.names, &others) {
        blockers.push(blocker);
        return Ok(());
    }
    let (alias, uuid) = (source.alias.clone(), state.uuid.clone());
    group.take_over = Some(TakenOver { alias, index: index.clone(), uuid: uuid.clone() });
    group.index.clone_from(index);
    group.generation = 0;
    group.way = Way::Copy;
    group.current = Some(CurrentIndex {
        uuid,
        mapping: state.mapping.clone(),
        meta,
        settings: state.settings.clone(),
        carried: Carried::default(),
    });
    Ok(())
}

/// Returns the blocker of an interrupted take-over, for a start that does not resume it. An index that such a start
/// created would block the take-over.
pub(super) fn unfinished(group: &GroupPlan, found: &GroupMetadata) -> Option<Blocker> {
    let of_fill = |(name, state): (&String, &IndexState)| {
        let source = IndexMeta::from_mapping(&state.mapping).ok()?.taken_over?;
        let is_left = generations::fill_record(&group.names, name, state).is_some();
        is_left.then(|| (name.clone(), source))
    };
    let (fill, source) = found.indices.iter().find_map(of_fill)?;
    Some(Blocker {
        check: CheckName::Definitions,
        what: format!("a take-over of {} into {} was begun and not ended", source.alias, group.names.alias()),
        hint: format!(
            "end it with `saved-objects migrate --take-over {}={}`; or give it up: DELETE /{fill}, then PUT \
             /{}/_settings {{\"index.blocks.write\":null}}",
            source.alias, group.group, source.index
        ),
    })
}

/// Returns the blockers for missing keys that a take-over needs.
pub(super) fn missing_keys(groups: &[GroupPlan], has_kibana_keys: bool, can_encrypt: bool) -> Vec<Blocker> {
    let encrypts = |group: &&GroupPlan| group.types.iter().any(|plan| plan.definition.encrypts());
    let mut blockers = Vec::new();
    for group in groups.iter().filter(|group| group.take_over.is_some()).filter(encrypts) {
        if !has_kibana_keys {
            blockers.push(Blocker {
                check: CheckName::Definitions,
                what: format!("the secrets in {} are encrypted with Kibana's keys, which are not given", group.index),
                hint: format!(
                    "write {{\"encryptionKey\": \"…\", \"decryptionOnlyKeys\": [\"…\"]}}, as kibana.yml has them under \
                     xpack.encryptedSavedObjects, to a file that only you can read, and set \
                     {KIBANA_KEYS_FILE_VARIABLE} to its path"
                ),
            });
        }
        if !can_encrypt {
            blockers.push(Blocker {
                check: CheckName::Definitions,
                what: format!("there is no key to encrypt the secrets of {} with", group.names.alias()),
                hint: format!(
                    "make one with `openssl rand -base64 48`, and set {KEY_FILE_VARIABLE} to the path of a file with \
                     it, or {KEY_VARIABLE} to it"
                ),
            });
        }
    }
    blockers
}

/// Returns the blockers for documents of types that are registered in another group. In the group of the take-over, no
/// read would find them.
pub(super) fn misplaced(groups: &[GroupPlan], survey: &Survey) -> Vec<Blocker> {
    let mut blockers = Vec::new();
    for group in groups {
        let Some(source) = &group.take_over else { continue };
        for (type_name, documents) in survey.foreign(group) {
            let Some(other) = groups.iter().find(|other| other.definition(type_name).is_some()) else { continue };
            blockers.push(Blocker {
                check: CheckName::Definitions,
                what: format!(
                    "{} has {documents} documents of type {type_name}, which is registered in the group {}",
                    source.index, other.group
                ),
                hint: format!(
                    "let the definition of {type_name} name the group {}: a take-over brings all documents of an index \
                     into one",
                    group.group
                ),
            });
        }
    }
    blockers
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::History;
    use crate::layout::Prefix;
    use crate::migrate::{Plan, plan};

    fn registry() -> Registry {
        Registry::builder().with(crate::tokens::types().expect("built-in")).build().expect("valid")
    }

    fn state(uuid: &str, meta: IndexMeta, alias: &str) -> IndexState {
        let mapping = json!({"properties": {"connector_token": {}, "action": {"dynamic": false}}});
        let mut mapping_with_meta = mapping.clone();
        if meta != IndexMeta::default() {
            mapping_with_meta["_meta"] = meta.into_meta(None);
        }
        let aliases = [(alias.to_owned(), crate::cluster::AliasState::default())].into();
        IndexState {
            uuid: uuid.to_owned(),
            mapping: mapping_with_meta,
            aliases,
            write_blocked: false,
            other_blocks: Default::default(),
            settings: Default::default(),
        }
    }

    fn kibanas() -> (String, IndexState) {
        (".kibana_9".to_owned(), state("k", IndexMeta::default(), ".kibana"))
    }

    /// Returns the plan of a take-over of `.kibana` with the indices `behind` the alias, and the group's `own`.
    fn planned(behind: &[(String, IndexState)], own: &[(String, IndexState)]) -> Plan {
        let source = Source { alias: ".kibana".to_owned(), indices: behind.iter().cloned().collect() };
        let indices = own.iter().cloned().collect();
        let metadata = GroupMetadata { indices, mapping_refused: false, take_over: Some(source) };
        let prefix = "p".parse::<Prefix>().expect("a prefix");
        plan(&registry(), &prefix, &[("connectors".to_owned(), metadata)].into()).expect("planned")
    }

    fn taken_over(plan: &Plan) -> IndexMeta {
        let record = plan.groups[0]
            .copy_record(&History { writes: 5, ..History::default() }, "fail".to_owned())
            .expect("there is a source");
        plan.groups[0].meta_of_copy(record)
    }

    #[test]
    fn it_is_a_copy_into_the_first_generation() {
        let plan = planned(&[kibanas()], &[]);
        let group = &plan.groups[0];
        assert!(plan.blockers.is_empty(), "{:?}", plan.blockers);
        assert_eq!((group.way, group.index.as_str(), group.highest_generation), (Way::Copy, ".kibana_9", 0));
        assert!(group.copy_mapping()["properties"]["action"].is_object(), "types of others come along");
        assert!(group.copy_mapping()["properties"]["writeNonce"].is_object(), "what is written afterwards has one");
        assert!(!group.lacks_nonce_field, "nothing is added to what is Kibana's");
        let meta = taken_over(&plan);
        assert_eq!(meta.taken_over.expect("recorded").index, ".kibana_9");
        assert_ne!(group.digest(), planned(&[], &[]).groups[0].digest());
    }

    #[test]
    fn once_done_there_is_nothing_to_do() {
        let meta = taken_over(&planned(&[kibanas()], &[]));
        let mut current = state("o", meta, "p-connectors");
        current.mapping["properties"]["writeNonce"] = json!({});
        current.aliases.insert("p-connectors-000001-write".to_owned(), crate::cluster::AliasState::default());
        let own = [("p-connectors-000001".to_owned(), current)];
        for behind in [&[kibanas()][..], &[]] {
            let plan = planned(behind, &own);
            assert!(plan.is_nothing_to_do(), "{plan:?}");
        }
    }

    #[test]
    fn what_is_in_its_way_blocks_it() {
        let created = IndexMeta { highest_generation: 1, ..IndexMeta::default() };
        let other = || state("o", created.clone(), "p-connectors");
        let without_alias = || state("o", created.clone(), "another");
        let begun = |uuid: &str| {
            let mut meta = taken_over(&planned(&[kibanas()], &[]));
            meta.copy.as_mut().expect("a copy").source_uuid = uuid.to_owned();
            state("c", meta, "another")
        };
        let generation = |state| vec![("p-connectors-000001".to_owned(), state)];
        let table = [
            (vec![], vec![], Some("there is no index behind .kibana")),
            (vec![kibanas(), (".kibana_8".to_owned(), kibanas().1)], vec![], Some("leads to several indices")),
            (vec![("p-other-000001".to_owned(), other())], vec![], Some("this library made it")),
            (vec![kibanas()], generation(other()), Some("leads to p-connectors-000001 already")),
            (vec![kibanas()], generation(without_alias()), Some("is missing")),
            (vec![kibanas()], generation(begun("another")), Some("is missing")),
            (vec![kibanas()], generation(begun("k")), None),
        ];
        for (behind, own, expected) in table {
            let blockers = planned(&behind, &own).blockers;
            let what: Vec<&str> = blockers.iter().map(|blocker| blocker.what.as_str()).collect();
            match expected {
                None => assert!(what.is_empty(), "{what:?}"),
                Some(words) => assert!(what.len() == 1 && what[0].contains(words), "{what:?} and not {words}"),
            }
        }
    }

    #[test]
    fn a_start_without_it_creates_nothing_beside_a_half_made_one() {
        let meta = taken_over(&planned(&[kibanas()], &[]));
        let names = "p".parse::<Prefix>().expect("a prefix").group("connectors");
        let fill = names.fill(&meta.copy.as_ref().expect("a copy").digest());
        let fill = (fill, state("f", meta, "x"));
        let metadata = GroupMetadata { indices: [fill].into(), ..GroupMetadata::default() };
        let prefix = "p".parse::<Prefix>().expect("a prefix");
        let plan = plan(&registry(), &prefix, &[("connectors".to_owned(), metadata)].into()).expect("planned");
        assert!(plan.blockers[0].what.contains("a take-over of .kibana"), "{:?}", plan.blockers);
    }

    #[test]
    fn the_group_is_the_one_whose_types_are_there() {
        let source = |alias: &str| Source { alias: alias.to_owned(), indices: [kibanas()].into() };
        let assigned = |wanted: &[&str]| {
            let parse = |text: &&str| (text.parse::<TakeOver>().expect("a take-over"), source(text));
            let (assigned, blockers) = assign(&registry(), wanted.iter().map(parse).collect());
            (assigned.into_keys().collect::<Vec<_>>(), blockers.len())
        };
        assert_eq!(assigned(&[".kibana"]), (vec!["connectors".to_owned()], 0));
        assert_eq!(assigned(&[".kibana=connectors"]), (vec!["connectors".to_owned()], 0));
        assert_eq!(assigned(&[".kibana=other"]), (vec![], 1));
        assert_eq!(assigned(&[".a=connectors", ".b=connectors"]).1, 1);
        for bad in ["", "=x", ".kibana=", ".kibana*", "a,b"] {
            assert!(bad.parse::<TakeOver>().is_err(), "{bad}");
        }
    }

    #[test]
    fn documents_of_another_group_are_in_its_way() {
        let mut plan = planned(&[kibanas()], &[]);
        let mut other = plan.groups[0].clone();
        other.take_over = None;
        other.group = "others".to_owned();
        plan.groups[0].types.retain(|plan| plan.definition.name() != "connector_token");
        plan.groups.push(other);
        let count =
            |name: &str| crate::cluster::TypeCount { type_name: Some(name.to_owned()), version: None, documents: 3 };
        let mut survey = Survey::default();
        survey.add(&plan.groups[0], vec![count("user_connector_token"), count("connector_token"), count("action")]);
        let blockers = misplaced(&plan.groups, &survey);
        assert_eq!(blockers.len(), 1, "{blockers:?}");
        assert!(
            blockers[0].what.contains("3 documents of type connector_token, which is registered in the group others")
        );
    }

    #[test]
    fn both_kinds_of_keys_are_asked_for() {
        let plan = planned(&[kibanas()], &[]);
        assert_eq!(missing_keys(&plan.groups, true, true), []);
        let both = missing_keys(&plan.groups, false, false);
        assert!(both[0].hint.contains(KIBANA_KEYS_FILE_VARIABLE) && both[1].hint.contains(KEY_FILE_VARIABLE));
    }
}
