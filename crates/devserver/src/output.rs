//! Progress messages of the server's commands.

use std::fmt;

/// Receives lines about the progress of the server, for a person.
#[derive(Clone, Copy)]
pub struct Output<'a>(&'a (dyn Fn(&str) + Sync));

impl<'a> Output<'a> {
    /// Creates an output that passes each line to `say`.
    pub fn new(say: &'a (dyn Fn(&str) + Sync)) -> Self {
        Self(say)
    }

    pub(crate) fn say(self, line: impl AsRef<str>) {
        (self.0)(line.as_ref());
    }
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Output")
    }
}
