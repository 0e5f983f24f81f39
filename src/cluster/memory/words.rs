//! The words of a text, as the `standard` analyzer of the server splits it: by the word boundaries of Unicode (UAX 29),
//! in lower case.

use unicode_segmentation::UnicodeSegmentation;

/// The longest word, in characters. The server splits longer ones.
const MAX_WORD: usize = 255;

/// Returns the words of `text` in their order.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut segments: Vec<String> = Vec::new();
    let mut is_unseparated_before = false;
    for segment in text.split_word_bounds() {
        // The boundaries of Unicode are between any two of these characters; the analyzer keeps a run of them together.
        let is_unseparated = segment.chars().any(is_unseparated);
        match segments.last_mut() {
            Some(before) if is_unseparated && is_unseparated_before => before.push_str(segment),
            _ => segments.push(segment.to_owned()),
        }
        is_unseparated_before = is_unseparated;
    }
    let characters = segments.iter().filter(|segment| segment.chars().any(is_of_words));
    let characters = characters.map(|word| word.chars().map(lower).collect::<Vec<char>>());
    characters.flat_map(|word| word.chunks(MAX_WORD).map(|part| part.iter().collect()).collect::<Vec<_>>()).collect()
}

/// Returns `text` in lower case, character by character, as the analyzer normalizes a part of a word.
pub(super) fn normalized(text: &str) -> String {
    text.chars().map(lower).collect()
}

fn lower(character: char) -> char {
    character.to_lowercase().next().unwrap_or(character)
}

/// Returns whether a segment with this character is a word, and not only what separates words.
fn is_of_words(character: char) -> bool {
    // Superscripts, fractions and numbers in circles are numeric, but no digits.
    let is_no_digit = matches!(character,
        '\u{b2}' | '\u{b3}' | '\u{b9}' | '\u{bc}'..='\u{be}' | '\u{2070}'..='\u{208e}' | '\u{2150}'..='\u{215f}'
        | '\u{2460}'..='\u{249b}' | '\u{24ea}'..='\u{24ff}' | '\u{3192}'..='\u{32ff}');
    let is_emoji = matches!(character, '\u{1f300}'..='\u{1faff}' | '\u{2600}'..='\u{27bf}');
    is_emoji || (character.is_alphanumeric() && !is_no_digit)
}

/// Returns whether the script of a character does not separate words: Thai, Lao, Burmese, Khmer.
fn is_unseparated(character: char) -> bool {
    matches!(character,
        '\u{e01}'..='\u{e3a}' | '\u{e40}'..='\u{e4e}' | '\u{e81}'..='\u{ecd}' | '\u{edc}'..='\u{edf}'
        | '\u{1000}'..='\u{103f}' | '\u{1050}'..='\u{108f}' | '\u{1780}'..='\u{17d3}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_split_like_by_the_standard_analyzer() {
        let table = [
            ("", ""),
            (" ,. - ", ""),
            ("One two", "one|two"),
            ("wi-fi, e-mail/user@example.com", "wi|fi|e|mail|user|example.com"),
            ("It's 3,5 or 3.5: v2.0 1,a", "it's|3,5|or|3.5|v2.0|1|a"),
            ("a:b c: d", "a:b|c|d"),
            ("snake_case __ _x", "snake_case|_x"),
            ("\u{c4}\u{d6}\u{dc} stra\u{df}e E\u{301}t\u{e9}", "\u{e4}\u{f6}\u{fc}|stra\u{df}e|e\u{301}t\u{e9}"),
            ("x\u{b2}", "x"),
            ("\u{6771}\u{4eac} \u{30bf}\u{30ef}\u{30fc}", "\u{6771}|\u{4eac}|\u{30bf}\u{30ef}\u{30fc}"),
            ("\u{d55c}\u{ad6d}\u{c5b4} x", "\u{d55c}\u{ad6d}\u{c5b4}|x"),
            ("\u{e44}\u{e17}\u{e22}", "\u{e44}\u{e17}\u{e22}"),
        ];
        for (text, expected) in table {
            assert_eq!(words(text).join("|"), expected, "{text}");
        }
        let lengths: Vec<usize> = words(&"a".repeat(300)).iter().map(String::len).collect();
        assert_eq!(lengths, [255, 45]);
    }
}
