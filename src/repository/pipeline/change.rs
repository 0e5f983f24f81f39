//! Changes an object: shows its caller a draft of what was read, and seals the document that the changed draft makes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::content;
use super::item::Items;
use super::limits;
use super::merge;
use super::read::{self, Fetched, Loaded, Newer, Unopened};
use super::secret_change::SecretChange;
use super::target::Target;
use super::write::{Ready, Sources};
use crate::Result;
use crate::document::{Attributes, Reference, RootFields, StoredDocument, VersionToken};
use crate::encryption::{EncryptionHistory, Secret, Secrets};
use crate::engine::conversion;
use crate::registry::TypeDefinition;
use crate::repository::{ObjectKey, Repository};

/// An object while it is changed. What the change does not touch stays as it is.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The attributes, as [`Repository::get`] returns them.
    pub attributes: Attributes,
    /// The references to other objects.
    pub references: Vec<Reference>,
    secrets: BTreeMap<String, SecretChange>,
    /// The names of attributes that a patch removes. Those of secrets are not among `attributes`.
    removed: Vec<String>,
}

/// A document between its reading and its writing.
struct Drafted {
    /// The version that was read.
    read: VersionToken,
    stored: StoredDocument,
    /// The attributes before the change.
    shown: Attributes,
    newer: Option<Newer>,
    unopened: Option<Unopened>,
    draft: Draft,
}

impl Draft {
    /// Changes the encrypted attribute `name`. Of several calls for one attribute, the last counts.
    pub fn secret(&mut self, name: impl Into<String>, change: SecretChange) {
        self.secrets.insert(name.into(), change);
    }

    /// Merges a JSON merge patch ([RFC 7396](https://www.rfc-editor.org/rfc/rfc7396)) into the attributes: a null removes
    /// what has its name, an encrypted attribute too; an object is merged into the object there; any other value replaces
    /// what is there. A value for an encrypted attribute that is not exposed is refused: see [`secret`](Self::secret).
    ///
    /// ```
    /// # use saved_objects::repository::Draft;
    /// # use saved_objects::document::Attributes;
    /// # fn example(draft: &mut Draft, received: &Attributes) {
    /// draft.merge(received);
    /// # }
    /// ```
    pub fn merge(&mut self, patch: &Attributes) {
        merge_patch(&mut self.attributes, patch);
        self.removed.extend(patch.iter().filter(|(_, value)| value.is_null()).map(|(name, _)| name.clone()));
    }
}

fn merge_patch(members: &mut Attributes, patch: &Attributes) {
    for (name, value) in patch {
        match value {
            Value::Null => drop(members.remove(name)),
            Value::Object(patch) => {
                let member = members.entry(name).or_insert(Value::Null);
                if !member.is_object() {
                    *member = Value::Object(Attributes::new());
                }
                if let Value::Object(members) = member {
                    merge_patch(members, patch);
                }
            }
            value => drop(members.insert(name.clone(), value.clone())),
        }
    }
}

impl Repository {
    /// Lets `change` change what was read of the open items, and prepares the writes: on the blocking pool if there are
    /// many, but for the change itself.
    pub(in crate::repository) async fn change_items<S: Send + 'static, A>(
        &self,
        items: Items<(S, Fetched), A>,
        change: &mut impl FnMut(&ObjectKey, &mut Draft) -> Result<()>,
    ) -> Items<(S, Ready), A> {
        let environment = &self.shared.engine.environment;
        let loaded = self.load_items(items, true).await;
        let repository = self.clone();
        let drafting = move |target: &mut Target, (state, loaded)| Ok((state, repository.drafted(target, loaded)?));
        let items = loaded.each_on_pool(environment, drafting).await.each(|target, (state, mut drafted)| {
            change(&target.key, &mut drafted.draft)?;
            Ok((state, drafted))
        });
        let (repository, mut sources) = (self.clone(), Sources::of(items.open_count(), environment));
        let sealing = move |target: &mut Target, (state, drafted): (S, Drafted)| {
            let (read, newer) = (drafted.read, drafted.newer.clone());
            let document = repository.sealed(target, drafted)?;
            Ok((state, repository.ready(target, document, Some(read), newer, &mut sources)?))
        };
        items.each_on_pool(environment, sealing).await
    }

    /// Returns a document as a change sees it.
    fn drafted(&self, target: &Target, mut loaded: Loaded) -> Result<Drafted> {
        let unopened = loaded.unopened.take();
        let (read, newer, stored) = (loaded.version, loaded.newer.clone(), loaded.document.clone());
        let shown = self.view(&target.definition, &target.key.id, loaded)?.attributes;
        let draft = Draft {
            attributes: shown.clone(),
            references: stored.root.references.clone(),
            secrets: BTreeMap::new(),
            removed: Vec::new(),
        };
        Ok(Drafted { read, stored, shown, newer, unopened, draft })
    }

    /// Returns the document after the change.
    fn sealed(&self, target: &Target, drafted: Drafted) -> Result<StoredDocument> {
        let definition = &target.definition;
        let Drafted { stored, shown, newer, unopened, draft, .. } = drafted;
        let history = read::sets_of(definition, newer.as_ref())?;
        let sets = history.sets();
        let Draft { mut attributes, references, mut secrets, removed } = draft;
        for name in removed.into_iter().filter(|name| definition.latest().sets.encrypts(name)) {
            if !attributes.contains_key(&name) {
                secrets.entry(name).or_insert(SecretChange::Remove);
            }
        }
        take_exposed_changes(definition, &shown, &mut attributes, &mut secrets)?;
        content::check_attributes(definition, &definition.latest().sets, &attributes)?;
        content::check_secret_names(definition, secrets.keys().map(String::as_str))?;
        content::check_identity(definition, &content::identity_of(definition, &shown), &attributes)?;
        // Those that are stored already do not keep a change of other attributes from being made.
        if references != stored.root.references {
            limits::check_references(&target.key, &references)?;
        }
        if let Some(unopened) = unopened
            && unopened.names.iter().any(|name| is_kept(&secrets, name))
        {
            return Err(unopened.error);
        }
        if newer.is_some() {
            merge::check_secret_changes(definition, sets, &secrets)?;
            content::check_attributes(definition, sets, &attributes)?;
            attributes = merge::merged(definition, sets, &stored.attributes, &shown, &attributes);
            merge::check_protection(definition, history, &stored.attributes)?;
        }
        self.seal_changes(target, history, &stored, &mut attributes, secrets)?;
        let stored_attributes = stored.attributes;
        let mut root = RootFields {
            references,
            updated_at: Some(self.shared.engine.environment.now_iso()),
            updated_by: self.actor(),
            ..stored.root
        };
        if newer.is_some() {
            merge::check_schema(target, &stored_attributes, &attributes)?;
            content::keep_digits(&target.key, &mut root, &attributes)?;
            return Ok(StoredDocument { type_name: stored.type_name, attributes, root });
        }
        content::finish(target, root, attributes)
    }

    /// Adds the envelopes to the changed attributes: the stored ones that stay valid, and new ones.
    pub(in crate::repository) fn seal_changes(
        &self,
        target: &Target,
        history: &EncryptionHistory,
        stored: &StoredDocument,
        attributes: &mut Attributes,
        changes: BTreeMap<String, SecretChange>,
    ) -> Result<()> {
        let encryption = &self.shared.engine.encryption;
        let descriptor = conversion::descriptor(&target.definition, stored.root.namespace.as_deref(), &target.key.id);
        let kept = history.sets().encrypted.iter().filter(|encrypted| is_kept(&changes, &encrypted.name));
        let kept = kept.filter_map(|encrypted| stored.attributes.get_key_value(&encrypted.name));
        let kept: Vec<_> = kept.filter(|(_, value)| !value.is_null()).collect();
        let mut secrets = Secrets::new();
        for (name, change) in changes {
            if let SecretChange::Set(secret) = change {
                secrets.insert(name, secret);
            }
        }
        // Which envelopes stay depends on all attributes that there will be.
        attributes.extend(kept.iter().map(|&(name, envelope)| (name.clone(), envelope.clone())));
        attributes.extend(secrets.keys().map(|name| (name.clone(), Value::Null)));
        for (name, envelope) in kept {
            if history.keeps(name, envelope, (history, &stored.attributes), attributes) {
                continue;
            }
            if let Some(secret) = encryption.open_attribute(&descriptor, history, &stored.attributes, name)? {
                secrets.insert(name.clone(), secret);
            }
        }
        encryption.seal(&descriptor, history, attributes, &secrets)
    }
}

fn is_kept(changes: &BTreeMap<String, SecretChange>, name: &str) -> bool {
    matches!(changes.get(name), None | Some(SecretChange::Keep))
}

/// Removes the exposed attributes from `attributes`, and adds what was changed about them to `changes`. Changes that
/// were made to them as secrets take precedence.
fn take_exposed_changes(
    definition: &TypeDefinition,
    shown: &Attributes,
    attributes: &mut Attributes,
    changes: &mut BTreeMap<String, SecretChange>,
) -> Result<()> {
    for exposed in definition.exposed() {
        let after = attributes.remove(&exposed.name);
        if after.as_ref() == shown.get(&exposed.name) || !is_kept(changes, &exposed.name) {
            continue;
        }
        let change = match after.filter(|value| !value.is_null()) {
            Some(value) => SecretChange::Set(Secret::json(&value)?),
            None => SecretChange::Remove,
        };
        changes.insert(exposed.name.clone(), change);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_is_merged_as_rfc_7396_says() {
        let object = |value: Value| value.as_object().cloned().expect("an object");
        // The examples of the RFC's appendix whose document and patch are objects.
        let table = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ];
        for (document, patch, expected) in table {
            let mut merged = object(document);
            merge_patch(&mut merged, &object(patch.clone()));
            assert_eq!(Value::Object(merged), expected, "{patch}");
        }
    }
}
