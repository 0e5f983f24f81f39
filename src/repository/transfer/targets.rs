//! The ids under which the objects of a file are written, and the documents to write.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::line::Line;
use super::lines::RawLine;
use super::opening::{self, Opened, SealedAt};
use super::problem::{kind_of, problem};
use super::read_line::{Content, Malformed};
use super::request::{Import, OnConflict};
use super::summary::{NamedObject, Problem};
use crate::document::exact::Numbered;
use crate::document::numbers::Numbers;
use crate::document::{Attributes, Namespace, NamespaceKind, RootFields, StoredDocument, VersionToken};
use crate::encryption::Secrets;
use crate::engine::conversion;
use crate::registry::TypeDefinition;
use crate::repository::pipeline::read::Fetched;
use crate::repository::pipeline::seen_namespaces::{EVERYWHERE, MAX_NAMESPACES};
use crate::repository::pipeline::{content, limits, target};
use crate::repository::{ObjectKey, Repository};
use crate::{Error, Result};

/// A line may be longer than its document, but is hardly shorter.
const MAYBE_TOO_LARGE_BYTES: usize = 512 * 1024;
/// The root field in which other software stores access control.
pub(super) const ACCESS_CONTROL: &str = "accessControl";

/// Lines of a file, with their numbers from 1.
pub(super) type RawLines = Vec<(u64, RawLine)>;

/// The decisions of the first reading about the objects of a file.
#[derive(Debug, Default)]
pub(super) struct Targets {
    /// The `_id`s in the file of the objects that were checked.
    pub(super) in_file: BTreeSet<String>,
    /// Those that the store already has as the file has them.
    pub(super) there: BTreeSet<String>,
    /// The objects that get another id, or that overwrite although the request as a whole does not.
    objects: BTreeMap<NamedObject, Target>,
    /// The envelopes of the file that may be opened.
    pub(super) opened: Opened,
    /// The current ids of objects of the store to which references of the file have an older id.
    pub(super) references: BTreeMap<ObjectKey, String>,
}

#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) id: String,
    /// Whether the object keeps its id of the file as its origin.
    pub(super) keeps_origin: bool,
    pub(super) overwrites: bool,
}

/// An object of the file.
pub(super) struct Item {
    pub(super) line: u64,
    pub(super) object: NamedObject,
    /// The target of the write.
    pub(super) target: target::Target,
}

/// The values that a line contains. An object that is overwritten keeps the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Says {
    pub(super) secrets: bool,
    pub(super) origin: bool,
    pub(super) managed: bool,
    pub(super) created_at: bool,
    pub(super) updated_at: bool,
}

/// An object of the file as it will be stored, with its secrets opened.
pub(super) struct Unsealed {
    pub(super) item: Item,
    pub(super) line_bytes: usize,
    pub(super) root: RootFields,
    /// Without encrypted attributes.
    pub(super) attributes: Attributes,
    pub(super) secrets: Secrets,
    pub(super) says: Says,
}

/// A document to write.
pub(super) struct Ready {
    pub(super) document: StoredDocument,
    /// The version that it overwrites.
    pub(super) over: Option<VersionToken>,
    /// Whether it keeps secrets of the object that it overwrites, because the file has none.
    pub(super) keeps_secrets: bool,
}

impl Item {
    pub(super) fn problem(&self, error: &Error) -> Problem {
        problem(self.line, Some(&self.object), kind_of(error), error.to_string())
    }
}

impl Unsealed {
    /// Seals the object, to create it or to overwrite `existing`.
    pub(super) async fn sealed(
        self,
        repository: &Repository,
        existing: Option<Fetched>,
    ) -> (Item, usize, Result<Ready>) {
        let Self { item, line_bytes, root, attributes, secrets, says } = self;
        let target = &item.target;
        let ready = match existing {
            None => created(repository, target, root, says, attributes, secrets),
            Some(existing) => overwritten(repository, target, root, says, attributes, secrets, existing).await,
        };
        (item, line_bytes, ready)
    }
}

fn created(
    repository: &Repository,
    target: &target::Target,
    mut root: RootFields,
    says: Says,
    attributes: Attributes,
    secrets: Secrets,
) -> Result<Ready> {
    let now = || Some(repository.environment().now_iso());
    if !says.managed {
        root.managed = Some(false);
    }
    if !says.created_at {
        root.created_at = now();
    }
    if !says.updated_at {
        root.updated_at = now();
    }
    let document = repository.seal_whole(target, root, attributes, secrets)?;
    checked(target, Ready { document, over: None, keeps_secrets: false })
}

/// Keeps the namespaces of the existing object, and every value that the line does not contain.
async fn overwritten(
    repository: &Repository,
    target: &target::Target,
    mut root: RootFields,
    says: Says,
    mut attributes: Attributes,
    secrets: Secrets,
    existing: Fetched,
) -> Result<Ready> {
    let definition = &target.definition;
    let (version, old) = (existing.version, &existing.document);
    content::check_identity(definition, &content::identity_of(definition, &old.attributes), &attributes)?;
    root.namespaces.clone_from(&old.root.namespaces);
    root.namespace.clone_from(&old.root.namespace);
    if !says.origin {
        root.origin_id = root.origin_id.or_else(|| old.root.origin_id.clone());
    }
    root.core_migration_version = root.core_migration_version.or_else(|| old.root.core_migration_version.clone());
    root.others.extend(old.root.others.clone());
    root.other_numbers = root.other_numbers.extended(&old.root.other_numbers);
    if !says.managed {
        root.managed = old.root.managed;
    }
    if !says.created_at {
        root.created_at.clone_from(&old.root.created_at);
        root.created_by = root.created_by.or_else(|| old.root.created_by.clone());
    }
    if !says.updated_at {
        root.updated_at = Some(repository.environment().now_iso());
    }
    if says.secrets || !definition.encrypts() {
        let document = repository.seal_whole(target, root, attributes, secrets)?;
        return checked(target, Ready { document, over: Some(version), keeps_secrets: false });
    }
    let loaded = repository.load_for_secrets(definition, &target.key.id, existing).await?;
    if let Some(newer) = &loaded.newer {
        return Err(conversion::newer(definition, newer.version));
    }
    if let Some(unopened) = loaded.unopened {
        return Err(unopened.error);
    }
    let sets = &definition.latest().sets;
    content::check_attributes(definition, sets, &attributes)?;
    repository.seal_changes(target, definition.encryption(), &loaded.document, &mut attributes, BTreeMap::new())?;
    let is_there = |name: &str| attributes.get(name).is_some_and(|value| !value.is_null());
    let keeps_secrets = sets.encrypted.iter().any(|attribute| is_there(&attribute.name));
    let document = content::finish(target, root, attributes)?;
    checked(target, Ready { document, over: Some(version), keeps_secrets })
}

/// Refuses a document that the index or a reader would not accept.
fn checked(target: &target::Target, ready: Ready) -> Result<Ready> {
    limits::check_depth(&target.key, &ready.document.attributes)?;
    limits::check_whole(target, &ready.document)?;
    Ok(ready)
}

impl Targets {
    pub(super) fn set(&mut self, object: NamedObject, target: Target) {
        self.objects.insert(object, target);
    }

    pub(super) fn get(&self, object: &NamedObject) -> Option<&Target> {
        self.objects.get(object)
    }

    /// Returns the objects of some lines, ready to be written.
    pub(super) async fn prepare(
        &self,
        repository: &Repository,
        request: &Import,
        lines: RawLines,
    ) -> Result<Vec<(Item, Result<Ready>)>> {
        let mut objects = Vec::new();
        for (number, raw) in lines {
            let raw = raw.map_err(|_| changed(number))?;
            let Content::Object(line) = parse(request, &raw).map_err(|_| changed(number))? else { continue };
            if !request.takes(&line.object) || self.is_there(repository, request, number, &line)? {
                continue;
            }
            objects.push(self.unsealed(repository, request, (number, raw.len()), *line).await?);
        }
        let may_overwrite = |object: &NamedObject| match self.objects.get(object) {
            Some(target) => target.overwrites,
            None => request.on_conflict == OnConflict::Overwrite,
        };
        let mut ready = Vec::with_capacity(objects.len());
        let found = match objects.iter().any(|object| may_overwrite(&object.item.object)) {
            true => look_up(repository, &objects).await,
            false => objects.iter().map(|_| Ok(None)).collect(),
        };
        for (object, found) in objects.into_iter().zip(found) {
            let is_same = |it: &Fetched| object.item.target.is_in(&it.document);
            // A creation fails by itself if the object exists.
            let existing = found?.filter(|it| may_overwrite(&object.item.object) && is_same(it));
            let (item, _, outcome) = object.sealed(repository, existing).await;
            ready.push((item, outcome));
        }
        Ok(ready)
    }

    /// Returns whether the store already has the object of a line. Refuses a line that was not checked, because its
    /// import was not admitted.
    fn is_there(&self, repository: &Repository, request: &Import, number: u64, line: &Line) -> Result<bool> {
        let definition = repository.exportable(&line.object.type_name)?;
        let key = key_of(request, definition, line)?;
        let raw_id = key.raw_id(definition)?;
        let may_open = SealedAt::of(definition, line).is_none_or(|sealed| self.opened.contains(&sealed));
        match self.in_file.contains(raw_id.as_str()) && may_open {
            true => Ok(self.there.contains(raw_id.as_str())),
            false => Err(changed(number)),
        }
    }

    /// Returns the object of a line, converted to the newest model version, with its secrets opened.
    pub(super) async fn unsealed(
        &self,
        repository: &Repository,
        request: &Import,
        (number, line_bytes): (u64, usize),
        mut line: Line,
    ) -> Result<Unsealed> {
        let definition = repository.exportable(&line.object.type_name)?;
        let mut says = Says {
            secrets: line.envelopes.is_some() || line.secrets.is_some(),
            origin: !line.origin_id.is_absent(),
            managed: !line.managed.is_absent(),
            created_at: !line.created_at.is_absent(),
            updated_at: !line.updated_at.is_absent(),
        };
        let secrets = line.take_secrets();
        let namespaces = namespaces_of(request, definition, &line)?;
        let mut key = key_of(request, definition, &line)?;
        let kind = definition.namespace_kind();
        let object = line.object.clone();
        let old_root = RootFields {
            namespace: opening::namespace_of(definition, &line),
            type_migration_version: line.type_migration_version.take(),
            numbers: line.attributes.numbers,
            ..RootFields::default()
        };
        let mut attributes = line.attributes.values;
        attributes.extend(line.envelopes.unwrap_or_default());
        opening::check_line(definition, old_root.type_migration_version.as_deref(), &attributes)?;
        let document = StoredDocument { type_name: object.type_name.clone(), attributes, root: old_root };
        let version = VersionToken { seq_no: 0, primary_term: 0, generation: 0 };
        let mut loaded = repository.load(definition, &object.id, Fetched { document, version }).await?;
        if let Some(newer) = &loaded.newer {
            return Err(conversion::newer(definition, newer.version));
        }
        let mut all = repository.open(definition, &object.id, &mut loaded)?;
        all.extend(secrets);
        says.secrets |= !all.is_empty();
        let mut attributes = loaded.document.attributes;
        for encrypted in &definition.latest().sets.encrypted {
            attributes.remove(&encrypted.name);
        }
        let mut origin_id = line.origin_id.unwrap_or_else(|| None);
        if let Some(target) = self.objects.get(&object) {
            if target.id != object.id {
                origin_id = target.keeps_origin.then(|| origin_id.unwrap_or_else(|| object.id.clone()));
            }
            key.id.clone_from(&target.id);
        }
        let target = repository.target(key)?;
        content::check_new_id(&target)?;
        let key = &target.key;
        for reference in &mut line.references {
            let named = NamedObject { type_name: reference.type_name.clone(), id: reference.id.clone() };
            if let Some(target) = self.objects.get(&named) {
                reference.id.clone_from(&target.id);
                continue;
            }
            let outside = ObjectKey::new(&named.type_name, &named.id).in_namespace(key.namespace.clone());
            if let Some(id) = self.references.get(&outside) {
                reference.id.clone_from(id);
            }
        }
        let (access_control, other_numbers) = match line.access_control {
            Some(Numbered { values, numbers }) => {
                (Some((ACCESS_CONTROL.to_owned(), Value::Object(values))), numbers.within_member(ACCESS_CONTROL))
            }
            None => (None, Numbers::default()),
        };
        let root = RootFields {
            namespace: match kind {
                NamespaceKind::Single => key.namespace.id_form().map(str::to_owned),
                _ => None,
            },
            namespaces: kind.is_multiple().then_some(namespaces),
            origin_id,
            references: line.references,
            managed: line.managed.unwrap_or_else(|| None),
            core_migration_version: line.core_migration_version,
            created_at: line.created_at.unwrap_or_else(|| None),
            created_by: line.created_by,
            updated_at: line.updated_at.unwrap_or_else(|| None),
            updated_by: line.updated_by,
            others: access_control.into_iter().collect(),
            numbers: loaded.document.root.numbers,
            other_numbers,
            ..RootFields::default()
        };
        let item = Item { line: number, object, target };
        Ok(Unsealed { item, line_bytes, root, attributes, secrets: all, says })
    }
}

fn changed(line: u64) -> Error {
    Error::invalid(
        format!("line {line}: the file changed while it was imported"),
        "import it again, once nothing writes to it any more",
    )
}

/// Refuses an object that fits into no request, before anything is written.
pub(super) async fn check_size(
    repository: &Repository,
    key: &ObjectKey,
    line_bytes: usize,
    document: &StoredDocument,
) -> Result<()> {
    if line_bytes < MAYBE_TOO_LARGE_BYTES {
        return Ok(());
    }
    limits::check_request(&*repository.shared.engine.cluster, key, document.to_source().len()).await
}

/// Returns the documents that are stored under the ids of the objects, in their order.
pub(super) async fn look_up(repository: &Repository, objects: &[Unsealed]) -> Vec<Result<Option<Fetched>>> {
    let targets: Vec<_> = objects.iter().map(|object| &object.item.target).collect();
    repository.fetch_many(&targets).await
}

/// Returns the namespaces that will see an object; empty for objects of agnostic types.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid) if objects of the type cannot have these namespaces.
pub(super) fn namespaces_of(request: &Import, definition: &TypeDefinition, line: &Line) -> Result<Vec<String>> {
    let kind = definition.namespace_kind();
    if kind == NamespaceKind::Agnostic {
        return Ok(Vec::new());
    }
    let named = match (&request.namespace, &line.namespaces) {
        (Some(namespace), _) => return Ok(vec![namespace.to_string()]),
        (None, None) => return Ok(vec![Namespace::DEFAULT.to_string()]),
        (None, Some(named)) if named.is_empty() => {
            return Err(Error::invalid(
                "the line names no namespace: its list is empty",
                "name one in `namespaces`, leave it out for the default one, or say into which namespace to import",
            ));
        }
        (None, Some(named)) => named,
    };
    let is_one = matches!(named.as_slice(), [one] if one != EVERYWHERE);
    if kind != NamespaceKind::Multiple && !is_one {
        return Err(Error::invalid(
            format!("objects of the type {} are seen from one namespace, and the line names others", definition.name()),
            "name one in `namespaces`, or say into which namespace to import",
        ));
    }
    if named.len() > MAX_NAMESPACES {
        return Err(Error::invalid(
            format!("the line names {} namespaces, and an object can have {MAX_NAMESPACES}", named.len()),
            "let it be seen from everywhere: `*`",
        ));
    }
    let mut names: Vec<String> = Vec::with_capacity(named.len());
    for name in named {
        if name != EVERYWHERE {
            Namespace::new(name)?;
        }
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    Ok(names)
}

/// Returns an object's key in the file, in a namespace that will see it.
pub(super) fn key_of(request: &Import, definition: &TypeDefinition, line: &Line) -> Result<ObjectKey> {
    let namespaces = namespaces_of(request, definition, line)?;
    let namespace = match namespaces.iter().find(|name| *name != EVERYWHERE) {
        Some(name) => Namespace::new(name)?,
        None => Namespace::DEFAULT,
    };
    Ok(ObjectKey::new(definition.name(), &line.object.id).in_namespace(namespace))
}

/// Parses a line, and changes its references as the request says.
pub(super) fn parse(request: &Import, line: &[u8]) -> Result<Content, Malformed> {
    let mut content = Content::parse(line)?;
    if let Content::Object(line) = &mut content {
        request.redirect(&line.object, &mut line.references);
    }
    Ok(content)
}
