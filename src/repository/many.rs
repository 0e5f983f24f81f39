//! What calls on many objects share: every item is answered in its place, whatever becomes of the others.

use std::collections::HashSet;

use futures::future::join_all;

use super::ObjectKey;
use super::access::Admitted;
use crate::document::RawId;
use crate::environment::Environment;
use crate::{Error, ErrorKind, Result};

/// Objects that are read or written at once.
pub(super) const PAGE: usize = 1_000;
/// Bytes of attributes that are written at once, roughly, unless a single object has more.
pub(super) const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Items that one task of the blocking pool works on.
const PER_TASK: usize = 256;
/// So few items are worked on without it.
const WITHOUT_POOL: usize = 32;

/// The answers to the items of a call. Of those that were admitted the audit hears with their answer.
pub(super) struct Items<T> {
    answers: Vec<Option<Result<T>>>,
    /// By the places of their items, as far as somebody hears of any.
    admitted: Vec<Option<Admitted>>,
}

impl<T> Items<T> {
    /// For a call of so many items.
    pub(super) fn new(items: usize) -> Self {
        Self { answers: (0..items).map(|_| None).collect(), admitted: Vec::new() }
    }

    /// What is to be worked on for the item at `at`; none if it was not admitted, which answers it.
    pub(super) fn admit<W>(&mut self, at: usize, admission: Result<(W, Admitted)>) -> Option<W> {
        match admission {
            Ok((work, admitted)) => {
                if admitted.is_heard() {
                    self.admitted.resize_with(self.admitted.len().max(at + 1), || None);
                    self.admitted[at] = Some(admitted);
                }
                Some(work)
            }
            Err(error) => {
                self.answer(at, Err(error));
                None
            }
        }
    }

    /// Answers the item at `at`. The first answer counts.
    pub(super) fn answer(&mut self, at: usize, answer: Result<T>) {
        if let Some(open @ None) = self.answers.get_mut(at) {
            if let Some(admitted) = self.admitted.get_mut(at).and_then(Option::take) {
                admitted.tell(&answer);
            }
            *open = Some(answer);
        }
    }

    /// One item more.
    pub(super) fn add(&mut self) {
        self.answers.push(None);
    }

    /// Does `work` for items, as [`on_pool`] does: gives what it made of each, and answers those with which it failed.
    pub(super) async fn each<U, R>(
        &mut self,
        environment: &Environment,
        items: Vec<(usize, U)>,
        work: impl FnMut(U) -> Result<R> + Clone + Send + 'static,
    ) -> Vec<(usize, R)>
    where
        U: Send + 'static,
        R: Send + 'static,
    {
        let (places, items): (Vec<usize>, Vec<U>) = items.into_iter().unzip();
        let mut done = Vec::with_capacity(places.len());
        for (at, made) in places.into_iter().zip(on_pool(environment, items, work).await) {
            match made {
                Ok(made) => done.push((at, made)),
                Err(error) => self.answer(at, Err(error)),
            }
        }
        done
    }

    /// All answers, in order.
    pub(super) fn end(self) -> Vec<Result<T>> {
        let unanswered = || Err(Error::new(ErrorKind::Internal, "an item of a call on many objects was not answered"));
        self.answers.into_iter().map(|answer| answer.unwrap_or_else(unanswered)).collect()
    }
}

/// The answer to a call on one object, made as one on many.
pub(super) fn only<T>(answers: Vec<Result<T>>) -> Result<T> {
    let none = || Err(Error::new(ErrorKind::Internal, "a call on one object was not answered"));
    answers.into_iter().next().unwrap_or_else(none)
}

/// The documents that the items of a call name so far. Each may be written once: which of two writes of one call should win
/// is not for this library to say.
#[derive(Default)]
pub(super) struct Named(HashSet<RawId>);

impl Named {
    /// For a call of so many items.
    pub(super) fn new(items: usize) -> Self {
        Self(HashSet::with_capacity(items))
    }

    /// Refuses an item whose document another one names already.
    pub(super) fn add(&mut self, key: &ObjectKey, raw_id: RawId) -> Result<()> {
        match self.0.insert(raw_id) {
            true => Ok(()),
            false => Err(Error::invalid(
                format!("saved object {key} is named twice in one call"),
                "name each object once; what else is to be done to it, do in a call after this one",
            )),
        }
    }
}

/// Items in pages of at most [`PAGE`] items and about [`PAGE_BYTES`].
pub(super) struct Pages<T, F> {
    items: std::vec::IntoIter<T>,
    bytes_of: F,
}

impl<T, F: Fn(&T) -> usize> Pages<T, F> {
    pub(super) fn new(items: Vec<T>, bytes_of: F) -> Self {
        Self { items: items.into_iter(), bytes_of }
    }

    /// The items of the next page; none once there are no more. What is not taken of them is in the page after it.
    pub(super) fn next_page(&mut self) -> Option<impl ExactSizeIterator<Item = T>> {
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

/// Does `work` to each item: on the blocking pool, and with several tasks, if there are many. Sealing a thousand secrets would
/// keep other tasks from their turn for milliseconds. What `work` keeps from item to item, each task has for itself.
pub(super) async fn on_pool<T, R>(
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
    // All are begun before the first is waited for.
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
