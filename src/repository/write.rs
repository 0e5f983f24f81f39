//! The way of every write: one operation in a bulk, through the alias of a generation.

use bytes::Bytes;

use super::{ObjectKey, Repository, errors};
use crate::Result;
use crate::cluster::{
    BulkAction, BulkOperation, BulkRequest, ClusterErrorKind, ItemErrorKind, Refresh, SequenceNumber,
};
use crate::document::{RawId, StoredDocument, VersionToken};
use crate::layout::IndexNames;
use crate::registry::TypeDefinition;

/// What became of a write that the server looked at.
pub(super) enum Written {
    Done(VersionToken),
    /// Somebody else wrote first, or the document exists already.
    Conflict,
    /// The group has moved on to this generation.
    Moved(u32),
}

impl Repository {
    /// Creates a document where none is. A group that moves on to another generation meanwhile is followed once.
    pub(super) async fn create_document(
        &self,
        definition: &TypeDefinition,
        key: &ObjectKey,
        document: &StoredDocument,
        refresh: Refresh,
    ) -> Result<Written> {
        let action = BulkAction::Create { source: Bytes::from(document.to_source()) };
        let generation = match self.shared.generations.get(definition.group()) {
            Some(generation) => generation,
            None => self.look_up_generation(definition).await?,
        };
        match self.write(definition, key, generation, action.clone(), refresh).await? {
            Written::Moved(generation) => self.write(definition, key, generation, action, refresh).await,
            written => Ok(written),
        }
    }

    /// Replaces the document at `read`; none if it no longer is the current one.
    pub(super) async fn replace_document(
        &self,
        definition: &TypeDefinition,
        key: &ObjectKey,
        document: &StoredDocument,
        read: VersionToken,
        refresh: Refresh,
    ) -> Result<Option<VersionToken>> {
        let action = BulkAction::Replace { source: Bytes::from(document.to_source()), read: sequence(read) };
        self.write_over(definition, key, action, read, refresh).await
    }

    /// Deletes the document at `read`; none if it no longer is the current one.
    pub(super) async fn delete_document(
        &self,
        definition: &TypeDefinition,
        key: &ObjectKey,
        read: VersionToken,
        refresh: Refresh,
    ) -> Result<Option<VersionToken>> {
        self.write_over(definition, key, BulkAction::Delete { read: sequence(read) }, read, refresh).await
    }

    async fn write_over(
        &self,
        definition: &TypeDefinition,
        key: &ObjectKey,
        action: BulkAction,
        read: VersionToken,
        refresh: Refresh,
    ) -> Result<Option<VersionToken>> {
        // What was read from a generation before the current one cannot be written over: its alias is gone. The other way
        // round this node may be the one that has not heard of it, so the server decides.
        if self.shared.generations.get(definition.group()).is_some_and(|current| current > read.generation) {
            return Ok(None);
        }
        match self.write(definition, key, read.generation, action, refresh).await? {
            Written::Done(version) => Ok(Some(version)),
            Written::Conflict | Written::Moved(_) => Ok(None),
        }
    }

    async fn write(
        &self,
        definition: &TypeDefinition,
        key: &ObjectKey,
        generation: u32,
        action: BulkAction,
        refresh: Refresh,
    ) -> Result<Written> {
        let names = self.names(definition);
        let raw_id = RawId::new(definition.name(), definition.namespace_kind(), &key.namespace, &key.id)?;
        let alias = names.write_alias(generation);
        let operations = [BulkOperation { id: raw_id.to_string(), action }];
        let request = BulkRequest { alias: &alias, operations: &operations, refresh };
        let outcome = match self.shared.cluster.bulk(&request).await {
            Ok(outcomes) => outcomes.into_iter().next(),
            Err(error) if matches!(error.kind, ClusterErrorKind::IndexNotFound | ClusterErrorKind::AliasNotFound) => {
                return self.follow(definition, &names, generation).await;
            }
            Err(error) => return Err(error.into()),
        };
        match outcome {
            Some(Ok(SequenceNumber { seq_no, primary_term })) => {
                Ok(Written::Done(VersionToken { seq_no, primary_term, generation }))
            }
            Some(Err(error)) => match error.kind {
                ItemErrorKind::Conflict => Ok(Written::Conflict),
                ItemErrorKind::AliasMissing => self.follow(definition, &names, generation).await,
                _ => Err(errors::refused_write(key, &error)),
            },
            None => Err(errors::unanswered_write(key)),
        }
    }

    /// Where the group went, when the alias of `generation` is missing.
    async fn follow(&self, definition: &TypeDefinition, names: &IndexNames, generation: u32) -> Result<Written> {
        self.shared.generations.forget(definition.group());
        let current = self.look_up_generation(definition).await?;
        if current == generation { Err(errors::no_write_alias(names, generation)) } else { Ok(Written::Moved(current)) }
    }

    /// Asks the cluster for the current generation of a type's group, and remembers it.
    pub(super) async fn look_up_generation(&self, definition: &TypeDefinition) -> Result<u32> {
        let names = self.names(definition);
        let indices = self.shared.cluster.indices(&[names.alias()]).await?;
        let indices: Vec<&str> = indices.keys().map(String::as_str).collect();
        let generation = match indices.as_slice() {
            [] => return Err(errors::no_index(&names)),
            [index] => names.generation(index),
            _ => None,
        };
        let generation = generation.ok_or_else(|| errors::not_one_generation(&names, &indices))?;
        self.remember_generation(definition.group(), generation);
        Ok(generation)
    }
}

/// The sequence number of a version.
pub(super) fn sequence(version: VersionToken) -> SequenceNumber {
    SequenceNumber { seq_no: version.seq_no, primary_term: version.primary_term }
}
