use futures::TryStreamExt;
use serde::Serialize;

use super::Selected;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::repository::Repository;
use crate::tokens::{ConnectorTokens, Scope, TokenClient, TokenId, TokenInventory};
use crate::{Error, ErrorKind, Result};

/// Delete tokens, by id or all of a connector or a user. They are not revoked at their providers
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// As `list` shows them (may be repeated)
    #[arg(value_name = "ID", value_parser = super::id, required_unless_present_any = ["connector", "user"],
        conflicts_with_all = ["connector", "user", "shared", "all_users"])]
    ids: Vec<TokenId>,
    #[command(flatten)]
    selected: Selected,
}

#[derive(Serialize)]
struct Deleted {
    deleted: Vec<String>,
    not_found: Vec<String>,
}

pub(super) async fn run(arguments: &Arguments, repository: &Repository, output: Output) -> Result<Exit> {
    let tokens = ConnectorTokens::over(repository)?;
    let mut report = Deleted { deleted: Vec::new(), not_found: Vec::new() };
    if arguments.ids.is_empty() {
        report.deleted = delete_selected(&arguments.selected, &tokens, repository).await?;
    }
    for id in &arguments.ids {
        match tokens.delete_one(id).await.map_err(Error::from) {
            Ok(()) => report.deleted.push(id.to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => report.not_found.push(id.to_string()),
            Err(error) => return Err(error),
        }
    }
    report.deleted.iter().for_each(|id| output.say(format!("deleted {id}")));
    report.not_found.iter().for_each(|id| output.say(format!("there is no token {id}")));
    output.document(&report)?;
    Ok(if report.not_found.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Deletes until nothing is left that is selected, and gives what was there in the beginning.
async fn delete_selected(
    selected: &Selected,
    tokens: &ConnectorTokens,
    repository: &Repository,
) -> Result<Vec<String>> {
    let listed = TokenInventory::over(repository)?.list(&selected.selection())?;
    let ids = listed
        .map_ok(|item| match item {
            Ok(token) => token.id.to_string(),
            Err(unreadable) => unreadable.raw_id,
        })
        .try_collect()
        .await?;
    match (&selected.connector, &selected.user) {
        (Some(connector), Some(user)) => tokens.delete(Scope::User(user.clone()), connector, None).await?,
        (Some(connector), None) if selected.shared => tokens.delete(Scope::Shared, connector, None).await?,
        (Some(connector), None) if selected.all_users => tokens.delete_for_all_users(connector, None).await?,
        (Some(connector), None) => tokens.delete_of_connector(connector).await?,
        (None, Some(user)) => tokens.delete_of_user(user).await?,
        (None, None) => {}
    }
    Ok(ids)
}
