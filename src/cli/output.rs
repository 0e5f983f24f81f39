use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::migrate::ReportedError;
use crate::{Error, ErrorKind};

/// The document of a command that failed before it had anything else to report.
#[derive(Serialize)]
struct Failure {
    error: ReportedError,
}

/// Where a command's words go: for a person on standard output, or with `--json` one document there and the rest on
/// standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    indent: usize,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, indent: 0 }
    }

    /// The same, with its lines moved to the right: what belongs to a chapter of a longer story.
    pub(crate) fn indented(self) -> Self {
        Self { indent: self.indent + 3, ..self }
    }

    /// The same, with its lines on standard error: where standard output has something else.
    pub(crate) fn aside(self) -> Self {
        Self { json: true, ..self }
    }

    /// Whether the one JSON document is wanted, rather than lines for a person.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Whether a person watches: progress bars and colours are for them only.
    pub(crate) fn is_terminal(self) -> bool {
        !self.json && std::io::stdout().is_terminal()
    }

    /// A line for a person: standard output, or standard error when that is taken by the JSON document.
    pub(crate) fn say(self, line: impl AsRef<str>) {
        let (line, indent) = (line.as_ref(), self.indent);
        // A reader that went away (`| head`) is no reason to fail.
        let _ = if self.json {
            writeln!(std::io::stderr().lock(), "{:indent$}{line}", "")
        } else {
            writeln!(std::io::stdout().lock(), "{:indent$}{line}", "")
        };
    }

    /// Why the command failed: for a person on standard error, and with `--json` as the one document.
    pub(crate) fn failure(self, error: &Error) {
        let _ = writeln!(std::io::stderr().lock(), "error: {error}");
        let report = Failure { error: error.into() };
        // A report of plain strings can always be written.
        let _ = self.document(&report);
    }

    /// The one JSON document of `--json`; nothing without it.
    pub(crate) fn document(self, document: &impl Serialize) -> crate::Result<()> {
        if self.json {
            let text = serde_json::to_string_pretty(document).map_err(|error| {
                Error::new(ErrorKind::Internal, "a report could not be written as JSON").with_source(error)
            })?;
            let _ = writeln!(std::io::stdout().lock(), "{text}");
        }
        Ok(())
    }
}
