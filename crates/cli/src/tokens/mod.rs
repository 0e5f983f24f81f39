//! The command `tokens`, for operators. It prints no secret; secrets are opened only to report whether they can be
//! decrypted.

mod clean_up;
mod delete;
mod list;
mod show;

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::connection::{Connection, all_types};
use super::exit::Exit;
use super::output::Output;
use saved_objects::environment::{Environment, iso_millis};
use saved_objects::tokens::{ConnectorId, ProfileUid, Scope, Selection, TokenId, TokenMetadata};
use saved_objects::{Result, SavedObjects, tokens};

/// List and delete connectors' tokens, without their secrets
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(list::Arguments),
    Show(show::Arguments),
    Delete(delete::Arguments),
    CleanUp(clean_up::Arguments),
}

/// Selects tokens by owner and connector.
#[derive(Debug, Clone, clap::Args)]
struct Selected {
    /// Select tokens for this connector
    #[arg(long, value_name = "ID", value_parser = connector)]
    connector: Option<ConnectorId>,
    /// Select tokens of this user
    #[arg(long, value_name = "UID", value_parser = user)]
    user: Option<ProfileUid>,
    /// Select tokens that all users share
    #[arg(long, conflicts_with_all = ["user", "all_users"])]
    shared: bool,
    /// Select tokens of any user
    #[arg(long, conflicts_with = "user")]
    all_users: bool,
}

impl Selected {
    fn selection(&self) -> Selection {
        let scope = match (self.shared, self.all_users) {
            (true, _) => Some(saved_objects::tokens::ScopeKind::Shared),
            (false, true) => Some(saved_objects::tokens::ScopeKind::PerUser),
            (false, false) => None,
        };
        Selection { scope, connector_id: self.connector.clone(), profile_uid: self.user.clone() }
    }
}

/// Describes the selection in words.
impl fmt::Display for Selected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.shared, self.all_users) {
            (true, _) => "shared token",
            (false, true) => "token of any user",
            (false, false) => "token",
        })?;
        self.user.iter().try_for_each(|user| write!(f, " of the user {user}"))?;
        self.connector.iter().try_for_each(|connector| write!(f, " for the connector {connector}"))
    }
}

/// Refreshes the indices of tokens, so that searches see earlier writes.
async fn see_all_writes(store: &SavedObjects, output: Output) -> Result<()> {
    let types = tokens::types()?;
    super::sight::see_all_writes(&all_types(store)?, types.iter().map(|definition| definition.name()), output).await
}

/// A token in its printed form.
#[derive(Debug, Serialize)]
struct Printed {
    id: String,
    scope: &'static str,
    profile_uid: Option<String>,
    connector_id: String,
    token_type: String,
    expired: bool,
    expires_at: Option<String>,
    refresh_token_expires_at: Option<String>,
    created_at: String,
    updated_at: String,
}

impl Printed {
    fn new(token: &TokenMetadata, now: Timestamp) -> Self {
        Self {
            id: token.id.to_string(),
            scope: token.scope.kind().as_str(),
            profile_uid: match &token.scope {
                Scope::Shared => None,
                Scope::User(profile_uid) => Some(profile_uid.to_string()),
            },
            connector_id: token.connector_id.to_string(),
            token_type: token.token_type.to_string(),
            expired: token.expires_at.is_some_and(|expires_at| expires_at <= now),
            expires_at: token.expires_at.map(iso_millis),
            refresh_token_expires_at: token.refresh_token_expires_at.map(iso_millis),
            created_at: iso_millis(token.created_at),
            updated_at: iso_millis(token.updated_at),
        }
    }

    /// Returns a line for a person.
    fn line(&self) -> String {
        let whose = self.profile_uid.as_ref().map_or("shared".to_owned(), |uid| format!("of {uid}"));
        let until = match (&self.expires_at, self.expired) {
            (None, _) => "does not expire".to_owned(),
            (Some(moment), false) => format!("good until {moment}"),
            (Some(moment), true) => format!("expired at {moment}"),
        };
        format!("{}  for {}, {whose}, {}, {until}", self.id, self.connector_id, self.token_type)
    }
}

pub(super) async fn run(
    arguments: &Arguments,
    connection: &Connection,
    environment: &Environment,
    output: Output,
) -> Result<Exit> {
    let store = connection.store(environment)?;
    match &arguments.command {
        Command::List(arguments) => list::run(arguments, &store, output).await,
        Command::Show(arguments) => show::run(arguments, &store, output).await,
        Command::Delete(arguments) => delete::run(arguments, &store, output).await,
        Command::CleanUp(arguments) => clean_up::run(arguments, &store, output).await,
    }
}

fn connector(text: &str) -> Result<ConnectorId, String> {
    ConnectorId::new(text).map_err(|error| error.to_string())
}

fn user(text: &str) -> Result<ProfileUid, String> {
    ProfileUid::new(text).map_err(|error| error.to_string())
}

/// Parses a token's id, or the `_id` or TYPE/ID of its record.
fn id(text: &str) -> Result<TokenId, String> {
    const TYPES: [(&str, &str); 2] = [("user_connector_token", "per-user"), ("connector_token", "shared")];
    let of_record = TYPES.into_iter().find_map(|(type_name, scope)| {
        let uuid = text.strip_prefix(type_name)?.strip_prefix(['/', ':'])?;
        Some(format!("{scope}:{uuid}"))
    });
    of_record.as_deref().unwrap_or(text).parse::<TokenId>().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_named_by_its_id_or_by_its_record() {
        const UUID: &str = "a9106551-bfa7-872d-84d0-610d668914aa";
        let (shared, per_user) = (format!("shared:{UUID}"), format!("per-user:{UUID}"));
        let table = [
            (format!("connector_token:{UUID}"), &shared),
            (format!("connector_token/{UUID}"), &shared),
            (format!("user_connector_token:{UUID}"), &per_user),
            (format!("user_connector_token/{UUID}"), &per_user),
            (shared.clone(), &shared),
            (per_user.clone(), &per_user),
        ];
        for (text, expected) in table {
            assert_eq!(id(&text).map(|id| id.to_string()).as_ref(), Ok(expected), "{text}");
        }
        for text in ["connector_token:x", "connector_token", "note:1", ""] {
            assert!(id(text).is_err(), "{text}");
        }
    }
}
