//! Patterns: texts with anything or nothing between them.

/// Returns whether `text` matches `pattern`, in which `*` stands for any text.
pub(super) fn is_match(pattern: &str, text: &str) -> bool {
    let parts: Vec<&str> = pattern.split('*').collect();
    fits(&parts, text)
}

/// Returns whether `text` consists of `parts`, with anything or nothing between them.
pub(super) fn fits(parts: &[impl AsRef<str>], text: &str) -> bool {
    let Some((first, rest)) = parts.split_first() else { return false };
    let Some(mut text) = text.strip_prefix(first.as_ref()) else { return false };
    let Some((last, middle)) = rest.split_last() else { return text.is_empty() };
    // The earliest place of each part leaves most for those after it.
    for part in middle {
        match text.find(part.as_ref()) {
            Some(at) => text = text.get(at + part.as_ref().len()..).unwrap_or_default(),
            None => return false,
        }
    }
    text.ends_with(last.as_ref())
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
            assert_eq!(is_match(pattern, text), expected, "{pattern} {text}");
        }
    }
}
