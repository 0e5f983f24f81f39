use std::convert::Infallible;
use std::pin::pin;

use futures::future::{Either, select};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use crate::cli::output::Output;
use crate::migrate::Progress;

/// Runs `work` and shows its progress: a bar for a person who watches, nothing elsewhere (the log has the steps).
pub(super) async fn watch<T>(
    output: Output,
    mut progress: watch::Receiver<Progress>,
    work: impl Future<Output = T>,
) -> T {
    if !output.is_terminal() {
        return work.await;
    }
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} documents, {per_sec}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let showing = async {
        while progress.changed().await.is_ok() {
            let now = progress.borrow_and_update().clone();
            bar.set_message(now.alias);
            bar.set_length(now.outdated.max(now.read));
            bar.set_position(now.written);
        }
        // Whoever works holds the sender, so the bar never ends before the work.
        std::future::pending::<Infallible>().await
    };
    let result = match select(pin!(work), pin!(showing)).await {
        Either::Left((result, _)) => result,
        Either::Right((never, _)) => match never {},
    };
    bar.finish_and_clear();
    result
}
