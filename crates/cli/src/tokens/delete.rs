//! The command `tokens delete`.

use futures::TryStreamExt;
use serde::Serialize;

use super::Selected;
use crate::exit::Exit;
use crate::output::Output;
use saved_objects::tokens::{ConnectorTokenClient, Scope, TokenClient, TokenError, TokenId, TokenInventory};
use saved_objects::{Error, ErrorKind, Result, SavedObjects};

/// Delete tokens by id, or all of a connector or a user. They are not revoked at their providers
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The token's id, as `list` shows it, or the `_id` of its record, or TYPE/ID (may be repeated)
    #[arg(value_name = "ID", value_parser = super::id, required_unless_present_any = ["connector", "user"],
        conflicts_with_all = ["connector", "user", "shared", "all_users"])]
    ids: Vec<TokenId>,
    #[command(flatten)]
    selected: Selected,
    /// Delete nothing, and say what would be deleted
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Deleted {
    dry_run: bool,
    deleted: Vec<String>,
    not_found: Vec<String>,
}

pub(super) async fn run(arguments: &Arguments, store: &SavedObjects, output: Output) -> Result<Exit> {
    let tokens = ConnectorTokenClient::new(store)?;
    let dry_run = arguments.dry_run;
    let mut report = Deleted { dry_run, deleted: Vec::new(), not_found: Vec::new() };
    if arguments.ids.is_empty() {
        super::see_all_writes(store, output).await?;
        report.deleted = list_selected(&arguments.selected, store).await?;
        if !dry_run {
            delete_selected(&arguments.selected, &tokens).await?;
        }
    }
    let inventory = TokenInventory::new(store)?;
    for id in &arguments.ids {
        let deleted = match dry_run {
            true => match inventory.get(id).await {
                // A record that cannot be read is deleted too.
                Err(TokenError::Unreadable { .. }) => Ok(Some(())),
                found => found.map(|found| found.map(drop)).map_err(Error::from),
            },
            false => match tokens.delete_one(id).await.map_err(Error::from) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                deleted => deleted.map(Some),
            },
        };
        let list = if deleted?.is_some() { &mut report.deleted } else { &mut report.not_found };
        list.push(id.to_string());
    }
    let done = if dry_run { "would delete" } else { "deleted" };
    report.deleted.iter().for_each(|id| output.say(format!("{done} {id}")));
    report.not_found.iter().for_each(|id| output.say(format!("there is no token {id}")));
    let is_none = report.deleted.is_empty() && report.not_found.is_empty();
    if is_none {
        output.say(format!("there is no {}", arguments.selected));
    }
    output.document(&report)?;
    Ok(if report.not_found.is_empty() && !is_none { Exit::Done } else { Exit::Failed })
}

/// Returns the ids of the selected tokens.
async fn list_selected(selected: &Selected, store: &SavedObjects) -> Result<Vec<String>> {
    let listed = TokenInventory::new(store)?.list(&selected.selection())?;
    let ids = listed.map_ok(|item| match item {
        Ok(token) => token.id.to_string(),
        Err(unreadable) => unreadable.raw_id,
    });
    ids.try_collect().await
}

/// Deletes until no selected token is left.
async fn delete_selected(selected: &Selected, tokens: &ConnectorTokenClient) -> Result<()> {
    match (&selected.connector, &selected.user) {
        (Some(connector), Some(user)) => tokens.delete(Scope::User(user.clone()), connector, None).await?,
        (Some(connector), None) if selected.shared => tokens.delete(Scope::Shared, connector, None).await?,
        (Some(connector), None) if selected.all_users => tokens.delete_for_all_users(connector, None).await?,
        (Some(connector), None) => tokens.delete_of_connector(connector).await?,
        (None, Some(user)) => tokens.delete_of_user(user).await?,
        (None, None) => {}
    }
    Ok(())
}
