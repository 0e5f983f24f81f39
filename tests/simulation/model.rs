//! What must be true of the operations on one object: they act as if done one after the other, each between its
//! beginning and its answer. An operation that was answered as not done was not done, and no version token stands for
//! two writes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use saved_objects::ErrorKind;

use crate::history::{Effect, Ended, From, Object, Operation};
use crate::journal::Journal;
use crate::witness::{Echo, OF_BEFORE, REPEATED, REVIVED, Witness};

/// Checks all operations on one object.
pub(crate) fn check(key: &str, object: &Object, journal: &Journal, witness: &Witness) {
    check_tokens(key, object, journal);
    if key.starts_with("tally:") {
        return check_counter(key, object, journal, witness);
    }
    let told = |operation: &&Operation| !matches!(operation.ended, Ended::NotDone(_));
    let as_told: Vec<Operation> = object.operations.iter().filter(told).cloned().collect();
    let Err(stuck) = one_after_the_other(&object.first, &as_told) else { return };
    for (limit, again) in by_the_network(key, object, witness) {
        if again.is_empty() {
            continue;
        }
        let with_echoes: Vec<Operation> = as_told.iter().cloned().chain(again).collect();
        if one_after_the_other(&object.first, &with_echoes).is_ok() {
            return journal.count(limit);
        }
    }
    let is_refused_write = |operation: &Operation| {
        matches!(operation.ended, Ended::NotDone(_)) && matches!(operation.effect, Effect::Write { .. })
    };
    for refused in object.operations.iter().filter(|operation| is_refused_write(operation)) {
        let with: Vec<Operation> = as_told.iter().cloned().chain([as_unknown(refused)]).collect();
        if one_after_the_other(&object.first, &with).is_ok() {
            let how = format!("{} was told {:?}, and it was done", words(refused), refused.ended);
            return journal.broken("a write that is answered as failed is not done", key, how);
        }
    }
    journal.broken("reads and writes of an object are as if one after the other", key, stuck);
}

/// Returns what the network may have done by itself to an object: by each limit, and finally by all of them.
fn by_the_network(key: &str, object: &Object, witness: &Witness) -> Vec<(&'static str, Vec<Operation>)> {
    // The network, or a late repetition, may have done a creation again.
    let is_again = |operation: &&Operation| match &operation.effect {
        Effect::Write { to: Some(value), .. } => witness.creations(key, Some(value)) > 1,
        _ => false,
    };
    let creations: Vec<Operation> =
        object.operations.iter().chain(&object.forgotten).filter(is_again).map(as_unknown).collect();
    let as_operation = |echo: Echo| Operation {
        who: "the network".to_owned(),
        effect: Effect::Write { from: From::Any, to: echo.value },
        invoked: echo.at,
        answered: Duration::MAX,
        ended: Ended::Unknown,
        token: None,
        number: None,
    };
    let echoes = |limit| witness.echoes(key).into_iter().filter(move |echo| echo.limit == limit).map(as_operation);
    // Only a caller that got a conflict with another object may find its own object there later.
    let is_denied = |echo: &Operation| {
        object.operations.iter().any(|operation| {
            let is_it = matches!((&operation.effect, &echo.effect),
                (Effect::Write { to, .. }, Effect::Write { to: landed, .. }) if to == landed);
            is_it && matches!(operation.ended, Ended::NotDone(kind) if kind != ErrorKind::Conflict)
        })
    };
    let late = echoes(REVIVED).filter(|echo| !is_denied(echo));
    let revived: Vec<Operation> = creations.into_iter().chain(late).collect();
    let repeated: Vec<Operation> = echoes(REPEATED).collect();
    let of_before: Vec<Operation> = echoes(OF_BEFORE).collect();
    let all = [&revived, &repeated, &of_before].into_iter().flatten().cloned().collect();
    vec![(REVIVED, revived), (REPEATED, repeated), (OF_BEFORE, of_before), (REPEATED, all)]
}

fn as_unknown(operation: &Operation) -> Operation {
    Operation { ended: Ended::Unknown, answered: Duration::MAX, ..operation.clone() }
}

/// Asserts that no version token is answered for two writes, and that a read with a token returns what was written with
/// it.
fn check_tokens(key: &str, object: &Object, journal: &Journal) {
    let mut written = BTreeMap::new();
    for operation in object.operations.iter().filter(|operation| operation.ended == Ended::Done) {
        let (Some(token), false) = (operation.token, matches!(operation.effect, Effect::Read(_))) else { continue };
        if let Some(other) = written.insert(token.to_string(), operation) {
            let how = format!("both got {token}: {}; {}", words(other), words(operation));
            journal.broken("no version token is told for two writes", key, how);
        }
    }
    for operation in &object.operations {
        let (Effect::Read(read), Some(token)) = (&operation.effect, operation.token) else { continue };
        let Some(Operation { effect: Effect::Write { to, .. }, .. }) = written.get(&token.to_string()) else {
            continue;
        };
        if read != to {
            let how = format!("{}, though {to:?} was written under {token}", words(operation));
            journal.broken("a version token stands for one state", key, how);
        }
    }
}

/// Asserts that every answered increment is in the counter once, and any other at most once.
fn check_counter(key: &str, object: &Object, journal: &Journal, witness: &Witness) {
    const EXACT: &str = "every answered increment is in the counter once";
    let first: i64 = object.first.as_ref().map_or(0, |first| first.parse().expect("a counter is a number"));
    let counts = || object.operations.iter().filter(|operation| matches!(operation.effect, Effect::Count(_)));
    let mut sums: BTreeMap<i64, &Operation> = BTreeMap::new();
    for operation in counts() {
        let Effect::Count(Some(sum)) = operation.effect else { continue };
        if let Some(other) = sums.insert(sum, operation) {
            journal.broken(EXACT, key, format!("both were told {sum}: {}; {}", words(other), words(operation)));
        }
    }
    for (sum, operation) in &sums {
        if let Some((later, other)) = sums.range(sum + 1..).find(|(_, other)| other.answered < operation.invoked) {
            let how = format!("{} came after {} was told {later}", words(operation), words(other));
            journal.broken(EXACT, key, how);
        }
    }
    for read in &object.operations {
        let (Effect::Read(found), Ended::Done) = (&read.effect, read.ended) else { continue };
        let found: i64 = found.as_ref().map_or(0, |found| found.parse().expect("a counter is a number"));
        let number = |is_meant: &dyn Fn(&Operation) -> bool| counts().filter(|count| is_meant(count)).count() as i64;
        let least = first + number(&|count| count.ended == Ended::Done && count.answered < read.invoked);
        let answered =
            first + number(&|count| !matches!(count.ended, Ended::NotDone(_)) && count.invoked < read.answered);
        let echoes = witness.echoes(key).iter().filter(|echo| echo.at < read.answered).count() as i64;
        let most = answered + echoes;
        let refused = number(&|count| matches!(count.ended, Ended::NotDone(_)) && count.invoked < read.answered);
        if found > answered && found <= most {
            journal.count(REPEATED);
        }
        if found < least {
            let how = format!("{}, and {least} increments were answered before", words(read));
            journal.broken(EXACT, key, how);
        } else if found > most && found <= most + refused {
            let how = format!(
                "{}, and {most} increments were answered, or may be done: of {refused} that were answered as \
                               failed some were done",
                words(read)
            );
            journal.broken("a write that is answered as failed is not done", key, how);
        } else if found > most {
            journal.broken(EXACT, key, format!("{}, and {most} increments were answered, or may be done", words(read)));
        }
    }
}

/// Looks for an order in which the operations explain each other.
///
/// # Errors
/// Says where the longest explanation ends.
fn one_after_the_other(first: &Option<String>, operations: &[Operation]) -> Result<(), String> {
    let mut operations: Vec<&Operation> = operations.iter().collect();
    operations.sort_by_key(|operation| operation.invoked);
    // Reads without an answer say nothing.
    operations.retain(|operation| operation.ended == Ended::Done || !matches!(operation.effect, Effect::Read(_)));
    let definite: usize = operations.iter().filter(|operation| operation.ended == Ended::Done).count();
    let mut seen = HashSet::new();
    let mut stack = vec![(BTreeSet::<usize>::new(), first.clone())];
    let (mut best, mut stuck) = (0, String::new());
    while let Some((done, state)) = stack.pop() {
        let of_done = done.iter().filter(|&&at| operations[at].ended == Ended::Done).count();
        if of_done == definite {
            return Ok(());
        }
        if !seen.insert((done.clone(), state.clone())) {
            continue;
        }
        let left = || (0..operations.len()).filter(|at| !done.contains(at));
        let answered = |at: &usize| operations[*at].ended == Ended::Done;
        let deadline = left().filter(answered).map(|at| operations[at].answered).min().unwrap_or(Duration::MAX);
        let next = left().filter(|&at| operations[at].invoked <= deadline);
        if of_done >= best {
            best = of_done;
            let found = state.as_ref().map_or("it is not there".to_owned(), |value| format!("it is {value}"));
            let waiting: Vec<String> = next.clone().filter(answered).map(|at| words(operations[at])).collect();
            let maybe = next.clone().filter(|at| !answered(at)).map(|at| words(operations[at]));
            let maybe = maybe.collect::<Vec<_>>().join("; ");
            stuck = format!("{found}, and then there is no order for: {} (may be done: {maybe})", waiting.join("; "));
        }
        for at in next {
            if let Some(then) = operations[at].effect.after(&state) {
                let mut done = done.clone();
                done.insert(at);
                stack.push((done, then));
            }
        }
    }
    Err(stuck)
}

impl Effect {
    /// Returns the state after the operation, if it can be done in `state`.
    fn after(&self, state: &Option<String>) -> Option<Option<String>> {
        match self {
            Self::Read(found) => (found == state).then(|| state.clone()),
            Self::Write { from, to } => {
                let fits = match (from, state) {
                    (From::Any, _) | (From::Absent, None) | (From::Present, Some(_)) => true,
                    (From::OneOf(values), Some(value)) => values.contains(value),
                    _ => false,
                };
                fits.then(|| to.clone())
            }
            Self::Count(_) => Some(state.clone()),
        }
    }
}

fn words(operation: &Operation) -> String {
    let Operation { who, effect, invoked, answered, .. } = operation;
    let what = match effect {
        Effect::Read(None) => "found nothing".to_owned(),
        Effect::Read(Some(value)) => format!("read {value}"),
        Effect::Write { to: None, .. } => "deleted it".to_owned(),
        Effect::Write { from: From::Absent, to: Some(value) } => format!("created {value}"),
        Effect::Write { from: From::OneOf(values), to: Some(value) } => {
            format!("wrote {value} over {}", values.join(" or "))
        }
        Effect::Write { to: Some(value), .. } => format!("wrote {value}"),
        Effect::Count(None) => "counted".to_owned(),
        Effect::Count(Some(sum)) => format!("counted to {sum}"),
    };
    let until = match *answered {
        Duration::MAX => "no answer".to_owned(),
        answered => format!("{:.3} s", answered.as_secs_f64()),
    };
    format!("{who} {what} ({:.3} s to {until})", invoked.as_secs_f64())
}

/// Returns the histories with a known verdict that the check of orders gets wrong.
pub(crate) fn tests() -> Vec<String> {
    let done = |effect: Effect, from: u64, to: u64| Operation {
        who: "n".to_owned(),
        effect,
        invoked: Duration::from_secs(from),
        answered: Duration::from_secs(to),
        ended: Ended::Done,
        token: None,
        number: None,
    };
    let value = |text: &str| Some(text.to_owned());
    let create = |text: &str, from, to| done(Effect::Write { from: From::Absent, to: value(text) }, from, to);
    let update = |over: &str, text: &str, from, to| {
        done(Effect::Write { from: From::OneOf(vec![over.to_owned()]), to: value(text) }, from, to)
    };
    let delete = |from, to| done(Effect::Write { from: From::Present, to: None }, from, to);
    let read = |found: Option<&str>, from, to| done(Effect::Read(found.map(str::to_owned)), from, to);
    let table = [
        ("an object is read as it was written", true, vec![create("a", 0, 1), read(Some("a"), 2, 3)]),
        ("a read during a write finds either", true, vec![create("a", 0, 9), read(None, 1, 2), read(Some("a"), 3, 4)]),
        ("a write is not unseen again", false, vec![create("a", 0, 9), read(Some("a"), 1, 2), read(None, 3, 4)]),
        (
            "an answered write is not lost",
            false,
            vec![create("a", 0, 1), update("a", "b", 2, 3), read(Some("a"), 4, 5)],
        ),
        (
            "two do not replace one state",
            false,
            vec![create("a", 0, 1), update("a", "b", 2, 3), update("a", "c", 2, 3)],
        ),
        ("two do not delete one object", false, vec![create("a", 0, 1), delete(2, 4), delete(3, 5)]),
        ("what is deleted does not come back", false, vec![create("a", 0, 1), delete(2, 3), read(Some("a"), 4, 5)]),
        ("two do not create one object", false, vec![create("a", 0, 2), create("b", 1, 3)]),
        (
            "what may be done may be seen later",
            true,
            vec![create("a", 0, 1), as_unknown(&update("a", "b", 2, 3)), read(Some("a"), 4, 5), read(Some("b"), 6, 7)],
        ),
    ];
    let is_wrong = |(_, expected, operations): &(&str, bool, Vec<Operation>)| {
        one_after_the_other(&None, operations).is_ok() != *expected
    };
    table.into_iter().filter(is_wrong).map(|(name, ..)| format!("the checker is wrong: {name}")).collect()
}
