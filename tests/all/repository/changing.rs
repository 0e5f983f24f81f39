//! A file whose content differs when it is read the second time: an import reads it twice.

use std::io::{Cursor, SeekFrom};
use std::pin::Pin;
use std::task::{Context as Poller, Poll};

use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};

/// A file that changes before the second reading.
pub(super) struct Changing {
    now: Cursor<Vec<u8>>,
    then: Option<Vec<u8>>,
    fails: bool,
}

impl Changing {
    /// Creates a file with the contents `first`, which become `second` when it is read again.
    pub(super) fn new(first: Vec<u8>, second: Vec<u8>) -> Self {
        Self { now: Cursor::new(first), then: Some(second), fails: false }
    }

    /// Lets the second reading end with an error.
    pub(super) fn failing(self) -> Self {
        Self { fails: true, ..self }
    }
}

impl AsyncRead for Changing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        poller: &mut Poller<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.now).poll_read(poller, into);
        if self.then.is_none() && self.fails && into.filled().len() == before {
            return Poll::Ready(Err(std::io::Error::other("the disk is gone")));
        }
        read
    }
}

impl AsyncSeek for Changing {
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> std::io::Result<()> {
        if matches!(position, SeekFrom::Start(_))
            && let Some(then) = self.then.take()
        {
            self.now = Cursor::new(then);
        }
        Pin::new(&mut self.now).start_seek(position)
    }

    fn poll_complete(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<std::io::Result<u64>> {
        Pin::new(&mut self.now).poll_complete(poller)
    }
}
