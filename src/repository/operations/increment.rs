//! Counters: attributes that are raised without a lost update.

use std::collections::BTreeMap;

use serde_json::Value;

use super::create::Content;
use crate::cluster::Refresh;
use crate::document::Attributes;
use crate::registry::TypeDefinition;
use crate::repository::pipeline::attempts::Attempts;
use crate::repository::pipeline::content;
use crate::repository::pipeline::item::Items;
use crate::repository::pipeline::target::Target;
use crate::repository::{Action, Draft, ObjectKey, Repository, SavedObject};
use crate::{Error, Result};

/// A request to raise counters of an object.
///
/// ```
/// # use saved_objects::document::Attributes;
/// # use saved_objects::repository::{Increment, ObjectKey};
/// let key = ObjectKey::new("usage", "search");
/// let request = Increment::new(key).field("calls").by("bytes", 512).or_create(Attributes::new());
/// ```
#[derive(Debug, Clone)]
pub struct Increment {
    key: ObjectKey,
    fields: BTreeMap<String, i64>,
    create: Option<Attributes>,
    refresh: Refresh,
}

impl Increment {
    /// Creates a request for counters of the object at `key`.
    pub fn new(key: impl Into<ObjectKey>) -> Self {
        Self { key: key.into(), fields: BTreeMap::new(), create: None, refresh: Refresh::Later }
    }

    /// Raises the attribute `name` by one.
    #[must_use]
    pub fn field(self, name: impl Into<String>) -> Self {
        self.by(name, 1)
    }

    /// Raises the attribute `name` by `amount`, which may be negative. An absent or null attribute counts as 0, so an
    /// amount of 0 only sets an attribute that is not there. Of several calls for one attribute, the last counts.
    #[must_use]
    pub fn by(mut self, name: impl Into<String>, amount: i64) -> Self {
        self.fields.insert(name.into(), amount);
        self
    }

    /// Creates the object if it does not exist, with these attributes and the counters at their amounts.
    #[must_use]
    pub fn or_create(mut self, attributes: Attributes) -> Self {
        self.create = Some(attributes);
        self
    }

    /// Sets when [`Repository::find`] sees the change. Reads by id always see it at once.
    #[must_use]
    pub fn refresh(mut self, refresh: Refresh) -> Self {
        self.refresh = refresh;
        self
    }
}

impl Repository {
    /// Raises counters of an object: reads it, adds the amounts, and writes it unless another writer changed it
    /// meanwhile. In that case this is repeated, many times and with random pauses. Every increment that is answered
    /// with an object is in the counter once.
    ///
    /// A counter is an attribute of the first level, by its literal name, that is a whole number of 64 bits with a
    /// sign.
    ///
    /// ```no_run
    /// # use saved_objects::document::Attributes;
    /// # use saved_objects::repository::{Increment, ObjectKey, Repository};
    /// # async fn example(repository: &Repository) -> saved_objects::Result<()> {
    /// let usage = ObjectKey::new("usage", "search");
    /// let object = repository.increment(Increment::new(usage).field("calls").or_create(Attributes::new())).await?;
    /// println!("{}", object.attributes["calls"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`NotFound`](crate::ErrorKind::NotFound) if no such object is seen from the key's namespace and the request
    ///   does not have [`Increment::or_create`].
    /// - [`Conflict`](crate::ErrorKind::Conflict) if the object must be created and its id is taken by an object that
    ///   is not seen from the namespace, or if other writers kept changing it.
    /// - [`Invalid`](crate::ErrorKind::Invalid) if no counter is named, if one is encrypted or not a whole number, if a
    ///   sum would be too large, or as for [`create`](Self::create) and [`update`](Self::update). Nothing is written
    ///   then.
    /// - [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) if the answer was lost and it cannot be known whether it
    ///   was counted: repeating might count twice.
    /// - Those of [`update`](Self::update).
    #[tracing::instrument(name = "operation", level = "debug", skip_all, fields(operation = "increment"))]
    pub async fn increment(&self, request: Increment) -> Result<SavedObject> {
        let Increment { key, fields, create, refresh } = request;
        let definition = self.registered(&key.type_name)?;
        let mut admitted = self.admit(Action::Update, &key).await?;
        if create.is_some() {
            match self.admit(Action::Create, &key).await {
                Ok(another) => admitted = admitted.and(another),
                Err(refused) => return admitted.end(Err(refused)),
            }
        }
        let target = check_fields(definition, &fields).and_then(|()| Target::new(definition, key));
        let mut items = Items::with_capacity(1);
        items.admit(0, admitted.with(target), ());
        let create = create.map(|initial| {
            let fields = &fields;
            move |target: &Target| {
                let mut attributes = initial.clone();
                raise(&mut attributes, fields)?;
                content::check_new_id(target)?;
                Ok(Content::new(attributes))
            }
        });
        let attempts = Attempts::patient(&self.shared.engine.environment);
        let mut change = |_: &ObjectKey, draft: &mut Draft| raise(&mut draft.attributes, &fields);
        self.change_or_create(items, attempts, create, &mut change, refresh).await
    }
}

fn check_fields(definition: &TypeDefinition, fields: &BTreeMap<String, i64>) -> Result<()> {
    if fields.is_empty() {
        return Err(Error::invalid("no counter is named to be raised", "name at least one attribute"));
    }
    if fields.keys().any(String::is_empty) {
        return Err(Error::invalid("the name of a counter is empty", "give the name of an attribute"));
    }
    match fields.keys().find(|name| definition.latest().sets.encrypts(name)) {
        None => Ok(()),
        Some(name) => Err(Error::invalid(
            format!(
                "the attribute {name:?} of the type {} is encrypted, and cannot be counted with",
                definition.name()
            ),
            "count with an attribute that is not encrypted",
        )),
    }
}

/// Adds all the amounts, or none.
fn raise(attributes: &mut Attributes, fields: &BTreeMap<String, i64>) -> Result<()> {
    let mut sums = Vec::with_capacity(fields.len());
    for (name, amount) in fields {
        let before = match attributes.get(name) {
            None | Some(Value::Null) => 0,
            Some(value) => value.as_i64().ok_or_else(|| {
                Error::invalid(
                    format!("the attribute {name:?} is not a whole number of 64 bits, so it cannot be counted with"),
                    "count with another attribute, or set this one to a whole number first",
                )
            })?,
        };
        let sum = before.checked_add(*amount).ok_or_else(|| {
            Error::invalid(
                format!("the attribute {name:?} would no longer fit into 64 bits"),
                "set the counter back, or raise it by less",
            )
        })?;
        sums.push((name.clone(), Value::from(sum)));
    }
    attributes.extend(sums);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn raised(before: Value, amounts: &[(&str, i64)]) -> Result<Value> {
        let mut attributes = before.as_object().cloned().expect("an object");
        let fields = amounts.iter().map(|(name, amount)| ((*name).to_owned(), *amount)).collect();
        raise(&mut attributes, &fields).map(|()| Value::Object(attributes))
    }

    #[test]
    fn counters_are_whole_numbers_that_fit() {
        let table = [
            (json!({}), &[("n", 1)][..], Some(json!({"n": 1}))),
            (json!({"n": null, "x": "y"}), &[("n", -2)], Some(json!({"n": -2, "x": "y"}))),
            (json!({"n": 5}), &[("n", 0), ("m", 0)], Some(json!({"n": 5, "m": 0}))),
            (json!({"n": i64::MAX}), &[("n", -1)], Some(json!({"n": i64::MAX - 1}))),
            (json!({"a.b": 1}), &[("a.b", 1)], Some(json!({"a.b": 2}))),
            (json!({"n": i64::MAX}), &[("n", 1)], None),
            (json!({"n": i64::MIN}), &[("n", -1)], None),
            (json!({"n": u64::MAX}), &[("n", 0)], None),
            (json!({"n": 1.5}), &[("n", 1)], None),
            (json!({"n": "1"}), &[("n", 1)], None),
            (json!({"n": [1]}), &[("n", 1)], None),
            (json!({"n": true}), &[("n", 1)], None),
        ];
        for (before, amounts, expected) in table {
            let outcome = raised(before.clone(), amounts);
            if let Err(error) = &outcome {
                assert!(error.kind() == crate::ErrorKind::Invalid && error.hint().is_some(), "{error}");
            }
            assert_eq!(outcome.ok(), expected, "{before} {amounts:?}");
        }
    }

    proptest! {
        #[test]
        fn all_are_raised_or_none(a in any::<i64>(), b in any::<i64>(), by_a in any::<i64>(), by_b in any::<i64>()) {
            let outcome = raised(json!({"a": a, "b": b}), &[("a", by_a), ("b", by_b)]);
            match (a.checked_add(by_a), b.checked_add(by_b)) {
                (Some(a), Some(b)) => prop_assert_eq!(outcome.expect("both fit"), json!({"a": a, "b": b})),
                _ => prop_assert!(outcome.is_err()),
            }
        }
    }
}
