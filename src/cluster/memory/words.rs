//! The words of a text, as the `standard` analyzer of the server splits it: by the word boundaries of Unicode (UAX 29),
//! in lower case.

/// The longest word, in characters. The server splits longer ones.
const MAX_WORD: usize = 255;

/// How a character takes part in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Number,
    Katakana,
    /// It joins whatever is next to it: `_`.
    Connector,
    /// It joins two letters: `:`.
    MidLetter,
    /// It joins two numbers: `,`.
    MidNumber,
    /// It joins two letters or two numbers: `.` and apostrophes.
    MidBoth,
    /// A word by itself: ideographs, Hiragana and emoji.
    Alone,
    /// Scripts that do not separate words, such as Thai: what is together is one word.
    Complex,
    /// It belongs to the character before it: accents and joiners.
    Extend,
    /// It separates words.
    Other,
}

/// Returns the words of `text` in their order.
pub(super) fn words(text: &str) -> Vec<String> {
    let classes: Vec<(char, Class)> = text.chars().map(|character| (character, class(character))).collect();
    let mut words = Vec::new();
    let mut rest = classes.as_slice();
    while let Some((_, first)) = rest.first() {
        let length = match first {
            Class::Alone => 1 + extended(rest.get(1..).unwrap_or_default()),
            Class::Complex => run(rest, |class| matches!(class, Class::Complex | Class::Extend)),
            Class::Letter | Class::Number | Class::Katakana | Class::Connector => joined(rest),
            _ => 0,
        };
        let (word, others) = rest.split_at_checked(length.max(1)).unwrap_or((rest, &[]));
        let is_word = length > 0 && word.iter().any(|(_, class)| !matches!(class, Class::Connector | Class::Extend));
        if is_word {
            words.extend(
                word.chunks(MAX_WORD).map(|part| part.iter().map(|&(character, _)| lower(character)).collect()),
            );
        }
        rest = others;
    }
    words
}

/// Returns `text` in lower case, character by character, as the analyzer normalizes a part of a word.
pub(super) fn normalized(text: &str) -> String {
    text.chars().map(lower).collect()
}

/// Returns the length of the word of letters and numbers that `rest` begins with.
fn joined(rest: &[(char, Class)]) -> usize {
    let mut length = 0;
    let mut last = Class::Connector;
    while let Some(&(_, class)) = rest.get(length) {
        let after = || {
            let next = rest.get(length + 1..).unwrap_or_default();
            next.get(extended(next)).map(|&(_, class)| class)
        };
        let joins = match class {
            Class::Extend => true,
            Class::Connector => true,
            Class::Letter | Class::Number => last != Class::Katakana,
            Class::Katakana => matches!(last, Class::Katakana | Class::Connector),
            Class::MidLetter | Class::MidBoth if last == Class::Letter => after() == Some(Class::Letter),
            Class::MidNumber | Class::MidBoth if last == Class::Number => after() == Some(Class::Number),
            _ => false,
        };
        if !joins {
            break;
        }
        if matches!(class, Class::Letter | Class::Number | Class::Katakana | Class::Connector) {
            last = class;
        }
        length += 1;
    }
    length
}

/// Returns how many characters belong to the character before `rest`.
fn extended(rest: &[(char, Class)]) -> usize {
    run(rest, |class| class == Class::Extend)
}

fn run(rest: &[(char, Class)], is_in: impl Fn(Class) -> bool) -> usize {
    rest.iter().take_while(|&&(_, class)| is_in(class)).count()
}

fn lower(character: char) -> char {
    character.to_lowercase().next().unwrap_or(character)
}

fn class(character: char) -> Class {
    match character {
        '_' | '\u{203f}' | '\u{2040}' | '\u{2054}' | '\u{fe33}' | '\u{fe34}' | '\u{fe4d}'..='\u{fe4f}' | '\u{ff3f}' => {
            Class::Connector
        }
        ':' | '\u{b7}' | '\u{387}' | '\u{55f}' | '\u{5f4}' | '\u{2027}' | '\u{fe13}' | '\u{fe55}' | '\u{ff1a}' => {
            Class::MidLetter
        }
        ',' | ';' | '\u{37e}' | '\u{589}' | '\u{60c}' | '\u{60d}' | '\u{66c}' | '\u{7f8}' | '\u{2044}' | '\u{fe10}'
        | '\u{fe14}' | '\u{fe50}' | '\u{fe54}' | '\u{ff0c}' | '\u{ff1b}' => Class::MidNumber,
        '.' | '\'' | '\u{2018}' | '\u{2019}' | '\u{2024}' | '\u{fe52}' | '\u{ff07}' | '\u{ff0e}' => Class::MidBoth,
        '\u{ad}'
        | '\u{300}'..='\u{36f}'
        | '\u{483}'..='\u{489}'
        | '\u{591}'..='\u{5bd}'
        | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}'
        | '\u{93c}'
        | '\u{94d}'
        | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}'
        | '\u{200c}'..='\u{200f}'
        | '\u{2060}'
        | '\u{20d0}'..='\u{20ff}'
        | '\u{302a}'..='\u{302f}'
        | '\u{3099}'
        | '\u{309a}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{fe20}'..='\u{fe2f}'
        | '\u{feff}'
        | '\u{1f3fb}'..='\u{1f3ff}' => Class::Extend,
        '\u{30a1}'..='\u{30fa}' | '\u{30fc}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{ff66}'..='\u{ff9f}' => {
            Class::Katakana
        }
        '\u{3041}'..='\u{309f}'
        | '\u{2e80}'..='\u{2fdf}'
        | '\u{3005}'..='\u{3007}'
        | '\u{3021}'..='\u{3029}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{2600}'..='\u{27bf}' => Class::Alone,
        '\u{e01}'..='\u{e3a}'
        | '\u{e40}'..='\u{e4e}'
        | '\u{e81}'..='\u{ecd}'
        | '\u{edc}'..='\u{edf}'
        | '\u{1000}'..='\u{103f}'
        | '\u{1050}'..='\u{108f}'
        | '\u{1780}'..='\u{17d3}' => Class::Complex,
        // Superscripts, fractions and numbers in circles are no digits.
        '\u{b2}'
        | '\u{b3}'
        | '\u{b9}'
        | '\u{bc}'..='\u{be}'
        | '\u{2070}'..='\u{208e}'
        | '\u{2150}'..='\u{215f}'
        | '\u{2460}'..='\u{249b}'
        | '\u{24ea}'..='\u{24ff}'
        | '\u{3192}'..='\u{32ff}' => Class::Other,
        letter if letter.is_alphabetic() => Class::Letter,
        digit if digit.is_numeric() => Class::Number,
        _ => Class::Other,
    }
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
