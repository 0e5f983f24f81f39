//! Replacing a token that was read, if it is still at that version.

use super::Records;
use super::stored::Content;
use crate::environment::iso_millis;
use crate::tokens::attributes::{Times, TokenAttributes};
use crate::tokens::identity::Identity;
use crate::tokens::{NewToken, ScopeKind, TokenError, TokenMetadata, secrets};
use crate::{Error, ErrorKind, Result};

impl Records {
    /// Replaces a token of the scope, if it is still at the version that was read. Sends one request if it has the
    /// derived id; otherwise it moves there.
    pub(in crate::tokens) async fn replace(
        &self,
        kind: ScopeKind,
        read: &TokenMetadata,
        token: NewToken,
    ) -> Result<TokenMetadata, TokenError> {
        read.id.check_kind(kind)?;
        if read.scope.kind() != kind {
            return Err(other_scope(read).into());
        }
        if token.token_type.as_ref().is_some_and(|token_type| *token_type != read.token_type) {
            return Err(other_type(read).into());
        }
        let credentials = secrets::in_stored_form(kind, token.credentials)?;
        let identity = Identity::new(read.scope.clone(), &read.connector_id, Some(&read.token_type));
        let times = Times {
            expires_at: token.expires_at.map(iso_millis),
            refresh_token_expires_at: token.refresh_token_expires_at.map(iso_millis),
            created_at: iso_millis(read.created_at),
            updated_at: self.environment().now_iso(),
        };
        let is_moving = read.id.uuid() != identity.derived_id();
        let content = Content { attributes: TokenAttributes::new(identity, times), credentials };
        let record = if is_moving {
            let record = self.write_derived(content, false).await?;
            if !self.complete_move(read.id.uuid(), read.version, &record).await? {
                return Err(changed(read).into());
            }
            record
        } else {
            self.replace_derived(read.version, content).await?
        };
        TokenMetadata::new(read.id.with_uuid(&record.id), &record.attributes, record.version)
    }
}

fn other_scope(read: &TokenMetadata) -> Error {
    Error::invalid(format!("the token {} is not one of its scope", read.id), "use metadata as a read returned it")
}

fn other_type(read: &TokenMetadata) -> Error {
    Error::invalid(
        format!("the type of the token {} cannot be changed", read.id),
        "store a token of another type with `create`",
    )
}

fn changed(read: &TokenMetadata) -> Error {
    Error::new(ErrorKind::Conflict, format!("the token {} was changed or deleted since it was read", read.id))
        .with_hint("read it again and repeat the change")
}
