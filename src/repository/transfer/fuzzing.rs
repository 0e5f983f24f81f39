//! What must hold for any line of an import.

use super::line::Line;

/// Any bytes are read as a line or refused; what is read is written as a line that is read the same.
pub fn import_line(data: &[u8]) {
    let Ok(Some(line)) = Line::parse(data) else { return };
    let Ok(bytes) = line.to_bytes() else { return };
    let again = Line::parse(&bytes).ok().flatten().and_then(|again| again.to_bytes().ok());
    assert_eq!(again.as_deref(), Some(&*bytes), "a line that was written is read otherwise");
}
