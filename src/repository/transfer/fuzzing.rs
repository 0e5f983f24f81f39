//! The property that holds for any line of an import, for fuzzing.

use super::read_line::Content;

/// Parses any bytes as a line or refuses them. A parsed line is written as a line that is parsed the same.
pub fn import_line(data: &[u8]) {
    let Ok(Content::Object(line)) = Content::parse(data) else { return };
    let Ok(bytes) = line.to_bytes() else { return };
    let again = match Content::parse(&bytes) {
        Ok(Content::Object(again)) => again.to_bytes().ok(),
        _ => None,
    };
    assert_eq!(again.as_deref(), Some(&*bytes), "a line that was written is read otherwise");
}
