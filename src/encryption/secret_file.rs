//! Files that hold a secret: encryption keys, and the credentials for Elasticsearch.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use zeroize::Zeroizing;

use crate::{Error, Result};

const MAX_BYTES: usize = 64 * 1024;

/// Reads the text of the file at `path`, if only its owner and group can access it.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid) if the file cannot be read, is a folder or a device, is larger than 64 KiB,
/// is not UTF-8, begins with a byte order mark, or is accessible to every user of the machine. The error contains no
/// content, and the path only if it is certainly a path.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>> {
    let unreadable = |error: io::Error| {
        let hint = match is_path(path) {
            true => "check the path and who may read it",
            false => {
                "set the variable to the path of a file; the secret itself belongs into the variable without _FILE"
            }
        };
        Error::invalid(format!("it cannot be read: {}", error.kind()), hint).with_source(error)
    };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    check_type(&metadata)?;
    check_permissions(path, &metadata)?;

    // One allocation for the whole content, because growing would leave a copy behind.
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

/// Returns the content of such a file as text.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid) if it is not UTF-8, or begins with a byte order mark, which would become part
/// of the secret.
pub(crate) fn text_of(bytes: &[u8]) -> Result<&str> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::invalid("it is not UTF-8", "store it as text"))?;
    match text.starts_with('\u{feff}') {
        true => Err(Error::invalid("it begins with a byte order mark", "store it as UTF-8 without one")),
        false => Ok(text),
    }
}

/// A path for display. It hides a secret that was given instead of a path.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a>(pub(crate) &'a Path);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match is_path(self.0) {
            true => self.0.display().fmt(f),
            false => f.write_str("(not shown: there is no such folder, and it may be the secret)"),
        }
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns whether the path exists, or its parent is an existing folder other than the root. A base64 secret may begin
/// with `/`.
fn is_path(path: &Path) -> bool {
    let is_folder = |folder: &Path| folder.parent().is_some() && folder.is_dir();
    path.symlink_metadata().is_ok() || path.parent().is_some_and(is_folder)
}

fn check_type(metadata: &Metadata) -> Result<()> {
    let is_device = !metadata.is_dir() && !metadata.is_file() && !is_pipe(metadata);
    match (metadata.is_dir(), is_device) {
        (false, false) => Ok(()),
        (true, _) => Err(Error::invalid("it is a folder", "name the file in it that holds the secret")),
        (_, true) => Err(Error::invalid("it is a device", "name the file that holds the secret")),
    }
}

#[cfg(unix)]
fn is_pipe(metadata: &Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    metadata.file_type().is_fifo()
}

#[cfg(not(unix))]
fn is_pipe(_: &Metadata) -> bool {
    false
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
            match path.display().to_string() {
                path if path.contains(char::is_whitespace) => format!("chmod 600 '{path}'"),
                path => format!("chmod 600 {path}"),
            },
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

/// The modification time and length of a file, which distinguish one content from the next as far as the file system
/// allows. `None` if the file does not exist.
pub(crate) type Stamp = Option<(SystemTime, u64)>;

/// Returns the stamp of the file at `path`.
pub(crate) fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let missing = folder.path().join("missing");
        let secrets =
            ["0123456789abcdefghijklmnopqrstuvwxyz", "/k3y/ab+cdefghijklmn==", "/0123456789", "a\nb", "id:key"];
        for secret in secrets {
            let path = Path::new(secret);
            let error = read(path).expect_err("no file");
            let text = format!("{} {:?} {error} {error:?}", Shown(path), Shown(path));
            assert!(!text.contains(secret), "{text}");
            assert!(error.hint().is_some_and(|hint| hint.contains("without _FILE")), "{text}");
        }
        assert_eq!(Shown(&missing).to_string(), missing.display().to_string());
        assert!(
            read(&missing).expect_err("no file").to_string().contains("it cannot be read: entity not found; check")
        );
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_told_as_such() {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, expected) in [(folder.path(), "it is a folder"), (Path::new("/dev/null"), "it is a device")] {
            assert_eq!(read(path).expect_err("no file").message(), expected);
        }
    }
}
