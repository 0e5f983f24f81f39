//! The words of the demo, in numbered chapters.

use std::cell::Cell;

use comfy_table::{Table, presets};
use serde_json::Value;

use crate::output::Output;

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
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        for (what, figure) in rows {
            table.add_row([*what, figure.as_str()]);
        }
        for line in table.to_string().lines() {
            self.line(line);
        }
    }
}
