//! The requests and commands of a chapter of a page, and sending them as they are written there.

use serde_json::Value;

use super::so_with;
use crate::cli::Ran;
use crate::context::Context;

/// A request, or a command line, in the words of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Request { method: String, path: String, body: Option<Value> },
    Command(Vec<String>),
}

impl Step {
    /// Returns the first words, by which a test says what it expects of the page.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Request { method, path, .. } => {
                let path = path.split(['?', ' ']).next().unwrap_or_default();
                format!("{method} {path}")
            }
            Self::Command(words) => words.join(" "),
        }
    }
}

/// Returns the steps of the chapter with this heading, in their order. `<` in a path begins what an operator fills in.
pub(super) fn steps(page: &str, heading: &str) -> Vec<Step> {
    let start = page.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("the page has no chapter {heading:?}"));
    let chapter = &page[start + heading.len() + 2..];
    let chapter = chapter.find("\n#").map_or(chapter, |end| &chapter[..end]);
    let mut steps = Vec::new();
    let mut block: Option<(&str, Vec<&str>)> = None;
    for line in chapter.lines().map(str::trim_start) {
        match (&mut block, line.strip_prefix("```")) {
            (Some(_), Some(_)) => {
                steps.extend(block.take().into_iter().flat_map(|(kind, lines)| of_block(kind, &lines)))
            }
            (Some((_, lines)), None) => lines.push(line),
            (None, Some(kind)) => block = Some((kind, Vec::new())),
            (None, None) => {}
        }
    }
    steps
}

fn of_block(kind: &str, lines: &[&str]) -> Vec<Step> {
    match kind {
        "console" => requests(lines),
        "sh" => lines.iter().filter_map(|line| command(line)).collect(),
        _ => Vec::new(),
    }
}

fn requests(lines: &[&str]) -> Vec<Step> {
    let mut requests: Vec<(String, String, String)> = Vec::new();
    for line in lines {
        let first = line.split_once(' ').filter(|(verb, _)| ["GET", "PUT", "POST", "DELETE"].contains(verb));
        match (first, requests.last_mut()) {
            (Some((method, path)), _) => requests.push((method.to_owned(), path.to_owned(), String::new())),
            (None, Some((.., body))) => body.push_str(line),
            (None, None) => panic!("no request begins with {line:?}"),
        }
    }
    let parsed = |body: &str| (!body.is_empty()).then(|| serde_json::from_str(body).expect("the page's JSON"));
    requests.into_iter().map(|(method, path, body)| Step::Request { method, path, body: parsed(&body) }).collect()
}

/// Returns the command of a line, without what the shell does with its output.
fn command(line: &str) -> Option<Step> {
    let words = line.strip_prefix("saved-objects ")?.split(['>', '#']).next()?;
    Some(Step::Command(words.split_whitespace().map(str::to_owned).collect()))
}

/// The store of a test, for which the page's names stand.
#[derive(Debug)]
pub(super) struct Operator<'a> {
    pub(super) context: &'a Context,
    /// The release of the command line.
    pub(super) release: u32,
    pub(super) keys: &'a [(&'a str, &'a str)],
}

impl Operator<'_> {
    /// Returns the store of the page's other prefix, `drill`.
    pub(super) fn drill(context: &Context) -> Context {
        Context { prefix: format!("drill-{}", context.prefix).parse().expect("a prefix"), ..context.clone() }
    }

    /// Replaces the page's names by those of the test.
    fn in_our_names(&self, text: &str) -> String {
        let prefix = &self.context.prefix;
        text.replace("saved-objects-", &format!("{prefix}-"))
            .replace("drill-", &format!("{}-", Self::drill(self.context).prefix))
            .replace("/mnt/backups", &prefix.to_string())
            .replace("_snapshot/backups", &format!("_snapshot/{prefix}"))
    }

    /// Sends a request. What the page leaves to the operator is `filled_in`.
    pub(super) async fn send(&self, step: &Step, filled_in: &str) -> Value {
        let Step::Request { method, path, body } = step else { panic!("{step:?} is no request") };
        let path = self.in_our_names(path);
        let path = path.find('<').map_or(path.clone(), |at| format!("{}{filled_in}", &path[..at]));
        let body = body.as_ref().map(|body| self.in_our_names(&body.to_string()));
        let body = body.map(|body| serde_json::from_str(&body).expect("JSON"));
        let answer = self.context.raw(method, &path, body).await;
        assert!(answer.get("error").is_none(), "{method} {path}: {answer}");
        let shards = &answer["snapshot"]["shards"]["failed"];
        assert!(shards.is_null() || shards == 0, "{method} {path}: {answer}");
        answer
    }

    /// Runs a command. Answers the question that it asks on a terminal.
    pub(super) async fn run(&self, step: &Step) -> Ran {
        let Step::Command(words) = step else { panic!("{step:?} is no command") };
        let answer = words.iter().any(|word| word == "--drop-old").then_some("--yes");
        let words: Vec<&str> = words.iter().map(String::as_str).chain(answer).collect();
        match words.iter().position(|word| *word == "--prefix") {
            None => so_with(self.context, self.release, &words, self.keys).await,
            Some(at) => {
                let others = [&words[..at], &words[at + 2..]].concat();
                so_with(&Self::drill(self.context), self.release, &others, self.keys).await
            }
        }
    }

    /// Follows steps in their order: each request succeeds, and each command ends with 0. Returns what the
    /// verifications printed.
    pub(super) async fn follow(&self, steps: &[Step]) -> Vec<Value> {
        let (mut named, mut verified) = (String::new(), Vec::new());
        for step in steps {
            match step {
                Step::Request { .. } => {
                    let answer = self.send(step, &named).await;
                    if let Value::Array(listed) = answer {
                        let names = listed.iter().map(|one| one["index"].as_str().expect("a name"));
                        named = names.collect::<Vec<_>>().join(",");
                    }
                }
                Step::Command(words) => {
                    let ran = self.run(step).await;
                    assert_eq!(ran.code, 0, "{words:?}: {ran:?}");
                    if words[0] == "verify" && words.iter().any(|word| word == "--json") {
                        verified.push(ran.json());
                    }
                }
            }
        }
        verified
    }
}
