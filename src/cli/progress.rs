use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use crate::cli::output::Output;
use crate::environment::Clock;
use crate::migrate::Progress;

/// How often the log says how far a migration is.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Runs `work` and shows its progress: a bar for each index group to a person who watches, lines in the log elsewhere.
pub(super) async fn watch<T>(
    output: Output,
    clock: &dyn Clock,
    progress: watch::Receiver<Progress>,
    work: impl Future<Output = T>,
) -> T {
    // Whoever shows never ends before the work.
    if output.is_terminal() {
        let mut bars = Bars { current: None };
        let result = until_done(work, bars.show(progress)).await;
        bars.end();
        result
    } else {
        until_done(work, log(clock, progress)).await
    }
}

async fn until_done<T>(work: impl Future<Output = T>, showing: impl Future<Output = Infallible>) -> T {
    match select(pin!(work), pin!(showing)).await {
        Either::Left((result, _)) => result,
        Either::Right((never, _)) => match never {},
    }
}

/// The bar of the index group at work. Those of earlier groups stay above it.
struct Bars {
    current: Option<(String, ProgressBar)>,
}

impl Bars {
    async fn show(&mut self, mut progress: watch::Receiver<Progress>) -> Infallible {
        while progress.changed().await.is_ok() {
            let now = progress.borrow_and_update().clone();
            // A group with nothing to do has no bar.
            if now.outdated == 0 && now.read == 0 {
                continue;
            }
            let bar = self.bar_of(&now.alias);
            bar.set_length(now.outdated.max(now.read));
            bar.set_position(now.written);
        }
        std::future::pending().await
    }

    fn bar_of(&mut self, alias: &str) -> &ProgressBar {
        if self.current.as_ref().is_some_and(|(shown, _)| shown != alias) {
            self.end();
        }
        let begin = || {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} documents, {per_sec}, {eta} left");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(alias.to_owned());
            (alias.to_owned(), bar)
        };
        &self.current.get_or_insert_with(begin).1
    }

    fn end(&mut self) {
        if let Some((_, bar)) = self.current.take() {
            bar.abandon();
        }
    }
}

/// A line whenever it is time for one and something has happened.
async fn log(clock: &dyn Clock, progress: watch::Receiver<Progress>) -> Infallible {
    let mut before = Progress::default();
    loop {
        clock.sleep(LOG_INTERVAL).await;
        let now = progress.borrow().clone();
        if now == before {
            continue;
        }
        let since = if now.alias == before.alias { now.written.saturating_sub(before.written) } else { now.written };
        let Progress { alias, read, written, outdated, .. } = &now;
        tracing::info!(alias, read, written, outdated, per_second = since / LOG_INTERVAL.as_secs(), "migrating");
        before = now;
    }
}
