//! The way of every write: an operation in a bulk, through the alias of a generation.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{Bytes, BytesMut};

use super::key::Keyed;
use super::many::{Items, only};
use super::{ObjectKey, Repository, errors, limits};
use crate::cluster::{
    BulkAction, BulkOperation, BulkRequest, ClusterErrorKind, Gone, IndexState, ItemError, ItemErrorKind, ItemOutcome,
    Refresh, SequenceNumber, Unseen,
};
use crate::document::{RawId, StoredDocument, VersionToken};
use crate::environment::Environment;
use crate::layout::{Gate, IndexNames};
use crate::registry::{self, TypeDefinition};
use crate::{Error, ErrorKind, Result};

/// What is to be written of one document.
#[derive(Debug, Clone)]
pub(super) struct Write {
    id: RawId,
    action: BulkAction,
    /// The version that it replaces or deletes; none if it creates.
    over: Option<VersionToken>,
}

impl Write {
    /// Creates a document where none is.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the index could not take it, or nothing could read it again: see [`limits`].
    pub(super) fn create(
        definition: &TypeDefinition,
        key: &ObjectKey,
        document: &StoredDocument,
        sources: &mut Sources,
    ) -> Result<Self> {
        let (id, source) = (key.raw_id(definition)?, sources.add(definition, key, document)?);
        Ok(Self { id, action: BulkAction::Create { source }, over: None })
    }

    /// Replaces the document at `read`.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub(super) fn replace(
        definition: &TypeDefinition,
        key: &ObjectKey,
        document: &StoredDocument,
        read: VersionToken,
        sources: &mut Sources,
    ) -> Result<Self> {
        let (id, source) = (key.raw_id(definition)?, sources.add(definition, key, document)?);
        Ok(Self { id, action: BulkAction::Replace { source, read: sequence(read) }, over: Some(read) })
    }

    /// Deletes the document at `read`.
    ///
    /// # Errors
    /// Those of [`ObjectKey::raw_id`].
    pub(super) fn delete(definition: &TypeDefinition, key: &ObjectKey, read: VersionToken, gone: Gone) -> Result<Self> {
        let id = key.raw_id(definition)?;
        let action = BulkAction::Delete { read: sequence(read), gone };
        Ok(Self { id, action, over: Some(read) })
    }

    pub(super) fn is_deletion(&self) -> bool {
        matches!(self.action, BulkAction::Delete { .. })
    }
}

/// The sources of the documents of one attempt at writing them, each another document. They have one nonce, by which the attempt
/// is known as theirs if its answer is lost; another attempt has other sources. They are in blocks of memory that each have room
/// for many: to ask for memory for each would take longer than to write what is in it.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    environment: Environment,
    /// Drawn with the first document.
    nonce: Option<String>,
    block: BytesMut,
    block_bytes: usize,
}

impl Sources {
    /// For about so many documents.
    pub(super) fn of(documents: usize, environment: &Environment) -> Self {
        const USUAL_BYTES: usize = 1024;
        const BLOCK_BYTES: usize = 64 * 1024;
        let block_bytes = documents.saturating_mul(USUAL_BYTES).min(BLOCK_BYTES);
        Self { environment: environment.clone(), nonce: None, block: BytesMut::new(), block_bytes }
    }

    fn add(&mut self, definition: &TypeDefinition, key: &ObjectKey, document: &StoredDocument) -> Result<Bytes> {
        limits::check_depth(key, &document.attributes)?;
        let bytes = document.source_bytes();
        if self.block.capacity() < bytes {
            self.block.reserve(bytes.max(self.block_bytes));
        }
        let nonce = match &mut self.nonce {
            Some(nonce) => nonce,
            none => none.insert(random_nonce(&self.environment)?),
        };
        document.write_source_with_nonce(nonce, &mut self.block);
        let source = self.block.split().freeze();
        limits::check(definition, key, document, source.len())?;
        Ok(source)
    }
}

/// 128 random bits.
fn random_nonce(environment: &Environment) -> Result<String> {
    let mut bytes = [0; 16];
    environment.rng().fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// What became of a write that the server looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Done(VersionToken),
    /// Somebody else wrote first, or the document exists already.
    Conflict,
}

/// Writes that go to one generation of a group, each with its place in the call.
struct Batch<'a, K> {
    /// A type of the group.
    definition: &'a TypeDefinition,
    places: Vec<usize>,
    objects: Vec<&'a K>,
    operations: Vec<BulkOperation>,
}

impl<'a, K> Batch<'a, K> {
    /// Of at most so many writes.
    fn new(definition: &'a TypeDefinition, writes: usize) -> Self {
        Self {
            definition,
            places: Vec::with_capacity(writes),
            objects: Vec::with_capacity(writes),
            operations: Vec::with_capacity(writes),
        }
    }

    fn add(&mut self, at: usize, object: &'a K, operation: BulkOperation) {
        self.places.push(at);
        self.objects.push(object);
        self.operations.push(operation);
    }
}

impl Repository {
    /// Replaces the document at `read`; none if it no longer is the current one.
    pub(super) async fn replace_document(
        &self,
        definition: &TypeDefinition,
        key: &ObjectKey,
        document: &StoredDocument,
        read: VersionToken,
        refresh: Refresh,
    ) -> Result<Option<VersionToken>> {
        let mut sources = Sources::of(1, &self.shared.environment);
        let write = Write::replace(definition, key, document, read, &mut sources)?;
        match only(self.write_many(vec![(key, write)], refresh).await)? {
            Written::Done(version) => Ok(Some(version)),
            Written::Conflict => Ok(None),
        }
    }

    /// Refuses a replacement that would not be sent.
    pub(super) async fn check_writable(
        &self,
        definition: &TypeDefinition,
        key: &ObjectKey,
        document: &StoredDocument,
        read: VersionToken,
    ) -> Result<()> {
        let mut sources = Sources::of(1, &self.shared.environment);
        let write = Write::replace(definition, key, document, read, &mut sources)?;
        if let Some(source) = write.action.source() {
            limits::check_request(&*self.shared.cluster, key, source.len()).await?;
        }
        self.shared.keys.before_writing(&self.shared.encryption).await
    }

    /// Writes documents, each another one, and answers for each in order. One bulk goes to each index; what cannot be written
    /// keeps nothing else from being written.
    pub(super) async fn write_many<K: Keyed>(
        &self,
        writes: Vec<(&K, Write)>,
        refresh: Refresh,
    ) -> Vec<Result<Written>> {
        let count = writes.len();
        let mut items = Items::new(count);
        let mut batches: BTreeMap<(&str, u32), Batch<'_, K>> = BTreeMap::new();
        let mut looked_up = BTreeMap::new();
        if let Err(error) = self.shared.keys.before_writing(&self.shared.encryption).await {
            return (0..count).map(|_| Err(error.clone())).collect();
        }
        for (at, (object, write)) in writes.into_iter().enumerate() {
            match self.destination(object, &write, &mut looked_up).await {
                Ok(Some((definition, generation))) => {
                    let operation = BulkOperation { id: write.id.into(), action: write.action };
                    let batch = batches.entry((definition.group(), generation));
                    batch.or_insert_with(|| Batch::new(definition, count - at)).add(at, object, operation);
                }
                Ok(None) => items.answer(at, Ok(Written::Conflict)),
                Err(error) => items.answer(at, Err(error)),
            }
        }
        for ((_, generation), batch) in batches {
            if let Some((moved_to, missed)) = self.write_batch(generation, batch, refresh, &mut items).await {
                // A group that moves on a second time meanwhile, or closes its gate again, is not followed again.
                if let Some((_, missed)) = self.write_batch(moved_to, missed, refresh, &mut items).await {
                    let given_up = missed.places.into_iter().zip(missed.objects);
                    given_up.for_each(|(at, object)| items.answer(at, Err(errors::changed(&object.key()))));
                }
            }
        }
        items.end()
    }

    /// To which generation of its type's group a write goes. None for one over what was read from a
    /// generation before the current one: its alias is gone. The other way round this node may be the one that has not heard
    /// of it, so the server decides.
    async fn destination<'a>(
        &'a self,
        object: &impl Keyed,
        write: &Write,
        looked_up: &mut BTreeMap<&'a str, Result<u32>>,
    ) -> Result<Option<(&'a TypeDefinition, u32)>> {
        let definition = self.definition(object.type_name())?;
        if let Some(source) = write.action.source() {
            limits::check_request(&*self.shared.cluster, object, source.len()).await?;
        }
        let group = definition.group();
        let known = self.shared.generations.get(group);
        let generation = match (write.over, known) {
            (Some(read), Some(current)) if current > read.generation => return Ok(None),
            (Some(read), _) => read.generation,
            (None, Some(current)) => current,
            (None, None) => match looked_up.get(group) {
                Some(found) => found.clone()?,
                None => {
                    let found = self.look_up_generation(definition).await.map(|(generation, _)| generation);
                    looked_up.insert(group, found.clone());
                    found?
                }
            },
        };
        Ok(Some((definition, generation)))
    }

    /// Sends one bulk to a generation of its group. Returns what the caller sends once more, and to which generation. If another
    /// generation is current now, creations go there, and the other writes are conflicts. If a closed gate refused the writes and is
    /// open again, all of them go to the same generation.
    async fn write_batch<'a, K: Keyed>(
        &self,
        generation: u32,
        batch: Batch<'a, K>,
        refresh: Refresh,
        items: &mut Items<Written>,
    ) -> Option<(u32, Batch<'a, K>)> {
        let Batch { definition, places, objects, operations } = batch;
        let outcomes = match self.send(definition, generation, &operations, refresh).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                places.into_iter().for_each(|at| items.answer(at, Err(error.clone())));
                return None;
            }
        };
        let mut missed = Batch::new(definition, 0);
        let answered = places.into_iter().zip(objects).zip(operations.into_iter().zip(outcomes));
        for ((at, object), (operation, outcome)) in answered {
            match outcome {
                Ok(SequenceNumber { seq_no, primary_term }) => {
                    items.answer(at, Ok(Written::Done(VersionToken { seq_no, primary_term, generation })));
                }
                Err(error) if error.kind == ItemErrorKind::Conflict => items.answer(at, Ok(Written::Conflict)),
                Err(error) if error.kind == ItemErrorKind::AliasMissing => missed.add(at, object, operation),
                Err(error) => items.answer(at, Err(errors::refused_write(&object.key(), &error))),
            }
        }
        if missed.places.is_empty() {
            return None;
        }
        self.shared.generations.forget(definition.group());
        let names = self.names(definition);
        let error = match self.look_up_generation(definition).await {
            Ok((current, _)) if current != generation => return Some((current, creations(missed, items))),
            Ok((_, gate)) if gate.is_open => return Some((generation, missed)),
            Ok((_, gate)) if gate.is_marked() => errors::takes_no_writes(&names),
            Ok(_) => errors::no_write_alias(&names, generation),
            Err(error) => error,
        };
        missed.places.into_iter().for_each(|at| items.answer(at, Err(error.clone())));
        None
    }

    /// Sends a bulk. What an index refuses because it lacks the field of the nonce is sent once more, after it got it.
    async fn send(
        &self,
        definition: &TypeDefinition,
        generation: u32,
        operations: &[BulkOperation],
        refresh: Refresh,
    ) -> Result<Vec<ItemOutcome>> {
        let mut outcomes = self.send_once(definition, generation, operations, refresh).await?;
        let is_refused =
            |outcome: &ItemOutcome| outcome.as_ref().is_err_and(|error| error.kind == ItemErrorKind::MappingRefused);
        let mut refused = Vec::new();
        let mut again = Vec::new();
        for ((at, outcome), operation) in outcomes.iter().enumerate().zip(operations) {
            if is_refused(outcome) {
                refused.push(at);
                again.push(operation.clone());
            }
        }
        if again.is_empty() || !self.has_got_nonce_field(definition, generation).await {
            return Ok(outcomes);
        }
        // What was written before is told, whatever comes of this.
        if let Ok(answers) = self.send_once(definition, generation, &again, refresh).await {
            for (at, answer) in refused.into_iter().zip(answers) {
                outcomes[at] = answer;
            }
        }
        Ok(outcomes)
    }

    /// Gives the index of a generation the field of the nonce. False if it has it already, or cannot get it.
    async fn has_got_nonce_field(&self, definition: &TypeDefinition, generation: u32) -> bool {
        let index = self.names(definition).index(generation);
        let adding = async {
            match self.shared.cluster.indices(&[&index]).await?.get(&index) {
                Some(state) => self.add_nonce_field(&index, state).await,
                None => Ok(false),
            }
        };
        adding.await.unwrap_or_else(|error: Error| {
            tracing::warn!(index, %error, "an index was not given the field that writes are known by");
            false
        })
    }

    /// Gives an index that was made before there was a nonce the field for it. False if it has it.
    async fn add_nonce_field(&self, index: &str, state: &IndexState) -> Result<bool> {
        if !registry::lacks_nonce_field(&state.mapping) {
            return Ok(false);
        }
        tracing::info!(index, "giving an index the field that writes are known by");
        self.shared.cluster.put_mapping(index, &registry::nonce_mapping()).await?;
        Ok(true)
    }

    async fn send_once(
        &self,
        definition: &TypeDefinition,
        generation: u32,
        operations: &[BulkOperation],
        refresh: Refresh,
    ) -> Result<Vec<ItemOutcome>> {
        if operations.is_empty() {
            return Ok(Vec::new());
        }
        let alias = self.names(definition).write_alias(generation);
        let request = BulkRequest { alias: &alias, operations, refresh };
        match self.shared.cluster.bulk(&request).await {
            Ok(outcomes) if outcomes.len() == operations.len() => Ok(outcomes),
            Ok(_) => Err(Error::new(ErrorKind::Internal, "not every write of a bulk was answered")
                .with_cure("read the objects to see what happened; report this")),
            Err(error) if matches!(error.kind, ClusterErrorKind::IndexNotFound | ClusterErrorKind::AliasNotFound) => {
                let missing = ItemError { kind: ItemErrorKind::AliasMissing, reason: error.to_string() };
                Ok(vec![Err(missing); operations.len()])
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Refuses if the index of a type takes no writes now, as while it is copied or the disk is full. One request. For whoever
    /// is about to be given something that is given once, and has to be stored then.
    ///
    /// # Errors
    /// [`Forbidden`](ErrorKind::Forbidden) if it takes none, and whatever the cluster answers.
    pub(crate) async fn check_takes_writes(&self, type_name: &str) -> Result<()> {
        let names = self.names(self.definition(type_name)?);
        let indices = self.shared.cluster.indices(&[names.alias()]).await?;
        let takes_writes = |(index, state): (&String, &IndexState)| {
            let generation = names.generation(index).unwrap_or_default();
            state.takes_writes() && Gate::of(&names, generation, state.aliases.keys()).is_open
        };
        match indices.iter().all(takes_writes) {
            true if indices.is_empty() => Err(self.without_index(&names).await),
            true => Ok(()),
            false => Err(errors::takes_no_writes(&names)),
        }
    }

    /// The error for an alias that no index seems to be behind: the credentials may not see it.
    async fn without_index(&self, names: &IndexNames) -> Error {
        match Unseen::among(self.shared.cluster.as_ref(), &names.all()).await {
            Ok(unseen) if unseen.is_empty() => errors::no_index(names),
            Ok(unseen) => unseen.error(),
            Err(error) => error.into(),
        }
    }

    /// Asks the cluster for the current generation of a type's group and for its gate, and remembers the generation. Its index
    /// then has the field that writes are known by.
    async fn look_up_generation(&self, definition: &TypeDefinition) -> Result<(u32, Gate)> {
        let names = self.names(definition);
        let found = self.shared.cluster.indices(&[names.alias()]).await?;
        let current = match found.iter().collect::<Vec<_>>().as_slice() {
            [] => return Err(self.without_index(&names).await),
            [(index, state)] => names.generation(index).map(|generation| (generation, *index, *state)),
            _ => None,
        };
        let Some((generation, index, state)) = current else {
            let indices: Vec<&str> = found.keys().map(String::as_str).collect();
            return Err(errors::not_one_generation(&names, &indices));
        };
        self.add_nonce_field(index, state).await?;
        self.remember_generation(definition.group(), generation);
        Ok((generation, Gate::of(&names, generation, state.aliases.keys())))
    }
}

/// Returns what of the writes creates something. The others are conflicts.
fn creations<'a, K: Keyed>(missed: Batch<'a, K>, items: &mut Items<Written>) -> Batch<'a, K> {
    let mut creations = Batch::new(missed.definition, missed.places.len());
    for ((at, object), operation) in missed.places.into_iter().zip(missed.objects).zip(missed.operations) {
        match operation.action {
            BulkAction::Create { .. } => creations.add(at, object, operation),
            _ => items.answer(at, Ok(Written::Conflict)),
        }
    }
    creations
}

/// The sequence number of a version.
fn sequence(version: VersionToken) -> SequenceNumber {
    SequenceNumber { seq_no: version.seq_no, primary_term: version.primary_term }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::document::{RootFields, write_nonce};
    use crate::registry::testing;

    #[test]
    fn every_attempt_has_a_nonce_of_its_own() {
        let definition = testing::read(&testing::note(json!({})), &[testing::version(json!({}))]).expect("valid");
        let root = RootFields { write_nonce: Some("that of what was read".to_owned()), ..RootFields::default() };
        let attributes = crate::document::Attributes::from_iter([("title".to_owned(), Value::from("t"))]);
        let document = StoredDocument { type_name: "note".to_owned(), attributes, root };
        let (key, environment) = (ObjectKey::new("note", "1"), Environment::system());
        let nonces: BTreeSet<String> = (0..100)
            .map(|_| {
                let mut sources = Sources::of(1, &environment);
                let write = Write::create(&definition, &key, &document, &mut sources).expect("it can be written");
                write_nonce(write.action.source().expect("a document")).expect("a nonce")
            })
            .collect();
        assert_eq!(nonces.len(), 100);
        assert!(nonces.iter().all(|nonce| nonce.len() == 22), "{nonces:?}");
    }
}
