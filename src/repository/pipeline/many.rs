//! Limits and helpers of calls on many objects: pages, the blocking pool, and the rule that a call names each object
//! once.

use std::collections::HashSet;

use futures::future::join_all;

use super::target::Target;
use crate::cluster::Refresh;
use crate::document::RawId;
use crate::environment::Environment;
use crate::{Error, ErrorKind, Result};

/// The most objects that one request reads or writes.
pub(in crate::repository) const PAGE: usize = 1_000;
/// About how many bytes of attributes one request writes, unless a single object has more.
pub(in crate::repository) const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// The items of one task of the blocking pool.
const PER_TASK: usize = 256;
/// Up to so many items are processed without the blocking pool.
pub(in crate::repository) const WITHOUT_POOL: usize = 32;

/// Returns the error for an item of a call that got no answer.
pub(in crate::repository) fn unanswered() -> Error {
    Error::new(ErrorKind::Internal, "an item of a call on many objects was not answered")
}

/// Returns the refresh that satisfies all of these.
pub(in crate::repository) fn strongest(refreshes: impl IntoIterator<Item = Refresh>) -> Refresh {
    if refreshes.into_iter().any(|refresh| refresh == Refresh::WaitFor) { Refresh::WaitFor } else { Refresh::Later }
}

/// Returns the answer to a call on one object, which is a call on many with one item.
pub(in crate::repository) fn only<T>(answers: Vec<Result<T>>) -> Result<T> {
    let none = || Err(Error::new(ErrorKind::Internal, "a call on one object was not answered"));
    answers.into_iter().next().unwrap_or_else(none)
}

/// The documents that the items of a call name so far. Each may be written once, because the library cannot decide
/// which of two writes of one call should win.
#[derive(Default)]
pub(in crate::repository) struct Named(HashSet<RawId>);

impl Named {
    /// Returns an empty set for a call of so many items.
    pub(in crate::repository) fn new(items: usize) -> Self {
        Self(HashSet::with_capacity(items))
    }

    /// Refuses an item whose document another item names already.
    pub(in crate::repository) fn add(&mut self, target: &Target) -> Result<()> {
        let key = &target.key;
        match self.0.insert(target.raw_id.clone()) {
            true => Ok(()),
            false => Err(Error::invalid(
                format!("saved object {key} is named twice in one call"),
                "name each object once; make other changes to it in a later call",
            )),
        }
    }
}

/// Items in pages of at most [`PAGE`] items and about [`PAGE_BYTES`].
pub(in crate::repository) struct Pages<T, F> {
    items: std::vec::IntoIter<T>,
    bytes_of: F,
}

impl<T, F: Fn(&T) -> usize> Pages<T, F> {
    pub(in crate::repository) fn new(items: Vec<T>, bytes_of: F) -> Self {
        Self { items: items.into_iter(), bytes_of }
    }

    /// Returns the items of the next page, or `None` if no items are left. Items that the caller does not take are in
    /// the page after it.
    pub(in crate::repository) fn next_page(&mut self) -> Option<impl ExactSizeIterator<Item = T>> {
        let mut bytes = 0_usize;
        let fits = |item: &&T| {
            bytes = bytes.saturating_add((self.bytes_of)(item));
            bytes <= PAGE_BYTES
        };
        let left = self.items.as_slice();
        let length = left.iter().take(PAGE).take_while(fits).count().max(1);
        (!left.is_empty()).then(|| self.items.by_ref().take(length))
    }
}

impl<T, F: Fn(&T) -> usize> Iterator for Pages<T, F> {
    type Item = Vec<T>;

    fn next(&mut self) -> Option<Vec<T>> {
        self.next_page().map(Iterator::collect)
    }
}

/// Does `work` to each item: on the blocking pool, in several tasks, if there are many. Sealing a thousand secrets
/// would keep other tasks waiting for milliseconds. What `work` keeps from item to item, each task has for itself.
pub(in crate::repository) async fn on_pool<T, R>(
    environment: &Environment,
    mut items: Vec<T>,
    work: impl FnMut(T) -> Result<R> + Clone + Send + 'static,
) -> impl Iterator<Item = Result<R>>
where
    T: Send + 'static,
    R: Send + 'static,
{
    let mut parts: Vec<Vec<Result<R>>> = Vec::new();
    if items.len() <= WITHOUT_POOL {
        parts.push(items.into_iter().map(work).collect());
        return parts.into_iter().flatten();
    }
    let mut tasks = Vec::new();
    while !items.is_empty() {
        let part = items.split_off(items.len().saturating_sub(PER_TASK));
        let (work, length) = (work.clone(), part.len());
        let task = environment.blocking(move || part.into_iter().map(work).collect::<Vec<_>>());
        tasks.push((length, task));
    }
    // All tasks have begun before the first is awaited.
    let (lengths, tasks): (Vec<usize>, Vec<_>) = tasks.into_iter().rev().unzip();
    for (length, part) in lengths.into_iter().zip(join_all(tasks).await) {
        parts.push(part.unwrap_or_else(|error| {
            let aborted = error.context("preparing objects");
            (0..length).map(|_| Err(aborted.clone())).collect()
        }));
    }
    parts.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_bounded_and_lose_nothing() {
        let table = [
            (vec![], vec![]),
            (vec![1; 3], vec![3]),
            (vec![1; 2 * PAGE + 1], vec![PAGE, PAGE, 1]),
            (vec![PAGE_BYTES, 1, PAGE_BYTES + 5, 2], vec![1, 1, 1, 1]),
            (vec![PAGE_BYTES / 2, PAGE_BYTES / 2, 1], vec![2, 1]),
        ];
        for (sizes, expected) in table {
            let divided: Vec<Vec<usize>> = Pages::new(sizes.clone(), |size| *size).collect();
            assert_eq!(divided.iter().map(Vec::len).collect::<Vec<_>>(), expected);
            assert_eq!(divided.concat(), sizes);
        }
    }

    #[tokio::test]
    async fn work_on_the_pool_keeps_the_order() {
        let environment = Environment::system();
        for count in [0, 1, PER_TASK, 3 * PER_TASK + 7] {
            let done = on_pool(&environment, (0..count).collect(), |n| Ok(n * 2)).await;
            let done: Vec<usize> = done.map(|n| n.expect("fine")).collect();
            assert_eq!(done, (0..count).map(|n| n * 2).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn a_panic_on_the_pool_fails_its_own_items() {
        let environment = Environment::system();
        let work = |n: usize| {
            assert!(n > 0, "the first one panics");
            Ok(n)
        };
        let done: Vec<_> = on_pool(&environment, (0..3 * PER_TASK).collect(), work).await.collect();
        assert_eq!(done.len(), 3 * PER_TASK);
        let failed = done.iter().filter(|answer| answer.is_err()).count();
        assert_eq!(failed, PER_TASK);
        assert!(done.last().is_some_and(Result::is_ok));
    }
}
