//! Makes writes visible to searches.

use std::collections::BTreeSet;

use crate::Result;
use crate::cluster::{ClusterErrorKind, Unrefreshed};
use crate::repository::Repository;
use crate::repository::pipeline::errors;

impl Repository {
    /// Makes every write so far visible to [`find`](Self::find). For the rare caller that must not miss a write: a
    /// refresh is expensive for the server.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the index does not exist, [`Invalid`](crate::ErrorKind::Invalid) if
    /// the type is not available here, [`Unavailable`](crate::ErrorKind::Unavailable).
    pub(crate) async fn refresh(&self, type_name: &str) -> Result<()> {
        let names = self.names(self.definition(type_name)?);
        match self.shared.engine.cluster.refresh(names.alias()).await {
            Err(error) if error.kind == ClusterErrorKind::IndexNotFound => {
                Err(errors::no_index(&names).with_source(error))
            }
            answer => Ok(answer?),
        }
    }

    /// Like [`refresh`](Self::refresh), once for the index of each of these types. Types that are not available here or
    /// have no index are skipped: the search reports them. Returns the indices that the credentials may not refresh.
    #[doc(hidden)]
    pub async fn refresh_each(&self, types: impl Iterator<Item = &str>) -> Result<Vec<Unrefreshed>> {
        let (mut refreshed, mut unrefreshed) = (BTreeSet::new(), Vec::new());
        for type_name in types {
            let Ok(definition) = self.definition(type_name) else { continue };
            if refreshed.insert(definition.group()) {
                let names = self.names(definition);
                match Unrefreshed::after_refresh(self.shared.engine.cluster.as_ref(), names.alias()).await {
                    Err(error) if error.kind == ClusterErrorKind::IndexNotFound => {}
                    answer => unrefreshed.extend(answer?),
                }
            }
        }
        Ok(unrefreshed)
    }
}
