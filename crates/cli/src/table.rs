//! Tables for a person. If a row does not fit the terminal, each becomes a paragraph with one cell a line.

use crate::terminal::columns;

/// The distance between two columns.
const GAP: &str = "  ";

/// A table, by rows.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// The names of the columns, or nothing.
    header: Vec<&'static str>,
    /// The number of cells at the beginning of a row that name it.
    keys: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Creates a table with these columns. The first `keys` cells of a row name it.
    pub(crate) fn new(header: &[&'static str], keys: usize) -> Self {
        Self { header: header.to_vec(), keys, rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Returns the lines of the table for a terminal of that many columns.
    pub(crate) fn lines(&self, width: Option<usize>) -> Vec<String> {
        let widths = self.widths();
        let total = widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1);
        if width.is_some_and(|width| total > width) { self.paragraphs() } else { self.aligned(&widths, total) }
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.header.iter().map(|name| columns(name)).collect();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            widths.iter_mut().zip(row).for_each(|(width, cell)| *width = (*width).max(columns(cell)));
        }
        widths
    }

    fn aligned(&self, widths: &[usize], total: usize) -> Vec<String> {
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let cells = cells.zip(widths).map(|(cell, width)| {
                let filler = " ".repeat(width.saturating_sub(columns(cell)));
                format!("{cell}{filler}")
            });
            cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
        };
        let mut lines = Vec::new();
        if !self.header.is_empty() {
            lines.push(line(&mut self.header.iter().copied()));
            lines.push("─".repeat(total));
        }
        lines.extend(self.rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
        lines
    }

    fn paragraphs(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for row in &self.rows {
            let (keys, cells) = row.split_at(self.keys.min(row.len()));
            if self.header.is_empty() {
                lines.push(format!("{}: {}", keys.join(" "), cells.join(GAP)));
                continue;
            }
            lines.push(keys.join(" "));
            let named = self.header.iter().skip(self.keys).zip(cells).filter(|(_, cell)| !cell.is_empty());
            lines.extend(named.map(|(name, cell)| format!("  {name}: {cell}")));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["index", "type", "a migration would"], 2);
        table.row(["a-000001", "note", "do nothing"].map(str::to_owned));
        table.row(["b-000001", "board", "copy all documents"].map(str::to_owned));
        table.row(["c-000001", "empty", ""].map(str::to_owned));
        table
    }

    #[test]
    fn a_table_that_fits_is_aligned() {
        let expected = [
            "index     type   a migration would",
            "───────────────────────────────────",
            "a-000001  note   do nothing",
            "b-000001  board  copy all documents",
            "c-000001  empty",
        ];
        for width in [None, Some(35), Some(140)] {
            assert_eq!(table().lines(width), expected, "{width:?}");
        }
    }

    #[test]
    fn a_table_that_does_not_fit_is_in_paragraphs() {
        let expected = [
            "a-000001 note",
            "  a migration would: do nothing",
            "b-000001 board",
            "  a migration would: copy all documents",
            "c-000001 empty",
        ];
        assert_eq!(table().lines(Some(34)), expected);
    }

    #[test]
    fn a_table_without_names_has_none() {
        let mut table = Table::new(&[], 1);
        table.row(["written", "20 in 1 s"].map(str::to_owned));
        assert_eq!(table.lines(None), ["written  20 in 1 s"]);
        assert_eq!(table.lines(Some(10)), ["written: 20 in 1 s"]);
    }
}
