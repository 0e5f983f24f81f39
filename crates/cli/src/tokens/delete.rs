//! The command `tokens delete`.

use futures::TryStreamExt;
use serde::Serialize;

use super::Selected;
use crate::exit::Exit;
use crate::output::Output;
use saved_objects::tokens::{ConnectorTokenClient, Scope, TokenClient, TokenId, TokenInventory};
use saved_objects::{Error, ErrorKind, Result, SavedObjects};

/// Delete tokens by id, or all of a connector or a user. They are not revoked at their providers
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The token's id, as `list` shows it (may be repeated)
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

pub(super) async fn run(arguments: &Arguments, store: &SavedObjects, output: Output) -> Result<Exit> {
    let tokens = ConnectorTokenClient::new(store)?;
    let mut report = Deleted { deleted: Vec::new(), not_found: Vec::new() };
    if arguments.ids.is_empty() {
        super::see_all_writes(store, output).await?;
        report.deleted = delete_selected(&arguments.selected, &tokens, store).await?;
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
    let is_none = report.deleted.is_empty() && report.not_found.is_empty();
    if is_none {
        output.say(format!("there is no {}", arguments.selected));
    }
    output.document(&report)?;
    Ok(if report.not_found.is_empty() && !is_none { Exit::Done } else { Exit::Failed })
}

/// Deletes until no selected token is left. Returns the ids of those that existed at the beginning.
async fn delete_selected(
    selected: &Selected,
    tokens: &ConnectorTokenClient,
    store: &SavedObjects,
) -> Result<Vec<String>> {
    let listed = TokenInventory::new(store)?.list(&selected.selection())?;
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
