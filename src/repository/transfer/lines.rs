//! Lines of a file, one at a time, of a limited length.

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};
use zeroize::Zeroizing;

use crate::{Error, ErrorKind, Result};

/// The longest line: no server takes a document of this size.
const MAX_BYTES: u64 = 100 * 1024 * 1024;

/// Counts lines while it reads them.
pub(super) struct Lines<R> {
    reader: R,
    read: u64,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, read: 0 }
    }

    /// The number of the line that comes next, blank or not.
    pub(super) fn next_number(&self) -> u64 {
        self.read + 1
    }

    /// The next line that is not blank, and its number from 1. It may hold secrets, and is wiped.
    pub(super) async fn next(&mut self) -> Result<Option<(u64, Zeroizing<Vec<u8>>)>> {
        loop {
            let mut line = Zeroizing::new(Vec::new());
            let mut limited = (&mut self.reader).take(MAX_BYTES);
            let length =
                limited.read_until(b'\n', &mut line).await.map_err(|error| unreadable(self.read + 1, error))?;
            if length == 0 {
                return Ok(None);
            }
            self.read += 1;
            if length as u64 == MAX_BYTES && line.last() != Some(&b'\n') {
                return Err(Error::invalid(
                    format!("line {} is longer than {MAX_BYTES} bytes", self.read),
                    "check that the file has one object a line",
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
