//! Imports. The file is read once to check it, and once more to write its objects.

use std::collections::BTreeMap;
use std::io::SeekFrom;

use tokio::io::{AsyncRead, AsyncSeek, AsyncSeekExt, BufReader};

use super::check::{Checked, Checker};
use super::lines::Lines;
use super::problem::{MAX_NAMED, kind_of, problem};
use super::request::{Import, ImportProgress};
use super::summary::{ImportSummary, Relocated};
use super::targets::{Item, RawLines, Ready};
use crate::repository::access::Admitted;
use crate::repository::pipeline::errors;
use crate::repository::pipeline::write::{Sources, Write, Written};
use crate::repository::{Action, Repository};
use crate::{Error, ErrorKind, Result, telemetry};

/// The largest number of objects that are looked up or written at once.
const BATCH: usize = 500;
/// The bytes of lines that are looked up or written at once, unless a single line has more.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
impl Repository {
    /// Reads lines of an export twice: first to check every object, then to write them in batches.
    ///
    /// If a line is malformed or an object cannot be imported, the summary names each one, and nothing is written. The
    /// first reading also finds what the index would refuse, as far as that is known without the server: names, values
    /// that do not fit their mapping, lengths. The summary also names what the second reading could not write, because
    /// another caller wrote meanwhile or the server failed, and the line at which the writing stopped, if it did.
    ///
    /// An interrupted import is repeated with [`OnConflict::Resume`](super::OnConflict::Resume).
    ///
    /// If an object's id is taken by an object that its namespace does not see, it gets another id and keeps the old
    /// one as its origin; a later import finds it by that. References to objects of types with several namespaces that
    /// are not in the file lead to the new ids, if an earlier import gave them others. Origins are searched for, in
    /// indices that are refreshed before, so that objects that were just imported are found.
    ///
    /// The audit is told for each object whether it may be imported, and how its write ended. If the whole import is
    /// refused, the audit is told that each object was [given up](crate::repository::AuditOutcome::GivenUp).
    ///
    /// Both readings need memory for a batch, and about a hundred bytes for each object, or a few hundred for an object
    /// of a type with several namespaces.
    ///
    /// ```no_run
    /// # use saved_objects::repository::{Import, OnConflict, Repository};
    /// # async fn example(repository: &Repository) -> Result<(), Box<dyn std::error::Error>> {
    /// let file = tokio::fs::File::open("export.ndjson").await?;
    /// let summary = repository.import(Import::new().on_conflict(OnConflict::Overwrite), file).await?;
    /// for problem in &summary.errors {
    ///     eprintln!("line {}: {}", problem.line, problem.message);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Nothing was written if the result is one of these:
    /// - [`Forbidden`](ErrorKind::Forbidden) if the caller may not import an object into one of its namespaces.
    /// - [`NotFound`](ErrorKind::NotFound) if an index does not exist.
    /// - [`Unavailable`](ErrorKind::Unavailable) if the file cannot be read, or if the cluster cannot be reached for
    ///   the check.
    #[tracing::instrument(name = "operation", level = "debug", skip_all, fields(operation = "import"))]
    pub async fn import<R: AsyncRead + AsyncSeek + Unpin>(
        &self,
        request: Import,
        mut file: R,
    ) -> Result<ImportSummary> {
        let mut checker = Checker::new(self, &request);
        let start = file.stream_position().await.map_err(unreadable)?;
        let bytes = match request.progress.receiver_count() {
            0 => 0,
            _ => bytes_from(&mut file, start).await?,
        };
        let mut lines = Lines::new(BufReader::new(&mut file), request.max_line_bytes);
        while let Some(batch) = read_batch(&mut lines).await? {
            self.shared.engine.environment.stop().check()?;
            checker.check(batch).await?;
            let read = lines.next_number() - 1;
            // An estimate that takes the rest of the file to be like what was read.
            let all = u128::from(read) * u128::from(bytes) / u128::from(lines.read_bytes().max(1));
            let all = u64::try_from(all).unwrap_or(u64::MAX).max(read);
            request.progress.send_modify(|progress| (progress.lines, progress.read) = (all, read));
        }
        let all_lines = lines.next_number() - 1;
        let Checked { problems, not_listed, skipped, already_there, is_complete, targets, admitted } =
            checker.end().await?;
        let mut summary = ImportSummary {
            skipped_count: skipped,
            already_there_count: already_there,
            is_complete,
            errors: problems,
            not_listed,
            ..ImportSummary::default()
        };
        if !summary.errors.is_empty() {
            return Ok(summary);
        }
        request.progress.send_replace(ImportProgress { is_writing: true, lines: all_lines, read: 0, written: 0 });
        file.seek(SeekFrom::Start(start)).await.map_err(unreadable)?;
        let mut lines = Lines::new(BufReader::new(&mut file), request.max_line_bytes);
        let mut writer = Writer { repository: self, request: &request, admitted, summary: &mut summary };
        let mut is_stopped = false;
        loop {
            let next = lines.next_number();
            if let Err(stopped) = self.shared.engine.environment.stop().check() {
                writer.stop(next, Some(&stopped));
                break;
            }
            let batch = match read_batch(&mut lines).await {
                Ok(Some(batch)) => batch,
                Ok(None) => break,
                Err(error) => {
                    writer.stop(next, Some(&error));
                    break;
                }
            };
            let first = batch.first().map_or(next, |(line, _)| *line);
            if is_stopped {
                // The errors of the objects that met the cause report it.
                writer.stop(first, None);
                break;
            }
            match targets.prepare(self, &request, batch).await {
                Ok(prepared) => is_stopped = writer.write(prepared).await == Next::Stop,
                Err(error) => {
                    writer.stop(first, Some(&error));
                    break;
                }
            }
            let (read, written) = (lines.next_number() - 1, writer.summary.success_count);
            request.progress.send_modify(|progress| (progress.read, progress.written) = (read, written));
        }
        summary.success = summary.errors.is_empty() && summary.stopped_at_line.is_none();
        Ok(summary)
    }
}

/// Returns the number of bytes of a file from `start` on. The file is at `start` afterwards.
async fn bytes_from<R: AsyncSeek + Unpin>(file: &mut R, start: u64) -> Result<u64> {
    let end = file.seek(SeekFrom::End(0)).await.map_err(unreadable)?;
    file.seek(SeekFrom::Start(start)).await.map_err(unreadable)?;
    Ok(end.saturating_sub(start))
}

/// Returns the next lines with their numbers, or `None` at the end.
async fn read_batch<R: tokio::io::AsyncBufRead + Unpin>(lines: &mut Lines<R>) -> Result<Option<RawLines>> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    while batch.len() < BATCH && bytes < BATCH_BYTES {
        let Some((number, line)) = lines.next().await? else { break };
        bytes += line.as_ref().map_or(0, |line| line.len());
        batch.push((number, line));
    }
    Ok((!batch.is_empty()).then_some(batch))
}

/// Whether to write more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    Stop,
}

struct Writer<'a> {
    repository: &'a Repository,
    request: &'a Import,
    /// By line. The audit is told that what remains at the end was given up.
    admitted: BTreeMap<u64, Admitted>,
    summary: &'a mut ImportSummary,
}

impl Writer<'_> {
    /// Writes a batch. Each of its objects is counted as written or named as not written.
    async fn write(&mut self, prepared: Vec<(Item, Result<Ready>)>) -> Next {
        let mut items = Vec::with_capacity(prepared.len());
        let mut writes = Vec::with_capacity(prepared.len());
        let mut sources = Sources::of(prepared.len(), self.repository.environment());
        for (item, ready) in prepared {
            match ready.and_then(|ready| Ok((write_of(&item, &ready, &mut sources)?, ready.keeps_secrets))) {
                Ok((write, keeps_secrets)) => {
                    writes.push(write);
                    items.push((item, keeps_secrets));
                }
                Err(error) => self.failed(&item, error),
            }
        }
        let mut next = Next::GoOn;
        let writes = items.iter().map(|(item, _)| &item.target).zip(writes).collect();
        let outcomes = self.repository.write_many(writes, self.request.refresh).await;
        for ((item, keeps_secrets), outcome) in items.iter().zip(outcomes) {
            match outcome {
                Ok(Written::Done(_)) => self.done(item, *keeps_secrets),
                Ok(Written::Conflict) => self.failed(item, errors::changed(&item.target.key)),
                Err(error) => {
                    // All later objects would meet these too.
                    if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::NotFound | ErrorKind::Forbidden) {
                        next = Next::Stop;
                    }
                    self.failed(item, error);
                }
            }
        }
        if self.summary.errors.len() > MAX_NAMED { Next::Stop } else { next }
    }

    fn done(&mut self, item: &Item, keeps_secrets: bool) {
        telemetry::operation_counted(Action::Import.name(), item.target.definition.label(), "done");
        self.summary.success_count += 1;
        self.summary.kept_secrets_count += u64::from(keeps_secrets);
        let destination_id = &item.target.key.id;
        if *destination_id != item.object.id {
            let relocated = Relocated { object: item.object.clone(), destination_id: destination_id.clone() };
            self.summary.relocated.push(relocated);
        }
        if let Some(admitted) = self.admitted.remove(&item.line) {
            admitted.tell(&Ok(()));
        }
    }

    fn failed(&mut self, item: &Item, error: Error) {
        telemetry::operation_counted(Action::Import.name(), item.target.definition.label(), error.kind().name());
        let mut problem = item.problem(&error);
        if item.target.key.id != item.object.id {
            problem.destinations.push(item.target.key.id.clone());
        }
        self.summary.errors.push(problem);
        if let Some(admitted) = self.admitted.remove(&item.line) {
            admitted.tell::<()>(&Err(error));
        }
    }

    /// Records that nothing is written from `line` on, and the reason, unless that is recorded already.
    fn stop(&mut self, line: u64, why: Option<&Error>) {
        self.summary.stopped_at_line = Some(line);
        self.summary.errors.extend(why.map(|error| problem(line, None, kind_of(error), error.to_string())));
    }
}

fn write_of(item: &Item, ready: &Ready, sources: &mut Sources) -> Result<Write> {
    match ready.over {
        None => Write::create(&item.target, &ready.document, sources),
        Some(version) => Write::replace(&item.target, &ready.document, version, sources),
    }
}

fn unreadable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the file cannot be read from its beginning: {error}"))
        .with_hint("give a file; a pipe cannot be read twice")
        .with_source(error)
}
