//! The objects of one call on their way through the stages of an operation.
//!
//! A stage takes the items of a call and returns them with another state. An item that a stage answers passes through
//! all later stages unchanged. The audit receives each answer when it is given.

use std::ops::ControlFlow;

use futures::future::Either;

use super::many::{PAGE, WITHOUT_POOL, on_pool, unanswered};
use super::target::Target;
use crate::Result;
use crate::environment::Environment;
use crate::repository::access::Admitted;

/// One object of a call: open with the state `S`, or answered with `A`.
pub(in crate::repository) struct Item<S, A> {
    /// The index of its answer among the answers of the call.
    at: usize,
    /// The admission whose end the audit receives. Empty if the item is answered, or if it needed no admission.
    admitted: Option<Admitted>,
    progress: Progress<S, A>,
}

enum Progress<S, A> {
    Open(Target, S),
    Answered(Result<A>),
}

impl<S, A> Item<S, A> {
    fn answered(at: usize, admitted: Option<Admitted>, answer: Result<A>) -> Self {
        if let Some(admitted) = admitted {
            admitted.tell(&answer);
        }
        Self { at, admitted: None, progress: Progress::Answered(answer) }
    }

    /// Returns the target and the state of an item that is open.
    pub(in crate::repository) fn open(&mut self) -> Option<(&Target, &mut S)> {
        match &mut self.progress {
            Progress::Open(target, state) => Some((target, state)),
            Progress::Answered(_) => None,
        }
    }

    /// Answers an item that is open.
    pub(in crate::repository) fn answer(&mut self, answer: Result<A>) {
        if let Progress::Open(..) = self.progress {
            *self = Self::answered(self.at, self.admitted.take(), answer);
        }
    }

    fn step<N>(self, work: impl FnOnce(&mut Target, S) -> ControlFlow<Result<A>, N>) -> Item<N, A> {
        let Self { at, admitted, progress } = self;
        match progress {
            Progress::Answered(answer) => Item { at, admitted, progress: Progress::Answered(answer) },
            Progress::Open(mut target, state) => match work(&mut target, state) {
                ControlFlow::Continue(state) => Item { at, admitted, progress: Progress::Open(target, state) },
                ControlFlow::Break(answer) => Item::answered(at, admitted, answer),
            },
        }
    }
}

/// Keeps an item open with a new state, or answers it with an error.
pub(in crate::repository) fn go_on<N, A>(result: Result<N>) -> ControlFlow<Result<A>, N> {
    match result {
        Ok(state) => ControlFlow::Continue(state),
        Err(error) => ControlFlow::Break(Err(error)),
    }
}

/// The objects of a call.
pub(in crate::repository) struct Items<S, A>(Vec<Item<S, A>>);

impl<S, A> Items<S, A> {
    /// Returns no items, with room for so many.
    pub(in crate::repository) fn with_capacity(items: usize) -> Self {
        Self(Vec::with_capacity(items))
    }

    /// Adds an item that is answered at the index `at`: open if it was admitted, otherwise answered with the error.
    pub(in crate::repository) fn admit(&mut self, at: usize, admission: Result<(Target, Admitted)>, state: S) {
        self.0.push(match admission {
            Ok((target, admitted)) => Item { at, admitted: Some(admitted), progress: Progress::Open(target, state) },
            Err(error) => Item::answered(at, None, Err(error)),
        });
    }

    /// Adds an open item that needs no admission.
    pub(in crate::repository) fn open(&mut self, at: usize, target: Target, state: S) {
        self.0.push(Item { at, admitted: None, progress: Progress::Open(target, state) });
    }

    /// Adds the items of another part of the call.
    pub(in crate::repository) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub(in crate::repository) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Item<S, A>> {
        self.0.iter_mut()
    }

    /// Returns the states of the open items.
    pub(in crate::repository) fn states(&mut self) -> impl Iterator<Item = &mut S> {
        self.0.iter_mut().filter_map(|item| Some(item.open()?.1))
    }

    /// Returns the targets of the open items.
    pub(in crate::repository) fn targets(&self) -> Vec<&Target> {
        let open = self.0.iter().filter_map(|item| match &item.progress {
            Progress::Open(target, _) => Some(target),
            Progress::Answered(_) => None,
        });
        open.collect()
    }

    /// Returns how many items are open.
    pub(in crate::repository) fn open_count(&self) -> usize {
        self.0.iter().filter(|item| matches!(item.progress, Progress::Open(..))).count()
    }

    /// Returns whether no item is open.
    pub(in crate::repository) fn are_answered(&self) -> bool {
        self.0.iter().all(|item| matches!(item.progress, Progress::Answered(_)))
    }

    /// Does `work` to each open item. An error answers it.
    pub(in crate::repository) fn each<N>(self, mut work: impl FnMut(&mut Target, S) -> Result<N>) -> Items<N, A> {
        self.each_or_answer(|target, state| go_on(work(target, state)))
    }

    /// Does `work` to each open item, which stays open or is answered.
    pub(in crate::repository) fn each_or_answer<N>(
        self,
        mut work: impl FnMut(&mut Target, S) -> ControlFlow<Result<A>, N>,
    ) -> Items<N, A> {
        Items(self.0.into_iter().map(|item| item.step(&mut work)).collect())
    }

    /// Does `work` to each open item, like [`each`](Self::each): on the blocking pool if there are many.
    pub(in crate::repository) async fn each_on_pool<N>(
        self,
        environment: &Environment,
        mut work: impl FnMut(&mut Target, S) -> Result<N> + Clone + Send + 'static,
    ) -> Items<N, A>
    where
        S: Send + 'static,
        N: Send + 'static,
    {
        if self.open_count() <= WITHOUT_POOL {
            return self.each(work);
        }
        // The admissions stay here: the states are lost with a task that panics, and the audit still receives the
        // answers.
        let mut waiting = Vec::with_capacity(self.0.len());
        let mut open = Vec::with_capacity(self.0.len());
        for Item { at, admitted, progress } in self.0 {
            match progress {
                Progress::Open(target, state) => {
                    open.push((target, state));
                    waiting.push((at, admitted, None));
                }
                Progress::Answered(answer) => waiting.push((at, admitted, Some(answer))),
            }
        }
        let working = move |(mut target, state): (Target, S)| {
            let state = work(&mut target, state)?;
            Ok((target, state))
        };
        let mut done = on_pool(environment, open, working).await;
        let items = waiting.into_iter().map(|(at, admitted, answer)| match answer {
            Some(answer) => Item { at, admitted, progress: Progress::Answered(answer) },
            None => match done.next().unwrap_or_else(|| Err(unanswered())) {
                Ok((target, state)) => Item { at, admitted, progress: Progress::Open(target, state) },
                Err(error) => Item::answered(at, admitted, Err(error)),
            },
        });
        Items(items.collect())
    }

    /// Does `work` to each open item and its result. The results are in the order of [`targets`](Self::targets).
    pub(in crate::repository) fn zip<R, N>(
        self,
        results: Vec<R>,
        mut work: impl FnMut(&mut Target, S, R) -> ControlFlow<Result<A>, N>,
    ) -> Items<N, A> {
        let mut results = results.into_iter();
        self.each_or_answer(|target, state| match results.next() {
            Some(result) => work(target, state, result),
            None => ControlFlow::Break(Err(unanswered())),
        })
    }

    /// Divides the items in two. The answered ones are in the first part.
    pub(in crate::repository) fn divide<X, Y>(
        self,
        mut way: impl FnMut(&Target, S) -> Either<X, Y>,
    ) -> (Items<X, A>, Items<Y, A>) {
        let (mut one, mut other) = (Vec::with_capacity(self.0.len()), Vec::new());
        for Item { at, admitted, progress } in self.0 {
            match progress {
                Progress::Answered(answer) => one.push(Item { at, admitted, progress: Progress::Answered(answer) }),
                Progress::Open(target, state) => match way(&target, state) {
                    Either::Left(state) => one.push(Item { at, admitted, progress: Progress::Open(target, state) }),
                    Either::Right(state) => other.push(Item { at, admitted, progress: Progress::Open(target, state) }),
                },
            }
        }
        (Items(one), Items(other))
    }

    /// Returns the items in pages of at most [`PAGE`] open ones.
    pub(in crate::repository) fn pages(self) -> impl Iterator<Item = Self> {
        let mut left = self.0.into_iter();
        std::iter::from_fn(move || {
            let mut page = Vec::with_capacity(left.len().min(PAGE));
            let mut open = 0;
            while open < PAGE
                && let Some(item) = left.next()
            {
                open += usize::from(matches!(item.progress, Progress::Open(..)));
                page.push(item);
            }
            (!page.is_empty()).then_some(Items(page))
        })
    }

    /// Answers the items that are open as `last` says, and returns the answers of a call of so many items, in its
    /// order.
    pub(in crate::repository) fn end(
        self,
        count: usize,
        mut last: impl FnMut(&Target, S) -> Result<A>,
    ) -> Vec<Result<A>> {
        let mut answers: Vec<Option<Result<A>>> = (0..count).map(|_| None).collect();
        for Item { at, admitted, progress } in self.0 {
            let answer = match progress {
                Progress::Answered(answer) => answer,
                Progress::Open(target, state) => {
                    let answer = last(&target, state);
                    if let Some(admitted) = admitted {
                        admitted.tell(&answer);
                    }
                    answer
                }
            };
            if let Some(place) = answers.get_mut(at) {
                *place = Some(answer);
            }
        }
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(unanswered()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::document::Namespace;
    use crate::registry::testing;
    use crate::repository::{Action, AuditEvent, AuditOutcome, ObjectKey, RecordingAudit};
    use crate::{Error, ErrorKind};

    /// Items with the states `0..count`, whose ids are their states.
    fn items<A>(count: usize, audit: &RecordingAudit) -> Items<usize, A> {
        let definition = testing::read(&testing::note(json!({})), &[testing::version(json!({}))]).expect("valid");
        let definition = Arc::new(definition);
        let mut items = Items::with_capacity(count);
        for at in 0..count {
            let target = Target::new(&definition, ObjectKey::new("note", at.to_string())).expect("an id");
            let event = AuditEvent {
                action: Action::Update,
                type_name: "note".to_owned(),
                id: Some(at.to_string()),
                namespace: Namespace::DEFAULT,
                outcome: AuditOutcome::Admitted,
            };
            let admitted = Admitted { audit: Some(Arc::new(audit.clone())), events: vec![event], measured: None };
            items.admit(at, Ok((target, admitted)), at);
        }
        items
    }

    fn refuse<T>() -> Result<T> {
        Err(Error::invalid("refused", "ask for another one"))
    }

    #[test]
    fn answers_are_in_the_order_of_the_call_and_the_audit_receives_each_once() {
        let audit = RecordingAudit::default();
        let every_third = items(7, &audit).each(|_, n| if n % 3 == 0 { refuse() } else { Ok(n) });
        assert_eq!(
            every_third.targets().iter().map(|target| target.key.id.as_str()).collect::<Vec<_>>(),
            ["1", "2", "4", "5"]
        );
        let (even, odd) = every_third.divide(|_, n| if n % 2 == 0 { Either::Left(n) } else { Either::Right(n) });
        let (even_count, odd_count) = (even.open_count(), odd.open_count());
        assert_eq!((even_count, odd_count), (2, 2));
        let mut all = odd.zip(vec!["one", "five"], |_, n, word| go_on(Ok((n, word))));
        all.append(even.each(|_, n| Ok((n, "even"))));
        assert!(!all.are_answered());
        let answers = all.end(8, |target, (n, word)| Ok(format!("{} {n} {word}", target.key)));
        let answers: Vec<_> = answers.iter().map(|answer| answer.as_ref().map_err(Error::kind)).collect();
        let done = |answer: &str| answer.to_owned();
        let expected = [
            Err(ErrorKind::Invalid),
            Ok(&done("note/1 1 one")),
            Ok(&done("note/2 2 even")),
            Err(ErrorKind::Invalid),
            Ok(&done("note/4 4 even")),
            Ok(&done("note/5 5 five")),
            Err(ErrorKind::Invalid),
            // No item is answered there.
            Err(ErrorKind::Internal),
        ];
        assert_eq!(answers, expected);
        let events = audit.events();
        let mut ended: Vec<_> = events.iter().map(|event| (event.id.as_deref(), event.outcome)).collect();
        ended.sort_by_key(|(id, _)| *id);
        let invalid = AuditOutcome::Failed(ErrorKind::Invalid);
        let outcomes =
            [invalid, AuditOutcome::Done, AuditOutcome::Done, invalid, AuditOutcome::Done, AuditOutcome::Done];
        assert_eq!(ended.iter().map(|(_, outcome)| *outcome).collect::<Vec<_>>(), [&outcomes[..], &[invalid]].concat());
    }

    #[test]
    fn pages_count_open_items_only() {
        let audit = RecordingAudit::default();
        let open = items::<()>(2 * PAGE + 2, &audit).each(|_, n| if n % 2 == 0 { refuse() } else { Ok(n) });
        let pages: Vec<usize> = open.pages().map(|page| page.open_count()).collect();
        assert_eq!(pages, [PAGE, 1]);
    }

    #[tokio::test]
    async fn the_audit_receives_the_end_of_items_whose_task_panics() {
        let audit = RecordingAudit::default();
        let count = WITHOUT_POOL + 1;
        let panicking = |_: &mut Target, n: usize| {
            assert!(n > 0, "the first one panics");
            Ok(n)
        };
        let items = items(count, &audit).each_on_pool(&Environment::system(), panicking).await;
        assert!(items.are_answered());
        assert!(items.end(count, |_, n| Ok(n)).iter().all(Result::is_err));
        let failed = AuditOutcome::Failed(ErrorKind::Internal);
        assert!(audit.events().iter().all(|event| event.outcome == failed) && audit.events().len() == count);
    }
}
