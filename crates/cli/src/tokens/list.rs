//! The command `tokens list`.

use futures::TryStreamExt;
use serde::Serialize;

use super::{Printed, Selected};
use crate::exit::Exit;
use crate::output::Output;
use saved_objects::tokens::{TokenInventory, UnreadableRecord};
use saved_objects::{Result, SavedObjects};

/// List the stored tokens; exit 2 if a record is not a token
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selected: Selected,
    /// List only tokens that have expired
    #[arg(long)]
    expired: bool,
}

#[derive(Serialize)]
struct Listed {
    tokens: Vec<Printed>,
    unreadable: Vec<UnreadableRecord>,
}

pub(super) async fn run(arguments: &Arguments, store: &SavedObjects, output: Output) -> Result<Exit> {
    super::see_all_writes(store, output).await?;
    let now = store.engine().environment().clock().now();
    let mut stream = TokenInventory::new(store)?.list(&arguments.selected.selection())?;
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
    output.say(match count {
        0 if arguments.expired => format!("no {} has expired", arguments.selected),
        0 => format!("there is no {}", arguments.selected),
        _ => format!("{count} tokens"),
    });
    output.document(&listed)?;
    Ok(if listed.unreadable.is_empty() { Exit::Done } else { Exit::Blocked })
}
