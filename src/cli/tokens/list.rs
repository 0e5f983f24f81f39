use futures::TryStreamExt;
use serde::Serialize;

use super::{Printed, Selected};
use crate::Result;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::repository::Repository;
use crate::tokens::{TokenInventory, UnreadableRecord};

/// Name the tokens there are; exit 2 if a record is no token
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selected: Selected,
    /// Only tokens that have expired
    #[arg(long)]
    expired: bool,
}

#[derive(Serialize)]
struct Listed {
    tokens: Vec<Printed>,
    unreadable: Vec<UnreadableRecord>,
}

pub(super) async fn run(arguments: &Arguments, repository: &Repository, output: Output) -> Result<Exit> {
    let now = repository.environment().clock().now();
    let mut stream = TokenInventory::over(repository)?.list(&arguments.selected.selection())?;
    let (mut listed, mut count) = (Listed { tokens: Vec::new(), unreadable: Vec::new() }, 0_u64);
    while let Some(item) = stream.try_next().await? {
        match item {
            Ok(token) => {
                let printed = Printed::new(&token, now);
                if arguments.expired && !printed.expired {
                    continue;
                }
                count += 1;
                if output.is_json() {
                    listed.tokens.push(printed);
                } else {
                    output.say(printed.line());
                }
            }
            Err(unreadable) => {
                output.say(format!("no token: {}: {}", unreadable.raw_id, unreadable.error));
                let (id, reason) = (unreadable.raw_id, unreadable.error.to_string());
                listed.unreadable.push(UnreadableRecord { id, reason });
            }
        }
    }
    output.say(format!("{count} tokens"));
    output.document(&listed)?;
    Ok(if listed.unreadable.is_empty() { Exit::Done } else { Exit::Blocked })
}
