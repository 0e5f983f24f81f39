//! KQL: the errors of texts.

use std::fmt;

use crate::Error;

/// The reason why a text is not a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KqlError {
    problems: Vec<KqlProblem>,
}

/// One problem of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KqlProblem {
    /// The position of the character, from 1. The number of characters plus one means the end.
    pub position: usize,
    /// What is wrong there, and what was expected.
    pub message: String,
}

impl KqlError {
    pub(super) fn new(problems: Vec<KqlProblem>) -> Self {
        Self { problems }
    }

    /// Returns all problems in the order of the text. A text that cannot be parsed has one.
    pub fn problems(&self) -> &[KqlProblem] {
        &self.problems
    }
}

impl KqlProblem {
    /// Creates a problem at the byte `place` of `text`.
    pub(super) fn at(text: &str, place: usize, message: impl Into<String>) -> Self {
        let before = text.get(..place).unwrap_or(text);
        Self { position: before.chars().count() + 1, message: message.into() }
    }
}

impl fmt::Display for KqlProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {}", self.position, self.message)
    }
}

impl fmt::Display for KqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list: Vec<_> = self.problems.iter().map(KqlProblem::to_string).collect();
        write!(f, "the filter cannot be used: {}", list.join("; "))
    }
}

impl std::error::Error for KqlError {}

impl From<KqlError> for Error {
    fn from(error: KqlError) -> Self {
        let hint = "correct the filter; a key is TYPE.attributes.NAME or TYPE.FIELD, and a value with special characters \
                    stands in double quotes";
        Self::invalid(error.to_string(), hint).with_source(error)
    }
}
