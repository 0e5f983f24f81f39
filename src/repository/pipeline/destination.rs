//! The destination of a write: the current generation of its group, if that has the mapping for it.

use std::collections::BTreeMap;

use super::errors;
use super::limits;
use super::target::Target;
use super::write::Write;
use crate::cluster::{IndexState, Unseen};
use crate::layout::{Gate, IndexMeta, IndexNames};
use crate::registry::{self, TypeDefinition};
use crate::repository::Repository;
use crate::{Error, Result};

/// The current generation of a group.
struct Current {
    generation: u32,
    index: String,
    state: IndexState,
}

impl Repository {
    /// Returns the generation of its type's group that a write goes to. Empty for a write over what was read from a
    /// generation before the current one: its alias is gone. If what was read is from a later generation, this node may
    /// be the one that does not know of it, so the server decides.
    pub(in crate::repository) async fn destination<'a>(
        &self,
        target: &'a Target,
        write: &Write,
        looked_up: &mut BTreeMap<&'a str, Result<u32>>,
    ) -> Result<Option<u32>> {
        let definition = &target.definition;
        if let Some(source) = write.action.source() {
            limits::check_request(&*self.shared.engine.cluster, &target.key, source.len()).await?;
        }
        let known = self.shared.generations.get(definition.group());
        let generation = match (write.over, known) {
            (Some(read), Some(current)) if current > read.generation => return Ok(None),
            (Some(read), _) => read.generation,
            (None, Some(current)) => current,
            (None, None) => self.looked_up(definition, looked_up).await?,
        };
        let Some(version) = write.mapping else { return Ok(Some(generation)) };
        // The server refuses writes to a generation other than the current one: its write alias is gone.
        if !self.is_mapped(definition, generation, version)
            && self.looked_up(definition, looked_up).await? == generation
        {
            self.refuse_unmapped(definition, generation, version)?;
        }
        Ok(Some(generation))
    }

    /// Returns the current generation of a type's group, which is asked for once in a call.
    async fn looked_up<'a>(
        &self,
        definition: &'a TypeDefinition,
        looked_up: &mut BTreeMap<&'a str, Result<u32>>,
    ) -> Result<u32> {
        let group = definition.group();
        if let Some(found) = looked_up.get(group) {
            return found.clone();
        }
        let found = self.look_up_generation(definition).await.map(|(generation, _)| generation);
        looked_up.insert(group, found.clone());
        found
    }

    fn is_mapped(&self, definition: &TypeDefinition, generation: u32, version: u32) -> bool {
        self.shared.generations.is_mapped(definition.group(), generation, definition.name(), version)
    }

    /// Refuses a write that needs the mapping of the type at `version`, unless the index of the generation is known to
    /// have it.
    pub(in crate::repository) fn refuse_unmapped(
        &self,
        definition: &TypeDefinition,
        generation: u32,
        version: u32,
    ) -> Result<()> {
        match self.is_mapped(definition, generation, version) {
            true => Ok(()),
            false => Err(errors::not_mapped(definition, &self.names(definition), version)),
        }
    }

    /// Refuses if the index of a type lacks the mapping of its newest version. At most one request.
    pub(in crate::repository) async fn check_mapped(&self, definition: &TypeDefinition) -> Result<()> {
        let version = definition.mapping_version();
        let known = self.shared.generations.get(definition.group());
        if known.is_some_and(|generation| self.is_mapped(definition, generation, version)) {
            return Ok(());
        }
        let Current { generation, .. } = self.current(definition).await?;
        self.refuse_unmapped(definition, generation, version)
    }

    /// Refuses if the index of a type takes no writes now, for example while it is copied or because the disk is full.
    /// One request. For callers that are about to receive something that is issued only once and must then be stored.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) if the index takes no writes, and the errors of the cluster.
    pub(crate) async fn check_takes_writes(&self, type_name: &str) -> Result<()> {
        let definition = self.definition(type_name)?;
        let names = self.names(definition);
        let indices = self.shared.engine.cluster.indices(&[names.alias()]).await?;
        let takes_writes = |(index, state): (&String, &IndexState)| {
            let generation = names.generation(index).unwrap_or_default();
            state.takes_writes() && Gate::of(&names, generation, state.aliases.keys()).is_open
        };
        match indices.iter().all(takes_writes) {
            true if indices.is_empty() => Err(self.without_index(&names).await),
            true => indices.iter().try_for_each(|(index, state)| {
                let generation = names.generation(index).unwrap_or_default();
                self.remember_mapped(definition, generation, state).map_err(|error| error.context(index))?;
                self.refuse_unmapped(definition, generation, definition.mapping_version())
            }),
            false => Err(errors::takes_no_writes(&names)),
        }
    }

    /// Returns the error for an alias that leads to no index that the credentials see.
    async fn without_index(&self, names: &IndexNames) -> Error {
        match Unseen::among(self.shared.engine.cluster.as_ref(), &names.all()).await {
            Ok(unseen) if unseen.is_empty() => errors::no_index(names),
            Ok(unseen) => unseen.error(),
            Err(error) => error.into(),
        }
    }

    /// Asks the cluster for the current generation of a type's group and for its gate, and remembers the generation.
    /// Its index has the field of the write nonce afterwards.
    pub(in crate::repository) async fn look_up_generation(&self, definition: &TypeDefinition) -> Result<(u32, Gate)> {
        let Current { generation, index, state } = self.current(definition).await?;
        self.add_nonce_field(&index, &state).await?;
        self.remember_generation(definition.group(), generation);
        Ok((generation, Gate::of(&self.names(definition), generation, state.aliases.keys())))
    }

    /// Asks the cluster for the current generation of a type's group, and remembers which mappings it has.
    async fn current(&self, definition: &TypeDefinition) -> Result<Current> {
        let names = self.names(definition);
        let mut found = self.shared.engine.cluster.indices(&[names.alias()]).await?;
        if found.len() > 1 || found.keys().any(|index| names.generation(index).is_none()) {
            let indices: Vec<&str> = found.keys().map(String::as_str).collect();
            return Err(errors::not_one_generation(&names, &indices));
        }
        let Some((index, state)) = found.pop_first() else { return Err(self.without_index(&names).await) };
        let generation = names.generation(&index).unwrap_or_default();
        self.remember_mapped(definition, generation, &state).map_err(|error| error.context(&index))?;
        Ok(Current { generation, index, state })
    }

    fn remember_mapped(&self, definition: &TypeDefinition, generation: u32, state: &IndexState) -> Result<()> {
        let meta = IndexMeta::from_mapping(&state.mapping)?;
        let versions = meta.types.into_iter().map(|(name, meta)| (name, meta.mapping_version)).collect();
        self.shared.generations.remember_mapped(definition.group(), generation, versions);
        Ok(())
    }

    /// Gives the index of a generation the field of the write nonce. Returns false if the index has it already or
    /// cannot get it.
    pub(in crate::repository) async fn has_got_nonce_field(
        &self,
        definition: &TypeDefinition,
        generation: u32,
    ) -> bool {
        let index = self.names(definition).index(generation);
        let adding = async {
            match self.shared.engine.cluster.indices(&[&index]).await?.get(&index) {
                Some(state) => self.add_nonce_field(&index, state).await,
                None => Ok(false),
            }
        };
        adding.await.unwrap_or_else(|error: Error| {
            tracing::warn!(index, %error, "an index was not given the field that writes are known by");
            false
        })
    }

    /// Gives the field of the write nonce to an index that was created before there was one. Returns false if it has
    /// the field.
    async fn add_nonce_field(&self, index: &str, state: &IndexState) -> Result<bool> {
        if !registry::lacks_nonce_field(&state.mapping) {
            return Ok(false);
        }
        tracing::info!(index, "giving an index the field that writes are known by");
        self.shared.engine.cluster.put_mapping(index, &registry::nonce_mapping()).await?;
        Ok(true)
    }
}
