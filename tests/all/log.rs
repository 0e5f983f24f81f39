//! Captures what the code under test logs.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

/// The captured log. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// With a single subscriber, tracing would treat the events that threads of other tests reach first as disabled.
    _second: tracing::Dispatch,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { bytes: Arc::default(), _second: tracing::Dispatch::new(tracing_subscriber::registry()) }
    }

    /// Returns a subscriber for all events, down to the finest level.
    pub(crate) fn subscriber(&self) -> impl tracing::Subscriber + Send + Sync + use<> {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(self.clone())
            .finish()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes.lock().expect("no test panics with the lock").clone()).expect("UTF-8")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.lock().expect("no test panics with the lock").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
