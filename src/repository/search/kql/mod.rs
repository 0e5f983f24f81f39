//! Filters as text: KQL. The text is parsed into a tree, checked against the types that are searched for, and compiled
//! to the same [`Filter`](crate::repository::Filter) that code would construct. Nothing of it reaches the server as
//! syntax.

mod compile;
mod error;
mod parse;
mod print;
#[cfg(test)]
mod tests;
mod tree;

use std::fmt;
use std::str::FromStr;

pub use error::{KqlError, KqlProblem};

use crate::registry::TypeDefinition;
use crate::repository::search::filter::Filter;
use tree::Node;

/// A filter as text, for people and for programs that take it from people.
///
/// ```text
/// note.attributes.title: "to do" and note.attributes.count >= 3
/// note.attributes.tags: (red or blue) and not note.managed: true
/// note.updated_at > "2026-01-01" or note.attributes.steps: { name: build* }
/// ```
///
/// A key is `TYPE.attributes.PATH` for an attribute of the type's mapping, `TYPE.FIELD` for a field that every object
/// has (`created_at`, `created_by`, `managed`, `namespaces`, `originId`, `type`, `updated_at`, `updated_by`), or
/// `TYPE.id` for the stored `_id` (`note.id: "note:n1"`). Blank text finds every object. A value without quotes is a
/// word, several words, or a pattern if it has a `*`. A value in quotes is a phrase, in which only `\"` and `\\` are
/// special. Keywords can be written in any case.
///
/// ```
/// use saved_objects::repository::{Find, Kql};
///
/// let filter: Kql = "note.attributes.title: Hello and not note.managed: true".parse()?;
/// let request = Find::new().kql(filter);
///
/// let error = "note.attributes.title: (a or".parse::<Kql>().expect_err("it is not complete");
/// assert_eq!(error.problems()[0].position, 29);
/// # Ok::<(), saved_objects::Error>(())
/// ```
///
/// For values that come from programs, prefer a [`Filter`](crate::repository::Filter), which needs no escaping.
#[derive(Debug, Clone)]
pub struct Kql {
    /// `None` for blank text.
    node: Option<Node>,
    /// The text that was parsed.
    text: String,
}

/// Filters are equal if they have the same tree, however they were written.
impl PartialEq for Kql {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node
    }
}

impl Kql {
    /// Returns the filter for objects of these types.
    pub(in crate::repository) fn to_filter(&self, types: &[&TypeDefinition]) -> Result<Filter, KqlError> {
        self.node.as_ref().map_or(Ok(Filter::and([])), |node| compile::compile(node, &self.text, types))
    }
}

impl FromStr for Kql {
    type Err = KqlError;

    /// Parses a filter. Only [`Repository::find`](crate::repository::Repository::find) checks that its keys exist,
    /// because it knows the types.
    fn from_str(text: &str) -> Result<Self, KqlError> {
        parse::parse(text).map(|node| Self { node, text: text.to_owned() })
    }
}

/// Writes a text that is parsed as this filter.
impl fmt::Display for Kql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.node.as_ref().map_or(Ok(()), |node| write!(f, "{node}"))
    }
}
