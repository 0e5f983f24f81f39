//! Reading a token with its secrets.

use super::Records;
use super::stored::Record;
use crate::tokens::identity::Identity;
use crate::tokens::{ConnectorToken, OAuthCredentials, ScopeKind, TokenError, TokenId, TokenMetadata};

/// A token, and the record that it was read from.
#[derive(Debug, Clone)]
pub(in crate::tokens) struct Current {
    pub(super) record: Record,
    pub(in crate::tokens) token: ConnectorToken,
}

impl Records {
    /// Reads a token. Sends one real-time request if a record has the derived id.
    pub(in crate::tokens) async fn get(&self, identity: &Identity) -> Result<Option<ConnectorToken>, TokenError> {
        Ok(self.current(identity).await?.map(|current| current.token))
    }

    /// As [`get`](Self::get), with the credentials as those of OAuth.
    pub(in crate::tokens) async fn get_oauth(
        &self,
        identity: &Identity,
    ) -> Result<Option<ConnectorToken<OAuthCredentials>>, TokenError> {
        self.get(identity).await?.map(ConnectorToken::into_oauth).transpose()
    }

    /// As [`get`](Self::get), with the record, which a write over it must name.
    pub(in crate::tokens) async fn current(&self, identity: &Identity) -> Result<Option<Current>, TokenError> {
        let (kind, derived_id) = (identity.kind(), identity.derived_id());
        if let Some(token) = self.read(kind, &derived_id).await? {
            return Ok(Some(token));
        }
        if let Some(token) = self.get_taken_over(identity, &derived_id).await? {
            return Ok(Some(token));
        }
        // A record that moved to the derived id between the first read and the search was found by neither.
        self.read(kind, &derived_id).await
    }

    /// Reads the token in the record `uuid`.
    pub(super) async fn read(&self, kind: ScopeKind, uuid: &str) -> Result<Option<Current>, TokenError> {
        let id = TokenId::new(kind, uuid);
        let read = self.get_content_opt(kind, uuid).await;
        let Some((record, credentials)) = read.map_err(|error| TokenError::of_reading(id.clone(), error))? else {
            return Ok(None);
        };
        let metadata = TokenMetadata::new(id, &record.attributes, record.version)?;
        Ok(Some(Current { record, token: ConnectorToken { metadata, credentials } }))
    }
}
