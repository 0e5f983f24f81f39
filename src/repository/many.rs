//! What calls on many objects share: every item is answered in its place, whatever becomes of the others.

use std::collections::HashSet;
use std::iter::Peekable;

use super::ObjectKey;
use super::access::Admitted;
use crate::document::RawId;
use crate::{Error, ErrorKind, Result};

/// Objects that are read or written at once.
pub(super) const PAGE: usize = 1_000;
/// Bytes of attributes that are written at once, roughly, unless a single object has more.
pub(super) const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Items that one task of the blocking pool works on; so few are worked on without it.
const PER_TASK: usize = 128;

/// The answers to the items of a call. Of those that were admitted the audit hears with their answer.
pub(super) struct Items<T>(Vec<Item<T>>);

struct Item<T> {
    answer: Option<Result<T>>,
    admitted: Option<Admitted>,
}

impl<T> Item<T> {
    fn open() -> Self {
        Self { answer: None, admitted: None }
    }
}

impl<T> Items<T> {
    /// For a call of so many items.
    pub(super) fn new(items: usize) -> Self {
        Self((0..items).map(|_| Item::open()).collect())
    }

    /// What is to be worked on for the item at `at`; none if it was not admitted, which answers it.
    pub(super) fn admit<W>(&mut self, at: usize, admission: Result<(W, Admitted)>) -> Option<W> {
        match admission {
            Ok((work, admitted)) => {
                if let Some(item) = self.0.get_mut(at) {
                    item.admitted = Some(admitted);
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
        if let Some(item) = self.0.get_mut(at)
            && item.answer.is_none()
        {
            item.answer = Some(match item.admitted.take() {
                Some(admitted) => admitted.end(answer),
                None => answer,
            });
        }
    }

    /// One item more.
    pub(super) fn add(&mut self) {
        self.0.push(Item::open());
    }

    /// Does `work` for items, as [`on_pool`] does: gives what it made of each, and answers those with which it failed.
    pub(super) async fn each<U, R>(
        &mut self,
        items: Vec<(usize, U)>,
        work: impl Fn(U) -> Result<R> + Clone + Send + 'static,
    ) -> Vec<(usize, R)>
    where
        U: Send + 'static,
        R: Send + 'static,
    {
        let (places, items): (Vec<usize>, Vec<U>) = items.into_iter().unzip();
        let mut done = Vec::with_capacity(places.len());
        for (at, made) in places.into_iter().zip(on_pool(items, work).await) {
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
        self.0.into_iter().map(|item| item.answer.unwrap_or_else(unanswered)).collect()
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
pub(super) struct Pages<I: Iterator, F> {
    items: Peekable<I>,
    bytes_of: F,
}

impl<I: Iterator, F: Fn(&I::Item) -> usize> Pages<I, F> {
    pub(super) fn new(items: impl IntoIterator<IntoIter = I>, bytes_of: F) -> Self {
        Self { items: items.into_iter().peekable(), bytes_of }
    }
}

impl<I: Iterator, F: Fn(&I::Item) -> usize> Iterator for Pages<I, F> {
    type Item = Vec<I::Item>;

    fn next(&mut self) -> Option<Vec<I::Item>> {
        let mut page = vec![self.items.next()?];
        let mut bytes = page.iter().map(&self.bytes_of).sum::<usize>();
        while page.len() < PAGE
            && let Some(item) = self.items.next_if(|item| {
                bytes = bytes.saturating_add((self.bytes_of)(item));
                bytes <= PAGE_BYTES
            })
        {
            page.push(item);
        }
        Some(page)
    }
}

/// Does `work` to each item: on the blocking pool, and with several tasks, if there are many. Sealing a thousand secrets would
/// keep other tasks from their turn for milliseconds.
pub(super) async fn on_pool<T, R>(
    mut items: Vec<T>,
    work: impl Fn(T) -> Result<R> + Clone + Send + 'static,
) -> Vec<Result<R>>
where
    T: Send + 'static,
    R: Send + 'static,
{
    if items.len() <= PER_TASK / 4 {
        return items.into_iter().map(work).collect();
    }
    let mut tasks = Vec::new();
    while !items.is_empty() {
        let part = items.split_off(items.len().saturating_sub(PER_TASK));
        let (work, length) = (work.clone(), part.len());
        let task = tokio::task::spawn_blocking(move || part.into_iter().map(work).collect::<Vec<_>>());
        tasks.push((length, task));
    }
    let mut done = Vec::new();
    for (length, task) in tasks.into_iter().rev() {
        match task.await {
            Ok(part) => done.extend(part),
            Err(error) => {
                let aborted = Error::new(ErrorKind::Internal, "preparing objects was aborted").with_source(error);
                done.extend((0..length).map(|_| Err(aborted.clone())));
            }
        }
    }
    done
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
            let divided: Vec<Vec<usize>> = Pages::new(sizes.iter().copied(), |size| *size).collect();
            assert_eq!(divided.iter().map(Vec::len).collect::<Vec<_>>(), expected);
            assert_eq!(divided.concat(), sizes);
        }
    }

    #[tokio::test]
    async fn work_on_the_pool_keeps_the_order() {
        for count in [0, 1, PER_TASK, 3 * PER_TASK + 7] {
            let done = on_pool((0..count).collect(), |n| Ok(n * 2)).await;
            let done: Vec<usize> = done.into_iter().map(|n| n.expect("fine")).collect();
            assert_eq!(done, (0..count).map(|n| n * 2).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn a_panic_on_the_pool_fails_its_own_items() {
        let work = |n: usize| {
            assert!(n > 0, "the first one panics");
            Ok(n)
        };
        let done = on_pool((0..3 * PER_TASK).collect(), work).await;
        assert_eq!(done.len(), 3 * PER_TASK);
        let failed = done.iter().filter(|answer| answer.is_err()).count();
        assert_eq!(failed, PER_TASK);
        assert!(done.last().is_some_and(Result::is_ok));
    }
}
