//! The lock that serializes commands on one folder.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::files;
use crate::Result;
use crate::output::Output;

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Prevents two commands from changing the same server at once. It is released when dropped, and by the operating
/// system when the process ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Acquires the lock; waits while another process holds it.
    pub(super) async fn acquire(path: &Path, output: Output<'_>) -> Result<Self> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(|error| files::failed("open", path, error))?;
        let mut said = false;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _file: file }),
                Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                Err(error) => return Err(files::failed("lock", path, error.into())),
            }
            if !said {
                output.say("waiting for another `saved-objects dev` command to finish ...");
                said = true;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
