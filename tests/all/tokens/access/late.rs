//! Writes whose answer is lost and that are done later, or never: on the cluster in memory, where a test can decide
//! that.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use libtest_mimic::Trial;
use saved_objects::cluster::memory::{HeldBack, Write};
use saved_objects::environment::Clock;

use super::provider::{Kind, Provider};
use super::{Node, node_with, pair, scopes, seconds, token};
use crate::clock::PollingClock;
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        a_store_that_is_lost_is_repeated,
        a_store_that_lands_late_is_recognized,
        a_store_that_lands_after_it_was_repeated_changes_nothing,
        a_claim_that_lands_late_expires,
        a_claim_that_was_lost_is_taken_again,
    )
}

/// A clock on which the next pause lets a write land.
#[derive(Debug)]
struct Landing {
    clock: Arc<PollingClock>,
    held: Mutex<Option<HeldBack>>,
}

#[async_trait]
impl Clock for Landing {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        if duration == Duration::from_millis(100) {
            let held = self.held.lock().expect("no test panics with the lock").take();
            held.and_then(HeldBack::land);
        }
        self.clock.sleep(duration).await;
    }
}

impl Landing {
    fn land_at_the_next_pause(&self, held: HeldBack) {
        *self.held.lock().expect("no test panics with the lock") = Some(held);
    }
}

async fn landing(context: &Context) -> (Node, Arc<Landing>) {
    let clock = PollingClock::new();
    let landing = Arc::new(Landing { clock: clock.clone(), held: Mutex::default() });
    (node_with(context, clock, landing.clone()).await, landing)
}

/// Holds back the next bulk through the alias with this ending.
fn hold_back(context: &Context, called: &'static str) -> HeldBack {
    let memory = context.memory.as_ref().expect("these tests run in memory");
    memory.hold_back(move |write| matches!(write, Write::Bulk { alias, .. } if alias.contains(called)))
}

async fn a_store_that_is_lost_is_repeated(context: Context) {
    let (node, _) = landing(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        node.store_expired(&scope).await;
        let held = hold_back(&context, "-connectors-");
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
        assert!(held.write().is_some(), "it was lost");
        assert_eq!((provider.asked(), node.stored(&scope).await), (1, pair("access 1", "refresh 1")));
    }
}

async fn a_store_that_lands_late_is_recognized(context: Context) {
    let (node, landing) = landing(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        node.store_expired(&scope).await;
        landing.land_at_the_next_pause(hold_back(&context, "-connectors-"));
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
        assert_eq!((provider.asked(), node.stored(&scope).await), (1, pair("access 1", "refresh 1")));
    }
}

async fn a_store_that_lands_after_it_was_repeated_changes_nothing(context: Context) {
    let (node, _) = landing(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        node.store_expired(&scope).await;
        let held = hold_back(&context, "-connectors-");
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
        node.clock.forward(seconds(3600));
        assert_eq!(token(node.get(&scope, &provider).await), "access 2");
        let outcomes = held.land().expect("it was sent").expect("it is answered");
        assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
        assert_eq!((provider.asked(), node.stored(&scope).await), (2, pair("access 2", "refresh 2")));
    }
}

async fn a_claim_that_lands_late_expires(context: Context) {
    let (node, landing) = landing(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        node.store_expired(&scope).await;
        // One refresh before, so that the control index exists.
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
        node.clock.forward(seconds(3600));
        let began = node.clock.monotonic();
        landing.land_at_the_next_pause(hold_back(&context, "-control"));
        assert_eq!(token(node.get(&scope, &provider).await), "access 2");
        // The node cannot find out that the claim is its own.
        assert!(node.clock.monotonic() - began >= seconds(45));
        assert_eq!((provider.asked(), node.stored(&scope).await), (2, pair("access 2", "refresh 2")));
    }
}

async fn a_claim_that_was_lost_is_taken_again(context: Context) {
    let (node, _) = landing(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        node.store_expired(&scope).await;
        let held = hold_back(&context, "-control");
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
        assert!(held.write().is_some(), "it was lost");
        assert_eq!(provider.asked(), 1);
    }
}
