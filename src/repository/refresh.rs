use std::collections::BTreeSet;

use super::{Repository, errors};
use crate::cluster::ClusterErrorKind;
use crate::{ErrorKind, Result};

impl Repository {
    /// Makes every write so far visible to [`find`](Self::find). For the rare caller that must not miss one: refreshing
    /// costs the server much.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the index does not exist, [`Invalid`](crate::ErrorKind::Invalid) if the
    /// type is not available here, [`Unavailable`](crate::ErrorKind::Unavailable).
    pub(crate) async fn refresh(&self, type_name: &str) -> Result<()> {
        let names = self.names(self.definition(type_name)?);
        match self.shared.cluster.refresh(names.alias()).await {
            Err(error) if error.kind == ClusterErrorKind::IndexNotFound => {
                Err(errors::no_index(&names).with_source(error))
            }
            answer => Ok(answer?),
        }
    }

    /// As [`refresh`](Self::refresh), once for the index of each of these types. What is not available here, or has no index, is
    /// left to the search to tell.
    pub(crate) async fn refresh_each(&self, types: impl Iterator<Item = &str>) -> Result<()> {
        let mut refreshed = BTreeSet::new();
        for type_name in types {
            let Ok(definition) = self.definition(type_name) else { continue };
            if refreshed.insert(definition.group()) {
                match self.refresh(type_name).await {
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    answer => answer?,
                }
            }
        }
        Ok(())
    }
}
