//! Lines of a file, one at a time, of a limited length.

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};
use zeroize::Zeroizing;

use crate::{Error, ErrorKind, Result};

/// Counts lines while it reads them.
pub(super) struct Lines<R> {
    reader: R,
    read: u64,
    /// The longest line, in bytes.
    limit: usize,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R, limit: usize) -> Self {
        Self { reader, read: 0, limit }
    }

    /// The number of the line that comes next, blank or not.
    pub(super) fn next_number(&self) -> u64 {
        self.read + 1
    }

    /// The next line that is not blank, and its number from 1. It may hold secrets, and is wiped.
    pub(super) async fn next(&mut self) -> Result<Option<(u64, Zeroizing<Vec<u8>>)>> {
        loop {
            let mut line = Zeroizing::new(Vec::new());
            let limit = self.limit as u64;
            // The line break is none of the line's bytes.
            let mut limited = (&mut self.reader).take(limit.saturating_add(1));
            let length =
                limited.read_until(b'\n', &mut line).await.map_err(|error| unreadable(self.read + 1, error))?;
            if length == 0 {
                return Ok(None);
            }
            self.read += 1;
            if length as u64 > limit && line.last() != Some(&b'\n') {
                return Err(Error::invalid(
                    format!("line {} is longer than {limit} bytes", self.read),
                    "check that the file has one object a line; if it has, allow longer lines with `--max-line-bytes` or \
                     `Import::max_line_bytes`",
                ));
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some((self.read, line)));
            }
        }
    }
}

fn unreadable(line: u64, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("line {line} cannot be read: {error}"))
        .with_cure("check the file or the pipe")
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_may_have_the_limit_and_not_a_byte_more() {
        let read = async |text: &str| {
            let mut lines = Lines::new(text.as_bytes(), 4);
            let mut found = Vec::new();
            while let Some((number, line)) = lines.next().await? {
                found.push((number, String::from_utf8_lossy(&line).into_owned()));
            }
            Ok::<_, Error>(found)
        };
        let line = |number: u64, text: &str| (number, text.to_owned());
        assert_eq!(read("abcd\n\nab").await.expect("short lines"), [line(1, "abcd\n"), line(3, "ab")]);
        assert_eq!(read("ab\nabcd").await.expect("short lines"), [line(1, "ab\n"), line(2, "abcd")]);
        for (text, number) in [("abcde\n", 1), ("a\nabcde", 2), ("a\nabcdefghijk\n", 2)] {
            let error = read(text).await.expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.message().starts_with(&format!("line {number} is longer than 4 bytes")), "{error}");
        }
    }
}
