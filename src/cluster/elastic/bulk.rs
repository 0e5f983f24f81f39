//! Bulk writes: splits operations into requests by bytes, returns an outcome for each operation, and settles lost
//! answers by reading back.

use std::io::Write;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::Value;

use super::answers::{BulkAnswer, BulkItem, VersionedHit};
use super::connection::{Connection, Repeat, Request, Verb};
use super::documents::get_many;
use crate::cluster::{
    BulkAction, BulkOperation, BulkRequest, ClusterError, ClusterErrorKind, ClusterResult, Gone, ItemError,
    ItemErrorKind, ItemOutcome, Refresh, SequenceNumber,
};
use crate::document::write_nonce;
use crate::telemetry;

pub(super) async fn bulk(connection: &Connection, request: &BulkRequest<'_>) -> ClusterResult<Vec<ItemOutcome>> {
    let mut outcomes = Vec::with_capacity(request.operations.len());
    let mut rest = request.operations;
    let size = connection.bulk_bytes();
    let mut attempts = connection.attempts();
    while !rest.is_empty() {
        let (chunk, others) = rest.split_at(chunk_length(rest, size.get(), connection.batches().bulk));
        let error = match attempts.during(Chunk::new(connection, request, chunk).run()).await {
            Ok(answered) => {
                if answered.iter().any(is_busy) {
                    size.halve(bytes(chunk));
                } else {
                    size.grow();
                }
                outcomes.extend(answered);
                (rest, attempts) = (others, connection.attempts());
                continue;
            }
            Err(error) => error,
        };
        let is_one = chunk.len() == 1;
        match (error.kind, error.status) {
            (ClusterErrorKind::TooLarge, _) if is_one => {
                outcomes.push(Err(ItemError::too_large(bytes(chunk))));
                rest = others;
                continue;
            }
            (ClusterErrorKind::TooLarge, _) => {
                tracing::debug!(bytes = bytes(chunk), "a bulk is too large for the server, and is divided");
                size.refuse(bytes(chunk));
                continue;
            }
            (_, Some(429)) => {
                size.halve(bytes(chunk));
                tracing::debug!(bytes = size.get(), "the server is busy, and is sent less");
                if attempts.wait_for_next("busy", error.retry_after).await {
                    continue;
                }
            }
            _ => {}
        }
        if outcomes.is_empty() {
            return Err(error);
        }
        // Earlier chunks have outcomes, so the call does not fail: each remaining operation gets the error.
        let not_done = ItemError { kind: not_done_kind(&error), reason: error.to_string() };
        outcomes.resize(request.operations.len(), Err(not_done));
        return Ok(outcomes);
    }
    Ok(outcomes)
}

/// Returns the error kind of operations whose request was refused with `error`.
fn not_done_kind(error: &ClusterError) -> ItemErrorKind {
    match error.kind {
        ClusterErrorKind::Forbidden => ItemErrorKind::Forbidden,
        _ => ItemErrorKind::Unavailable,
    }
}

fn is_busy(outcome: &ItemOutcome) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind == ItemErrorKind::Unavailable)
}

fn bytes(operations: &[BulkOperation]) -> usize {
    operations.iter().map(operation_bytes).sum()
}

fn operation_bytes(operation: &BulkOperation) -> usize {
    operation.id.len() + operation.action.source().map_or(0, Bytes::len) + 64
}

/// Returns how many of the operations fit into `limit` bytes, at least one and at most `most`.
fn chunk_length(operations: &[BulkOperation], limit: usize, most: usize) -> usize {
    let mut bytes = 0;
    let fits = |operation: &&BulkOperation| {
        bytes += operation_bytes(operation);
        bytes <= limit
    };
    operations.iter().take(most).take_while(fits).count().max(1)
}

/// Operations that fit into one body, and the state of each.
struct Chunk<'a> {
    connection: &'a Connection,
    request: &'a BulkRequest<'a>,
    operations: &'a [BulkOperation],
    states: Vec<State>,
    /// The server's last reason for being too busy for an operation, or for not answering.
    refusal: Option<String>,
}

#[derive(Debug, Clone)]
enum State {
    /// The outcome is not known yet. `maybe_done`: an earlier attempt may have done it, because its answer was lost.
    Open { maybe_done: bool },
    /// Answered or settled.
    Ended(ItemOutcome),
}

impl State {
    /// Returns what the metrics count for an operation that was read back.
    fn settled_as(&self) -> &'static str {
        match self {
            Self::Open { .. } => "not_done",
            Self::Ended(Ok(_)) => "done",
            Self::Ended(Err(error)) if error.kind == ItemErrorKind::OutcomeUnknown => "unknown",
            Self::Ended(Err(_)) => "conflict",
        }
    }
}

impl<'a> Chunk<'a> {
    fn new(connection: &'a Connection, request: &'a BulkRequest<'a>, operations: &'a [BulkOperation]) -> Self {
        let states = vec![State::Open { maybe_done: false }; operations.len()];
        Self { connection, request, operations, states, refusal: None }
    }

    /// Sends the operations until all have ended or no attempt is left. Fails only if none of them was done.
    async fn run(mut self) -> ClusterResult<Vec<ItemOutcome>> {
        let mut attempts = self.connection.attempts();
        loop {
            let server_asks = attempts.during(self.attempt()).await?;
            let reason = if self.may_have_done_any() { "lost" } else { "busy" };
            if self.open().is_empty() || !attempts.wait_for_next(reason, server_asks).await {
                let refusal = self.refusal.as_deref().unwrap_or("the server was too busy");
                return Ok(self.states.into_iter().map(|state| outcome_at_the_end(state, refusal)).collect());
            }
        }
    }

    /// Sends the open operations once, and settles those without an answer. Returns how long the server asks to wait.
    async fn attempt(&mut self) -> ClusterResult<Option<Duration>> {
        let open = self.open();
        match self.send(&open).await {
            Ok(outcomes) => self.take_answers(&open, outcomes).await,
            Err(error) if error.kind == ClusterErrorKind::OutcomeUnknown => {
                tracing::debug!(%error, "settling a bulk whose outcome is unknown");
                self.refusal = Some(error.to_string());
                return self.settle_unanswered(&open, error).await;
            }
            Err(error) if open.len() == self.states.len() && !self.may_have_done_any() => return Err(error),
            Err(error) if error.status == Some(429) => return Ok(error.retry_after),
            Err(error) => self.give_up(&open, &error),
        }
        Ok(None)
    }

    fn may_have_done_any(&self) -> bool {
        self.states.iter().any(|state| matches!(state, State::Open { maybe_done: true }))
    }

    /// Ends operations with an error that the server returned before it did any of them in this attempt.
    fn give_up(&mut self, positions: &[usize], error: &ClusterError) {
        for &position in positions {
            if let Some(state) = self.states.get_mut(position) {
                let kind = match state {
                    State::Open { maybe_done: true } => {
                        telemetry::settled("unknown");
                        ItemErrorKind::OutcomeUnknown
                    }
                    _ => not_done_kind(error),
                };
                *state = State::Ended(Err(ItemError { kind, reason: error.to_string() }));
            }
        }
    }

    /// Returns the positions of the operations that have not ended.
    fn open(&self) -> Vec<usize> {
        let is_open = |state: &State| matches!(state, State::Open { .. });
        self.states.iter().enumerate().filter(|(_, state)| is_open(state)).map(|(position, _)| position).collect()
    }

    async fn send(&self, positions: &[usize]) -> ClusterResult<Vec<ItemOutcome>> {
        let path = format!("{}/_bulk", self.request.alias);
        let body = body(positions.iter().filter_map(|&position| self.operations.get(position)), &path)?;
        telemetry::bulk_sent(positions.len(), body.len());
        let mut request = Request::write(Verb::Post, path, Repeat::IfNotDone)
            .query("require_alias", "true")
            .query(
                "filter_path",
                "items.*.status,items.*._seq_no,items.*._primary_term,items.*.error.type,items.*.error.reason,\
                 items.*.error.index",
            )
            .lines(body)
            .send_less();
        if self.request.refresh == Refresh::WaitFor {
            request = request.query("refresh", "wait_for");
        }
        let answer = self.connection.send(&request).await?;
        let items = answer.parse::<BulkAnswer>()?.items;
        if items.len() != positions.len() {
            let reason = format!("{} operations were sent and {} answered", positions.len(), items.len());
            return Err(answer.not_understood(reason));
        }
        Ok(items.into_iter().map(BulkItem::outcome).collect())
    }

    async fn take_answers(&mut self, positions: &[usize], outcomes: Vec<ItemOutcome>) {
        let (mut unknown, mut contradicted) = (Vec::new(), Vec::new());
        for (&position, outcome) in positions.iter().zip(outcomes) {
            let Some(state) = self.states.get_mut(position) else { continue };
            match (&*state, outcome) {
                (_, Err(error)) if error.kind == ItemErrorKind::Unavailable => self.refusal = Some(error.reason),
                (_, Err(error)) if error.kind == ItemErrorKind::OutcomeUnknown => {
                    self.refusal = Some(error.reason);
                    unknown.push(position);
                }
                // The earlier attempt may be what this one conflicts with, or may have succeeded before the index
                // stopped taking writes. Only a refusal of the document itself was certain then, too.
                (State::Open { maybe_done: true }, Err(error))
                    if !matches!(error.kind, ItemErrorKind::MappingRefused | ItemErrorKind::TooLarge) =>
                {
                    contradicted.push(position);
                }
                (_, outcome) => *state = State::Ended(outcome),
            }
        }
        contradicted.extend(unknown);
        if !contradicted.is_empty()
            && let Err(error) = self.settle(&contradicted).await
        {
            self.leave_unknown(&contradicted, &error);
        }
    }

    /// Reads operations back that have no answer from the server.
    ///
    /// A refusal by an intermediary is believed if reading back is refused in the same way, or shows that nothing was
    /// done. Returns how long the server asks to wait.
    async fn settle_unanswered(&mut self, open: &[usize], error: ClusterError) -> ClusterResult<Option<Duration>> {
        let refused = match error.status {
            Some(401 | 407) => Some(ClusterErrorKind::Forbidden),
            Some(413) => Some(ClusterErrorKind::TooLarge),
            _ => None,
        };
        let was_open = self.states.clone();
        let is_first = open.len() == self.states.len() && !self.may_have_done_any();
        let is_believed = match self.settle(open).await {
            Ok(()) => open.iter().all(|&position| matches!(self.states.get(position), Some(State::Open { .. }))),
            Err(again) if is_first && refused.is_some_and(|kind| kind == again.kind) => true,
            Err(again) => {
                self.leave_unknown(open, &again);
                false
            }
        };
        match refused {
            Some(kind) if is_believed && is_first => Err(ClusterError { kind, ..error }),
            Some(_) if is_believed => {
                self.states = was_open;
                self.give_up(open, &error);
                Ok(None)
            }
            _ => Ok(error.retry_after),
        }
    }

    fn leave_unknown(&mut self, positions: &[usize], error: &ClusterError) {
        let reason = format!("the answer was lost and reading back failed: {error}");
        for &position in positions {
            if let Some(state) = self.states.get_mut(position) {
                telemetry::settled("unknown");
                *state = State::Ended(Err(unknown(&reason)));
            }
        }
    }

    /// Reads back the documents of the operations, and ends the operations whose outcome they show.
    async fn settle(&mut self, positions: &[usize]) -> ClusterResult<()> {
        let operations: Vec<(usize, &BulkOperation)> =
            positions.iter().filter_map(|&position| Some((position, self.operations.get(position)?))).collect();
        let ids: Vec<&str> = operations.iter().map(|(_, operation)| operation.id.as_str()).collect();
        let found = get_many(self.connection, self.request.alias, &ids).await?;
        for ((position, operation), stored) in operations.into_iter().zip(found) {
            if let Some(state) = self.states.get_mut(position) {
                *state = settled(&operation.action, stored.as_ref());
                telemetry::settled(state.settled_as());
            }
        }
        Ok(())
    }
}

fn outcome_at_the_end(state: State, refusal: &str) -> ItemOutcome {
    match state {
        State::Ended(outcome) => outcome,
        State::Open { maybe_done: false } => {
            Err(ItemError { kind: ItemErrorKind::Unavailable, reason: format!("no attempt was left: {refusal}") })
        }
        State::Open { maybe_done: true } => {
            telemetry::settled("unknown");
            Err(unknown(&format!("the answer was lost and no attempt was left: {refusal}")))
        }
    }
}

fn unknown(reason: &str) -> ItemError {
    ItemError { kind: ItemErrorKind::OutcomeUnknown, reason: reason.to_owned() }
}

/// Returns the state of an operation whose answer was lost, by what is stored (record 11).
fn settled(action: &BulkAction, stored: Option<&VersionedHit>) -> State {
    let done = |sequence: SequenceNumber| State::Ended(Ok(sequence));
    let still_to_be_done = State::Open { maybe_done: true };
    match (action, stored) {
        (BulkAction::Create { .. } | BulkAction::Put { .. }, None) => still_to_be_done,
        // Checked before the content: a conversion keeps the nonce of the document that it read, so an equal nonce does
        // not show that the write was done.
        (BulkAction::Replace { read, .. } | BulkAction::Delete { read, .. }, Some(stored))
            if stored.hit.sequence == *read =>
        {
            still_to_be_done
        }
        (
            BulkAction::Create { source } | BulkAction::Replace { source, .. } | BulkAction::Put { source },
            Some(stored),
        ) if is_same_write(source, stored.hit.source.get().as_bytes()) => done(stored.hit.sequence),
        // The document is still at its first version, so another create wrote it.
        (BulkAction::Create { .. }, Some(stored)) if stored.version == Some(1) => State::Ended(Err(ItemError {
            kind: ItemErrorKind::Conflict,
            reason: "the document exists already".to_owned(),
        })),
        (BulkAction::Put { .. }, Some(_)) => still_to_be_done,
        (BulkAction::Delete { read, gone: Gone::Done }, None) => done(*read),
        (BulkAction::Delete { gone: Gone::Unknown, .. }, None) => State::Ended(Err(unknown(
            "the answer was lost, and the document is gone, which another deletion may have done",
        ))),
        _ => State::Ended(Err(unknown("the answer was lost, and the document was changed since"))),
    }
}

/// Returns whether the stored document is the one that was sent, or was made from it by a migration or a rotation,
/// which keep the nonce.
///
/// Documents without a nonce are compared by content. Only the engine writes such documents (the control index, the
/// quarantine, and documents last written before nonces existed), and it does not matter which of its nodes did.
fn is_same_write(sent: &[u8], stored: &[u8]) -> bool {
    if let Some(nonce) = write_nonce(sent) {
        return write_nonce(stored) == Some(nonce);
    }
    let parse = |text| serde_json::from_slice::<Value>(text).ok();
    // Documents that are nested too deeply to parse are compared as bytes.
    sent == stored || matches!((parse(sent), parse(stored)), (Some(sent), Some(stored)) if sent == stored)
}

fn body<'a>(operations: impl Iterator<Item = &'a BulkOperation> + Clone, path: &str) -> ClusterResult<Bytes> {
    let length = operations.clone().map(|op| op.id.len() + op.action.source().map_or(0, Bytes::len) + 96).sum();
    let mut body = BytesMut::with_capacity(length);
    for operation in operations {
        if operation.action.has_line_break() {
            let reason = BulkAction::LINE_BREAK_REFUSED;
            return Err(ClusterError::new(ClusterErrorKind::Rejected, "POST", path, reason));
        }
        let (name, condition) = match &operation.action {
            BulkAction::Create { .. } => ("create", None),
            BulkAction::Replace { read, .. } => ("index", Some(read)),
            BulkAction::Put { .. } => ("index", None),
            BulkAction::Delete { read, .. } => ("delete", Some(read)),
        };
        // Writing into memory cannot fail.
        let mut line = (&mut body).writer();
        let _ = write!(line, "{{\"{name}\":{{\"_id\":");
        let _ = serde_json::to_writer(&mut line, &operation.id);
        if let Some(SequenceNumber { seq_no, primary_term }) = condition {
            let _ = write!(line, ",\"if_seq_no\":{seq_no},\"if_primary_term\":{primary_term}");
        }
        body.put_slice(b"}}\n");
        if let Some(source) = operation.action.source() {
            body.put_slice(source);
            body.put_u8(b'\n');
        }
    }
    Ok(body.freeze())
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::cluster::Hit;

    const READ: SequenceNumber = SequenceNumber { seq_no: 5, primary_term: 1 };
    const LATER: SequenceNumber = SequenceNumber { seq_no: 6, primary_term: 1 };

    /// The state of an operation after its answer was lost.
    #[derive(Debug, PartialEq)]
    enum Known {
        Done(SequenceNumber),
        Repeated,
        Conflict,
        Unknown,
    }

    fn known(action: &BulkAction, stored: Option<(&str, SequenceNumber, u64)>) -> Known {
        let stored = stored.map(|(source, sequence, version)| {
            let source = RawValue::from_string(source.to_owned()).expect("JSON");
            let hit = Hit { index: "i".to_owned(), id: "1".to_owned(), sequence, source };
            VersionedHit { hit, version: Some(version) }
        });
        match settled(action, stored.as_ref()) {
            State::Open { maybe_done: true } => Known::Repeated,
            State::Ended(Ok(sequence)) => Known::Done(sequence),
            State::Ended(Err(error)) if error.kind == ItemErrorKind::Conflict => Known::Conflict,
            State::Ended(Err(error)) if error.kind == ItemErrorKind::OutcomeUnknown => Known::Unknown,
            state => panic!("{state:?}"),
        }
    }

    #[test]
    fn a_write_is_done_if_its_nonce_is_stored() {
        let ours = r#"{"n":1,"writeNonce":"ours"}"#;
        let (theirs, converted) = (r#"{"n":1,"writeNonce":"theirs"}"#, r#"{"writeNonce":"ours","n":2}"#);
        let without = r#"{"n":1}"#;
        let create = |source: &'static str| BulkAction::Create { source: source.into() };
        let replace = |source: &'static str| BulkAction::Replace { source: source.into(), read: READ };
        let put = |source: &'static str| BulkAction::Put { source: source.into() };
        let table = [
            (create(ours), None, Known::Repeated),
            (create(ours), Some((ours, READ, 1)), Known::Done(READ)),
            (create(ours), Some((converted, LATER, 2)), Known::Done(LATER)),
            (create(ours), Some((theirs, READ, 1)), Known::Conflict),
            (create(ours), Some((without, READ, 1)), Known::Conflict),
            (create(ours), Some((theirs, LATER, 2)), Known::Unknown),
            (replace(ours), None, Known::Unknown),
            (replace(ours), Some((theirs, READ, 4)), Known::Repeated),
            (replace(ours), Some((ours, LATER, 5)), Known::Done(LATER)),
            (replace(ours), Some((converted, LATER, 6)), Known::Done(LATER)),
            (replace(ours), Some((theirs, LATER, 5)), Known::Unknown),
            (replace(ours), Some((without, LATER, 5)), Known::Unknown),
            // A conversion keeps the nonce, so the stored document has it before the write.
            (replace(converted), Some((ours, READ, 4)), Known::Repeated),
            // Without a nonce the content is compared.
            (create(without), Some((r#"{ "n": 1 }"#, READ, 1)), Known::Done(READ)),
            (create(without), Some((r#"{"n":2}"#, READ, 1)), Known::Conflict),
            (replace(without), Some((without, LATER, 5)), Known::Done(LATER)),
            (replace(without), Some((ours, LATER, 5)), Known::Unknown),
            (put(without), None, Known::Repeated),
            (put(without), Some((without, LATER, 5)), Known::Done(LATER)),
            (put(without), Some((r#"{"n":2}"#, LATER, 5)), Known::Repeated),
        ];
        for (action, stored, expected) in table {
            assert_eq!(known(&action, stored), expected, "{action:?} {stored:?}");
        }
    }

    #[test]
    fn what_is_gone_is_done_only_for_those_who_want_it_gone() {
        let delete = |gone| BulkAction::Delete { read: READ, gone };
        let table = [
            (Gone::Done, None, Known::Done(READ)),
            (Gone::Unknown, None, Known::Unknown),
            (Gone::Done, Some(("{}", READ, 1)), Known::Repeated),
            (Gone::Unknown, Some(("{}", READ, 1)), Known::Repeated),
            (Gone::Done, Some(("{}", LATER, 2)), Known::Unknown),
            (Gone::Unknown, Some(("{}", LATER, 2)), Known::Unknown),
        ];
        for (gone, stored, expected) in table {
            assert_eq!(known(&delete(gone), stored), expected, "{gone:?} {stored:?}");
        }
    }
}
