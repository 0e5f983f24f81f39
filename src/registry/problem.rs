use std::fmt;

use serde::Serialize;

use crate::{Error, ErrorKind};

/// One thing that is wrong with a definition, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DefinitionProblem {
    /// The file.
    pub file: String,
    /// Where in the file, as `changes[0].defaults`; empty for the file as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub cure: String,
}

impl fmt::Display for DefinitionProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}; {}", self.message, self.cure)
    }
}

/// Everything that is wrong with some definitions: the source of the error that reading them gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefinitionProblems(Vec<DefinitionProblem>);

impl DefinitionProblems {
    /// The problems, file by file.
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

    /// Collects problems of `file`.
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

/// Adds the problems of one file.
pub(super) struct FileProblems<'a> {
    file: &'a str,
    problems: &'a mut DefinitionProblems,
}

impl FileProblems<'_> {
    pub(super) fn add(&mut self, path: impl Into<String>, message: impl Into<String>, cure: impl Into<String>) {
        self.problems.push(DefinitionProblem {
            file: self.file.to_owned(),
            path: path.into(),
            message: message.into(),
            cure: cure.into(),
        });
    }
}
