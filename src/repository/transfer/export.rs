//! Exports: objects as lines of JSON.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use serde_json::Value;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::line::{Clear, Given, Line};
use super::opening;
use super::summary::{ExportSummary, NamedObject, Skipped};
use super::targets::ACCESS_CONTROL;
use crate::cluster::{Hit, PageSize, Search, SearchIn};
use crate::document::exact::Numbered;
use crate::document::{Namespace, NamespaceKind, RawId, RootFields, StoredDocument};
use crate::engine::conversion;
use crate::model::VirtualVersion;
use crate::registry::TypeDefinition;
use crate::repository::access::Admitted;
use crate::repository::pipeline::seen_namespaces::KnownNames;
use crate::repository::pipeline::target::Target;
use crate::repository::pipeline::{errors, limits};
use crate::repository::search::find::Find;
use crate::repository::search::found::Asked;
use crate::repository::search::refusals;
use crate::repository::{Action, ObjectKey, Repository};
use crate::{Error, ErrorKind, Result};

/// The largest number of excluded objects and of missing references that a summary names.
const MAX_NAMED: usize = 1_000;
/// The largest number of objects that one request fetches by id.
const BATCH: usize = 500;
/// The largest number of documents of a page.
const PAGE: u32 = 1_000;

/// What an export does with encrypted attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecretForm {
    /// Leaves them out.
    #[default]
    Strip,
    /// Writes them as they are stored, for a store with the same keys.
    Encrypted,
    /// Decrypts them. Everyone who can read the file can read them.
    Clear,
}

/// The request of an export: which objects to export, and how.
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
    /// Creates a request for all objects of these types that a search finds. The search's page and aggregations are
    /// ignored.
    pub fn found(types: impl IntoIterator<Item: Into<String>>, request: Find) -> Self {
        Self::of(Which::Found(types.into_iter().map(Into::into).collect(), Box::new(request)))
    }

    /// Creates a request for these objects.
    pub fn objects(keys: impl IntoIterator<Item = ObjectKey>) -> Self {
        Self::of(Which::Named(keys.into_iter().collect()))
    }

    fn of(which: Which) -> Self {
        Self { which, secrets: SecretForm::Strip, references: false, summary: true }
    }

    /// Sets what the export does with encrypted attributes. Default: it leaves them out.
    #[must_use]
    pub fn secrets(mut self, secrets: SecretForm) -> Self {
        self.secrets = secrets;
        self
    }

    /// Also exports what the objects refer to, and what those objects refer to, as the namespace of the referring
    /// object sees it. What the caller may not export is left out and named in the summary.
    #[must_use]
    pub fn references(mut self) -> Self {
        self.references = true;
        self
    }

    /// Omits the last line, the summary.
    #[must_use]
    pub fn without_summary(mut self) -> Self {
        self.summary = false;
        self
    }
}

impl Repository {
    /// Writes objects as lines of JSON. The number of objects is not limited; the export uses memory for one page, and
    /// with references also for the ids of all objects. A document that cannot be read is left out and named in the
    /// summary. No object is written twice. A line does not name namespaces in which the caller may do nothing with
    /// objects of the type.
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
    /// - [`Forbidden`](ErrorKind::Forbidden) if the caller may not export what the request names. Nothing is written
    ///   then.
    /// - [`Unavailable`](ErrorKind::Unavailable) if the cluster cannot be reached or the writer fails. What was written
    ///   before has no summary as its last line.
    #[tracing::instrument(name = "operation", level = "debug", skip_all, fields(operation = "export"))]
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
                    let target = exporter.target(key)?;
                    let admission = exporter.admit(&target.key).await?;
                    admitted.push((target, admission));
                }
                exporter.named(admitted).await?;
            }
        }
        while let Some(keys) = exporter.referred() {
            exporter.follow(keys).await?;
        }
        exporter.end(request.summary).await
    }

    /// Returns the definition of a type that can be exported and imported.
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
    /// The objects that were exported, recorded if references are followed.
    exported: BTreeSet<RawId>,
    /// The objects that were looked up because of a reference, with the namespace of the referring object.
    asked: BTreeSet<ObjectKey>,
    /// The objects that a reference names and that were not looked up yet.
    wanted: BTreeSet<ObjectKey>,
    summary: ExportSummary,
}

impl<W: AsyncWrite + Unpin> Exporter<'_, W> {
    /// Returns the actions that the caller needs to be allowed.
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
        self.repository.admit_all(self.actions(), &names, &request).await
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
            // The audit receives the search, not each object.
            let _ = self.hit(&hit?, &asked, request.seen_from()).await?;
        }
        Ok(())
    }

    /// Returns the target of an object that may be exported.
    fn target(&self, key: ObjectKey) -> Result<Target> {
        self.repository.exportable(&key.type_name)?;
        self.repository.target(key)
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

    /// Exports referenced objects.
    async fn follow(&mut self, keys: Vec<ObjectKey>) -> Result<()> {
        let mut admitted = Vec::with_capacity(keys.len());
        for key in keys {
            // The type may not be registered, and the id may be invalid.
            let Ok(target) = self.target(key.clone()) else {
                self.missing(&key);
                continue;
            };
            if self.exported.contains(&target.raw_id) {
                continue;
            }
            match self.admit(&key).await {
                Ok(admission) => admitted.push((target, admission)),
                Err(refused) => self.exclude(target.raw_id.as_str(), &refused),
            }
        }
        self.named(admitted).await
    }

    /// Exports objects by id. An object that does not exist is a missing reference, whether a reference or the request
    /// names it.
    async fn named(&mut self, targets: Vec<(Target, Admitted)>) -> Result<()> {
        let mut by_alias: BTreeMap<String, Vec<(Target, Admitted)>> = BTreeMap::new();
        for (target, admitted) in targets {
            let alias = self.repository.names(&target.definition).alias().to_owned();
            by_alias.entry(alias).or_default().push((target, admitted));
        }
        for (alias, mut wanted) in by_alias {
            let mut size = PageSize::new(BATCH);
            while !wanted.is_empty() {
                self.repository.shared.engine.environment.stop().check()?;
                let batch: Vec<_> = wanted.drain(..wanted.len().min(size.get())).collect();
                let ids: Vec<&str> = batch.iter().map(|(target, _)| target.raw_id.as_str()).collect();
                let found = self.repository.shared.engine.cluster.get_many(&alias, &ids).await;
                let found = found.map_err(|error| refusals::of(&alias, error))?;
                size.took(batch.len(), found.iter().flatten());
                for ((target, admitted), hit) in batch.into_iter().zip(found) {
                    let Target { definition, key, .. } = &target;
                    match hit {
                        Some(hit) if is_seen(&target, &hit) => {
                            let read = match self.exported.insert(target.raw_id.clone()) {
                                true => {
                                    self.hit(
                                        &hit,
                                        &self.repository.asked([&**definition]),
                                        std::slice::from_ref(&key.namespace),
                                    )
                                    .await?
                                }
                                false => Ok(()),
                            };
                            admitted.tell(&read);
                        }
                        _ => {
                            self.missing(key);
                            admitted.tell::<()>(&Err(errors::not_found(key)));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes one object that these namespaces asked for, or records why it is left out. Returns the reason.
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
                None => {
                    // A value in clear is a secret too, no matter how it got there.
                    opening::check_form(&definition.latest().sets, &loaded.document.attributes)?;
                    BTreeMap::new()
                }
            },
            SecretForm::Strip => BTreeMap::new(),
        };
        let StoredDocument { mut attributes, mut root, type_name } = loaded.document;
        let access_control = access_control_of(&mut root);
        // A deeper line could not be imported.
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
                    _ => self.repository.known_namespaces(&type_name, &all, &mut KnownNames::default()).await,
                })
            }
        };
        // A line with an empty `envelopes` or `secrets` says that there are none. A line without the key says nothing,
        // and an import keeps the secrets that it overwrites.
        let has = |form| definition.encrypts() && self.secrets == form;
        let secrets = secrets.into_iter().map(|(name, secret)| (name, Clear(secret))).collect();
        Ok(Line {
            object: NamedObject { type_name, id },
            namespaces,
            attributes: Numbered { values: attributes, numbers: root.numbers },
            envelopes: has(SecretForm::Encrypted).then_some(envelopes),
            secrets: has(SecretForm::Clear).then_some(secrets),
            references: root.references,
            managed: Given::Said(root.managed),
            origin_id: Given::Said(root.origin_id),
            type_migration_version: Some(VirtualVersion::of(definition.latest().number).to_string()),
            core_migration_version: root.core_migration_version,
            access_control,
            created_at: Given::Said(root.created_at),
            created_by: root.created_by,
            updated_at: Given::Said(root.updated_at),
            updated_by: root.updated_by,
        })
    }

    /// Records the references of an object. They are followed in the namespace from which the object was requested, if
    /// that namespace sees it.
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
        // References are not followed to an id that this library cannot write.
        self.exported.extend(self.target(own).ok().map(|target| target.raw_id));
        for reference in &line.references {
            let key = ObjectKey::new(&reference.type_name, &reference.id).in_namespace(namespace.clone());
            let key = match self.repository.exportable(&key.type_name).map(TypeDefinition::namespace_kind) {
                // Every namespace sees the same object, and for a type that cannot be exported the namespace does not
                // matter.
                Ok(NamespaceKind::Agnostic) | Err(_) => key.in_namespace(Namespace::DEFAULT),
                Ok(_) => key,
            };
            if !self.asked.contains(&key) {
                self.wanted.insert(key);
            }
        }
        Ok(())
    }

    /// Returns the referenced objects that were not looked up yet, or `None` if there are none.
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

/// Returns whether a document is the requested object, as its namespace sees it. True also for a document that cannot
/// be read: reading it returns the error.
fn is_seen(target: &Target, hit: &Hit) -> bool {
    StoredDocument::from_source(hit.source.get().as_bytes()).map_or(true, |document| target.is_in(&document))
}

/// Takes the access control, which Kibana stores next to the attributes.
fn access_control_of(root: &mut RootFields) -> Option<Numbered> {
    let Some(Value::Object(values)) = root.others.remove(ACCESS_CONTROL) else { return None };
    Some(Numbered { values, numbers: root.other_numbers.of_member(ACCESS_CONTROL) })
}

fn seen_from_nowhere() -> Error {
    Error::new(ErrorKind::Corrupt, "the object is seen from no namespace: its list is empty")
        .with_hint("let it be seen from one, or delete it with `force`")
}

fn unwritable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the export cannot be written: {error}"))
        .with_hint("check the file or the pipe, and how full the disk is")
        .with_source(error)
}
