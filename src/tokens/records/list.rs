//! Listing tokens and connectors without reading secrets.

use std::collections::BTreeSet;
use std::ops::Bound;

use futures::{Stream, StreamExt};

use super::Records;
use super::stored::typed;
use crate::Result;
use crate::cluster::Direction;
use crate::repository::{Filter, Find, SavedObject, Unreadable};
use crate::tokens::scope::CONNECTOR_ID;
use crate::tokens::{ConnectorId, ConnectorToken, ProfileUid, ScopeKind, TokenError, TokenId, TokenMetadata};

/// The number of records that one search returns.
const PER_PAGE: u32 = 1000;

/// A record without its secrets, or the reason why it is not one.
pub(in crate::tokens) type Listed = Result<TokenMetadata, Unreadable>;

impl Records {
    /// Streams the records that the filter matches, sorted by connector, in bounded memory.
    pub(in crate::tokens) fn list(
        &self,
        kind: ScopeKind,
        filter: Filter,
    ) -> Result<impl Stream<Item = Result<Listed>> + Send + use<>> {
        let request = Find::new().filter(filter).sort(CONNECTOR_ID, Direction::Ascending);
        let stream = self.repository.stream(&[kind.stored_type()], request)?;
        Ok(stream.map(move |item| item.map(|item| item.and_then(|object| listed(kind, object)))))
    }

    /// Reads the record `id` of the scope without its secrets.
    pub(in crate::tokens) async fn metadata(
        &self,
        kind: ScopeKind,
        id: &TokenId,
    ) -> Result<Option<TokenMetadata>, TokenError> {
        id.check_kind(kind)?;
        let read = self.get_record_opt(kind, id.uuid()).await;
        let Some(record) = read.map_err(|error| TokenError::of_reading(id.clone(), error))? else { return Ok(None) };
        TokenMetadata::new(TokenId::new(kind, id.uuid()), &record.attributes, record.version).map(Some)
    }

    /// Reads a listed record with its secrets. Returns `None` if it was changed or deleted since it was listed.
    pub(in crate::tokens) async fn open(&self, listed: &TokenMetadata) -> Result<Option<ConnectorToken>, TokenError> {
        let read = self.read(listed.scope.kind(), listed.id.uuid()).await?;
        Ok(read.map(|current| current.token).filter(|token| token.metadata.version == listed.version))
    }

    /// Deletes a listed record. Returns false if it was changed since it was listed.
    pub(in crate::tokens) async fn delete_listed(&self, listed: &TokenMetadata) -> Result<bool> {
        let (kind, uuid) = (listed.scope.kind(), listed.id.uuid());
        self.is_deleted(kind, uuid, self.delete_record(kind, uuid, listed.version).await).await
    }

    /// Returns the connectors for which the user has a token, without a limit. Each search begins after the last
    /// connector of the search before, since paging by number ends at 10,000.
    pub(in crate::tokens) async fn connectors_of_user(
        &self,
        profile_uid: &ProfileUid,
    ) -> Result<BTreeSet<ConnectorId>, TokenError> {
        let kind = ScopeKind::PerUser;
        let mut connectors = BTreeSet::new();
        let mut after = Bound::Unbounded;
        loop {
            let rest = Filter::range::<String>(CONNECTOR_ID, (after, Bound::Unbounded));
            let request = Find::new()
                .filter(Filter::and([kind.filter(Some(profile_uid), None, None), rest]))
                .sort(CONNECTOR_ID, Direction::Ascending)
                .per_page(PER_PAGE);
            let found = self.repository.find(&[kind.stored_type()], request).await?;
            if let Some(unreadable) = found.unreadable.into_iter().next() {
                return Err(unreadable.error.context(unreadable.raw_id).into());
            }
            let names = found.objects.iter().filter_map(|object| object.attributes.get(CONNECTOR_ID)?.as_str());
            let page: Vec<_> = names.filter_map(|name| ConnectorId::new(name).ok()).collect();
            let Some(last) = page.last() else { return Ok(connectors) };
            after = Bound::Excluded(last.to_string());
            connectors.extend(page);
        }
    }
}

fn listed(kind: ScopeKind, object: SavedObject) -> Listed {
    let (id, raw_id) = (TokenId::new(kind, &object.id), object.raw_id());
    let metadata = typed(kind, object)
        .map_err(TokenError::from)
        .and_then(|record| TokenMetadata::new(id, &record.attributes, record.version));
    metadata.map_err(|error| Unreadable { raw_id, error: error.into() })
}
