//! Measures how a migration grows with the number of documents, of nodes, and with their size, and writes a table and
//! plots of it.

use std::fmt;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::migrate::{self, Way};
use super::plot::Plot;
use super::result::BenchResult;
use crate::connection::Connection;
use crate::output::Output;
use saved_objects::environment::Environment;
use saved_objects::{Error, ErrorKind, Result};

/// The smallest number of documents of a measure.
const FEWEST: u32 = 1_000;
/// The bytes of a document of 1 KB, the smallest one.
const KB: u32 = 1_000;
/// The file with the table, in the folder of `--plot`.
const TABLE: &str = "measured.md";

/// Measure migrations of a table of sizes: by documents (in place and copies), by nodes that start at once, and by the
/// size of documents
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The numbers of documents of 1 KB
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "10000,100000,1000000",
        value_parser = clap::value_parser!(u32).range(1..))]
    docs: Vec<u32>,
    /// The numbers of nodes that start at once, on `--base` documents
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,5,20",
        value_parser = clap::value_parser!(u32).range(1..=20))]
    nodes: Vec<u32>,
    /// The sizes of a document in KB, with as many documents as together have the size of `--base` documents
    #[arg(long, value_name = "KB,…", value_delimiter = ',', default_value = "1,10,100",
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    document_kb: Vec<u32>,
    /// The number of documents of 1 KB of the measures by nodes and by size
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    base: u32,
    /// Write the table and the plots into this folder
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
}

/// What a row of the table varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum By {
    Documents,
    Nodes,
    DocumentSize,
}

/// One measure.
#[derive(Debug, Serialize)]
struct Row {
    by: By,
    way: Way,
    nodes: u32,
    document_kb: u32,
    #[serde(flatten)]
    result: BenchResult,
}

/// The document that `bench scale --json` prints.
#[derive(Debug, Serialize)]
pub(super) struct ScaleResult {
    measure: &'static str,
    elasticsearch: String,
    processors: usize,
    rows: Vec<Row>,
}

impl fmt::Display for ScaleResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.table().trim_end())
    }
}

pub(super) async fn run(
    arguments: &Arguments,
    runs: usize,
    connection: &Connection,
    environment: &Environment,
    output: Output,
) -> Result<ScaleResult> {
    if let Some(folder) = &arguments.plot {
        // Before the measures, which take long.
        fs::create_dir_all(folder).map_err(|error| unwritten(folder, error))?;
    }
    let elasticsearch = connection.cluster(environment)?.version().await?;
    let processors = environment.parallelism();
    let mut result = ScaleResult { measure: "scale", elasticsearch, processors, rows: Vec::new() };
    for (by, of_migration) in arguments.measures() {
        let migrate::Arguments { docs, way, nodes, document_bytes, .. } = of_migration;
        let document_kb = (document_bytes / KB).max(1);
        let is_same = |row: &&Row| {
            let documents = u32::try_from(row.result.documents);
            (row.way, row.nodes, row.document_kb, documents) == (way, nodes, document_kb, Ok(docs))
        };
        let measured = match result.rows.iter().find(is_same) {
            // The measures by nodes and by size begin with one that the measures by documents may have.
            Some(row) => row.result.clone(),
            None => migrate::run(&of_migration, runs, connection, environment, output).await?,
        };
        output.say(measured.to_string());
        result.rows.push(Row { by, way, nodes, document_kb, result: measured });
    }
    if let Some(folder) = &arguments.plot {
        result.write(folder)?;
    }
    Ok(result)
}

impl Arguments {
    fn measures(&self) -> Vec<(By, migrate::Arguments)> {
        let of = |docs: u32, way: Way, nodes: u32, kb: u32| migrate::Arguments {
            docs,
            // Without a size, documents have about 1 KB.
            document_bytes: if kb > 1 { kb * KB } else { 0 },
            way,
            encrypted: false,
            nodes,
        };
        let ways = [Way::InPlace, Way::Copy];
        let documents = ways.iter().flat_map(|way| self.docs.iter().map(|docs| (By::Documents, of(*docs, *way, 1, 1))));
        let nodes = self.nodes.iter().map(|nodes| (By::Nodes, of(self.base, Way::InPlace, *nodes, 1)));
        let of_size = |kb: &u32| (By::DocumentSize, of((self.base / kb).max(FEWEST), Way::InPlace, 1, *kb));
        documents.chain(nodes).chain(self.document_kb.iter().map(of_size)).collect()
    }
}

impl ScaleResult {
    /// Returns the Markdown table. `raw` of several nodes is a single node, and otherwise the raw loop.
    fn table(&self) -> String {
        let mut table = String::from(
            "| way | documents | KB each | nodes | documents/s | compared with | its documents/s | ratio \
             | s | peak MB | requests |\n\
             |---|---:|---:|---:|---:|---|---:|---:|---:|---:|---:|\n",
        );
        for Row { way, nodes, document_kb, result, .. } in &self.rows {
            let BenchResult { ours, raw, ratio, documents, .. } = result;
            let way = way_name(*way);
            let compared = if *nodes > 1 { "one node" } else { "raw loop" };
            let seconds = *documents as f64 / ours;
            let unknown = || "–".to_owned();
            let peak = result.peak_rss_mb.map_or_else(unknown, |peak| peak.to_string());
            let requests = result.requests.as_ref().and_then(|requests| requests.get("migration"));
            let requests = requests.map_or_else(unknown, |requests| format!("{requests:.0}"));
            // Writing to a string cannot fail.
            let _ = writeln!(
                table,
                "| {way} | {documents} | {document_kb} | {nodes} | {ours:.0} | {compared} | {raw:.0} | {ratio:.2} \
                 | {seconds:.1} | {peak} | {requests} |"
            );
        }
        table
    }

    /// Writes the table and the plots into a folder.
    fn write(&self, folder: &Path) -> Result<()> {
        let mut page = format!(
            "# Measured\n\n`saved-objects bench scale --plot` wrote this page and its plots: medians of {} runs of \
             each side, on Elasticsearch {}, by a command that has {} processors.\n\n{}",
            self.rows.first().map_or(0, |row| row.result.runs),
            self.elasticsearch,
            self.processors,
            self.table()
        );
        for (file, plot) in self.plots() {
            plot.write(&folder.join(file))?;
            let _ = write!(page, "\n![{}]({file})\n", plot.title);
        }
        let file = folder.join(TABLE);
        fs::write(&file, page).map_err(|error| unwritten(&file, error))
    }

    fn plots(&self) -> Vec<(&'static str, Plot<'static>)> {
        let line = |name: String, by: By, way: Way, point: fn(&Row) -> Option<(f64, f64)>| {
            let rows = self.rows.iter().filter(|row| row.by == by && row.way == way);
            let mut points: Vec<(f64, f64)> = rows.filter_map(point).collect();
            points.sort_by(|(one, _), (other, _)| one.total_cmp(other));
            (name, points)
        };
        let both = |by: By, way: Way, ours: fn(&Row) -> Option<(f64, f64)>, raw: fn(&Row) -> Option<(f64, f64)>| {
            let name = way_name(way);
            [line(name.to_owned(), by, way, ours), line(format!("{name}, raw loop"), by, way, raw)]
        };
        let rates = Plot {
            title: "Rate by the number of documents",
            horizontal: "documents of 1 KB",
            vertical: "documents/s",
            lines: [Way::InPlace, Way::Copy]
                .into_iter()
                .flat_map(|way| {
                    both(
                        By::Documents,
                        way,
                        |row| Some((row.result.documents as f64, row.result.ours)),
                        |row| Some((row.result.documents as f64, row.result.raw)),
                    )
                })
                .collect(),
        };
        let memory = Plot {
            title: "Peak memory by the number of documents",
            horizontal: "documents of 1 KB",
            vertical: "MB",
            lines: [Way::InPlace, Way::Copy]
                .into_iter()
                .map(|way| {
                    line(way_name(way).to_owned(), By::Documents, way, |row| {
                        Some((row.result.documents as f64, row.result.peak_rss_mb? as f64))
                    })
                })
                .collect(),
        };
        let nodes = Plot {
            title: "Rate by the number of nodes that start at once",
            horizontal: "nodes",
            vertical: "documents/s",
            lines: vec![line("all nodes together".to_owned(), By::Nodes, Way::InPlace, |row| {
                Some((row.nodes.into(), row.result.ours))
            })],
        };
        let sizes = Plot {
            title: "Megabytes a second by the size of documents",
            horizontal: "KB of a document",
            vertical: "MB/s",
            lines: both(
                By::DocumentSize,
                Way::InPlace,
                |row| Some((row.document_kb.into(), row.result.ours * f64::from(row.document_kb) / 1e3)),
                |row| Some((row.document_kb.into(), row.result.raw * f64::from(row.document_kb) / 1e3)),
            )
            .into(),
        };
        vec![("documents.svg", rates), ("memory.svg", memory), ("nodes.svg", nodes), ("document-size.svg", sizes)]
    }
}

fn way_name(way: Way) -> &'static str {
    match way {
        Way::InPlace => "in place",
        Way::Copy => "copy",
    }
}

fn unwritten(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{} cannot be written: {error}", path.display())).with_source(error)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn measured(arguments: &[&str]) -> ScaleResult {
        let command = Command::parse_from([&["bench"], arguments].concat());
        let row = |(by, of_migration): (By, migrate::Arguments)| Row {
            by,
            way: of_migration.way,
            nodes: of_migration.nodes,
            document_kb: (of_migration.document_bytes / KB).max(1),
            result: BenchResult {
                measure: "x".to_owned(),
                ours: 100.0,
                raw: 50.0,
                ratio: 2.0,
                unit: "documents/s",
                runs: 3,
                peak_rss_mb: Some(60),
                documents: of_migration.docs as usize,
                ours_processor_us: None,
                raw_processor_us: None,
                requests: Some([("migration", 40.0)].into()),
            },
        };
        let rows = command.arguments.measures().into_iter().map(row).collect();
        ScaleResult { measure: "scale", elasticsearch: "9.2.2".to_owned(), processors: 2, rows }
    }

    #[test]
    fn the_table_has_a_row_for_each_measure() {
        let result = measured(&["--docs", "2000,8000", "--nodes", "1,20", "--document-kb", "10", "--base", "5000"]);
        let rows: Vec<_> = result
            .rows
            .iter()
            .map(|row| (way_name(row.way), row.result.documents, row.document_kb, row.nodes))
            .collect();
        let expected = [
            ("in place", 2000, 1, 1),
            ("in place", 8000, 1, 1),
            ("copy", 2000, 1, 1),
            ("copy", 8000, 1, 1),
            ("in place", 5000, 1, 1),
            ("in place", 5000, 1, 20),
            ("in place", 1000, 10, 1),
        ];
        assert_eq!(rows, expected);
        let table = result.to_string();
        assert_eq!(table.lines().count(), 2 + expected.len(), "{table}");
        assert!(
            table.contains("| in place | 5000 | 1 | 20 | 100 | one node | 50 | 2.00 | 50.0 | 60 | 40 |"),
            "{table}"
        );
    }

    #[test]
    fn the_page_shows_every_plot() {
        let folder = tempfile::tempdir().expect("a folder");
        measured(&[]).write(folder.path()).expect("written");
        let page = fs::read_to_string(folder.path().join(TABLE)).expect("a page");
        for entry in fs::read_dir(folder.path()).expect("a folder") {
            let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
            assert!(name == TABLE || page.contains(&format!("]({name})")), "{name} is not shown");
        }
        assert_eq!(page.matches(".svg)").count(), 4);
    }
}
