use std::collections::{BTreeMap, BTreeSet};
use std::io::SeekFrom;

use tokio::io::{AsyncRead, AsyncSeek, AsyncSeekExt, BufReader};
use tokio::sync::watch;

use super::check::{Checked, Checker};
use super::lines::Lines;
use super::summary::{ImportSummary, NamedObject, Relocated};
use super::targets::{Item, RawLines, Ready, problem};
use crate::cluster::{ClusterError, ClusterErrorKind, ItemError, ItemErrorKind, Refresh};
use crate::document::{Namespace, Reference};
use crate::repository::access::Admitted;
use crate::repository::write::{Sources, Write, Written};
use crate::repository::{Repository, errors};
use crate::{Error, ErrorKind, Result};

/// Objects that are looked up or written at once.
const BATCH: usize = 500;
/// Bytes of lines that are looked up or written at once, unless a single line has more.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// The longest line unless the request says otherwise, in bytes. A line of small values takes thirty times its size while it is
/// read.
const DEFAULT_MAX_LINE_BYTES: usize = 10 * 1024 * 1024;
/// Problems that a summary names.
pub(super) const MAX_NAMED: usize = 1_000;

/// What to do about objects that exist already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnConflict {
    /// Nothing is imported.
    #[default]
    Fail,
    /// They are overwritten, whatever they are. What a line leaves out stays: when and by whom the object was created, its origin,
    /// whether it is managed, and its secrets if the line has neither `envelopes` nor `secrets`.
    Overwrite,
    /// Those that are as the file has them are passed over: what an import that was cut off has written. If one is different, nothing
    /// is imported.
    Resume,
    /// Every object gets a new id, and references within the file follow.
    NewIds,
}

/// What to do about one object of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is left out.
    Skip,
    /// It overwrites the object with its id, or with this one.
    Overwrite(Option<String>),
    /// It is created with a new id, or with this one.
    NewId(Option<String>),
}

/// How objects are to be imported.
#[derive(Debug, Clone)]
pub struct Import {
    max_line_bytes: usize,
    pub(super) namespace: Option<Namespace>,
    pub(super) on_conflict: OnConflict,
    pub(super) decisions: BTreeMap<NamedObject, Decision>,
    pub(super) only_decided: bool,
    required: BTreeSet<String>,
    may_miss: BTreeSet<NamedObject>,
    redirected: BTreeMap<NamedObject, BTreeMap<NamedObject, String>>,
    refresh: Refresh,
    progress: watch::Sender<ImportProgress>,
}

/// How far an import is ([`Import::progress`]).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportProgress {
    /// Whether the file is read the second time, and its objects are written.
    pub is_writing: bool,
    /// How many lines the file has: while it is read the first time, about.
    pub lines: u64,
    /// How many of them were read, in this reading.
    pub read: u64,
    /// How many objects were written.
    pub written: u64,
}

impl Default for Import {
    fn default() -> Self {
        Self {
            max_line_bytes: DEFAULT_MAX_LINE_BYTES,
            namespace: None,
            on_conflict: OnConflict::default(),
            decisions: BTreeMap::new(),
            only_decided: false,
            required: BTreeSet::new(),
            may_miss: BTreeSet::new(),
            redirected: BTreeMap::new(),
            refresh: Refresh::default(),
            progress: watch::Sender::default(),
        }
    }
}

impl Import {
    /// All objects, into the namespaces that the file says; nothing if one of them exists.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes lines of at most this length, in bytes: 10 MiB unless said otherwise. An object that the server does not take is named
    /// all the same.
    #[must_use]
    pub fn max_line_bytes(mut self, bytes: usize) -> Self {
        self.max_line_bytes = bytes;
        self
    }

    /// Imports them into this namespace instead.
    #[must_use]
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Says what to do about objects that exist already.
    #[must_use]
    pub fn on_conflict(mut self, on_conflict: OnConflict) -> Self {
        self.on_conflict = on_conflict;
        self
    }

    /// Says what to do about one object: the answer to a problem of an import before.
    #[must_use]
    pub fn decide(mut self, type_name: impl Into<String>, id: impl Into<String>, decision: Decision) -> Self {
        self.decisions.insert(NamedObject { type_name: type_name.into(), id: id.into() }, decision);
        self
    }

    /// Imports only the objects that something was decided about.
    #[must_use]
    pub fn only_decided(mut self) -> Self {
        self.only_decided = true;
        self
    }

    /// Imports nothing if an object refers to one of this type that is neither in the file nor in the store.
    #[must_use]
    pub fn require_references(mut self, type_name: impl Into<String>) -> Self {
        self.required.insert(type_name.into());
        self
    }

    /// Lets this object of the file refer to what is missing.
    #[must_use]
    pub fn may_miss_references(mut self, object: NamedObject) -> Self {
        self.may_miss.insert(object);
        self
    }

    /// Lets this object of the file refer to `to`, of the same type, where it refers to `from`.
    #[must_use]
    pub fn replace_reference(mut self, object: NamedObject, from: NamedObject, to: impl Into<String>) -> Self {
        self.redirected.entry(object).or_default().insert(from, to.into());
        self
    }

    /// Whether the import fails if what `object` refers to of this type is missing.
    pub(super) fn is_required(&self, object: &NamedObject, type_name: &str) -> bool {
        self.required.contains(type_name) && !self.may_miss.contains(object)
    }

    /// Lets the references of an object lead to where the request says.
    pub(super) fn redirect(&self, object: &NamedObject, references: &mut [Reference]) {
        let Some(redirected) = self.redirected.get(object) else { return };
        for reference in references {
            let from = NamedObject { type_name: reference.type_name.clone(), id: reference.id.clone() };
            if let Some(to) = redirected.get(&from) {
                reference.id.clone_from(to);
            }
        }
    }

    /// Returns how far the import of this request is, while it runs.
    pub fn progress(&self) -> watch::Receiver<ImportProgress> {
        self.progress.subscribe()
    }

    /// Decides when [`Repository::find`] sees the objects.
    #[must_use]
    pub fn refresh(mut self, refresh: Refresh) -> Self {
        self.refresh = refresh;
        self
    }
}

impl Repository {
    /// Reads lines of an export twice: first to check every object, then to write them, in batches. If a line is malformed or an
    /// object cannot be imported, each that is so is named in the summary, and nothing is written. What the index would refuse is
    /// found by the first reading, as far as that can be known without the server: names, values that do not fit their mapping,
    /// lengths. What the second reading cannot write, because another caller wrote meanwhile or the server fails, is named in the
    /// summary, and so is the line at which the writing stopped, if it did.
    ///
    /// An import that was cut off is repeated with [`OnConflict::Resume`].
    ///
    /// An object whose id is taken by one that is not seen from its namespace gets another id, and remembers the old one as its
    /// origin; imported again, it is found by that. References to objects of types with several namespaces that the file does not
    /// have follow these, if an earlier import gave them another id. Origins are searched for, in indices that are refreshed
    /// before, so that what was imported a moment ago is found.
    ///
    /// The audit hears of each object whether it may be imported, and what became of its write; of an import that is refused
    /// as a whole it hears that each was [given up](crate::repository::AuditOutcome::GivenUp).
    ///
    /// Both readings need memory for a batch, and about a hundred bytes for each object: a few hundred if it is of a type with
    /// several namespaces.
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
    /// Nothing was written then:
    /// - [`Forbidden`](ErrorKind::Forbidden) if an object must not be imported into one of its namespaces.
    /// - [`NotFound`](ErrorKind::NotFound) if an index does not exist.
    /// - [`Unavailable`](ErrorKind::Unavailable) if the file cannot be read, or the cluster not be reached for checking.
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
            checker.check(batch).await?;
            let read = lines.next_number() - 1;
            // As many as there are if the rest is like what was read.
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
                // What stopped it is told of the objects that met it.
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

/// How many bytes a file has from `start` on. It is at `start` afterwards.
async fn bytes_from<R: AsyncSeek + Unpin>(file: &mut R, start: u64) -> Result<u64> {
    let end = file.seek(SeekFrom::End(0)).await.map_err(unreadable)?;
    file.seek(SeekFrom::Start(start)).await.map_err(unreadable)?;
    Ok(end.saturating_sub(start))
}

/// The next lines, with their numbers; none at the end.
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

/// Whether it makes sense to write more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    Stop,
}

struct Writer<'a> {
    repository: &'a Repository,
    request: &'a Import,
    /// By the lines; what is left in the end was given up.
    admitted: BTreeMap<u64, Admitted>,
    summary: &'a mut ImportSummary,
}

impl Writer<'_> {
    /// Writes a batch. Each of its objects is counted as written or named as not.
    async fn write(&mut self, prepared: Vec<(Item, Result<Ready>)>) -> Next {
        let mut items = Vec::with_capacity(prepared.len());
        let mut writes = Vec::with_capacity(prepared.len());
        let mut sources = Sources::of(prepared.len(), self.repository.environment());
        for (item, ready) in prepared {
            match ready.and_then(|ready| Ok((self.write_of(&item, &ready, &mut sources)?, ready.keeps_secrets))) {
                Ok((write, keeps_secrets)) => {
                    writes.push(write);
                    items.push((item, keeps_secrets));
                }
                Err(error) => self.failed(&item, error),
            }
        }
        let mut next = Next::GoOn;
        let writes = items.iter().map(|(item, _)| &item.key).zip(writes).collect();
        let outcomes = self.repository.write_many(writes, self.request.refresh).await;
        for ((item, keeps_secrets), outcome) in items.iter().zip(outcomes) {
            match outcome {
                Ok(Written::Done(_)) => self.done(item, *keeps_secrets),
                Ok(Written::Conflict) => self.failed(item, errors::changed(&item.key)),
                Err(error) => {
                    // Whatever comes after it would meet these, too.
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
        self.summary.success_count += 1;
        self.summary.kept_secrets_count += u64::from(keeps_secrets);
        let destination_id = &item.key.id;
        if *destination_id != item.object.id {
            let relocated = Relocated { object: item.object.clone(), destination_id: destination_id.clone() };
            self.summary.relocated.push(relocated);
        }
        if let Some(admitted) = self.admitted.remove(&item.line) {
            admitted.tell(&Ok(()));
        }
    }

    fn failed(&mut self, item: &Item, error: Error) {
        let mut problem = item.problem(&error);
        if item.key.id != item.object.id {
            problem.destinations.push(item.key.id.clone());
        }
        self.summary.errors.push(problem);
        if let Some(admitted) = self.admitted.remove(&item.line) {
            admitted.tell::<()>(&Err(error));
        }
    }

    fn write_of(&self, item: &Item, ready: &Ready, sources: &mut Sources) -> Result<Write> {
        let definition = self.repository.definition(&item.key.type_name)?;
        match ready.over {
            None => Write::create(definition, &item.key, &ready.document, sources),
            Some(version) => Write::replace(definition, &item.key, &ready.document, version, sources),
        }
    }

    /// Notes that nothing is written from `line` on, and why, unless that is told already.
    fn stop(&mut self, line: u64, why: Option<&Error>) {
        self.summary.stopped_at_line = Some(line);
        self.summary.errors.extend(why.map(|error| problem(line, None, kind_of(error), error.to_string())));
    }
}

/// What a problem is called.
pub(super) fn kind_of(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Conflict => "conflict",
        ErrorKind::Decrypt | ErrorKind::Corrupt | ErrorKind::Incompatible => "unreadable",
        ErrorKind::Forbidden if is_of_credentials(error) => "forbidden",
        // The others are that the index takes no writes now.
        ErrorKind::Unavailable | ErrorKind::NotFound | ErrorKind::Forbidden => "unavailable",
        ErrorKind::Internal => "internal",
        ErrorKind::OutcomeUnknown => "outcome_unknown",
        _ => "invalid",
    }
}

/// Whether the server does not allow it to these credentials.
fn is_of_credentials(error: &Error) -> bool {
    let request = error.find_source::<ClusterError>().map(|request| request.kind);
    let item = error.find_source::<ItemError>().map(|item| item.kind);
    request == Some(ClusterErrorKind::Forbidden) || item == Some(ItemErrorKind::Forbidden)
}

fn unreadable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the file cannot be read from its beginning: {error}"))
        .with_cure("give a file; a pipe cannot be read twice")
        .with_source(error)
}
