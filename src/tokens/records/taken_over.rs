//! Records of tokens that were taken over from Kibana: they have random ids. Here they are found, and deleted when a
//! record with the derived id has replaced them.

use super::stored::Record;
use super::{Current, Records, is_conflict, uuid_of};
use crate::cluster::Direction;
use crate::document::VersionToken;
use crate::repository::{Find, RootField};
use crate::tokens::identity::Identity;
use crate::tokens::{ScopeKind, TokenError, TokenId};
use crate::{Error, ErrorKind, Result};

/// The limit on how many taken-over records of one identity are read. There is one, unless concurrent first
/// authorizations created more; the newest readable one counts.
const CANDIDATES: u32 = 20;
/// The limit on how many taken-over records one write deletes; the next write continues.
const LEFTOVERS: u32 = 100;

impl Records {
    /// Reads the newest readable record of an identity with another id than the derived one.
    pub(super) async fn get_taken_over(
        &self,
        identity: &Identity,
        derived_id: &str,
    ) -> Result<Option<Current>, TokenError> {
        let kind = identity.kind();
        let request = Find::new()
            .filter(identity.filter())
            .sort(RootField::UpdatedAt, Direction::Descending)
            .per_page(CANDIDATES);
        let found = self.repository.find(&[kind.stored_type()], request).await?;
        let corrupt = found.unreadable.into_iter().map(|unreadable| {
            let uuid = uuid_of(kind, &unreadable.raw_id).unwrap_or(&unreadable.raw_id);
            TokenError::of_reading(TokenId::new(kind, uuid), unreadable.error)
        });
        let mut unreadable: Vec<_> = corrupt.collect();
        for candidate in found.objects.iter().filter(|object| object.id != derived_id) {
            match self.read(kind, &candidate.id).await {
                Ok(Some(token)) => return Ok(Some(token)),
                Ok(None) => {}
                Err(error @ TokenError::Unreadable { .. }) => unreadable.push(error),
                Err(error) => return Err(error),
            }
        }
        unreadable.into_iter().next().map_or(Ok(None), Err)
    }

    /// Deletes the records of an identity with other ids than the derived one. The token is already stored, so a
    /// failure is not the caller's: a remaining record does not count, and the next write deletes it.
    pub(super) async fn delete_taken_over(&self, identity: &Identity, derived_id: &str) {
        let kind = identity.kind();
        let request = Find::new().filter(identity.filter()).per_page(LEFTOVERS);
        let found = match self.repository.find(&[kind.stored_type()], request).await {
            Ok(found) => found,
            Err(error) => {
                let token = TokenId::new(kind, derived_id);
                tracing::warn!(%token, %error, "older records of a token could not be searched");
                return;
            }
        };
        for leftover in found.objects.iter().filter(|object| object.id != derived_id) {
            self.delete_leftover(kind, &leftover.id, leftover.version).await;
        }
    }

    /// Deletes a record that no longer counts, if it is still at `version`.
    pub(super) async fn delete_leftover(&self, kind: ScopeKind, uuid: &str, version: VersionToken) {
        match self.delete_record(kind, uuid, version).await {
            Err(error) if !is_conflict(&error) => {
                tracing::warn!(token = %TokenId::new(kind, uuid), %error, "an older record of a token was not deleted");
            }
            _ => {}
        }
    }

    /// Completes the move of a token: deletes the record `uuid`, which `derived` replaces. Returns false if another
    /// caller deleted the record before; then `derived` is deleted too.
    ///
    /// The record is first written again at the version that was read. So a lost answer cannot make another caller's
    /// deletion of the token look like this one. A caller that deletes the token after that write also finds `derived`.
    pub(super) async fn complete_move(&self, uuid: &str, read: VersionToken, derived: &Record) -> Result<bool> {
        let kind = derived.attributes.identity.kind();
        let is_gone = async |error: &Error| match error.kind() {
            ErrorKind::NotFound => Ok(true),
            ErrorKind::Conflict => self.get_record_opt(kind, uuid).await.map(|found| found.is_none()),
            _ => Ok(false),
        };
        match self.touch_record(kind, uuid, read).await {
            Ok(version) => self.delete_leftover(kind, uuid, version).await,
            Err(error) if is_gone(&error).await? => {
                return match self.delete_record(kind, &derived.id, derived.version).await {
                    Err(error) if !is_conflict(&error) => Err(error),
                    _ => Ok(false),
                };
            }
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => return Err(error),
            // It was changed since, and stays.
            Err(error) if is_conflict(&error) => {}
            Err(_) => self.delete_leftover(kind, uuid, read).await,
        }
        Ok(true)
    }
}
