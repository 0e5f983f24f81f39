//! Tests that `docs/observability.md` and `docs/grafana-dashboard.json` know exactly the metrics and spans of the code.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{LabelValues, METRICS, Metric, MetricKind, SPANS};

const PAGE: &str = include_str!("../../docs/observability.md");
const DASHBOARD: &str = include_str!("../../docs/grafana-dashboard.json");

/// Returns the cells of the table's rows under a heading, without the table's head.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, rest) = PAGE.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let section = rest.split("\n## ").next().unwrap_or(rest);
    let lines = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    lines.skip(2).map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

/// Returns the words in backticks.
fn words(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn kind(metric: &Metric) -> &'static str {
    match metric.kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
    }
}

#[test]
fn the_page_has_every_metric() {
    let documented = rows("Metrics");
    let documented: Vec<_> = documented
        .iter()
        .map(|row| (words(row[0]).concat(), row[1].to_owned(), words(row[2]).join(" "), row[3].to_owned()))
        .collect();
    let labels = |metric: &Metric| metric.labels.iter().map(|label| label.name).collect::<Vec<_>>().join(" ");
    let declared: Vec<_> = METRICS
        .iter()
        .map(|metric| (metric.name.to_owned(), kind(metric).to_owned(), labels(metric), metric.meaning.to_owned()))
        .collect();
    assert_eq!(documented, declared);
}

#[test]
fn the_page_has_every_value_of_every_label() {
    let mut declared: BTreeMap<(&str, Vec<&str>), BTreeSet<&str>> = BTreeMap::new();
    for metric in METRICS {
        for label in metric.labels {
            let values = match label.values {
                LabelValues::OneOf(values) => values.to_vec(),
                LabelValues::Type => vec![super::SEVERAL_TYPES, super::UNREGISTERED_TYPE],
                LabelValues::Alias => Vec::new(),
            };
            declared.entry((label.name, values)).or_default().insert(metric.name);
        }
    }
    let mut documented: BTreeMap<(&str, Vec<&str>), BTreeSet<&str>> = BTreeMap::new();
    for row in rows("Labels") {
        let label = words(row[0]).first().copied().expect("a label");
        documented.insert((label, words(row[2])), words(row[1]).into_iter().collect());
    }
    assert_eq!(documented, declared);
}

#[test]
fn the_page_has_every_span() {
    let documented = rows("Spans");
    let documented: Vec<_> = documented
        .iter()
        .map(|row| (words(row[0]).concat(), row[1].to_owned(), words(row[2]).join(" "), row[3].to_owned()))
        .collect();
    let declared: Vec<_> = SPANS
        .iter()
        .map(|span| {
            let level = span.level.as_str().to_lowercase();
            (span.name.to_owned(), level, span.fields.join(" "), span.meaning.to_owned())
        })
        .collect();
    assert_eq!(documented, declared);
}

/// Returns the metrics that a text names, and checks that they exist and that the text asks for values of their labels.
fn named(text: &str) -> BTreeSet<&'static str> {
    let mut named = BTreeSet::new();
    for (at, _) in text.match_indices("saved_objects_") {
        let rest = &text[at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|ending| name.strip_suffix(ending));
        let is_it = |metric: &&Metric| match metric.kind {
            MetricKind::Histogram => of_histogram.unwrap_or(name) == metric.name,
            MetricKind::Counter | MetricKind::Gauge => name == metric.name,
        };
        let metric = METRICS.iter().find(is_it).unwrap_or_else(|| panic!("there is no metric {name}"));
        if let Some(selectors) = rest.strip_prefix('{').and_then(|rest| rest.split('}').next()) {
            check_selectors(metric, selectors);
        }
        named.insert(metric.name);
    }
    named
}

fn check_selectors(metric: &Metric, selectors: &str) {
    for selector in selectors.split("\",").filter(|selector| !selector.trim().is_empty()) {
        let (label, values) = selector.split_once('=').unwrap_or_else(|| panic!("{}: {selector}", metric.name));
        let label = label.trim().trim_end_matches('!');
        let values = values.trim_start_matches(['~', '"']).trim_end_matches('"');
        // The variables of the dashboard are labels that the scraping adds.
        if values.starts_with('$') {
            continue;
        }
        let known = metric.labels.iter().find(|known| known.name == label);
        let known = known.unwrap_or_else(|| panic!("{} has no label {label}", metric.name));
        if let LabelValues::OneOf(known) = known.values {
            assert!(values.split('|').all(|value| known.contains(&value)), "{}: {selector}", metric.name);
        }
    }
}

#[test]
fn the_page_names_only_metrics_that_exist() {
    let named = named(PAGE.split("\n## Alerts\n").nth(1).expect("the page has alerts"));
    assert!(named.len() > 10, "the alerts use {named:?}");
}

#[test]
fn the_dashboard_shows_every_metric() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let mut expressions = Vec::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{panel}");
        assert!(panel["title"].is_string() && panel["gridPos"]["w"].is_u64(), "{panel}");
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        assert!(panel["type"] == "row" || !targets.is_empty(), "{panel}");
        expressions.extend(targets.iter().map(|target| target["expr"].as_str().expect("an expression").to_owned()));
    }
    let mut shown = BTreeSet::new();
    for expression in &expressions {
        let of_expression = named(expression);
        assert!(!of_expression.is_empty(), "{expression}");
        shown.extend(of_expression);
    }
    assert_eq!(shown, METRICS.iter().map(|metric| metric.name).collect());
}
