//! KQL: from tree to filter. Finds the types and attributes that the keys name.

use std::ops::Bound;

use super::error::{KqlError, KqlProblem};
use super::tree::{Literal, Node, Operator, Value};
use crate::registry::TypeDefinition;
use crate::repository::search::filter::{Field, Filter, RootField};

/// Returns the filter for objects of `types`, or everything that is wrong with its keys and values.
pub(super) fn compile(node: &Node, text: &str, types: &[&TypeDefinition]) -> Result<Filter, KqlError> {
    let mut compiler = Compiler { text, types, problems: Vec::new() };
    match compiler.node(node, "") {
        Some(filter) if compiler.problems.is_empty() => Ok(filter),
        _ => Err(KqlError::new(compiler.problems)),
    }
}

struct Compiler<'a> {
    text: &'a str,
    types: &'a [&'a TypeDefinition],
    problems: Vec<KqlProblem>,
}

/// What a key names.
struct Key<'a> {
    definition: &'a TypeDefinition,
    target: Target,
}

enum Target {
    Field(Field),
    RawId,
}

impl<'a> Compiler<'a> {
    /// Returns the filter of a node whose keys begin with `prefix`, or `None` if there is a problem. All problems are
    /// recorded.
    fn node(&mut self, node: &Node, prefix: &str) -> Option<Filter> {
        match node {
            Node::And(nodes) => self.nodes(nodes, prefix).map(Filter::And),
            Node::Or(nodes) => self.nodes(nodes, prefix).map(Filter::Or),
            Node::Not(node) => self.node(node, prefix).map(Filter::not),
            Node::Is { field: None, value } => {
                let example = self.example();
                self.problem(value.place, format!("expected a key before the value, such as {example}"))
            }
            Node::Is { field: Some(field), value } => {
                let Key { definition, target } = self.key(field, prefix)?;
                let filter = match target {
                    Target::RawId => self.raw_id(value)?,
                    Target::Field(of) => self.is(of, value)?,
                };
                self.checked(field, definition, prefix, filter)
            }
            Node::Range { field, operator, value } => {
                let Key { definition, target } = self.key(field, prefix)?;
                let Target::Field(of) = target else {
                    return self.problem(field.place, "an id cannot be compared so: expected \":\"".to_owned());
                };
                let bound = match &value.value {
                    Value::Text(text) | Value::Quoted(text) => serde_json::Value::from(text.as_str()),
                    _ => {
                        return self
                            .problem(value.place, "expected a number, a date or a text to compare with".to_owned());
                    }
                };
                let (from, to) = match operator {
                    Operator::Less => (Bound::Unbounded, Bound::Excluded(bound)),
                    Operator::AtMost => (Bound::Unbounded, Bound::Included(bound)),
                    Operator::Greater => (Bound::Excluded(bound), Bound::Unbounded),
                    Operator::AtLeast => (Bound::Included(bound), Bound::Unbounded),
                };
                self.checked(field, definition, prefix, Filter::Range(of, from, to))
            }
            Node::Nested { field, node } => {
                let Key { definition, target } = self.key(field, prefix)?;
                let Target::Field(Field::Attribute(path)) = target else {
                    return self.problem(field.place, "expected an attribute that holds nested objects".to_owned());
                };
                let is_there = Filter::nested(&path, Filter::and([]));
                self.checked(field, definition, prefix, is_there)?;
                let inner = format!("{}.attributes.{path}.", definition.name());
                let filter = self.node(node, &inner)?;
                Some(Filter::OfType(definition.name().to_owned(), Box::new(Filter::nested(path, filter))))
            }
        }
    }

    fn nodes(&mut self, nodes: &[Node], prefix: &str) -> Option<Vec<Filter>> {
        let filters: Vec<_> = nodes.iter().map(|node| self.node(node, prefix)).collect();
        filters.into_iter().collect()
    }

    fn is(&mut self, field: Field, value: &Literal) -> Option<Filter> {
        Some(match &value.value {
            Value::Null => {
                let message = "null is not a value: expected another one, or `not` and the key with `*`";
                return self.problem(value.place, message.to_owned());
            }
            Value::True => Filter::Words(field, "true".to_owned()),
            Value::False => Filter::Words(field, "false".to_owned()),
            Value::Text(text) => Filter::Words(field, text.clone()),
            Value::Quoted(text) => Filter::Phrase(field, text.clone()),
            Value::Pattern(parts) if parts.iter().all(String::is_empty) => Filter::Exists(field),
            Value::Pattern(parts) => Filter::Pattern(field, parts.clone()),
        })
    }

    fn raw_id(&mut self, value: &Literal) -> Option<Filter> {
        match &value.value {
            Value::Text(text) | Value::Quoted(text) => Some(Filter::RawIds(vec![text.clone()])),
            Value::Pattern(parts) if parts.iter().all(String::is_empty) => Some(Filter::and([])),
            _ => self.problem(value.place, "expected a whole id, as it is stored: \"TYPE:ID\"".to_owned()),
        }
    }

    /// Returns the filter for objects of `definition`, if its field allows it.
    fn checked(
        &mut self,
        field: &Literal,
        definition: &TypeDefinition,
        prefix: &str,
        filter: Filter,
    ) -> Option<Filter> {
        // The attribute that holds the nested objects around this one.
        let within = prefix.split_once(".attributes.").map(|(_, path)| path.trim_end_matches('.'));
        match filter.compile_within(definition, within) {
            Ok(_) => Some(Filter::OfType(definition.name().to_owned(), Box::new(filter))),
            Err(error) => self.problem(field.place, error.to_string()),
        }
    }

    fn key(&mut self, field: &Literal, prefix: &str) -> Option<Key<'a>> {
        let name = match &field.value {
            Value::Text(name) | Value::Quoted(name) => format!("{prefix}{name}"),
            Value::Null => format!("{prefix}null"),
            Value::True => format!("{prefix}true"),
            Value::False => format!("{prefix}false"),
            Value::Pattern(_) => return self.problem(field.place, "a key cannot have wildcards".to_owned()),
        };
        let Some((type_name, rest)) = name.split_once('.') else {
            let example = self.example();
            return self.problem(
                field.place,
                format!("the key {name:?} does not begin with a type: expected one such as {example}"),
            );
        };
        let Some(definition) = self.types.iter().copied().find(|definition| definition.name() == type_name) else {
            let types: Vec<_> = self.types.iter().map(|definition| definition.name()).collect();
            return self.problem(
                field.place,
                format!("the type {type_name:?} is not among those asked for: expected {}", types.join(", ")),
            );
        };
        let field_of = |target| Some(Key { definition, target });
        if let Some(path) = rest.strip_prefix("attributes.") {
            return field_of(Target::Field(Field::from(path)));
        }
        if rest == "id" {
            return field_of(Target::RawId);
        }
        if let Some(root) = RootField::ALL.into_iter().find(|root| root.as_str() == rest) {
            return field_of(Target::Field(Field::Root(root)));
        }
        let roots: Vec<_> = RootField::ALL.into_iter().map(RootField::as_str).collect();
        self.problem(
            field.place,
            format!(
                "there is no field {rest:?}: expected attributes.{rest} for an attribute, or one of id, {}",
                roots.join(", ")
            ),
        )
    }

    /// Returns an example of a correct key.
    fn example(&self) -> String {
        let type_name = self.types.first().map_or("TYPE", |definition| definition.name());
        format!("{type_name}.attributes.NAME or {type_name}.updated_at")
    }

    fn problem<T>(&mut self, place: usize, message: String) -> Option<T> {
        self.problems.push(KqlProblem::at(self.text, place, message));
        None
    }
}
