//! The words of the demo, in numbered chapters.

use std::cell::Cell;

use serde_json::Value;

use crate::output::Output;
use crate::table::Table;

/// Tells a person what happens, in numbered chapters.
pub(super) struct Story {
    output: Output,
    chapters: Cell<u32>,
}

impl Story {
    pub(super) fn new(output: Output) -> Self {
        Self { output, chapters: Cell::new(0) }
    }

    pub(super) fn title(&self, title: &str) {
        self.output.say(title);
    }

    pub(super) fn chapter(&self, title: &str) {
        self.chapters.set(self.chapters.get() + 1);
        self.output.say(format!("\n{}. {title}", self.chapters.get()));
    }

    pub(super) fn line(&self, line: impl AsRef<str>) {
        self.output.indented().say(line);
    }

    pub(super) fn json(&self, value: &Value) {
        for line in format!("{value:#}").lines() {
            self.line(line);
        }
    }

    pub(super) fn table(&self, rows: &[(&str, String)]) {
        let mut table = Table::new(&[], 1);
        for (what, figure) in rows {
            table.row([(*what).to_owned(), figure.clone()]);
        }
        self.output.indented().table(&table);
    }
}
