use super::{Repository, errors};
use crate::Result;
use crate::cluster::ClusterErrorKind;

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
}
