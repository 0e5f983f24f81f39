//! Under which ids the objects of a file are written, and what is written of each.

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use super::import::{Decision, Import, OnConflict, kind_of};
use super::line::Line;
use super::opening::{self, Opened, SealedAt};
use super::summary::{NamedObject, Problem};
use crate::conversion;
use crate::document::{Namespace, NamespaceKind, RawId, RootFields, StoredDocument, VersionToken};
use crate::registry::TypeDefinition;
use crate::repository::change_namespaces::{EVERYWHERE, MAX_NAMESPACES};
use crate::repository::read::{self, Fetched};
use crate::repository::{ObjectKey, Repository, content, limits};
use crate::{Error, Result};

/// A line may be longer than the document that is made of it, hardly shorter.
const MAYBE_TOO_LARGE_BYTES: usize = 512 * 1024;

/// Lines of a file, with their numbers from 1.
pub(super) type RawLines = Vec<(u64, Zeroizing<Vec<u8>>)>;

/// What the first reading decided about the objects of a file.
#[derive(Debug, Default)]
pub(super) struct Targets {
    /// The `_id`s that the objects have in the file: of those that were checked.
    pub(super) in_file: BTreeSet<String>,
    /// The objects that get another id or overwrite what the file alone would not.
    objects: BTreeMap<NamedObject, Target>,
    /// Where envelopes of the file may be opened.
    pub(super) opened: Opened,
    /// Ids of objects of the store that references of the file have under older ones.
    pub(super) references: BTreeMap<ObjectKey, String>,
}

#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) id: String,
    /// Whether the id it had is remembered as its origin.
    pub(super) keeps_origin: bool,
    pub(super) overwrites: bool,
}

/// An object to be written.
pub(super) struct Prepared {
    pub(super) line: u64,
    pub(super) object: NamedObject,
    pub(super) key: ObjectKey,
    pub(super) document: StoredDocument,
    /// What it overwrites.
    pub(super) existing: Option<Fetched>,
}

impl Prepared {
    pub(super) fn problem(&self, error: &Error) -> Problem {
        problem(self.line, Some(&self.object), kind_of(error), error.to_string())
    }
}

impl Targets {
    pub(super) fn set(&mut self, object: NamedObject, target: Target) {
        self.objects.insert(object, target);
    }

    pub(super) fn get(&self, object: &NamedObject) -> Option<&Target> {
        self.objects.get(object)
    }

    /// The objects of some lines, ready to be written.
    pub(super) async fn prepare(
        &self,
        repository: &Repository,
        request: &Import,
        lines: RawLines,
    ) -> Result<Vec<Prepared>> {
        let mut objects = Vec::new();
        for (number, raw) in lines {
            let Some(line) = parse(request, number, &raw)? else { continue };
            if !request.takes(&line.object) {
                continue;
            }
            self.check_read_before(repository, request, number, &line)?;
            objects.push(self.prepare_one(repository, request, number, line).await?);
        }
        let may_overwrite = |object: &NamedObject| match self.objects.get(object) {
            Some(target) => target.overwrites,
            None => request.on_conflict == OnConflict::Overwrite,
        };
        if !objects.iter().any(|object| may_overwrite(&object.object)) {
            return Ok(objects);
        }
        let found = look_up(repository, &objects).await?;
        for (object, found) in objects.iter_mut().zip(found) {
            let definition = repository.definition(&object.key.type_name)?;
            let is_same = |it: &Fetched| read::is_asked_for(definition, &object.key, &it.document);
            // A creation where something is fails by itself.
            object.existing = found?.filter(|it| may_overwrite(&object.object) && is_same(it));
        }
        Ok(objects)
    }

    /// Refuses a line that was not checked: nobody said that it may be imported.
    fn check_read_before(&self, repository: &Repository, request: &Import, number: u64, line: &Line) -> Result<()> {
        let definition = repository.exportable(&line.object.type_name)?;
        let key = key_of(request, definition, line)?;
        let raw_id = key.raw_id(definition)?;
        let may_open = SealedAt::of(definition, line).is_none_or(|sealed| self.opened.contains(&sealed));
        match self.in_file.contains(raw_id.as_str()) && may_open {
            true => Ok(()),
            false => Err(Error::invalid(
                format!("line {number}: the file changed while it was imported"),
                "import it again, once nobody writes to it any more",
            )),
        }
    }

    /// The object of a line, ready to be written.
    pub(super) async fn prepare_one(
        &self,
        repository: &Repository,
        request: &Import,
        number: u64,
        mut line: Line,
    ) -> Result<Prepared> {
        let definition = repository.exportable(&line.object.type_name)?;
        let secrets = line.take_secrets();
        let namespaces = namespaces_of(request, definition, &line)?;
        let mut key = key_of(request, definition, &line)?;
        let kind = definition.namespace_kind();
        let object = line.object.clone();
        let old_root = RootFields {
            namespace: opening::namespace_of(definition, &line),
            type_migration_version: line.type_migration_version.take(),
            ..RootFields::default()
        };
        let mut attributes = line.attributes;
        attributes.extend(line.envelopes);
        let document = StoredDocument { type_name: object.type_name.clone(), attributes, root: old_root };
        let version = VersionToken { seq_no: 0, primary_term: 0, generation: 0 };
        let mut loaded = repository.load(definition, &object.id, Fetched { document, version }).await?;
        if let Some(newer) = &loaded.newer {
            return Err(conversion::newer(definition, newer.version));
        }
        let mut all = repository.open(definition, &object.id, &mut loaded)?;
        all.extend(secrets);
        let mut attributes = loaded.document.attributes;
        for encrypted in &definition.latest().sets.encrypted {
            attributes.remove(&encrypted.name);
        }
        let mut origin_id = line.origin_id;
        if let Some(target) = self.objects.get(&object) {
            if target.id != object.id {
                origin_id = target.keeps_origin.then(|| origin_id.unwrap_or_else(|| object.id.clone()));
            }
            key.id.clone_from(&target.id);
        }
        RawId::new(definition.name(), kind, &key.namespace, &key.id)?;
        content::check_new_id(definition, &key.id)?;
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
        let now = || Some(repository.environment().now_iso());
        let root = RootFields {
            namespace: match kind {
                NamespaceKind::Single => key.namespace.id_form().map(str::to_owned),
                _ => None,
            },
            namespaces: kind.is_multiple().then_some(namespaces),
            origin_id,
            references: line.references,
            managed: Some(line.managed),
            created_at: line.created_at.or_else(now),
            created_by: line.created_by,
            updated_at: line.updated_at.or_else(now),
            updated_by: line.updated_by,
            ..RootFields::default()
        };
        let document = repository.seal_whole(definition, &key, root, attributes, all)?;
        limits::check_depth(&key, &document.attributes)?;
        // Its size is not known yet, and so counts as any.
        limits::check(definition, &key, &document, usize::MAX)?;
        Ok(Prepared { line: number, object, key, document, existing: None })
    }
}

/// Refuses an object that fits into no request, before anything is written.
pub(super) async fn check_size(repository: &Repository, line_bytes: usize, object: &Prepared) -> Result<()> {
    if line_bytes < MAYBE_TOO_LARGE_BYTES {
        return Ok(());
    }
    limits::check_request(&*repository.shared.cluster, &object.key, object.document.to_source().len()).await
}

/// What is stored under the ids of the objects, each answered in order.
pub(super) async fn look_up(repository: &Repository, objects: &[Prepared]) -> Result<Vec<Result<Option<Fetched>>>> {
    let mut wanted = Vec::with_capacity(objects.len());
    for object in objects {
        wanted.push((repository.definition(&object.key.type_name)?, &object.key));
    }
    Ok(repository.fetch_many(&wanted).await)
}

/// From where an object is to be seen; none for objects of agnostic types.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid) if objects of the type cannot be seen so.
pub(super) fn namespaces_of(request: &Import, definition: &TypeDefinition, line: &Line) -> Result<Vec<String>> {
    let kind = definition.namespace_kind();
    if kind == NamespaceKind::Agnostic {
        return Ok(Vec::new());
    }
    let named = match &request.namespace {
        Some(namespace) => return Ok(vec![namespace.to_string()]),
        None if line.namespaces.is_empty() => return Ok(vec![Namespace::DEFAULT.to_string()]),
        None => &line.namespaces,
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

/// What an object is called in the file, in a namespace from which it is to be seen.
pub(super) fn key_of(request: &Import, definition: &TypeDefinition, line: &Line) -> Result<ObjectKey> {
    let namespaces = namespaces_of(request, definition, line)?;
    let namespace = match namespaces.iter().find(|name| *name != EVERYWHERE) {
        Some(name) => Namespace::new(name)?,
        None => Namespace::DEFAULT,
    };
    Ok(ObjectKey::new(definition.name(), &line.object.id).in_namespace(namespace))
}

pub(super) fn parse(request: &Import, number: u64, line: &[u8]) -> Result<Option<Line>> {
    let mut line = Line::parse(line).map_err(|error| error.context(format!("line {number}")))?;
    if let Some(line) = &mut line {
        request.redirect(&line.object, &mut line.references);
    }
    Ok(line)
}

pub(super) fn problem(line: u64, object: Option<&NamedObject>, kind: &'static str, message: String) -> Problem {
    Problem { line, object: object.cloned(), kind, message, destinations: Vec::new(), missing: Vec::new() }
}

impl Import {
    /// Whether the object is to be imported at all.
    pub(super) fn takes(&self, object: &NamedObject) -> bool {
        match self.decisions.get(object) {
            Some(Decision::Skip) => false,
            Some(_) => true,
            None => !self.only_decided,
        }
    }
}
