//! Tests that `docs/migrations.md` documents exactly the blockers that the code has.

const PAGE: &str = include_str!("../../docs/migrations.md");

/// The files that create blockers.
const SOURCES: &[(&str, &str)] = &[
    ("blockers.rs", include_str!("blockers.rs")),
    ("decide.rs", include_str!("decide.rs")),
    ("drop_old.rs", include_str!("drop_old.rs")),
    ("field_limits.rs", include_str!("field_limits.rs")),
    ("missing_transforms.rs", include_str!("missing_transforms.rs")),
    ("pause.rs", include_str!("pause.rs")),
    ("moved.rs", include_str!("moved.rs")),
    ("preflight.rs", include_str!("preflight.rs")),
    ("rollback.rs", include_str!("rollback.rs")),
    ("sequence_numbers.rs", include_str!("sequence_numbers.rs")),
    ("status.rs", include_str!("status.rs")),
    ("take_over.rs", include_str!("take_over.rs")),
    ("keys.rs", include_str!("../engine/control/keys.rs")),
    ("unseen.rs", include_str!("../cluster/unseen.rs")),
];

/// What precedes the text of a blocker in the code, and what follows it.
const BEGINNINGS: &[(&str, &str)] = &[
    ("what: ", "hint"),
    ("let what = ", ";\n"),
    ("refused(format!(", "))"),
    ("fn what(&self) -> String {", "\n    }"),
];

/// Returns the texts of the blockers in a source file, with `…` for each inserted value.
fn texts(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let mut texts = Vec::new();
    for (beginning, end) in BEGINNINGS {
        for rest in code.split(beginning).skip(1) {
            let expression = rest.split(end).next().unwrap_or_default();
            // A parameter named `what` is no text.
            if !expression.starts_with('&') {
                texts.extend(literals(expression));
            }
        }
    }
    texts
}

/// Returns the string literals of an expression, which has one for each arm of a `match`.
fn literals(code: &str) -> Vec<String> {
    let mut literals = Vec::new();
    let mut rest = code;
    while let Some((_, after)) = rest.split_once('"') {
        let mut literal = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next() {
                Some((_, '\\')) => match characters.next() {
                    Some((_, '\n')) => {}
                    Some((_, escaped)) => literal.push(escaped),
                    None => break after.len(),
                },
                Some((at, '"')) => break at + 1,
                Some((_, character)) => literal.push(character),
                None => break after.len(),
            }
        };
        literals.push(with_gaps(&literal));
        rest = &after[end..];
    }
    literals
}

/// Returns a format string with `…` in place of each argument.
fn with_gaps(literal: &str) -> String {
    let mut text = String::new();
    let mut depth = 0;
    for character in literal.replace("{{", "\u{1}").replace("}}", "\u{2}").chars() {
        match character {
            '{' => {
                depth += 1;
                text.push('…');
            }
            '}' => depth -= 1,
            _ if depth > 0 => {}
            '\u{1}' => text.push('{'),
            '\u{2}' => text.push('}'),
            _ => text.push(character),
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the blockers in the tables of the page.
fn documented() -> Vec<&'static str> {
    let mut blockers = Vec::new();
    let mut is_table = false;
    for line in PAGE.lines() {
        is_table = line.starts_with("| blocker |") || is_table && line.starts_with('|');
        let first = line.trim_start_matches("| ").split(" | ").next().unwrap_or_default();
        if let Some(blocker) = first.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')).filter(|_| is_table) {
            blockers.push(blocker);
        }
    }
    blockers
}

/// Returns whether a text contains all parts between the gaps of the page's text, in their order.
fn is_named(page: &str, text: &str) -> bool {
    let mut rest = text;
    page.split('…').map(str::trim).filter(|part| !part.is_empty()).all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[test]
fn the_page_names_the_blockers_that_there_are_and_no_others() {
    let documented = documented();
    assert!(documented.len() > 20, "{documented:?}");
    let mut texts: Vec<(&str, String)> = Vec::new();
    for (file, source) in SOURCES {
        // Short texts and these parts are inserted into one of the other texts.
        let is_whole =
            |text: &String| text.len() > 20 && ["whether ", "its "].iter().all(|part| !text.starts_with(part));
        texts.extend(self::texts(source).into_iter().filter(is_whole).map(|text| (*file, text)));
    }
    let known = |page: &&&str| texts.iter().any(|(_, text)| is_named(page, text));
    let invented: Vec<_> = documented.iter().filter(|page| !known(page)).collect();
    assert!(invented.is_empty(), "the code has no such blockers: {invented:#?}");
    let missing: Vec<_> =
        texts.iter().filter(|(_, text)| documented.iter().all(|page| !is_named(page, text))).collect();
    assert!(missing.is_empty(), "docs/migrations.md lacks: {missing:#?}");
}
