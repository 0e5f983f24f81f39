//! The interface to the encryption of another system, whose index is taken over.

use std::fmt;
use std::time::Duration;

use super::{Descriptor, Opened};
use crate::document::Attributes;
use crate::model::EncryptionSets;

/// Decrypts the secrets of documents that another system wrote, for a copy into an index of this library. It never
/// encrypts.
pub(crate) trait SourceReader: fmt::Debug + Send + Sync {
    /// Decrypts every present attribute that one of `sets` encrypts, and returns the cause of each failure. Absent and
    /// null attributes have no secret. Several sets are those that were registered while the document's version was the
    /// newest, and what they bind is tried in turn. The call may take milliseconds for each value, so it belongs on a
    /// blocking thread.
    fn open_each(&self, descriptor: &Descriptor<'_>, sets: &[&EncryptionSets], attributes: &Attributes) -> Opened;

    /// Returns the total time that key derivation has taken, summed over all threads.
    fn derivation_time(&self) -> Duration;
}
