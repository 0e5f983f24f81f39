//! Filters as text: KQL. The text is parsed into a tree, checked against the types that are asked for, and becomes the same
//! [`Filter`](super::Filter) as one that was built by hand; nothing of it reaches the server as syntax.

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

use super::filter::Filter;
use crate::registry::TypeDefinition;
use tree::Node;

/// A filter written as text, for people and for programs that take it from people.
///
/// ```text
/// note.attributes.title: "to do" and note.attributes.count >= 3
/// note.attributes.tags: (red or blue) and not note.managed: true
/// note.updated_at > "2026-01-01" or note.attributes.steps: { name: build* }
/// ```
///
/// A key is `TYPE.attributes.PATH` for an attribute of the type's mapping, `TYPE.FIELD` for a field that every object has
/// (`created_at`, `created_by`, `managed`, `namespaces`, `originId`, `type`, `updated_at`, `updated_by`), or `TYPE.id` for the
/// stored `_id` (`note.id: "note:n1"`). Blank text filters nothing. A value without quotes is a word, several words, or a
/// pattern if it has a `*`; one in quotes is a phrase, in which nothing but `\"` and `\\` is special. Keywords can be written
/// in any case.
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
/// Values that come from programs are better put into a [`Filter`](super::Filter), which needs no escaping.
#[derive(Debug, Clone)]
pub struct Kql {
    /// None for blank text.
    node: Option<Node>,
    /// What it was read from.
    text: String,
}

/// However it was written.
impl PartialEq for Kql {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node
    }
}

impl Kql {
    /// The filter for objects of these types.
    pub(super) fn to_filter(&self, types: &[&TypeDefinition]) -> Result<Filter, KqlError> {
        self.node.as_ref().map_or(Ok(Filter::and([])), |node| compile::compile(node, &self.text, types))
    }
}

impl FromStr for Kql {
    type Err = KqlError;

    /// Reads a filter. Whether its keys exist is only known once the types are: [`Repository::find`](super::Repository::find)
    /// says so.
    fn from_str(text: &str) -> Result<Self, KqlError> {
        parse::parse(text).map(|node| Self { node, text: text.to_owned() })
    }
}

/// Shows the text that is read as this filter.
impl fmt::Display for Kql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.node.as_ref().map_or(Ok(()), |node| write!(f, "{node}"))
    }
}
