//! The terminal: its width, text that fits it, and lines that do not run into progress bars.

use std::io::{IsTerminal, Write};
use std::sync::LazyLock;

use indicatif::MultiProgress;

/// The narrowest width that output is fitted to.
const NARROWEST: usize = 20;

/// The progress bars of this process. Every line of the command line is printed through them, so that a bar is removed
/// from the terminal before a line and drawn again after it.
pub(crate) static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// A stream that lines are printed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Stream {
    /// Returns the number of columns that lines should fit: that of the variable `COLUMNS`, or else that of the
    /// terminal. `None` means that lines may have any length, because no person reads them in a terminal.
    pub(crate) fn width(self) -> Option<usize> {
        let variable = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        variable.or_else(|| self.columns()).filter(|columns| *columns >= NARROWEST)
    }

    #[cfg(unix)]
    fn columns(self) -> Option<usize> {
        let size = match self {
            Self::Out if std::io::stdout().is_terminal() => rustix::termios::tcgetwinsize(std::io::stdout()),
            Self::Err if std::io::stderr().is_terminal() => rustix::termios::tcgetwinsize(std::io::stderr()),
            Self::Out | Self::Err => return None,
        };
        size.ok().map(|size| usize::from(size.ws_col))
    }

    #[cfg(not(unix))]
    fn columns(self) -> Option<usize> {
        None
    }

    /// Prints text, followed by a line break, in lines that fit the terminal.
    pub(crate) fn print(self, text: &str) {
        let text = match self.width() {
            Some(width) => wrapped(text, width),
            None => text.to_owned(),
        };
        // A reader that has closed the pipe (`| head`) is no reason to fail.
        let _ = BARS.suspend(|| match self {
            Self::Out => writeln!(std::io::stdout().lock(), "{text}"),
            Self::Err => writeln!(std::io::stderr().lock(), "{text}"),
        });
    }
}

/// A writer for the log. Each write is one or more whole lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        Stream::Err.print(text.strip_suffix('\n').unwrap_or(&text));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Returns `text` with each line that is longer than `width` broken between words. The continued lines are indented by
/// two columns more. A word that is longer than a line is not broken, so that it can be copied.
pub(crate) fn wrapped(text: &str, width: usize) -> String {
    let mut lines = Vec::new();
    for line in text.split('\n') {
        if columns(line) <= width {
            lines.push(line.to_owned());
            continue;
        }
        let indent = line.len() - line.trim_start_matches(' ').len();
        let mut current = " ".repeat(indent);
        let mut is_empty = true;
        for word in line.split(' ').filter(|word| !word.is_empty()) {
            if !is_empty && columns(&current) + 1 + columns(word) > width {
                lines.push(std::mem::replace(&mut current, " ".repeat(indent + 2)));
                is_empty = true;
            }
            if !is_empty {
                current.push(' ');
            }
            current.push_str(word);
            is_empty = false;
        }
        lines.push(current);
    }
    lines.join("\n")
}

/// Returns how many columns a text takes. The escape sequences of colours take none.
pub(crate) fn columns(text: &str) -> usize {
    let (mut count, mut is_escape) = (0, false);
    for character in text.chars() {
        match (is_escape, character) {
            (false, '\u{1b}') => is_escape = true,
            (false, _) => count += 1,
            (true, character) => is_escape = !character.is_ascii_alphabetic(),
        }
    }
    count
}

/// Returns a duration for a person: `42 s`, `3 min 5 s`, `2 h 10 min`.
pub(crate) fn duration(seconds: u64) -> String {
    let (minutes, rest) = (seconds / 60, seconds % 60);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{rest} s"),
        (0, minutes) => format!("{minutes} min {rest} s"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_only() {
        let table = [
            ("short", "short"),
            ("one two three four five six seven", "one two three four\n  five six seven"),
            ("  indented text that is long", "  indented text that\n    is long"),
            ("a 123456789012345678901234567890 b", "a\n  123456789012345678901234567890\n  b"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("first\none two three four five", "first\none two three four\n  five"),
            ("\u{1b}[32mone\u{1b}[0m two three four five", "\u{1b}[32mone\u{1b}[0m two three four\n  five"),
            ("", ""),
        ];
        for (text, expected) in table {
            assert_eq!(wrapped(text, 20), expected);
        }
    }

    #[test]
    fn durations_are_for_a_person() {
        let table = [(0, "0 s"), (59, "59 s"), (60, "1 min 0 s"), (185, "3 min 5 s"), (7_800, "2 h 10 min")];
        for (seconds, expected) in table {
            assert_eq!(duration(seconds), expected);
        }
    }
}
