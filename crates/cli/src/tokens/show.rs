//! The command `tokens show`.

use serde::Serialize;

use super::Printed;
use crate::exit::Exit;
use crate::output::Output;
use saved_objects::tokens::{TokenError, TokenId, TokenInventory};
use saved_objects::{Error, ErrorKind, Result, SavedObjects};

/// Say what is known of one token, and whether its secrets can be decrypted; exit 2 if they cannot
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The token's id, as `list` shows it: `shared:<uuid>` or `per-user:<uuid>`; or the `_id` of its record, or TYPE/ID
    #[arg(value_name = "ID", value_parser = super::id)]
    id: TokenId,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    token: Printed,
    secrets: Secrets,
}

#[derive(Serialize)]
struct Secrets {
    open: bool,
    oauth: Option<bool>,
    refresh_token: Option<bool>,
    /// Why the secrets cannot be decrypted.
    reason: Option<String>,
}

pub(super) async fn run(arguments: &Arguments, store: &SavedObjects, output: Output) -> Result<Exit> {
    let inventory = TokenInventory::new(store)?;
    let not_found = || {
        Error::new(ErrorKind::NotFound, format!("there is no token {}", arguments.id))
            .with_hint("`saved-objects tokens list` shows the tokens there are")
    };
    let token = inventory.get(&arguments.id).await?.ok_or_else(not_found)?;
    let secrets = match inventory.summarize_secrets(&token).await {
        Ok(summary) => {
            let summary = summary.ok_or_else(not_found)?;
            let (oauth, refresh_token) = (Some(summary.is_oauth), Some(summary.has_refresh_token));
            Secrets { open: true, oauth, refresh_token, reason: None }
        }
        Err(TokenError::Unreadable { source, .. }) => {
            Secrets { open: false, oauth: None, refresh_token: None, reason: Some(source.to_string()) }
        }
        Err(error) => return Err(error.into()),
    };
    let shown = Shown { token: Printed::new(&token, store.engine().environment().clock().now()), secrets };
    describe(&shown, output);
    output.document(&shown)?;
    Ok(if shown.secrets.open { Exit::Done } else { Exit::Blocked })
}

fn describe(Shown { token, secrets }: &Shown, output: Output) {
    output.say(token.line());
    output.say(format!("created at {}, last written at {}", token.created_at, token.updated_at));
    output.say(match (secrets.refresh_token, &token.refresh_token_expires_at) {
        (None, _) => format!("its secrets do not open: {}", secrets.reason.as_deref().unwrap_or_default()),
        (Some(false), _) => "its secrets open; there is no refresh token".to_owned(),
        (Some(true), None) => "its secrets open; there is a refresh token".to_owned(),
        (Some(true), Some(moment)) => format!("its secrets open; there is a refresh token, good until {moment}"),
    });
}
