//! Several writes at once, to the current generation of one group.

use crate::Result;
use crate::cluster::{BulkOperation, BulkRequest, ClusterErrorKind, ItemError, ItemErrorKind, ItemOutcome, Refresh};
use crate::registry::TypeDefinition;
use crate::repository::{Repository, errors};

/// Writes operations to `generation` of the group of `definition`, and answers for each in order. Those that the group's move to another
/// generation kept from being done are repeated there if they create: what was read from the old one is a conflict.
pub(super) async fn write(
    repository: &Repository,
    definition: &TypeDefinition,
    generation: u32,
    operations: &[BulkOperation],
    refresh: Refresh,
) -> Result<Vec<ItemOutcome>> {
    let mut outcomes = send(repository, definition, generation, operations, refresh).await?;
    let missed: Vec<usize> = (0..outcomes.len()).filter(|&at| is_missing(&outcomes[at])).collect();
    if missed.is_empty() {
        return Ok(outcomes);
    }
    repository.shared.generations.forget(definition.group());
    let current = repository.look_up_generation(definition).await?;
    if current == generation {
        return Err(errors::no_write_alias(&repository.names(definition), generation));
    }
    let is_create = |at: &usize| matches!(operations[*at].action, crate::cluster::BulkAction::Create { .. });
    let (creates, stale): (Vec<_>, Vec<_>) = missed.into_iter().partition(is_create);
    for at in stale {
        let reason = "the index moved to another generation".to_owned();
        outcomes[at] = Err(ItemError { kind: ItemErrorKind::Conflict, reason });
    }
    let again: Vec<BulkOperation> = creates.iter().map(|&at| operations[at].clone()).collect();
    for (at, outcome) in creates.into_iter().zip(send(repository, definition, current, &again, refresh).await?) {
        outcomes[at] = outcome;
    }
    Ok(outcomes)
}

fn is_missing(outcome: &ItemOutcome) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind == ItemErrorKind::AliasMissing)
}

async fn send(
    repository: &Repository,
    definition: &TypeDefinition,
    generation: u32,
    operations: &[BulkOperation],
    refresh: Refresh,
) -> Result<Vec<ItemOutcome>> {
    if operations.is_empty() {
        return Ok(Vec::new());
    }
    let alias = repository.names(definition).write_alias(generation);
    let request = BulkRequest { alias: &alias, operations, refresh };
    match repository.shared.cluster.bulk(&request).await {
        Ok(outcomes) if outcomes.len() == operations.len() => Ok(outcomes),
        Ok(_) => Err(crate::Error::new(crate::ErrorKind::Internal, "not every write of a bulk was answered")),
        Err(error) if matches!(error.kind, ClusterErrorKind::IndexNotFound | ClusterErrorKind::AliasNotFound) => {
            let missing = ItemError { kind: ItemErrorKind::AliasMissing, reason: error.to_string() };
            Ok(vec![Err(missing); operations.len()])
        }
        Err(error) => Err(error.into()),
    }
}
