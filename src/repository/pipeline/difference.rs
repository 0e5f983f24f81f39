//! Differences between JSON objects, and their application to a third one.

use serde_json::{Map, Value};

/// Applies to `target` the difference between `before` and `after`. Values that are the same in both are not touched.
/// So what a struct or an older forward schema does not know stays, in nested objects and in lists too.
pub(crate) fn apply(before: &Map<String, Value>, after: &Map<String, Value>, target: &mut Map<String, Value>) {
    for (name, new) in after {
        let old = before.get(name);
        if old == Some(new) {
            continue;
        }
        match (old, new, target.get_mut(name)) {
            (Some(Value::Object(old)), Value::Object(new), Some(Value::Object(target))) => apply(old, new, target),
            (Some(Value::Array(old)), Value::Array(new), Some(Value::Array(target))) if old.len() == target.len() => {
                *target = apply_to_list(old, new, target);
            }
            _ => drop(target.insert(name.clone(), new.clone())),
        }
    }
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        target.remove(name);
    }
}

/// Returns the list that `new` describes. Elements that were there keep what `old` does not show of them, even if they
/// moved. `target[i]` is what `old[i]` shows.
fn apply_to_list(old: &[Value], new: &[Value], target: &[Value]) -> Vec<Value> {
    let mut is_used: Vec<bool> = old.iter().zip(new).map(|(old, new)| old == new).collect();
    is_used.resize(old.len(), false);
    let mut list: Vec<Option<Value>> = vec![None; new.len()];
    for (index, wanted) in new.iter().enumerate() {
        let stayed = (old.get(index) == Some(wanted)).then_some(index);
        let source = stayed.or_else(|| (0..old.len()).find(|other| !is_used[*other] && old[*other] == *wanted));
        if let Some(source) = source {
            is_used[source] = true;
            list[index] = Some(target[source].clone());
        }
    }
    let changed = |(index, (element, wanted)): (usize, (Option<Value>, &Value))| {
        element.unwrap_or_else(|| match (old.get(index), wanted, target.get(index)) {
            (Some(Value::Object(old)), Value::Object(new), Some(Value::Object(target))) if !is_used[index] => {
                let mut element = target.clone();
                apply(old, new, &mut element);
                Value::Object(element)
            }
            _ => wanted.clone(),
        })
    };
    list.into_iter().zip(new).enumerate().map(changed).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().expect("an object")
    }

    #[test]
    fn only_what_changed_is_changed() {
        let table = [
            // before, after, target, expected
            (json!({"a": 1}), json!({"a": 2}), json!({"a": 1, "x": 9}), json!({"a": 2, "x": 9})),
            (json!({"a": null}), json!({"a": null}), json!({}), json!({})),
            (json!({"a": 1, "b": 2}), json!({"b": 2}), json!({"a": 1, "b": 2}), json!({"b": 2})),
            (json!({}), json!({"a": 1}), json!({"x": 9}), json!({"a": 1, "x": 9})),
            (
                json!({"o": {"a": 1, "b": 1}}),
                json!({"o": {"a": 2, "b": 1}}),
                json!({"o": {"a": 1, "b": 7, "x": 9}}),
                json!({"o": {"a": 2, "b": 7, "x": 9}}),
            ),
            (json!({"l": [1, 2]}), json!({"l": [2]}), json!({"l": [1, 2]}), json!({"l": [2]})),
            (
                json!({"l": [{"a": 1}, {"a": 2}]}),
                json!({"l": [{"a": 1}, {"a": 3}]}),
                json!({"l": [{"a": 1, "x": 8}, {"a": 2, "x": 9}]}),
                json!({"l": [{"a": 1, "x": 8}, {"a": 3, "x": 9}]}),
            ),
            (
                json!({"l": [{"a": 1}, {"a": 2}, {"a": 1}]}),
                json!({"l": [{"a": 2}, {"a": 1}, {"a": 7}, {"a": 8}]}),
                json!({"l": [{"a": 1, "x": 7}, {"a": 2, "x": 8}, {"a": 1, "x": 9}]}),
                json!({"l": [{"a": 2, "x": 8}, {"a": 1, "x": 7}, {"a": 7, "x": 9}, {"a": 8}]}),
            ),
            (json!({"l": [1]}), json!({"l": [1, 2]}), json!({"l": [1, 5]}), json!({"l": [1, 2]})),
            (json!({"o": {"a": 1}}), json!({"o": 3}), json!({"o": {"a": 1, "x": 9}}), json!({"o": 3})),
            (json!({"o": {"a": 1}}), json!({"o": {"a": 2}}), json!({"o": "text"}), json!({"o": {"a": 2}})),
        ];
        for (before, after, target, expected) in table {
            let mut target = object(target);
            apply(&object(before.clone()), &object(after.clone()), &mut target);
            assert_eq!(target, object(expected), "{before} -> {after}");
        }
    }

    fn any_object() -> impl Strategy<Value = Map<String, Value>> {
        let leaf = prop_oneof![Just(Value::Null), any::<u8>().prop_map(Value::from), "[a-c]".prop_map(Value::from)];
        let value = leaf.prop_recursive(2, 8, 3, |inner| {
            proptest::collection::btree_map("[a-c]", inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect()))
        });
        proptest::collection::btree_map("[a-c]", value, 0..4).prop_map(|members| members.into_iter().collect())
    }

    proptest! {
        #[test]
        fn applied_to_what_it_was_made_of_it_gives_the_result(before in any_object(), after in any_object()) {
            let mut target = before.clone();
            apply(&before, &after, &mut target);
            prop_assert_eq!(target, after);
        }
    }
}
