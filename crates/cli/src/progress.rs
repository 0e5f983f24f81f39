//! Progress of long work: bars on a terminal, lines in the log elsewhere.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use crate::output::Output;
use crate::terminal::{BARS, Stream, columns, duration};
use saved_objects::environment::Clock;
use saved_objects::repository::ImportProgress;
use saved_objects::verify::VerificationProgress;
use saved_objects::{migrate, rotation};

/// The interval at which the log reports the progress.
const LOG_INTERVAL: Duration = Duration::from_secs(5);
/// The shortest time that a rate is measured over.
const SHORTEST_MEASURE: Duration = Duration::from_millis(500);
/// The columns of a terminal that does not say how many it has.
const DEFAULT_WIDTH: usize = 80;
/// The longest and the shortest bar in columns. Without room for the shortest one, there is none.
const LONGEST_BAR: usize = 30;
/// See [`LONGEST_BAR`].
const SHORTEST_BAR: usize = 8;

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
        let migrate::Progress { alias, state, outdated, read, written } = now;
        let (read, written) = (*read, *written);
        let documents = (*outdated).max(read);
        // A plan has no states, and writes nothing.
        let (doing, done) = if state.is_none() { ("planning", read) } else { ("migrating", written) };
        Self { doing, name: alias.clone(), documents, read, done, written }
    }
}

impl From<&rotation::RotationProgress> for Shown {
    fn from(now: &rotation::RotationProgress) -> Self {
        let rotation::RotationProgress { index, documents, read, rotated } = now;
        let (read, written) = (*read, *rotated);
        Self { doing: "rotating", name: index.clone(), documents: (*documents).max(read), read, done: read, written }
    }
}

impl From<&VerificationProgress> for Shown {
    fn from(now: &VerificationProgress) -> Self {
        let VerificationProgress { alias, documents, read } = now;
        let (documents, read) = ((*documents).max(*read), *read);
        Self { doing: "verifying", name: alias.clone(), documents, read, done: read, written: 0 }
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
        let mut bars = Bars { clock, current: None };
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

/// The bar of the current index group. It is removed when the group is done, because the report says the same.
struct Bars<'a> {
    clock: &'a dyn Clock,
    current: Option<Bar>,
}

/// A line of a terminal that is drawn again whenever something happened.
struct Bar {
    name: String,
    line: ProgressBar,
    began: Duration,
}

impl Bars<'_> {
    async fn show<P>(&mut self, mut progress: watch::Receiver<P>) -> Infallible
    where
        for<'a> Shown: From<&'a P>,
    {
        while progress.changed().await.is_ok() {
            let now = Shown::from(&*progress.borrow_and_update());
            // A group with nothing to do has no bar.
            if now.documents > 0 {
                self.draw(&now);
            }
        }
        std::future::pending().await
    }

    fn draw(&mut self, now: &Shown) {
        let time = self.clock.monotonic();
        if self.current.as_ref().is_some_and(|bar| bar.name != now.name) {
            self.end();
        }
        let begin = || {
            let line = BARS.add(ProgressBar::new(0));
            line.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
            Bar { name: now.name.clone(), line, began: time }
        };
        let bar = self.current.get_or_insert_with(begin);
        let per_second = per_second(now.done, time.saturating_sub(bar.began));
        bar.line.set_message(now.line(per_second, Stream::Err.width().unwrap_or(DEFAULT_WIDTH)));
    }

    fn end(&mut self) {
        if let Some(bar) = self.current.take() {
            bar.line.finish_and_clear();
            BARS.remove(&bar.line);
        }
    }
}

impl Drop for Bars<'_> {
    /// A second signal ends the work at once, and must leave no bar behind.
    fn drop(&mut self) {
        self.end();
    }
}

impl Shown {
    /// Returns the line of a bar: the name, the bar, how many documents are done, how fast, and how long it still takes.
    /// What does not fit the terminal is left out, the least important part first.
    fn line(&self, per_second: Option<u64>, width: usize) -> String {
        let Self { name, documents, done, .. } = self;
        let rate = per_second.map(|rate| format!(", {rate}/s")).unwrap_or_default();
        let left = self.seconds_left(per_second).map(|left| format!(", {} left", duration(left))).unwrap_or_default();
        let figures = format!("{done}/{documents}{rate}{left}");
        // The last column stays free: a full line makes some terminals begin another one.
        let available = width.saturating_sub(1);
        let used = columns(name) + columns(&figures) + 2;
        let bar = available.saturating_sub(used).min(LONGEST_BAR);
        if bar >= SHORTEST_BAR {
            return format!("{name} {} {figures}", self.bar(bar));
        }
        let name_width = available.saturating_sub(columns(&figures) + 1);
        let name = match columns(name) <= name_width {
            true => name.clone(),
            // The end of an alias says more than its beginning, which is the prefix.
            false => {
                let skipped = columns(name).saturating_sub(name_width.saturating_sub(1));
                format!("…{}", name.chars().skip(skipped).collect::<String>())
            }
        };
        format!("{name} {figures}").chars().take(available).collect()
    }

    fn bar(&self, width: usize) -> String {
        let full = (self.done.min(self.documents) * width as u64).checked_div(self.documents).unwrap_or_default();
        let full = usize::try_from(full).unwrap_or(width).min(width);
        format!("{}{}", "█".repeat(full), "░".repeat(width - full))
    }

    /// Returns the seconds that the rest takes at this rate, if something was done.
    fn seconds_left(&self, per_second: Option<u64>) -> Option<u64> {
        let rate = per_second.filter(|rate| *rate > 0)?;
        Some(self.documents.saturating_sub(self.done).div_ceil(rate))
    }
}

/// Returns the rate in whole documents, or `None` if too little time has passed to measure it.
fn per_second(done: u64, elapsed: Duration) -> Option<u64> {
    if elapsed < SHORTEST_MEASURE {
        return None;
    }
    done.saturating_mul(1_000).checked_div(u64::try_from(elapsed.as_millis()).ok()?)
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
        let per_second = since / LOG_INTERVAL.as_secs();
        let seconds_left = now.seconds_left(Some(per_second));
        let Shown { doing, name, documents, read, written, .. } = &now;
        tracing::info!(name, read, written, documents, per_second, seconds_left, "{doing}");
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
    use saved_objects::migrate::{Progress, State};

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
            let alias = alias.to_owned();
            let progress = Progress { alias, state: Some(State::Convert { pass: 1 }), outdated, read, written };
            sender.send_replace(progress);
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn each_index_group_at_work_has_a_bar() {
        let (sender, receiver) = watch::channel(Progress::default());
        let mut bars = Bars { clock: &Impatient, current: None };
        until_done(tell(sender, &[("a", 9, 4, 4), ("b", 3, 2, 1), ("c", 0, 0, 0)]), bars.show(receiver)).await;
        let bar = bars.current.as_ref().expect("there is a bar");
        assert!(bar.line.message().starts_with("b "), "c has nothing to do: {}", bar.line.message());
        assert!(bar.line.message().ends_with(" 1/3"), "{}", bar.line.message());
        bars.end();
        assert!(bars.current.is_none());
    }

    #[test]
    fn a_bar_fits_every_terminal() {
        let shown = Shown {
            doing: "migrating",
            name: "saved-objects-connectors".to_owned(),
            documents: 200_000,
            read: 60_000,
            done: 50_000,
            written: 50_000,
        };
        let bar = |full: usize, empty: usize| format!("{}{}", "█".repeat(full), "░".repeat(empty));
        let table = [
            (140, format!("saved-objects-connectors {} 50000/200000, 12345/s, 13 s left", bar(7, 23))),
            (80, format!("saved-objects-connectors {} 50000/200000, 12345/s, 13 s left", bar(5, 16))),
            (60, "saved-objects-connectors 50000/200000, 12345/s, 13 s left".to_owned()),
            (50, "…ects-connectors 50000/200000, 12345/s, 13 s left".to_owned()),
            (20, "… 50000/200000, 123".to_owned()),
        ];
        for (width, expected) in table {
            let line = shown.line(Some(12_345), width);
            assert_eq!(line, expected, "{width}");
            assert!(columns(&line) < width);
        }
        assert!(shown.line(None, 140).ends_with(" 50000/200000"), "no rate is made up");
        assert!(shown.line(Some(0), 140).ends_with(" 50000/200000, 0/s"));
        let hours = Shown { documents: 2_000_000_000, ..shown };
        assert!(hours.line(Some(10_000), 140).ends_with(", 10000/s, 55 h 33 min left"));
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
            r#"name="a" read=10 written=10 documents=20 per_second=2 seconds_left=5"#,
            r#"name="a" read=20 written=20 documents=20 per_second=2 seconds_left=0"#,
            r#"name="b" read=5 written=5 documents=5 per_second=1 seconds_left=0"#,
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
