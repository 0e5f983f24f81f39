use futures::{Stream, StreamExt};

use super::Records;
use crate::Result;
use crate::cluster::Direction;
use crate::repository::{Filter, Find, SavedObject, Unreadable};
use crate::tokens::attributes::TokenAttributes;
use crate::tokens::identity::Identity;
use crate::tokens::{ConnectorToken, TokenError, TokenId, TokenMetadata};

const CONNECTOR_ID: &str = "connectorId";

/// A record without its secrets, or why it is not one.
pub(in crate::tokens) type Listed = Result<TokenMetadata, Unreadable>;

impl<I: Identity> Records<I> {
    /// The records that the filter fits, however many, in bounded memory and by connector. Their secrets are not looked at.
    pub(in crate::tokens) fn list(
        &self,
        filter: Filter,
    ) -> Result<impl Stream<Item = Result<Listed>> + Send + 'static + use<I>> {
        let request = Find::new().filter(filter).sort(CONNECTOR_ID, Direction::Ascending);
        let stream = self.objects.stream(request)?;
        Ok(stream.map(|item| item.map(|item| item.and_then(|object| listed::<I>(&object)))))
    }

    /// The record called `id`, without its secrets.
    pub(in crate::tokens) async fn metadata(&self, id: &TokenId) -> Result<Option<TokenMetadata>, TokenError> {
        id.check_kind(I::KIND)?;
        let read = self.objects.get_opt(id.uuid()).await;
        let Some(object) = read.map_err(|error| TokenError::of_reading(id.clone(), error))? else { return Ok(None) };
        TokenMetadata::new(Self::token_id(id.uuid()), &object.attributes, object.version).map(Some)
    }

    /// The record as it was listed, with its secrets; none if it is no longer so.
    pub(in crate::tokens) async fn open(&self, listed: &TokenMetadata) -> Result<Option<ConnectorToken>, TokenError> {
        let read = self.read(listed.id.uuid()).await?;
        Ok(read.map(|current| current.token).filter(|token| token.metadata.version == listed.version))
    }

    /// Deletes the record as it was listed. False if it is no longer so.
    pub(in crate::tokens) async fn delete_listed(&self, listed: &TokenMetadata) -> Result<bool> {
        let uuid = listed.id.uuid();
        self.is_deleted(uuid, self.objects.delete_seen(uuid, listed.version).await).await
    }
}

fn listed<I: Identity>(object: &SavedObject<TokenAttributes<I>>) -> Listed {
    let id = TokenId::new(I::KIND, &object.id);
    TokenMetadata::new(id, &object.attributes, object.version)
        .map_err(|error| Unreadable { raw_id: format!("{}:{}", I::TYPE, object.id), error: error.into() })
}
