use std::fmt;

use crate::Error;

/// Why a text is not a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KqlError {
    problems: Vec<KqlProblem>,
}

/// One thing that is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KqlProblem {
    /// Where: the place of the character, from 1. One more than there are characters means the end.
    pub position: usize,
    /// What is wrong there, and what was expected.
    pub message: String,
}

impl KqlError {
    pub(super) fn new(problems: Vec<KqlProblem>) -> Self {
        Self { problems }
    }

    /// All problems, in the order of the text. A text that cannot be read has one.
    pub fn problems(&self) -> &[KqlProblem] {
        &self.problems
    }
}

impl KqlProblem {
    /// A problem at the byte `place` of `text`.
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
        let cure = "correct the filter; a key is TYPE.attributes.NAME or TYPE.FIELD, and a value with special characters \
                    stands in double quotes";
        Self::invalid(error.to_string(), cure).with_source(error)
    }
}
