//! Where the words and the JSON document of a command go.

use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::table::Table;
use crate::terminal::Stream;
use saved_objects::migrate::ReportedError;
use saved_objects::{Error, ErrorKind};

/// The JSON document of a command that fails before it has a report.
#[derive(Serialize)]
struct Failure {
    error: ReportedError,
}

/// The destination of a command's output: lines for a person on standard output, or with `--json` one document there
/// and the lines on standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    indent: usize,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, indent: 0 }
    }

    /// Returns the same output with indented lines, for details of a chapter.
    pub(crate) fn indented(self) -> Self {
        Self { indent: self.indent + 3, ..self }
    }

    /// Returns the same output with its lines on standard error, for commands that use standard output for something
    /// else.
    pub(crate) fn aside(self) -> Self {
        Self { json: true, ..self }
    }

    /// Returns whether the output is the one JSON document rather than lines for a person.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Returns whether a person watches: only then are progress bars shown. They are drawn on standard error, so that
    /// standard output has nothing but the words of the command.
    pub(crate) fn is_terminal(self) -> bool {
        !self.json && std::io::stderr().is_terminal()
    }

    /// Prints a line for a person: on standard output, or on standard error if the JSON document is on standard output.
    pub(crate) fn say(self, line: impl AsRef<str>) {
        let (line, indent) = (line.as_ref(), self.indent);
        self.stream().print(&format!("{:indent$}{line}", ""));
    }

    /// Prints a table for a person.
    pub(crate) fn table(self, table: &Table) {
        table.lines(self.width()).iter().for_each(|line| self.say(line));
    }

    /// Returns the number of columns that a line should fit, if there is a limit.
    pub(crate) fn width(self) -> Option<usize> {
        Some(self.stream().width()?.saturating_sub(self.indent))
    }

    fn stream(self) -> Stream {
        if self.json { Stream::Err } else { Stream::Out }
    }

    /// Reports why the command failed: to a person on standard error, and with `--json` as the one document.
    pub(crate) fn failure(self, error: &Error) {
        Stream::Err.print(&format!("error: {error}"));
        let report = Failure { error: error.into() };
        // A report of plain strings can always be serialized.
        let _ = self.document(&report);
    }

    /// Prints the one JSON document of `--json`; does nothing without it.
    pub(crate) fn document(self, document: &impl Serialize) -> saved_objects::Result<()> {
        if self.json {
            let text = serde_json::to_string_pretty(document).map_err(|error| {
                Error::new(ErrorKind::Internal, "a report could not be written as JSON").with_source(error)
            })?;
            let _ = writeln!(std::io::stdout().lock(), "{text}");
        }
        Ok(())
    }
}
