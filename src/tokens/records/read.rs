use super::Records;
use crate::Result;
use crate::cluster::Direction;
use crate::repository::{Find, RootField, SavedObject};
use crate::tokens::attributes::{TokenAttributes, TokenSecrets};
use crate::tokens::identity::Identity;
use crate::tokens::{ConnectorToken, TokenError, TokenMetadata};

/// How many taken-over records of one identity are looked at. There is one, unless concurrent first authorizations made
/// more; the newest that can be read counts.
const CANDIDATES: u32 = 20;

/// A token, and the record that it was read from.
#[derive(Debug, Clone)]
pub(in crate::tokens) struct Current<I> {
    pub(super) record: SavedObject<TokenAttributes<I>>,
    pub(in crate::tokens) token: ConnectorToken,
}

impl<I: Identity> Records<I> {
    /// The token called `identity`. One real-time request if there is one at the derived id.
    pub(in crate::tokens) async fn get(&self, identity: &I) -> Result<Option<ConnectorToken>, TokenError> {
        Ok(self.current(identity).await?.map(|current| current.token))
    }

    /// As [`get`](Self::get), with the record that a write over it must name.
    pub(in crate::tokens) async fn current(&self, identity: &I) -> Result<Option<Current<I>>, TokenError> {
        let derived_id = identity.derived_id().to_string();
        if let Some(token) = self.read(&derived_id).await? {
            return Ok(Some(token));
        }
        if let Some(token) = self.get_taken_over(identity, &derived_id).await? {
            return Ok(Some(token));
        }
        // A record that folded between the first read and the search was in neither.
        self.read(&derived_id).await
    }

    /// The newest readable record of `identity` at another id than the derived one.
    async fn get_taken_over(&self, identity: &I, derived_id: &str) -> Result<Option<Current<I>>, TokenError> {
        let request = Find::new()
            .filter(identity.filter())
            .sort(RootField::UpdatedAt, Direction::Descending)
            .per_page(CANDIDATES);
        let found = self.repository().find(&[I::TYPE], request).await?;
        let corrupt = found.unreadable.into_iter().map(|unreadable| {
            let uuid = unreadable.raw_id.strip_prefix(I::TYPE).and_then(|rest| rest.strip_prefix(':'));
            TokenError::of_reading(Self::token_id(uuid.unwrap_or(&unreadable.raw_id)), unreadable.error)
        });
        let mut unreadable: Vec<_> = corrupt.collect();
        for candidate in found.objects.iter().filter(|object| object.id != derived_id) {
            match self.read(&candidate.id).await {
                Ok(Some(token)) => return Ok(Some(token)),
                Ok(None) => {}
                Err(error @ TokenError::Unreadable { .. }) => unreadable.push(error),
                Err(error) => return Err(error),
            }
        }
        match unreadable.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(None),
        }
    }

    /// The token in the object `uuid`.
    pub(super) async fn read(&self, uuid: &str) -> Result<Option<Current<I>>, TokenError> {
        let id = Self::token_id(uuid);
        let read = self.objects.get_with_secrets_opt(uuid).await;
        let Some((object, secrets)) = read.map_err(|error| TokenError::of_reading(id.clone(), error))? else {
            return Ok(None);
        };
        let metadata = TokenMetadata::new(id, &object.attributes, object.version)?;
        let token = ConnectorToken { metadata, credentials: secrets.into_credentials() };
        Ok(Some(Current { record: object, token }))
    }
}
