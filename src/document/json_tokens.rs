//! A scanner that finds the numbers of a JSON text with their JSON pointers. It goes over the text once and does not
//! validate it: the parsers report errors.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Calls `found` with the JSON pointer and the text of every number in `json` that may not be a 64-bit integer.
pub(super) fn number_tokens(json: &str, mut found: impl FnMut(&str, &str)) {
    let mut walk = Walk::default();
    let mut at = 0;
    while let Some(&byte) = json.as_bytes().get(at) {
        let end = match byte {
            b'"' => end_of_text(json, at),
            b'-' | b'0'..=b'9' => end_of_number(json, at),
            _ => at.saturating_add(1),
        };
        let token = json.get(at..end).unwrap_or_default();
        match byte {
            b'{' | b'[' => walk.enter(byte == b'['),
            b'}' | b']' => walk.leave(),
            b',' => walk.next(),
            b'"' => walk.text(token),
            b'-' | b'0'..=b'9' if may_be_double(token) => found(&walk.pointer, token),
            _ => {}
        }
        at = end;
    }
}

/// Returns `name` escaped as a part of a JSON pointer.
pub(super) fn escaped(name: &str) -> Cow<'_, str> {
    match name.contains(['~', '/']) {
        true => Cow::Owned(name.replace('~', "~0").replace('/', "~1")),
        false => Cow::Borrowed(name),
    }
}

#[derive(Default)]
struct Walk {
    pointer: String,
    /// The objects and lists that enclose the position.
    open: Vec<Open>,
    /// Whether the next string is a member name.
    is_name: bool,
}

struct Open {
    /// The length of the pointer to the object or list.
    length: usize,
    /// The index of the current item, for a list.
    index: Option<usize>,
}

impl Walk {
    fn enter(&mut self, is_list: bool) {
        self.open.push(Open { length: self.pointer.len(), index: is_list.then_some(0) });
        self.is_name = !is_list;
        if is_list {
            self.pointer.push_str("/0");
        }
    }

    fn leave(&mut self) {
        if let Some(left) = self.open.pop() {
            self.pointer.truncate(left.length);
        }
        self.is_name = false;
    }

    fn next(&mut self) {
        let Some(open) = self.open.last_mut() else { return };
        self.pointer.truncate(open.length);
        self.is_name = open.index.is_none();
        if let Some(index) = &mut open.index {
            *index = index.saturating_add(1);
            // Writing to a `String` cannot fail.
            let _ = write!(self.pointer, "/{index}");
        }
    }

    fn text(&mut self, quoted: &str) {
        if !std::mem::take(&mut self.is_name) {
            return;
        }
        let inner = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default();
        let name = match inner.contains('\\') {
            true => Cow::Owned(serde_json::from_str::<String>(quoted).unwrap_or_default()),
            false => Cow::Borrowed(inner),
        };
        self.pointer.push('/');
        self.pointer.push_str(&escaped(&name));
    }
}

fn may_be_double(token: &str) -> bool {
    const SURELY_64_BITS: usize = 18;
    token.len() > SURELY_64_BITS || token == "-0" || token.contains(['.', 'e', 'E'])
}

/// Returns the position after the quotation mark that ends the string which begins at `start`.
fn end_of_text(json: &str, start: usize) -> usize {
    let mut at = start.saturating_add(1);
    while let Some(&byte) = json.as_bytes().get(at) {
        at = at.saturating_add(if byte == b'\\' { 2 } else { 1 });
        if byte == b'"' {
            break;
        }
    }
    at
}

fn end_of_number(json: &str, start: usize) -> usize {
    let rest = json.as_bytes().get(start..).unwrap_or_default();
    let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
    start.saturating_add(rest.iter().take_while(|byte| is_part(byte)).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_where_they_are() {
        let json = r#" {"a":1,"b":[2.0,{"c/d":-0,"e~\u0066":[[1E5,3],1e-400]}],"f":"1.5","g":{"":12345678901234567890},
            "h":[],"i":{},"j\"":0.5,"k":true,"l":123456789012345678} "#;
        let mut found = Vec::new();
        number_tokens(json, |pointer, text| found.push((pointer.to_owned(), text.to_owned())));
        let expected = [
            ("/b/0", "2.0"),
            ("/b/1/c~1d", "-0"),
            ("/b/1/e~0f/0/0", "1E5"),
            ("/b/1/e~0f/1", "1e-400"),
            ("/g/", "12345678901234567890"),
            ("/j\"", "0.5"),
        ];
        let found: Vec<(&str, &str)> = found.iter().map(|(pointer, text)| (pointer.as_str(), text.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn no_text_is_too_odd() {
        for json in ["", "\"", "\"\\", "{\"a", "]]}}", "1e", "[1.5", ",1.5", "{\"\\ud800\":1.5}", "\"\\é\"1.5"] {
            number_tokens(json, |pointer, text| assert!(json.contains(text) && pointer.len() <= json.len() + 2));
        }
    }
}
