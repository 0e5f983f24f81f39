//! The problems of definitions.

use std::fmt;

use serde::Serialize;

use crate::{Error, ErrorKind};

/// A problem of a definition, with a hint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DefinitionProblem {
    /// The file.
    pub file: String,
    /// The location in the file, such as `changes[0].defaults`. Empty for the file as a whole.
    pub path: String,
    /// The problem.
    pub message: String,
    /// The hint.
    pub hint: String,
}

impl fmt::Display for DefinitionProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}; {}", self.message, self.hint)
    }
}

/// All problems of some definitions. It is the source of the error that reading them returns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefinitionProblems(Vec<DefinitionProblem>);

impl DefinitionProblems {
    /// Returns the problems, file by file.
    pub fn iter(&self) -> impl Iterator<Item = &DefinitionProblem> {
        self.0.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, problem: DefinitionProblem) {
        self.0.push(problem);
    }

    pub(super) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Returns a collector for the problems of `file`.
    pub(super) fn of<'a>(&'a mut self, file: &'a str) -> FileProblems<'a> {
        FileProblems { file, problems: self }
    }
}

impl fmt::Display for DefinitionProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for DefinitionProblems {}

impl From<DefinitionProblems> for Error {
    fn from(problems: DefinitionProblems) -> Self {
        let message = match problems.0.as_slice() {
            [only] => only.to_string(),
            [first, others @ ..] => format!("{first} (and {} more; `saved-objects check` lists them)", others.len()),
            [] => "a definition is wrong".to_owned(),
        };
        Self::new(ErrorKind::Invalid, message).with_source(problems)
    }
}

/// Collects the problems of one file.
pub(super) struct FileProblems<'a> {
    file: &'a str,
    problems: &'a mut DefinitionProblems,
}

impl FileProblems<'_> {
    pub(super) fn add(&mut self, path: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(DefinitionProblem {
            file: self.file.to_owned(),
            path: path.into(),
            message: message.into(),
            hint: hint.into(),
        });
    }
}
