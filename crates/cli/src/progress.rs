//! Progress of long work: bars on a terminal, lines in the log elsewhere.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use crate::output::Output;
use saved_objects::environment::Clock;
use saved_objects::repository::ImportProgress;
use saved_objects::{migrate, rotation};

/// The interval at which the log reports the progress.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// The progress of some work, in the form that is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// What the work does, for the log.
    doing: &'static str,
    /// The alias or index that is being worked on.
    name: String,
    documents: u64,
    read: u64,
    /// The position of the bar.
    done: u64,
    written: u64,
}

impl From<&migrate::Progress> for Shown {
    fn from(now: &migrate::Progress) -> Self {
        let migrate::Progress { alias, outdated, read, written, .. } = now;
        let (read, written) = (*read, *written);
        Self { doing: "migrating", name: alias.clone(), documents: (*outdated).max(read), read, done: written, written }
    }
}

impl From<&rotation::RotationProgress> for Shown {
    fn from(now: &rotation::RotationProgress) -> Self {
        let rotation::RotationProgress { index, documents, read, rotated } = now;
        let (read, written) = (*read, *rotated);
        Self { doing: "rotating", name: index.clone(), documents: (*documents).max(read), read, done: read, written }
    }
}

impl From<&ImportProgress> for Shown {
    fn from(now: &ImportProgress) -> Self {
        let ImportProgress { is_writing, lines, read, written } = *now;
        let name = if is_writing { "writing" } else { "checking" };
        Self { doing: "importing", name: name.to_owned(), documents: lines.max(read), read, done: read, written }
    }
}

/// Runs `work` and shows its progress: on a terminal a bar for each index group, elsewhere lines in the log.
pub(super) async fn watch<T, P>(
    output: Output,
    clock: &dyn Clock,
    progress: watch::Receiver<P>,
    work: impl Future<Output = T>,
) -> T
where
    for<'a> Shown: From<&'a P>,
{
    // The future that shows progress never ends before the work.
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

/// The bar of the current index group. The bars of earlier groups stay above it.
struct Bars {
    current: Option<(String, ProgressBar)>,
}

impl Bars {
    async fn show<P>(&mut self, mut progress: watch::Receiver<P>) -> Infallible
    where
        for<'a> Shown: From<&'a P>,
    {
        while progress.changed().await.is_ok() {
            let now = Shown::from(&*progress.borrow_and_update());
            // A group with nothing to do has no bar.
            if now.documents == 0 {
                continue;
            }
            let bar = self.bar_of(&now.name);
            bar.set_length(now.documents);
            bar.set_position(now.done);
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

/// Logs a line whenever the interval has passed and something has happened.
async fn log<P>(clock: &dyn Clock, progress: watch::Receiver<P>) -> Infallible
where
    for<'a> Shown: From<&'a P>,
{
    let mut before = Shown::default();
    loop {
        clock.sleep(LOG_INTERVAL).await;
        let now = Shown::from(&*progress.borrow());
        // There is nothing to report before work on the first index begins.
        if now == before || now.name.is_empty() {
            continue;
        }
        let since = if now.name == before.name { now.done.saturating_sub(before.done) } else { now.done };
        let Shown { doing, name, documents, read, written, .. } = &now;
        tracing::info!(name, read, written, documents, per_second = since / LOG_INTERVAL.as_secs(), "{doing}");
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use jiff::Timestamp;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use saved_objects::migrate::Progress;

    /// A clock whose `sleep` yields to other tasks and returns at once.
    #[derive(Debug)]
    struct Impatient;

    #[async_trait]
    impl Clock for Impatient {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }

        async fn sleep(&self, _: Duration) {
            tokio::task::yield_now().await;
        }
    }

    #[derive(Debug, Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no test panics with the lock").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Log {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// Sends the progress of a migration, step by step: alias, outdated, read and written documents.
    async fn tell(sender: watch::Sender<Progress>, steps: &[(&str, u64, u64, u64)]) {
        for &(alias, outdated, read, written) in steps {
            let progress = Progress { alias: alias.to_owned(), outdated, read, written, ..Progress::default() };
            sender.send_replace(progress);
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn each_index_group_at_work_has_a_bar() {
        let (sender, receiver) = watch::channel(Progress::default());
        let mut bars = Bars { current: None };
        until_done(tell(sender, &[("a", 9, 4, 4), ("b", 3, 2, 1), ("c", 0, 0, 0)]), bars.show(receiver)).await;
        let (alias, bar) = bars.current.as_ref().expect("there is a bar");
        assert_eq!((alias.as_str(), bar.length(), bar.position()), ("b", Some(3), 1), "c has nothing to do");
        bars.end();
        assert!(bars.current.is_none());
    }

    #[tokio::test]
    async fn elsewhere_the_log_says_how_far_it_is_whenever_something_happened() {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let (sender, receiver) = watch::channel(Progress::default());
        let steps = [("", 20, 0, 0), ("a", 20, 10, 10), ("a", 20, 20, 20), ("b", 5, 5, 5)];
        watch_in_log(&Impatient, receiver, tell(sender, &steps)).await;
        let log = String::from_utf8(log.0.lock().expect("no test panics with the lock").clone()).expect("UTF-8");
        let lines: Vec<_> =
            log.lines().filter_map(|line| line.split_once("migrating ")).map(|(_, told)| told).collect();
        let expected = [
            r#"name="a" read=10 written=10 documents=20 per_second=2"#,
            r#"name="a" read=20 written=20 documents=20 per_second=2"#,
            r#"name="b" read=5 written=5 documents=5 per_second=1"#,
        ];
        assert_eq!(lines, expected);
    }

    async fn watch_in_log<T>(
        clock: &dyn Clock,
        progress: watch::Receiver<Progress>,
        work: impl Future<Output = T>,
    ) -> T {
        until_done(work, log(clock, progress)).await
    }
}
