//! Patterns: texts with anything or nothing between them.

/// Returns whether `text` consists of `parts`, with anything or nothing between them.
pub(super) fn fits(parts: &[String], text: &str) -> bool {
    let Some((first, rest)) = parts.split_first() else { return false };
    let Some(mut text) = text.strip_prefix(first.as_str()) else { return false };
    let Some((last, middle)) = rest.split_last() else { return text.is_empty() };
    // The earliest place of each part leaves most for those after it.
    for part in middle {
        match text.find(part.as_str()) {
            Some(at) => text = text.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    text.ends_with(last.as_str())
}

/// Splits a text of the server's `query_string` at its `*`, and takes the escapes out. Returns `None` if it has other
/// syntax.
pub(super) fn parts(text: &str) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let character = match character {
            '*' => {
                parts.push(String::new());
                continue;
            }
            '\\' => characters.next()?,
            plain if plain.is_alphanumeric() && !plain.is_ascii_uppercase() => plain,
            _ => return None,
        };
        parts.last_mut()?.push(character);
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_in_their_order() {
        let table = [
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("ab*", "abc", true),
            ("*bc", "abc", true),
            ("a*c", "ac", true),
            ("a*b*c", "a_c_b_c", true),
            ("a*b*c", "acb", false),
            ("ab*b", "ab", false),
            ("**", "", true),
            ("*b**c*", "abc", true),
            ("\u{e4}*\u{df}", "\u{e4}x\u{df}", true),
        ];
        for (pattern, text, expected) in table {
            let parts: Vec<String> = pattern.split('*').map(str::to_owned).collect();
            assert_eq!(fits(&parts, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn escapes_are_no_syntax() {
        assert_eq!(parts(r"a\ \*b*\O\R"), Some(vec!["a *b".to_owned(), "OR".to_owned()]));
        for syntax in ["a b", "a:b", "a?", "OR", "\\"] {
            assert_eq!(parts(syntax), None, "{syntax}");
        }
    }
}
