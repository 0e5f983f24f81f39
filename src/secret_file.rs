//! Files that hold a secret: encryption keys, and the credentials for Elasticsearch.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use zeroize::Zeroizing;

use crate::{Error, Result};

const MAX_BYTES: usize = 64 * 1024;

/// Reads the text of the file at `path`, if only its owner and group can read it.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid) if the file cannot be read, is larger than 64 KiB, is not UTF-8 or begins with a byte order mark, or is open to every user
/// of the machine. Neither the path nor any content is in the error.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>> {
    let unreadable =
        |error| Error::invalid("it cannot be read", "check the path and who may read it").with_source(error);
    let file = File::open(path).map_err(unreadable)?;
    check_permissions(path, &file.metadata().map_err(unreadable)?)?;

    // One allocation for all of it: growing would leave a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 2));
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_BYTES {
        return Err(Error::invalid(
            format!("it has more than {MAX_BYTES} bytes"),
            "name the file that holds the secret and nothing else",
        ));
    }
    text_of(&bytes).map(|text| Zeroizing::new(text.to_owned()))
}

/// Returns the text that the content of such a file is.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid) if it is not UTF-8, or begins with a byte order mark, which would become a part of the
/// secret.
pub(crate) fn text_of(bytes: &[u8]) -> Result<&str> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::invalid("it is not UTF-8", "store it as text"))?;
    match text.starts_with('\u{feff}') {
        true => Err(Error::invalid("it begins with a byte order mark", "store it as UTF-8 without one")),
        false => Ok(text),
    }
}

#[cfg(unix)]
fn check_permissions(path: &Path, metadata: &Metadata) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;

    const OTHERS: u32 = 0o006;
    const GROUP: u32 = 0o060;
    let mode = metadata.permissions().mode();
    if mode & OTHERS != 0 {
        return Err(Error::invalid(
            format!("every user of this machine can read or write it (mode {:03o})", mode & 0o777),
            format!("chmod 600 {}", path.display()),
        ));
    }
    if mode & GROUP != 0 {
        tracing::warn!(path = %path.display(), "the group of a secret's file can read or write it; chmod 600 is safer");
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_permissions(_: &Path, _: &Metadata) -> Result<()> {
    Ok(())
}

/// What tells one content of a file from the next, as far as the file system says: when it was modified, and its length. `None` if
/// there is no such file.
pub(crate) type Stamp = Option<(SystemTime, u64)>;

/// Returns the stamp of the file at `path`.
pub(crate) fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
