//! Every write: an operation in a bulk, through the write alias of a generation.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{Bytes, BytesMut};

use super::errors;
use super::item::{Items, go_on};
use super::limits;
use super::many::unanswered;
use super::read::{Loaded, Newer};
use super::target::Target;
use crate::cluster::{
    BulkAction, BulkOperation, BulkRequest, ClusterErrorKind, Gone, ItemError, ItemErrorKind, ItemOutcome, Refresh,
    SequenceNumber,
};
use crate::document::{StoredDocument, VersionToken};
use crate::environment::Environment;
use crate::model::VirtualVersion;
use crate::registry::TypeDefinition;
use crate::repository::{Repository, SavedObject};
use crate::{Error, ErrorKind, Result, telemetry};

/// A write of one document.
#[derive(Debug, Clone)]
pub(in crate::repository) struct Write {
    pub(in crate::repository) action: BulkAction,
    /// The version that it replaces or deletes. Empty if it creates.
    pub(in crate::repository) over: Option<VersionToken>,
    /// The version of the mapping that its document needs. Empty if it deletes.
    pub(in crate::repository) mapping: Option<u32>,
}

/// A write, and the object as its caller sees it afterwards.
pub(in crate::repository) struct Ready {
    pub(in crate::repository) write: Write,
    /// At a placeholder version until it is written.
    pub(in crate::repository) object: SavedObject,
}

impl Write {
    /// Creates a document where none is.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the index could not take it, or nothing could read it again: see [`limits`].
    pub(in crate::repository) fn create(
        target: &Target,
        document: &StoredDocument,
        sources: &mut Sources,
    ) -> Result<Self> {
        let source = sources.add(target, document)?;
        let mapping = Some(mapping_of(&target.definition, document));
        Ok(Self { action: BulkAction::Create { source }, over: None, mapping })
    }

    /// Replaces the document at `read`.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub(in crate::repository) fn replace(
        target: &Target,
        document: &StoredDocument,
        read: VersionToken,
        sources: &mut Sources,
    ) -> Result<Self> {
        let source = sources.add(target, document)?;
        let mapping = Some(mapping_of(&target.definition, document));
        Ok(Self { action: BulkAction::Replace { source, read: sequence(read) }, over: Some(read), mapping })
    }

    /// Deletes the document at `read`.
    pub(in crate::repository) fn delete(read: VersionToken, gone: Gone) -> Self {
        Self { action: BulkAction::Delete { read: sequence(read), gone }, over: Some(read), mapping: None }
    }

    pub(in crate::repository) fn is_deletion(&self) -> bool {
        matches!(self.action, BulkAction::Delete { .. })
    }
}

/// Returns the version of the mapping that the fields of a document need.
fn mapping_of(definition: &TypeDefinition, document: &StoredDocument) -> u32 {
    let version = VirtualVersion::of_document(document.root.type_migration_version.as_deref());
    definition.mapping_version_of(version.map_or(u32::MAX, VirtualVersion::number))
}

/// The sources of different documents in one attempt to write them. They share one nonce, which identifies the attempt
/// if its answer is lost; another attempt has other sources. Each block of memory holds many sources, because an
/// allocation for each would take longer than writing it.
#[derive(Debug, Clone)]
pub(in crate::repository) struct Sources {
    environment: Environment,
    /// Drawn with the first document.
    nonce: Option<String>,
    block: BytesMut,
    block_bytes: usize,
}

impl Sources {
    /// Returns sources for about so many documents.
    pub(in crate::repository) fn of(documents: usize, environment: &Environment) -> Self {
        const USUAL_BYTES: usize = 1024;
        const BLOCK_BYTES: usize = 64 * 1024;
        let block_bytes = documents.saturating_mul(USUAL_BYTES).min(BLOCK_BYTES);
        Self { environment: environment.clone(), nonce: None, block: BytesMut::new(), block_bytes }
    }

    fn add(&mut self, target: &Target, document: &StoredDocument) -> Result<Bytes> {
        limits::check_depth(&target.key, &document.attributes)?;
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
        limits::check(target, document, source.len())?;
        Ok(source)
    }
}

/// Returns 128 random bits.
fn random_nonce(environment: &Environment) -> Result<String> {
    let mut bytes = [0; 16];
    environment.rng().fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The outcome of a write that the server processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::repository) enum Written {
    Done(VersionToken),
    /// Another writer was first, or the document exists already.
    Conflict,
}

/// The outcome of a write, once it is known.
type Answer = Option<Result<Written>>;

/// Writes that go to one generation of a group, each with its target and its answer.
struct Batch<'a> {
    /// A type of the group.
    definition: &'a TypeDefinition,
    objects: Vec<(&'a Target, &'a mut Answer)>,
    operations: Vec<BulkOperation>,
}

impl<'a> Batch<'a> {
    /// Returns a batch for at most so many writes.
    fn new(definition: &'a TypeDefinition, writes: usize) -> Self {
        Self { definition, objects: Vec::with_capacity(writes), operations: Vec::with_capacity(writes) }
    }

    fn add(&mut self, target: &'a Target, answer: &'a mut Answer, operation: BulkOperation) {
        self.objects.push((target, answer));
        self.operations.push(operation);
    }

    /// Answers all writes with an error.
    fn fail(self, error: &Error) {
        self.objects.into_iter().for_each(|(_, answer)| *answer = Some(Err(error.clone())));
    }
}

impl Repository {
    /// Prepares the write of a document: over the version `read`, or where none is.
    ///
    /// # Errors
    /// Those of [`Write::create`].
    pub(in crate::repository) fn ready(
        &self,
        target: &Target,
        document: StoredDocument,
        read: Option<VersionToken>,
        newer: Option<Newer>,
        sources: &mut Sources,
    ) -> Result<Ready> {
        let write = match read {
            None => Write::create(target, &document, sources)?,
            Some(read) => Write::replace(target, &document, read, sources)?,
        };
        // Not after the write: the document will be out of the processor's caches then.
        let model_version = newer.as_ref().map_or(target.definition.latest().number, |newer| newer.version);
        let loaded = Loaded { document, version: VersionToken::UNWRITTEN, model_version, newer, unopened: None };
        Ok(Ready { write, object: self.view(&target.definition, &target.key.id, loaded)? })
    }

    /// Refuses a replacement that would not be sent.
    pub(in crate::repository) async fn check_writable(
        &self,
        target: &Target,
        document: &StoredDocument,
        read: VersionToken,
    ) -> Result<()> {
        let mut sources = Sources::of(1, &self.shared.engine.environment);
        let write = Write::replace(target, document, read, &mut sources)?;
        if let Some(source) = write.action.source() {
            limits::check_request(&*self.shared.engine.cluster, &target.key, source.len()).await?;
        }
        self.shared.engine.keys.before_writing(&self.shared.engine.encryption).await
    }

    /// Writes the open items, and answers those that are written with their objects. An item that met a conflict stays
    /// open.
    pub(in crate::repository) async fn write_objects<S>(
        &self,
        items: Items<(S, Ready), SavedObject>,
        refresh: Refresh,
    ) -> Items<S, SavedObject> {
        let items = items.each(|_, (state, Ready { write, object })| Ok(((state, object), write)));
        let written = self.write_items(items, refresh).await;
        written.each_or_answer(|_, ((state, mut object), written)| match written {
            Written::Done(version) => {
                object.version = version;
                ControlFlow::Break(Ok(object))
            }
            Written::Conflict => ControlFlow::Continue(state),
        })
    }

    /// Does the writes of the open items.
    pub(in crate::repository) async fn write_items<S, A>(
        &self,
        items: Items<(S, Write), A>,
        refresh: Refresh,
    ) -> Items<(S, Written), A> {
        let mut writes = Vec::with_capacity(items.open_count());
        let items = items.each(|_, (state, write)| {
            writes.push(write);
            Ok(state)
        });
        let written = self.write_many(items.targets().into_iter().zip(writes).collect(), refresh).await;
        items.zip(written, |_, state, written| go_on(written.map(|written| (state, written))))
    }

    /// Writes different documents, and answers for each in order. One bulk goes to each index. A document that cannot
    /// be written does not keep the others from being written.
    pub(in crate::repository) async fn write_many(
        &self,
        writes: Vec<(&Target, Write)>,
        refresh: Refresh,
    ) -> Vec<Result<Written>> {
        let count = writes.len();
        if count == 0 {
            return Vec::new();
        }
        if let Err(error) = self.shared.engine.keys.before_writing(&self.shared.engine.encryption).await {
            return (0..count).map(|_| Err(error.clone())).collect();
        }
        let mut answers: Vec<Answer> = (0..count).map(|_| None).collect();
        let mut batches: BTreeMap<(&str, u32), Batch<'_>> = BTreeMap::new();
        let mut looked_up = BTreeMap::new();
        for ((target, write), answer) in writes.into_iter().zip(&mut answers) {
            match self.destination(target, &write, &mut looked_up).await {
                Ok(Some(generation)) => {
                    let definition = &*target.definition;
                    let operation = BulkOperation { id: target.raw_id.clone().into(), action: write.action };
                    let batch = batches.entry((definition.group(), generation));
                    batch.or_insert_with(|| Batch::new(definition, count)).add(target, answer, operation);
                }
                Ok(None) => *answer = Some(Ok(Written::Conflict)),
                Err(error) => *answer = Some(Err(error)),
            }
        }
        for ((_, generation), batch) in batches {
            if let Some((moved_to, missed)) = self.write_batch(generation, batch, refresh).await {
                // A group that moves on a second time meanwhile, or closes its gate again, is not followed again.
                if let Some((_, missed)) = self.write_batch(moved_to, missed, refresh).await {
                    for (target, answer) in missed.objects {
                        *answer = Some(Err(errors::changed(&target.key)));
                    }
                }
            }
        }
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(unanswered()))).collect()
    }

    /// Sends one bulk to a generation of its group, and answers its writes.
    ///
    /// Returns `None` if every write has its answer. Otherwise the rest is sent once more, to the returned generation:
    /// - If another generation is current now, the creations go there, and the other writes are answered as conflicts.
    /// - If a closed gate refused the writes and is open again, all of them go to the same generation.
    async fn write_batch<'a>(&self, generation: u32, batch: Batch<'a>, refresh: Refresh) -> Option<(u32, Batch<'a>)> {
        let outcomes = match self.send(batch.definition, generation, &batch.operations, refresh).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                batch.fail(&error);
                return None;
            }
        };
        let Batch { definition, objects, operations } = batch;
        let mut missed = Batch::new(definition, 0);
        for (((target, answer), operation), outcome) in objects.into_iter().zip(operations).zip(outcomes) {
            *answer = Some(match outcome {
                Ok(SequenceNumber { seq_no, primary_term }) => {
                    Ok(Written::Done(VersionToken { seq_no, primary_term, generation }))
                }
                Err(error) if error.kind == ItemErrorKind::Conflict => {
                    telemetry::conflict(target.definition.label());
                    Ok(Written::Conflict)
                }
                Err(error) if error.kind == ItemErrorKind::AliasMissing => {
                    missed.add(target, answer, operation);
                    continue;
                }
                Err(error) => Err(errors::refused_write(&target.key, &error)),
            });
        }
        if missed.objects.is_empty() {
            return None;
        }
        self.shared.generations.forget(definition.group());
        let names = self.names(definition);
        let error = match self.look_up_generation(definition).await {
            Ok((current, _)) if current != generation => return Some((current, self.creations(missed, current))),
            Ok((_, gate)) if gate.is_open => return Some((generation, missed)),
            Ok((_, gate)) if gate.is_marked() => errors::takes_no_writes(&names),
            Ok(_) => errors::no_write_alias(&names, generation),
            Err(error) => error,
        };
        missed.fail(&error);
        None
    }

    /// Sends a bulk. If an index refuses writes because it lacks the field of the nonce, it gets the field and the
    /// writes are sent once more.
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
        // If this fails, the answers of the first bulk stay: some of its writes were done.
        if let Ok(answers) = self.send_once(definition, generation, &again, refresh).await {
            for (at, answer) in refused.into_iter().zip(answers) {
                outcomes[at] = answer;
            }
        }
        Ok(outcomes)
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
        match self.shared.engine.cluster.bulk(&request).await {
            Ok(outcomes) if outcomes.len() == operations.len() => Ok(outcomes),
            Ok(_) => Err(Error::new(ErrorKind::Internal, "not every write of a bulk was answered")
                .with_hint("read the objects to see what happened; report this")),
            Err(error) if matches!(error.kind, ClusterErrorKind::IndexNotFound | ClusterErrorKind::AliasNotFound) => {
                let missing = ItemError { kind: ItemErrorKind::AliasMissing, reason: error.to_string() };
                Ok(vec![Err(missing); operations.len()])
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns those of the writes that create something, for another generation than they were meant for. The others
    /// are conflicts.
    fn creations<'a>(&self, missed: Batch<'a>, generation: u32) -> Batch<'a> {
        let mut creations = Batch::new(missed.definition, missed.objects.len());
        for ((target, answer), operation) in missed.objects.into_iter().zip(missed.operations) {
            let BulkAction::Create { .. } = operation.action else {
                *answer = Some(Ok(Written::Conflict));
                continue;
            };
            match self.refuse_unmapped(&target.definition, generation, target.definition.mapping_version()) {
                Ok(()) => creations.add(target, answer, operation),
                Err(error) => *answer = Some(Err(error)),
            }
        }
        creations
    }
}

/// Returns the sequence number of a version.
fn sequence(version: VersionToken) -> SequenceNumber {
    SequenceNumber { seq_no: version.seq_no, primary_term: version.primary_term }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::document::{RootFields, write_nonce};
    use crate::registry::testing;
    use crate::repository::ObjectKey;

    #[test]
    fn every_attempt_has_a_nonce_of_its_own() {
        let definition = testing::read(&testing::note(json!({})), &[testing::version(json!({}))]).expect("valid");
        let root = RootFields { write_nonce: Some("that of what was read".to_owned()), ..RootFields::default() };
        let attributes = crate::document::Attributes::from_iter([("title".to_owned(), Value::from("t"))]);
        let document = StoredDocument { type_name: "note".to_owned(), attributes, root };
        let target = Target::new(&Arc::new(definition), ObjectKey::new("note", "1")).expect("an id");
        let environment = Environment::system();
        let nonces: BTreeSet<String> = (0..100)
            .map(|_| {
                let mut sources = Sources::of(1, &environment);
                let write = Write::create(&target, &document, &mut sources).expect("it can be written");
                write_nonce(write.action.source().expect("a document")).expect("a nonce")
            })
            .collect();
        assert_eq!(nonces.len(), 100);
        assert!(nonces.iter().all(|nonce| nonce.len() == 22), "{nonces:?}");
    }
}
