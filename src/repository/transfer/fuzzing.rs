//! What must hold for any line of an import.

use super::line::Content;

/// Any bytes are read as a line or refused; what is read is written as a line that is read the same.
pub fn import_line(data: &[u8]) {
    let Ok(Content::Object(line)) = Content::parse(data) else { return };
    let Ok(bytes) = line.to_bytes() else { return };
    let again = match Content::parse(&bytes) {
        Ok(Content::Object(again)) => again.to_bytes().ok(),
        _ => None,
    };
    assert_eq!(again.as_deref(), Some(&*bytes), "a line that was written is read otherwise");
}
