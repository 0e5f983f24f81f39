//! KQL: from text to tree. A parser with one function for each rule, which never reads a position twice, so that the
//! time is proportional to the length of the text. The error names everything that was expected at the furthest
//! position.

use std::collections::BTreeSet;

use winnow::Parser;
use winnow::ascii::Caseless;
use winnow::combinator::{alt, opt, peek};
use winnow::error::{EmptyError, ErrMode};
use winnow::stream::{LocatingSlice, Location, Stateful, Stream};
use winnow::token::{any, literal, take_while};

use super::error::{KqlError, KqlProblem};
use super::tree::{Literal, Node, Operator, Value};

/// The largest number of brackets within brackets. The server takes about thirty levels of conditions.
const MAX_DEPTH: usize = 50;
const SPECIAL: &[char] = &['\\', '(', ')', ':', '<', '>', '"', '*', '{', '}'];

type Input<'a> = Stateful<LocatingSlice<&'a str>, Progress>;
type Parsed<T> = Result<T, ErrMode<EmptyError>>;

/// How far the parser came.
#[derive(Debug, Default)]
struct Progress {
    /// The furthest position, in bytes, at which something was expected and not found.
    furthest: usize,
    expected: BTreeSet<&'static str>,
    depth: usize,
    too_deep: bool,
}

/// Returns the tree of a text, or `None` for a blank text.
pub(super) fn parse(text: &str) -> Result<Option<Node>, KqlError> {
    let mut input = Stateful { input: LocatingSlice::new(text), state: Progress::default() };
    query(&mut input).map_err(|_| failure(text, &input.state))
}

fn failure(text: &str, progress: &Progress) -> KqlError {
    let found = text.get(progress.furthest..).and_then(|rest| rest.chars().next());
    let found = found.map_or("the text ends".to_owned(), |character| format!("there is {character:?}"));
    let message = if progress.too_deep {
        format!("brackets are nested more than {MAX_DEPTH} deep")
    } else {
        let expected: Vec<_> = progress.expected.iter().copied().collect();
        format!("expected {}, but {found}", expected.join(", "))
    };
    KqlError::new(vec![KqlProblem::at(text, progress.furthest, message)])
}

/// Returns `parser`, with `label` as what was expected where it fails.
fn expect<'a, T>(
    label: &'static str,
    mut parser: impl Parser<Input<'a>, T, ErrMode<EmptyError>>,
) -> impl FnMut(&mut Input<'a>) -> Parsed<T> {
    move |input| {
        let start = input.checkpoint();
        let place = input.current_token_start();
        let parsed = parser.parse_next(input);
        if let Err(ErrMode::Backtrack(_)) = parsed {
            input.reset(&start);
            note(input, place, label);
        }
        parsed
    }
}

fn note(input: &mut Input<'_>, place: usize, label: &'static str) {
    let progress = &mut input.state;
    if place > progress.furthest {
        progress.furthest = place;
        progress.expected.clear();
    }
    if place == progress.furthest {
        progress.expected.insert(label);
    }
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n' | '\u{a0}')
}

fn blanks<'a>(input: &mut Input<'a>) -> Parsed<&'a str> {
    take_while(0.., is_blank).parse_next(input)
}

fn some_blanks<'a>(input: &mut Input<'a>) -> Parsed<&'a str> {
    take_while(1.., is_blank).parse_next(input)
}

fn query(input: &mut Input<'_>) -> Parsed<Option<Node>> {
    blanks(input)?;
    if expect("end of the text", winnow::combinator::eof).parse_next(input).is_ok() {
        return Ok(None);
    }
    let node = any_of_them(input, None)?;
    blanks(input)?;
    expect("end of the text", winnow::combinator::eof).parse_next(input)?;
    Ok(Some(node))
}

/// Parses operands with `or` between them: expressions, or the values of `field`.
fn any_of_them(input: &mut Input<'_>, field: Option<&Literal>) -> Parsed<Node> {
    let mut operands = vec![all_of_them(input, field)?];
    while connected(input, "OR", "or") {
        operands.push(all_of_them(input, field)?);
    }
    Ok(one_or(operands, Node::Or))
}

fn all_of_them(input: &mut Input<'_>, field: Option<&Literal>) -> Parsed<Node> {
    let mut operands = vec![negation(input, field)?];
    while connected(input, "AND", "and") {
        operands.push(negation(input, field)?);
    }
    Ok(one_or(operands, Node::And))
}

/// Returns whether `word` follows, with blanks around it.
fn connected(input: &mut Input<'_>, label: &'static str, word: &'static str) -> bool {
    let start = input.checkpoint();
    let has_blanks = blanks(input).is_ok_and(|blanks| !blanks.is_empty());
    let place = input.current_token_start();
    let parsed: Parsed<_> = (Caseless(word), some_blanks).parse_next(input);
    if has_blanks && parsed.is_ok() {
        return true;
    }
    input.reset(&start);
    note(input, place, label);
    false
}

fn one_or(mut operands: Vec<Node>, several: fn(Vec<Node>) -> Node) -> Node {
    match operands.len() {
        1 => operands.remove(0),
        _ => several(operands),
    }
}

fn negation(input: &mut Input<'_>, field: Option<&Literal>) -> Parsed<Node> {
    match opt(expect("NOT", (Caseless("not"), some_blanks))).parse_next(input)? {
        Some(_) => Ok(Node::Not(Box::new(operand(input, field)?))),
        None => operand(input, field),
    }
}

fn operand(input: &mut Input<'_>, field: Option<&Literal>) -> Parsed<Node> {
    if opt(expect("\"(\"", '(')).parse_next(input)?.is_some() {
        return bracketed(input, field, "\")\"", ')');
    }
    match field {
        Some(field) => Ok(Node::Is { field: Some(field.clone()), value: value("value", input)? }),
        None => expression(input),
    }
}

/// Parses what follows an opening bracket, up to the closing one.
fn bracketed(input: &mut Input<'_>, field: Option<&Literal>, label: &'static str, end: char) -> Parsed<Node> {
    if input.state.depth == MAX_DEPTH {
        input.state.furthest = input.previous_token_end().saturating_sub(1);
        input.state.too_deep = true;
        return Err(ErrMode::Cut(EmptyError));
    }
    input.state.depth += 1;
    blanks(input)?;
    let node = any_of_them(input, field)?;
    blanks(input)?;
    expect(label, end).parse_next(input)?;
    input.state.depth -= 1;
    Ok(node)
}

fn expression(input: &mut Input<'_>) -> Parsed<Node> {
    let place = input.current_token_start();
    let field = match value("field name", input) {
        Err(error) => {
            note(input, place, "value");
            return Err(error);
        }
        Ok(field) => field,
    };
    let end = input.checkpoint();
    blanks(input)?;
    if let Some(operator) = opt(range_operator).parse_next(input)? {
        blanks(input)?;
        return Ok(Node::Range { field, operator, value: value("value", input)? });
    }
    if opt(expect("\":\"", ':')).parse_next(input)?.is_none() {
        input.reset(&end);
        return Ok(Node::Is { field: None, value: field });
    }
    blanks(input)?;
    if opt(expect("\"{\"", '{')).parse_next(input)?.is_some() {
        let node = Box::new(bracketed(input, None, "\"}\"", '}')?);
        return Ok(Node::Nested { field, node });
    }
    operand(input, Some(&field))
}

fn range_operator(input: &mut Input<'_>) -> Parsed<Operator> {
    let [at_most, at_least, less, greater] = Operator::ALL.map(|(text, operator)| literal(text).value(operator));
    expect("a comparison", alt((at_most, at_least, less, greater))).parse_next(input)
}

fn value(label: &'static str, input: &mut Input<'_>) -> Parsed<Literal> {
    let place = input.current_token_start();
    match alt((quoted, unquoted)).parse_next(input) {
        Ok(value) => Ok(Literal { place, value }),
        Err(error) => {
            note(input, place, label);
            Err(error)
        }
    }
}

/// Parses a text in double quotes. A backslash that escapes nothing stands for itself.
fn quoted(input: &mut Input<'_>) -> Parsed<Value> {
    '"'.parse_next(input)?;
    let mut text = String::new();
    loop {
        let piece: Parsed<&str> = take_while(1.., |character| !matches!(character, '"' | '\\')).parse_next(input);
        if let Ok(piece) = piece {
            text.push_str(piece);
        } else if let Some(escaped) = opt(alt((escaped_blank, escaped_quote, unicode))).parse_next(input)? {
            text.push(escaped);
        } else if opt('"').parse_next(input)?.is_some() {
            return Ok(Value::Quoted(text));
        } else if opt('\\').parse_next(input)?.is_some() {
            text.push('\\');
        } else {
            let place = input.current_token_start();
            note(input, place, "a closing \"");
            return Err(ErrMode::Backtrack(EmptyError));
        }
    }
}

/// Parses a text without quotes: as many characters as possible, including blanks, but not those at its ends.
fn unquoted(input: &mut Input<'_>) -> Parsed<Value> {
    let mut parts = vec![String::new()];
    loop {
        if peek(opt(keyword)).parse_next(input)?.is_some() {
            break;
        }
        if opt('*').parse_next(input)?.is_some() {
            parts.push(String::new());
        } else if let Some(run) = opt(some_blanks).parse_next(input)? {
            push(&mut parts, run);
        } else if let Some(word) = opt(escaped_keyword).parse_next(input)? {
            push(&mut parts, word);
        } else if let Some(escaped) = opt(alt((escaped_blank, escaped_special, unicode))).parse_next(input)? {
            push(&mut parts, escaped.encode_utf8(&mut [0; 4]));
        } else if let Some(character) = opt(any.verify(|character| !SPECIAL.contains(character))).parse_next(input)? {
            push(&mut parts, character.encode_utf8(&mut [0; 4]));
        } else {
            break;
        }
    }
    match typed(parts) {
        Value::Text(text) if text.is_empty() => Err(ErrMode::Backtrack(EmptyError)),
        value => Ok(value),
    }
}

fn push(parts: &mut [String], text: &str) {
    if let Some(last) = parts.last_mut() {
        last.push_str(text);
    }
}

fn typed(mut parts: Vec<String>) -> Value {
    if let Some(first) = parts.first_mut() {
        *first = first.trim_start_matches(is_blank).to_owned();
    }
    if let Some(last) = parts.last_mut() {
        last.truncate(last.trim_end_matches(is_blank).len());
    }
    if parts.len() > 1 {
        return Value::Pattern(parts);
    }
    match parts.pop().unwrap_or_default() {
        text if text == "null" => Value::Null,
        text if text == "true" => Value::True,
        text if text == "false" => Value::False,
        text => Value::Text(text),
    }
}

/// Matches what ends a text without quotes although its characters are plain, even in the middle of a word.
fn keyword(input: &mut Input<'_>) -> Parsed<()> {
    let between = (some_blanks, alt((Caseless("or"), Caseless("and"))), some_blanks).void();
    alt((between, (Caseless("not"), some_blanks).void())).parse_next(input)
}

fn escaped_blank(input: &mut Input<'_>) -> Parsed<char> {
    alt((literal("\\t").value('\t'), literal("\\r").value('\r'), literal("\\n").value('\n'))).parse_next(input)
}

fn escaped_quote(input: &mut Input<'_>) -> Parsed<char> {
    alt((literal("\\\\").value('\\'), literal("\\\"").value('"'))).parse_next(input)
}

fn escaped_special(input: &mut Input<'_>) -> Parsed<char> {
    let escaped = ('\\', any.verify(|character| SPECIAL.contains(character)));
    escaped.map(|(_, character)| character).parse_next(input)
}

/// Parses `\and`, `\or` or `\not` as a word: `\nothing` begins with a line break.
fn escaped_keyword<'a>(input: &mut Input<'a>) -> Parsed<&'a str> {
    let word = alt((Caseless("or"), Caseless("and"), Caseless("not")));
    let end = winnow::combinator::not(any.verify(|character: &char| character.is_alphanumeric()));
    ('\\', word, end).map(|(_, word, ())| word).parse_next(input)
}

/// Parses `\u` and four hexadecimal digits, twice for a character beyond the first 65,536.
fn unicode(input: &mut Input<'_>) -> Parsed<char> {
    const LOW_SURROGATES: std::ops::Range<u32> = 0xdc00..0xe000;
    let unit = code_unit(input)?;
    let code = match unit {
        0xd800..0xdc00 => {
            let low = code_unit.verify(|unit| LOW_SURROGATES.contains(unit)).parse_next(input)?;
            0x10000 + ((unit - 0xd800) << 10) + (low - LOW_SURROGATES.start)
        }
        unit => unit,
    };
    char::from_u32(code).ok_or(ErrMode::Backtrack(EmptyError))
}

fn code_unit(input: &mut Input<'_>) -> Parsed<u32> {
    let digits = take_while(4..=4, |character: char| character.is_ascii_hexdigit());
    let (_, digits): (_, &str) = (literal("\\u"), digits).parse_next(input)?;
    u32::from_str_radix(digits, 16).map_err(|_| ErrMode::Backtrack(EmptyError))
}
