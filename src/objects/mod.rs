//! The typed client of one type, over the [repository](crate::repository).

mod client;
mod convert;
mod many;
mod operations;
mod reading;
mod writing;

pub use client::{Change, Objects};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Result;
use crate::encryption::Secrets;

/// A type of the platform, with its attributes and secrets as Rust types.
///
/// ```
/// use saved_objects::Object;
/// use serde::{Deserialize, Serialize};
///
/// struct Note;
///
/// #[derive(Serialize, Deserialize)]
/// struct NoteAttributes {
///     title: String,
/// }
///
/// impl Object for Note {
///     const TYPE: &'static str = "note";
///     type Attributes = NoteAttributes;
///     type Secrets = ();
/// }
/// ```
pub trait Object {
    /// The type's name in the registry.
    const TYPE: &'static str;
    /// The attributes that reads return: those that are not encrypted, and the exposed ones. When an object is updated,
    /// attributes that the struct does not have stay.
    type Attributes: Serialize + DeserializeOwned + 'static;
    /// The encrypted attributes; `()` if the type has none.
    type Secrets: SecretAttributes + 'static;
}

/// The encrypted attributes of a type as a Rust type.
///
/// ```
/// use saved_objects::SecretAttributes;
/// use saved_objects::encryption::{Secret, Secrets};
/// use saved_objects::{Error, ErrorKind, Result};
///
/// struct Credentials {
///     password: Secret,
///     recovery_code: Option<Secret>,
/// }
///
/// impl SecretAttributes for Credentials {
///     fn from_secrets(mut secrets: Secrets) -> Result<Self> {
///         let missing = || Error::new(ErrorKind::Corrupt, "the password is missing");
///         Ok(Self {
///             password: secrets.remove("password").ok_or_else(missing)?,
///             recovery_code: secrets.remove("recoveryCode"),
///         })
///     }
///
///     fn into_secrets(self) -> Secrets {
///         let mut secrets = Secrets::from([("password".to_owned(), self.password)]);
///         secrets.extend(self.recovery_code.map(|code| ("recoveryCode".to_owned(), code)));
///         secrets
///     }
/// }
/// ```
pub trait SecretAttributes: Sized {
    /// Creates the struct from the decrypted values of an object.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if a required secret is missing or has the wrong form.
    fn from_secrets(secrets: Secrets) -> Result<Self>;

    /// Returns the values to encrypt.
    fn into_secrets(self) -> Secrets;
}

impl SecretAttributes for () {
    fn from_secrets(_secrets: Secrets) -> Result<Self> {
        Ok(())
    }

    fn into_secrets(self) -> Secrets {
        Secrets::new()
    }
}

/// All secrets of an object, by attribute.
impl SecretAttributes for Secrets {
    fn from_secrets(secrets: Secrets) -> Result<Self> {
        Ok(secrets)
    }

    fn into_secrets(self) -> Secrets {
        self
    }
}
