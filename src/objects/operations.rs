//! The typed forms of the repository's less common operations.

use super::client::typed;
use super::{Object, Objects};
use crate::Result;
use crate::repository::{Increment, Resolved, SavedObject};

impl<T: Object> Objects<T> {
    /// Returns the object that has this id, or that had it before an import gave it another one: see
    /// [`Repository::resolve`](crate::Repository::resolve).
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins = store().await?.objects::<Login>()?;
    /// // The search for its origin sees it at once.
    /// let now = saved_objects::cluster::Refresh::WaitFor;
    /// let imported = logins
    ///     .create_with(&login("kim"), password("s3cret"), |request| request.origin_id("old").refresh(now))
    ///     .await?;
    /// let resolved = logins.resolve("old").await?;
    /// assert_eq!((resolved.object.id, resolved.resolution), (imported.id, Resolution::OriginMatch));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Repository::resolve`](crate::Repository::resolve), and [`Corrupt`](crate::ErrorKind::Corrupt) if the
    /// attributes do not fit the struct.
    pub async fn resolve(&self, id: &str) -> Result<Resolved<T::Attributes>> {
        let Resolved { object, resolution } = self.repository().resolve(&self.key(id)).await?;
        Ok(Resolved { object: typed(object)?, resolution })
    }

    /// Increments counters of an object by these amounts, exactly once for each answer, also while others do so: see
    /// [`Repository::increment`](crate::Repository::increment).
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins = store().await?.objects::<Login>()?;
    /// let created = logins.create(&login("kim"), password("s3cret")).await?;
    /// let counted = logins.increment(&created.id, [("uses", 2)]).await?;
    /// assert_eq!(counted.attributes.uses, 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Repository::increment`](crate::Repository::increment), and [`Corrupt`](crate::ErrorKind::Corrupt) if
    /// the attributes do not fit the struct.
    pub async fn increment<'a>(
        &self,
        id: &str,
        counters: impl IntoIterator<Item = (&'a str, i64)>,
    ) -> Result<SavedObject<T::Attributes>> {
        let counters = counters.into_iter();
        let request = counters.fold(Increment::new(self.key(id)), |request, (name, amount)| request.by(name, amount));
        typed(self.repository().increment(request).await?)
    }
}
