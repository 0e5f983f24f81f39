//! The search texts of users, as the server's `simple_query_string` parses them: words, `"phrases"`, `+`, `|`, `-`,
//! brackets and `prefix*`. No text is malformed.

use super::refusals::Refused;

/// What a search text asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TextQuery {
    /// Every document.
    All,
    /// The words of this text.
    Words(String),
    /// These words in sequence.
    Phrase(String),
    /// A word that begins with this.
    Prefix(String),
    Not(Box<TextQuery>),
    And(Vec<TextQuery>),
    Or(Vec<TextQuery>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    And,
    Or,
}

/// Parses a search text. `default` connects what has no operator. Returns `None` if the text asks for nothing.
///
/// Terms for which `is_term` is false count as absent: a text without words, for example.
///
/// # Errors
/// The cluster in memory does not support the distances that follow a `~`.
pub(super) fn parse(
    text: &str,
    all_words: bool,
    is_term: &dyn Fn(&TextQuery) -> bool,
) -> Result<Option<TextQuery>, Refused> {
    if text.trim() == "*" {
        return Ok(Some(TextQuery::All));
    }
    let text: Vec<char> = text.chars().collect();
    let default = if all_words { Operator::And } else { Operator::Or };
    Parser::new(&text, default, is_term, 0).parse()
}

/// The largest number of brackets around each other.
const MAX_DEPTH: usize = 50;

struct Parser<'a> {
    text: &'a [char],
    default: Operator,
    is_term: &'a dyn Fn(&TextQuery) -> bool,
    /// The number of brackets around this text.
    depth: usize,
    at: usize,
    top: Option<TextQuery>,
    /// The operator of `top`.
    last: Option<Operator>,
    /// The operator that was given for the next term.
    next: Option<Operator>,
    is_negated: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a [char], default: Operator, is_term: &'a dyn Fn(&TextQuery) -> bool, depth: usize) -> Self {
        Self { text, default, is_term, depth, at: 0, top: None, last: None, next: None, is_negated: false }
    }

    fn parse(mut self) -> Result<Option<TextQuery>, Refused> {
        while let Some(&character) = self.text.get(self.at) {
            match character {
                '-' => {
                    self.is_negated = !self.is_negated;
                    self.at += 1;
                    continue;
                }
                '(' => self.group()?,
                '"' => self.phrase()?,
                '+' | '|' => {
                    if self.next.is_none() && self.top.is_some() {
                        self.next = Some(if character == '+' { Operator::And } else { Operator::Or });
                    }
                    self.at += 1;
                }
                ')' | ' ' | '\t' | '\n' | '\r' => self.at += 1,
                _ => self.word()?,
            }
            self.is_negated = false;
        }
        Ok(self.top)
    }

    fn group(&mut self) -> Result<(), Refused> {
        let start = self.at + 1;
        let mut depth = 1;
        let mut end = start;
        while let Some(character) = self.text.get(end) {
            match character {
                '\\' => end += 1,
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            end += 1;
        }
        match self.text.get(start..end).filter(|_| end < self.text.len()) {
            // A bracket that is never closed is ignored.
            None => self.at = start,
            Some([]) => {
                self.next = None;
                self.at = end + 1;
            }
            Some(inner) => {
                if self.depth == MAX_DEPTH {
                    return Err(Refused::unsupported("so many brackets around each other in a search text"));
                }
                let inner = Parser::new(inner, self.default, self.is_term, self.depth + 1).parse()?;
                if let Some(inner) = inner {
                    self.add(inner);
                }
                self.at = end + 1;
            }
        }
        Ok(())
    }

    fn phrase(&mut self) -> Result<(), Refused> {
        let start = self.at + 1;
        let mut phrase = String::new();
        let mut end = start;
        while let Some(&character) = self.text.get(end).filter(|&&character| character != '"') {
            let escaped = self.text.get(end + 1).filter(|_| character == '\\');
            phrase.extend(escaped.copied().or(Some(character).filter(|&character| character != '\\')));
            end += 1 + usize::from(character == '\\');
        }
        if end >= self.text.len() {
            // A quote that is never closed is ignored.
            self.at = start;
        } else if end == start {
            self.next = None;
            self.at = end + 1;
        } else if self.text.get(end + 1) == Some(&'~') {
            return Err(Refused::unsupported("the distance of words (`~`) in a search text"));
        } else {
            self.add_term(TextQuery::Phrase(phrase));
            self.at = end + 1;
        }
        Ok(())
    }

    fn word(&mut self) -> Result<(), Refused> {
        let mut word = String::new();
        let mut is_prefix = false;
        while let Some(&character) = self.text.get(self.at) {
            match character {
                '\\' => {
                    is_prefix = false;
                    self.at += 1;
                    word.extend(self.text.get(self.at));
                    self.at += 1;
                    continue;
                }
                '"' | '|' | '+' | '(' | ')' | ' ' | '\t' | '\n' | '\r' => break,
                '~' if !word.is_empty() => {
                    return Err(Refused::unsupported("similar words (`~`) in a search text"));
                }
                _ => is_prefix = !word.is_empty() && character == '*',
            }
            word.push(character);
            self.at += 1;
        }
        if is_prefix {
            word.pop();
            self.add_term(TextQuery::Prefix(word));
        } else if !word.is_empty() {
            self.add_term(TextQuery::Words(word));
        }
        Ok(())
    }

    fn add_term(&mut self, term: TextQuery) {
        if (self.is_term)(&term) {
            self.add(term);
        }
    }

    fn add(&mut self, term: TextQuery) {
        let term = if self.is_negated { TextQuery::Not(Box::new(term)) } else { term };
        let next = self.next.take();
        let Some(top) = self.top.take() else {
            self.top = Some(term);
            return;
        };
        let operator = next.unwrap_or(self.default);
        // A change of the operator makes what was read so far one operand.
        let mut terms = match top {
            TextQuery::And(terms) if self.last == Some(operator) && operator == Operator::And => terms,
            TextQuery::Or(terms) if self.last == Some(operator) && operator == Operator::Or => terms,
            top => vec![top],
        };
        terms.push(term);
        self.last = Some(operator);
        self.top = Some(if operator == Operator::And { TextQuery::And(terms) } else { TextQuery::Or(terms) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(query: &TextQuery) -> String {
        let list = |queries: &[TextQuery], operator: &str| {
            format!("({})", queries.iter().map(shown).collect::<Vec<_>>().join(operator))
        };
        match query {
            TextQuery::All => "*".to_owned(),
            TextQuery::Words(words) => words.clone(),
            TextQuery::Phrase(words) => format!("{words:?}"),
            TextQuery::Prefix(start) => format!("{start}*"),
            TextQuery::Not(query) => format!("-{}", shown(query)),
            TextQuery::And(queries) => list(queries, " & "),
            TextQuery::Or(queries) => list(queries, " | "),
        }
    }

    #[test]
    fn search_texts_are_parsed_like_by_the_server() {
        let table = [
            ("", ""),
            (" * ", "*"),
            ("one", "one"),
            ("one two  three", "(one | two | three)"),
            ("one + two three", "((one & two) | three)"),
            ("one | two + three", "((one | two) & three)"),
            ("-one --two", "(-one | two)"),
            ("- one", "one"),
            ("\"one two\" thr*", "(\"one two\" | thr*)"),
            ("(one two) + three", "((one | two) & three)"),
            ("a-b", "a-b"),
            (r#"a\+b \"c a\*"#, r#"(a+b | "c | a*)"#),
            ("((\"~*", "~*"),
            ("one () \"\" )", "one"),
            ("one + () two", "(one | two)"),
            ("+ one", "one"),
            ("... one", "one"),
        ];
        for (text, expected) in table {
            let is_term = |term: &TextQuery| *term != TextQuery::Words("...".to_owned());
            let parsed = parse(text, false, &is_term).expect("it is supported");
            assert_eq!(parsed.as_ref().map(shown).unwrap_or_default(), expected, "{text}");
        }
        assert_eq!(
            parse("one two -three", true, &|_| true).expect("it is supported").as_ref().map(shown).as_deref(),
            Some("(one & two & -three)")
        );
        for text in ["one~", "one~1 two", "\"one two\"~3"] {
            assert!(parse(text, false, &|_| true).is_err(), "{text}");
        }
    }
}
