//! The lines of a file, one at a time, with a limited length.

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};
use zeroize::Zeroizing;

use crate::{Error, ErrorKind, Result};

/// The byte order mark that editors on Windows put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The byte order marks of UTF-16.
const UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// A line that is not blank, or the reason why it is not read. It may hold secrets, and is wiped.
pub(super) type RawLine = Result<Zeroizing<Vec<u8>>>;

/// Counts lines while it reads them.
pub(super) struct Lines<R> {
    reader: R,
    read: u64,
    read_bytes: u64,
    /// The longest line, in bytes.
    limit: usize,
    is_ended: bool,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R, limit: usize) -> Self {
        Self { reader, read: 0, read_bytes: 0, limit, is_ended: false }
    }

    /// Returns the number of the line that comes next, blank or not.
    pub(super) fn next_number(&self) -> u64 {
        self.read + 1
    }

    /// Returns the number of bytes read.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// Returns the next line that is not blank, and its number from 1; `None` at the end. A byte order mark at the
    /// beginning is skipped.
    pub(super) async fn next(&mut self) -> Result<Option<(u64, RawLine)>> {
        while !self.is_ended {
            let mut line = Zeroizing::new(Vec::new());
            let limit = self.limit as u64;
            // The line break is not part of the line.
            let mut limited = (&mut self.reader).take(limit.saturating_add(1));
            let length =
                limited.read_until(b'\n', &mut line).await.map_err(|error| unreadable(self.read + 1, error))?;
            if length == 0 {
                break;
            }
            self.read += 1;
            self.read_bytes += length as u64;
            if self.read == 1 && UTF_16.iter().any(|mark| line.starts_with(mark)) {
                self.is_ended = true;
                let error = Error::invalid("the file is UTF-16", "save it as UTF-8");
                return Ok(Some((self.read, Err(error))));
            }
            if length as u64 > limit && line.last() != Some(&b'\n') {
                self.skip_rest().await?;
                let error = Error::invalid(
                    format!("the line is longer than {limit} bytes"),
                    "check that the file has one object a line; if it has, allow longer lines with `--max-line-bytes` or \
                     `Import::max_line_bytes`",
                );
                return Ok(Some((self.read, Err(error))));
            }
            if self.read == 1 && line.starts_with(BYTE_ORDER_MARK) {
                line.drain(..BYTE_ORDER_MARK.len());
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some((self.read, Ok(line))));
            }
        }
        Ok(None)
    }

    /// Skips the rest of the line, in memory for one buffer.
    async fn skip_rest(&mut self) -> Result<()> {
        loop {
            let buffer = self.reader.fill_buf().await.map_err(|error| unreadable(self.read, error))?;
            let (length, is_end) = match buffer.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.reader.consume(length);
            self.read_bytes += length as u64;
            if is_end {
                return Ok(());
            }
        }
    }
}

fn unreadable(line: u64, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("line {line} cannot be read: {error}"))
        .with_hint("check the file or the pipe")
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the lines of a text with their numbers, and the messages for those that are not read.
    async fn read(bytes: &[u8], limit: usize) -> Vec<(u64, String)> {
        let mut lines = Lines::new(bytes, limit);
        let mut found = Vec::new();
        while let Some((number, line)) = lines.next().await.expect("memory can be read") {
            found.push((
                number,
                match line {
                    Ok(line) => String::from_utf8_lossy(&line).into_owned(),
                    Err(error) => error.message().to_owned(),
                },
            ));
        }
        found
    }

    fn line(number: u64, text: &str) -> (u64, String) {
        (number, text.to_owned())
    }

    #[tokio::test]
    async fn a_line_may_have_the_limit_and_not_a_byte_more() {
        assert_eq!(read(b"abcd\n\nab", 4).await, [line(1, "abcd\n"), line(3, "ab")]);
        assert_eq!(read(b"ab\nabcd", 4).await, [line(1, "ab\n"), line(2, "abcd")]);
        let long = "the line is longer than 4 bytes";
        assert_eq!(read(b"abcde\nab", 4).await, [line(1, long), line(2, "ab")]);
        assert_eq!(read(b"a\nabcde", 4).await, [line(1, "a\n"), line(2, long)]);
        assert_eq!(read(b"a\nabcdefghijk\n\nx", 4).await, [line(1, "a\n"), line(2, long), line(4, "x")]);
    }

    #[tokio::test]
    async fn a_byte_order_mark_is_skipped_at_the_beginning_only() {
        assert_eq!(read(b"\xef\xbb\xbfab\n\xef\xbb\xbfab", 9).await, [line(1, "ab\n"), line(2, "\u{feff}ab")]);
        assert_eq!(read(b"\xef\xbb\xbf\n\nab", 9).await, [line(3, "ab")]);
        assert_eq!(read(b"\xff\xfea\0\n\0b\0", 9).await, [line(1, "the file is UTF-16")]);
    }
}
