use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::line::{Clear, Given, Line};
use super::summary::{ExportSummary, NamedObject, Skipped};
use super::targets::ACCESS_CONTROL;
use crate::cluster::{Hit, Search, SearchIn};
use crate::conversion;
use crate::document::{Namespace, NamespaceKind, RawId, StoredDocument};
use crate::model::VirtualVersion;
use crate::registry::TypeDefinition;
use crate::repository::access::Admitted;
use crate::repository::find::{self, Find};
use crate::repository::found::Asked;
use crate::repository::seen_namespaces::Told;
use crate::repository::{Action, ObjectKey, Repository, errors, limits};
use crate::{Error, ErrorKind, Result};

/// Excluded objects and missing references that a summary names.
const MAX_NAMED: usize = 1_000;
/// Objects fetched by id at once.
const BATCH: usize = 500;
/// Objects read at once.
const PAGE: u32 = 1_000;

/// What becomes of encrypted attributes in an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecretForm {
    /// They are left out.
    #[default]
    Strip,
    /// They stay as they are stored: for a store with the same keys.
    Encrypted,
    /// They are decrypted. Whoever can read the file can read them.
    Clear,
}

/// Which objects are to be exported, and how.
#[derive(Debug, Clone)]
pub struct Export {
    which: Which,
    secrets: SecretForm,
    references: bool,
    summary: bool,
}

#[derive(Debug, Clone)]
enum Which {
    Found(Vec<String>, Box<Find>),
    Named(Vec<ObjectKey>),
}

impl Export {
    /// All objects of these types that a request finds; its page and aggregations are left aside.
    pub fn found(types: impl IntoIterator<Item: Into<String>>, request: Find) -> Self {
        Self::of(Which::Found(types.into_iter().map(Into::into).collect(), Box::new(request)))
    }

    /// These objects.
    pub fn objects(keys: impl IntoIterator<Item = ObjectKey>) -> Self {
        Self::of(Which::Named(keys.into_iter().collect()))
    }

    fn of(which: Which) -> Self {
        Self { which, secrets: SecretForm::Strip, references: false, summary: true }
    }

    /// Says what becomes of encrypted attributes. Default: they are left out.
    #[must_use]
    pub fn secrets(mut self, secrets: SecretForm) -> Self {
        self.secrets = secrets;
        self
    }

    /// Exports what the objects refer to as well, and what that refers to: as it is seen from the namespace of the object that
    /// refers to it. What must not be exported is left out, and named in the summary.
    #[must_use]
    pub fn references(mut self) -> Self {
        self.references = true;
        self
    }

    /// Leaves the last line out, which sums the export up.
    #[must_use]
    pub fn without_summary(mut self) -> Self {
        self.summary = false;
        self
    }
}

impl Repository {
    /// Writes objects as lines of JSON, however many there are, in memory for one page; with references, for the ids of all, too.
    /// What cannot be read is left out, and named in the summary. No object is written twice. A line does not name namespaces in
    /// which the caller may do nothing with objects of the type.
    ///
    /// ```no_run
    /// # use saved_objects::repository::{Export, Find, Repository};
    /// # async fn example(repository: &Repository) -> saved_objects::Result<()> {
    /// let mut lines = Vec::new();
    /// let summary = repository.export(Export::found(["note"], Find::new()).references(), &mut lines).await?;
    /// println!("{} objects", summary.exported_count);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`Invalid`](ErrorKind::Invalid) if a type is not available here or not exportable, and those of
    ///   [`find`](Self::find).
    /// - [`Forbidden`](ErrorKind::Forbidden) if what the request names must not be exported: nothing is written then.
    /// - [`Unavailable`](ErrorKind::Unavailable) if the cluster cannot be reached or the writer takes no more: what was written
    ///   before has no last line that sums it up.
    pub async fn export<W: AsyncWrite + Unpin>(&self, request: Export, writer: W) -> Result<ExportSummary> {
        let mut exporter = Exporter {
            repository: self,
            secrets: request.secrets,
            writer: tokio::io::BufWriter::new(writer),
            follows: request.references,
            exported: BTreeSet::new(),
            asked: BTreeSet::new(),
            wanted: BTreeSet::new(),
            summary: ExportSummary::default(),
        };
        match request.which {
            Which::Found(types, find) => {
                let admitted = exporter.admit_found(&types, &find).await?;
                admitted.end(exporter.found(&types, *find).await)?;
            }
            Which::Named(keys) => {
                let mut admitted = Vec::with_capacity(keys.len());
                for key in keys {
                    admitted.push((exporter.raw_id(&key)?, exporter.admit(&key).await?, key));
                }
                exporter.named(admitted).await?;
            }
        }
        while let Some(keys) = exporter.referred() {
            exporter.follow(keys).await?;
        }
        exporter.end(request.summary).await
    }

    /// The definition of a type that may leave and enter.
    pub(super) fn exportable(&self, type_name: &str) -> Result<&TypeDefinition> {
        let definition = self.definition(type_name)?;
        match definition.exportable() {
            true => Ok(definition),
            false => Err(Error::invalid(
                format!("objects of the type {type_name} are not exported or imported"),
                "leave the type out, or let its definition say `exportable`",
            )),
        }
    }
}

struct Exporter<'a, W> {
    repository: &'a Repository,
    secrets: SecretForm,
    writer: tokio::io::BufWriter<W>,
    follows: bool,
    /// What was exported, if that is to be known.
    exported: BTreeSet<RawId>,
    /// What was looked for because something refers to it, and from where.
    asked: BTreeSet<ObjectKey>,
    /// What something refers to and was not looked for yet.
    wanted: BTreeSet<ObjectKey>,
    summary: ExportSummary,
}

impl<W: AsyncWrite + Unpin> Exporter<'_, W> {
    /// What the caller must be allowed to do.
    fn actions(&self) -> &'static [Action] {
        match self.secrets {
            SecretForm::Clear => &[Action::Export, Action::GetSecrets],
            SecretForm::Strip | SecretForm::Encrypted => &[Action::Export],
        }
    }

    async fn admit_found(&self, types: &[String], request: &Find) -> Result<Admitted> {
        let names: Vec<&str> = types.iter().map(String::as_str).collect();
        types.iter().try_for_each(|name| self.repository.exportable(name).map(drop))?;
        let request = request.clone().or_in_namespace(&Namespace::DEFAULT);
        let mut admitted = self.repository.nothing_admitted();
        for action in self.actions() {
            match self.repository.admit_all(*action, &names, &request).await {
                Ok(another) => admitted = admitted.and(another),
                Err(refused) => return admitted.end(Err(refused)),
            }
        }
        Ok(admitted)
    }

    async fn found(&mut self, types: &[String], request: Find) -> Result<()> {
        let names: Vec<&str> = types.iter().map(String::as_str).collect();
        let definitions = self.repository.definitions(&names)?;
        let request = request.or_in_namespace(&Namespace::DEFAULT);
        let within = SearchIn::Index(self.repository.aliases(&definitions));
        let search = Search { size: request.page_of_stream(PAGE), ..request.to_search(within, &definitions)? };
        let asked = self.repository.asked(definitions);
        let mut hits = self.repository.hits(search);
        while let Some(hit) = hits.next().await {
            // The audit hears of the search, not of each object.
            let _ = self.hit(&hit?, &asked, request.seen_from()).await?;
        }
        Ok(())
    }

    /// The `_id` of an object that may be exported.
    fn raw_id(&self, key: &ObjectKey) -> Result<RawId> {
        let definition = self.repository.exportable(&key.type_name)?;
        key.raw_id(definition)
    }

    async fn admit(&self, key: &ObjectKey) -> Result<Admitted> {
        let mut admitted = self.repository.nothing_admitted();
        for action in self.actions() {
            match self.repository.admit(*action, key).await {
                Ok(another) => admitted = admitted.and(another),
                Err(refused) => return admitted.end(Err(refused)),
            }
        }
        Ok(admitted)
    }

    /// What objects refer to.
    async fn follow(&mut self, keys: Vec<ObjectKey>) -> Result<()> {
        let mut admitted = Vec::with_capacity(keys.len());
        for key in keys {
            // It may refer to what nobody registered, or by an id that nothing can have.
            let Ok(raw_id) = self.raw_id(&key) else {
                self.missing(&key);
                continue;
            };
            if self.exported.contains(&raw_id) {
                continue;
            }
            match self.admit(&key).await {
                Ok(it) => admitted.push((raw_id, it, key)),
                Err(refused) => self.exclude(raw_id.as_str(), &refused),
            }
        }
        self.named(admitted).await
    }

    /// Objects by id. What is not there is a missing reference, whether it was referred to or asked for.
    async fn named(&mut self, keys: Vec<(RawId, Admitted, ObjectKey)>) -> Result<()> {
        let mut by_alias: BTreeMap<String, Vec<(RawId, Admitted, ObjectKey)>> = BTreeMap::new();
        for (raw_id, admitted, key) in keys {
            let definition = self.repository.exportable(&key.type_name)?;
            let alias = self.repository.names(definition).alias().to_owned();
            by_alias.entry(alias).or_default().push((raw_id, admitted, key));
        }
        for (alias, mut wanted) in by_alias {
            while !wanted.is_empty() {
                let batch: Vec<_> = wanted.drain(..wanted.len().min(BATCH)).collect();
                let ids: Vec<&str> = batch.iter().map(|(raw_id, ..)| raw_id.as_str()).collect();
                let found = self.repository.shared.cluster.get_many(&alias, &ids).await;
                let found = found.map_err(|error| find::refused(&alias, error))?;
                for ((raw_id, admitted, key), hit) in batch.into_iter().zip(found) {
                    let definition = self.repository.exportable(&key.type_name)?;
                    match hit {
                        Some(hit) if is_seen(definition, &key, &hit) => {
                            let read = match self.exported.insert(raw_id) {
                                true => {
                                    self.hit(
                                        &hit,
                                        &self.repository.asked([definition]),
                                        std::slice::from_ref(&key.namespace),
                                    )
                                    .await?
                                }
                                false => Ok(()),
                            };
                            admitted.tell(&read);
                        }
                        _ => {
                            self.missing(&key);
                            admitted.tell::<()>(&Err(errors::not_found(&key)));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes one object, asked for from these namespaces, or notes why it is left out, and says so.
    async fn hit(&mut self, hit: &Hit, asked: &[Asked<'_>], asked_from: &[Namespace]) -> Result<Result<()>> {
        match self.line(hit, asked).await {
            Ok(line) => {
                self.note_references(&line, asked_from)?;
                self.summary.exported_count += 1;
                self.writer.write_all(&line.to_bytes()?).await.map_err(unwritable)?;
                Ok(Ok(()))
            }
            Err(error) => {
                self.exclude(&hit.id, &error);
                Ok(Err(error))
            }
        }
    }

    fn exclude(&mut self, raw_id: &str, why: &Error) {
        self.summary.excluded_objects_count += 1;
        if self.summary.excluded_objects.len() < MAX_NAMED {
            self.summary.excluded_objects.push(Skipped { id: raw_id.to_owned(), reason: why.to_string() });
        }
    }

    async fn line(&self, hit: &Hit, asked: &[Asked<'_>]) -> Result<Line> {
        let (definition, id, mut loaded) = self.repository.load_hit(asked, hit).await?;
        if let Some(newer) = &loaded.newer {
            return Err(conversion::newer(definition, newer.version));
        }
        let sets = &definition.latest().sets;
        let secrets = match self.secrets {
            SecretForm::Clear => self.repository.open(definition, &id, &mut loaded)?,
            SecretForm::Encrypted => match loaded.unopened {
                Some(unopened) => return Err(unopened.error),
                None => BTreeMap::new(),
            },
            SecretForm::Strip => BTreeMap::new(),
        };
        let StoredDocument { mut attributes, mut root, type_name } = loaded.document;
        // Its line could not be imported.
        let key = ObjectKey::new(definition.name(), &id);
        limits::check_depth(&key, &attributes)?;
        let mut envelopes = crate::document::Attributes::new();
        for encrypted in &sets.encrypted {
            if let Some(envelope) = attributes.remove(&encrypted.name).filter(|value| !value.is_null())
                && self.secrets == SecretForm::Encrypted
            {
                envelopes.insert(encrypted.name.clone(), envelope);
            }
        }
        let namespaces = match definition.namespace_kind() {
            NamespaceKind::Agnostic => None,
            NamespaceKind::Single => Some(vec![root.namespace.unwrap_or_else(|| Namespace::DEFAULT.to_string())]),
            NamespaceKind::Multiple | NamespaceKind::MultipleIsolated => {
                let all = root.namespaces.unwrap_or_default();
                Some(match all.len() {
                    // Its line could not be imported.
                    0 => return Err(seen_from_nowhere()),
                    1 => all,
                    _ => self.repository.known_namespaces(&type_name, &all, &mut Told::default()).await,
                })
            }
        };
        // A line that names none says that there are none; one without the key says nothing, and an import keeps what it overwrites.
        let has = |form| definition.encrypts() && self.secrets == form;
        let secrets = secrets.into_iter().map(|(name, secret)| (name, Clear(secret))).collect();
        Ok(Line {
            object: NamedObject { type_name, id },
            namespaces,
            attributes,
            envelopes: has(SecretForm::Encrypted).then_some(envelopes),
            secrets: has(SecretForm::Clear).then_some(secrets),
            references: root.references,
            managed: Given::Said(root.managed),
            origin_id: Given::Said(root.origin_id),
            type_migration_version: Some(VirtualVersion::of(definition.latest().number).to_string()),
            core_migration_version: root.core_migration_version,
            access_control: root.others.remove(ACCESS_CONTROL).filter(serde_json::Value::is_object),
            created_at: Given::Said(root.created_at),
            created_by: root.created_by,
            updated_at: Given::Said(root.updated_at),
            updated_by: root.updated_by,
        })
    }

    /// What an object refers to is followed from where it was asked for, if it is seen from there.
    fn note_references(&mut self, line: &Line, asked_from: &[Namespace]) -> Result<()> {
        if !self.follows {
            return Ok(());
        }
        let first = || line.names().first().and_then(|name| Namespace::new(name).ok()).unwrap_or_default();
        let is_seen = |namespace: &&Namespace| {
            let names = line.names();
            names.is_empty() || names.iter().any(|name| name == "*" || name == namespace.as_str())
        };
        let namespace = asked_from.iter().find(is_seen).cloned().unwrap_or_else(first);
        let own = ObjectKey::new(&line.object.type_name, &line.object.id).in_namespace(namespace.clone());
        // An id that this library does not write is none that references are followed to.
        self.exported.extend(self.raw_id(&own).ok());
        for reference in &line.references {
            let key = ObjectKey::new(&reference.type_name, &reference.id).in_namespace(namespace.clone());
            let key = match self.repository.exportable(&key.type_name).map(TypeDefinition::namespace_kind) {
                // Seen alike from everywhere, and nobody asks from where of what cannot be exported.
                Ok(NamespaceKind::Agnostic) | Err(_) => key.in_namespace(Namespace::DEFAULT),
                Ok(_) => key,
            };
            if !self.asked.contains(&key) {
                self.wanted.insert(key);
            }
        }
        Ok(())
    }

    /// The objects that are referred to and were not looked for yet; none if there are no more.
    fn referred(&mut self) -> Option<Vec<ObjectKey>> {
        let wanted = std::mem::take(&mut self.wanted);
        self.asked.extend(wanted.iter().cloned());
        (!wanted.is_empty()).then(|| wanted.into_iter().collect())
    }

    fn missing(&mut self, key: &ObjectKey) {
        self.summary.missing_ref_count += 1;
        if self.summary.missing_references.len() < MAX_NAMED {
            let object = NamedObject { type_name: key.type_name.clone(), id: key.id.clone() };
            self.summary.missing_references.push(object);
        }
    }

    async fn end(mut self, with_summary: bool) -> Result<ExportSummary> {
        if with_summary {
            let mut line = serde_json::to_vec(&self.summary)
                .map_err(|error| Error::new(ErrorKind::Internal, "a summary cannot be written").with_source(error))?;
            line.push(b'\n');
            self.writer.write_all(&line).await.map_err(unwritable)?;
        }
        self.writer.flush().await.map_err(unwritable)?;
        Ok(self.summary)
    }
}

/// Whether a document is the object that was asked for, seen from its namespace. What cannot be read is seen: the reading
/// says what is wrong with it.
fn is_seen(definition: &TypeDefinition, key: &ObjectKey, hit: &Hit) -> bool {
    StoredDocument::from_source(hit.source.get().as_bytes())
        .map_or(true, |document| crate::repository::read::is_asked_for(definition, key, &document))
}

fn seen_from_nowhere() -> Error {
    Error::new(ErrorKind::Corrupt, "the object is seen from no namespace: its list is empty")
        .with_cure("let it be seen from one, or delete it with `force`")
}

fn unwritable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the export cannot be written: {error}"))
        .with_cure("check the file or the pipe, and how full the disk is")
        .with_source(error)
}
