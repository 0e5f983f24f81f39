use std::collections::BTreeMap;

use serde_json::Value;

use super::create::Content;
use super::rounds::Rounds;
use super::{Action, Draft, ObjectKey, Repository, SavedObject, content};
use crate::cluster::Refresh;
use crate::document::Attributes;
use crate::registry::TypeDefinition;
use crate::{Error, Result};

/// Counters of an object that are to be raised.
///
/// ```
/// # use saved_objects::document::Attributes;
/// # use saved_objects::repository::{Increment, ObjectKey};
/// let request = Increment::new(ObjectKey::new("usage", "search")).field("calls").by("bytes", 512).or_create(Attributes::new());
/// ```
#[derive(Debug, Clone)]
pub struct Increment {
    key: ObjectKey,
    fields: BTreeMap<String, i64>,
    create: Option<Attributes>,
    refresh: Refresh,
}

impl Increment {
    /// Counters of the object called `key`.
    pub fn new(key: impl Into<ObjectKey>) -> Self {
        Self { key: key.into(), fields: BTreeMap::new(), create: None, refresh: Refresh::Later }
    }

    /// Raises the attribute `name` by one.
    #[must_use]
    pub fn field(self, name: impl Into<String>) -> Self {
        self.by(name, 1)
    }

    /// Raises the attribute `name` by `amount`, which may be negative. One that is absent or null counts as 0, so an amount of 0
    /// only sets what is not there. Of several calls for one attribute the last counts.
    #[must_use]
    pub fn by(mut self, name: impl Into<String>, amount: i64) -> Self {
        self.fields.insert(name.into(), amount);
        self
    }

    /// Creates the object if it is not there, with these attributes and the counters at their amounts.
    #[must_use]
    pub fn or_create(mut self, attributes: Attributes) -> Self {
        self.create = Some(attributes);
        self
    }

    /// Decides when [`Repository::find`] sees it. Reads by id see it at once in any case.
    #[must_use]
    pub fn refresh(mut self, refresh: Refresh) -> Self {
        self.refresh = refresh;
        self
    }
}

impl Repository {
    /// Raises counters of an object: reads it, adds, and writes it if nobody wrote it meanwhile; else again, many times with
    /// random pauses. Every increment that is answered with an object is in the counter, once.
    ///
    /// A counter is an attribute of the first level, by its literal name, that is a whole number of 64 bits with a sign.
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
    /// - [`NotFound`](crate::ErrorKind::NotFound) if there is no such object that is seen from the key's namespace and the
    ///   request does not say [`Increment::or_create`].
    /// - [`Conflict`](crate::ErrorKind::Conflict) if the object is to be created and its id is taken by one that is not seen from the
    ///   namespace, or if others went on writing it.
    /// - [`Invalid`](crate::ErrorKind::Invalid) if no counter is named, if one is encrypted or not a whole number, if a sum would
    ///   be too large, or as for [`create`](Self::create) and [`update`](Self::update). Nothing is written then.
    /// - [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) if the answer was lost and nobody can tell whether it was counted:
    ///   repeating might count twice.
    /// - Those of [`update`](Self::update).
    pub async fn increment(&self, request: Increment) -> Result<SavedObject> {
        let definition = self.definition(&request.key.type_name)?;
        let mut admitted = self.admit(Action::Update, &request.key).await?;
        if request.create.is_some() {
            match self.admit(Action::Create, &request.key).await {
                Ok(another) => admitted = admitted.and(another),
                Err(refused) => return admitted.end(Err(refused)),
            }
        }
        admitted.end(self.increment_admitted(definition, request).await)
    }

    async fn increment_admitted(&self, definition: &TypeDefinition, request: Increment) -> Result<SavedObject> {
        let Increment { key, fields, create, refresh } = request;
        check_fields(definition, &fields)?;
        let created = create.map(|initial| {
            let (key, fields) = (key.clone(), &fields);
            move || {
                let mut attributes = initial.clone();
                raise(&mut attributes, fields)?;
                key.raw_id(definition)?;
                content::check_new_id(definition, &key.id)?;
                Ok(Content::new(attributes))
            }
        });
        let change = |draft: &mut Draft| raise(&mut draft.attributes, &fields);
        self.change_or_create(Rounds::patient(self, key), created, change, refresh).await
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

/// Adds the amounts, or nothing at all.
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
                assert!(error.kind() == crate::ErrorKind::Invalid && error.cure().is_some(), "{error}");
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
