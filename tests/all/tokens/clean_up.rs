//! Which tokens a clean-up deletes, and that it deletes them only in the state in which it read them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use libtest_mimic::Trial;
use saved_objects::encryption::{KeyRing, Secret};
use saved_objects::environment::{Clock, Environment, SystemRng};
use saved_objects::tokens::{
    CleanUp, CleanUpPolicy, CleanUpReport, ConnectorTokenClient, Credentials, NewToken, ProviderError, Reason,
    Revocation, Revoker, Scope, TokenClient, types,
};
use saved_objects::{ErrorKind, SavedObjects, Start};
use secrecy::SecretString;
use serde_json::json;

use super::{SHARED_C1, change_stored, connector, documents, text, user};
use crate::clock::PollingClock;
use crate::context::{Context, MEMORY};
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    let mut trials = named_trials!(
        url,
        each_reason_takes_what_it_names_and_a_dry_run_nothing,
        what_cannot_be_read_stays_and_is_named,
        without_the_keys_nothing_goes_as_expired,
        a_token_that_is_written_meanwhile_stays,
        what_goes_is_revoked,
        begun_authorizations_go_when_they_expire,
    );
    // Other tests cover pages on the server; here each of the many records is created by its own request.
    if url == MEMORY {
        trials.extend(named_trials!(url, more_than_a_page_goes));
    }
    trials
}

const DAY: Duration = Duration::from_secs(86_400);

/// A store whose time the test moves forward.
struct Aging {
    clock: Arc<PollingClock>,
    store: SavedObjects,
    tokens: ConnectorTokenClient,
}

impl Aging {
    async fn start(context: &Context) -> Self {
        let clock = PollingClock::new();
        let environment = Environment::new(clock.clone(), Arc::new(SystemRng));
        let builder = context.builder(types().expect("built-in types")).environment(environment);
        let store = builder.start(Start::Migrate).await.expect("the store starts");
        let tokens = ConnectorTokenClient::new(&store).expect("the types are there");
        Self { clock, store, tokens }
    }

    /// Creates a token that is valid for some days, with or without a refresh token.
    async fn create(&self, scope: Scope, connector_id: &str, days: Option<u32>, refresh_token: Option<&str>) {
        let (token, refresh_token) = (Secret::text("Bearer a"), refresh_token.map(Secret::text));
        let mut token = NewToken::new(Credentials::Token { token, refresh_token });
        token.expires_at = days.map(|days| self.clock.now() + days * DAY);
        self.tokens.create(scope, &connector(connector_id), token).await.expect("stored");
    }

    async fn run(&self, context: &Context, policy: CleanUpPolicy) -> CleanUpReport {
        let run = |policy: CleanUpPolicy, dry_run| async move {
            let clean_up = CleanUp::new(&self.store, policy).expect("a policy");
            let clean_up = if dry_run { clean_up.dry_run() } else { clean_up };
            clean_up.run().await.expect("cleaned up")
        };
        // Searches see the record once it is counted.
        let before = documents(context).await;
        let would = run(policy.clone(), true).await;
        assert_eq!(documents(context).await, before, "a dry run deletes nothing");
        let report = run(policy, false).await;
        assert_eq!((would.dry_run, report.dry_run), (true, false));
        assert_eq!((&would.removed, would.removed_records.len()), (&report.removed, report.removed_records.len()));
        assert_eq!(documents(context).await, before - report.removed_total());
        report
    }
}

/// Returns the connector and the reason of each deleted token, in order.
fn gone(report: &CleanUpReport) -> Vec<(&str, Reason)> {
    let mut gone: Vec<_> =
        report.removed_records.iter().map(|removed| (removed.connector_id.as_str(), removed.reason)).collect();
    gone.sort_unstable();
    gone
}

async fn each_reason_takes_what_it_names_and_a_dry_run_nothing(context: Context) {
    let aging = Aging::start(&context).await;
    aging.create(Scope::Shared, "expired", Some(1), None).await;
    aging.create(user("u1"), "expired", Some(1), None).await;
    aging.create(user("u1"), "refreshable", Some(1), Some("r")).await;
    aging.create(Scope::Shared, "for-ever", None, None).await;
    aging.create(user("u1"), "good", Some(400), None).await;

    assert_eq!(gone(&aging.run(&context, CleanUpPolicy::new()).await), []);
    let expired = || CleanUpPolicy::new().expired_for(7 * DAY);
    aging.clock.forward(7 * DAY);
    assert_eq!(gone(&aging.run(&context, expired()).await), []);
    aging.clock.forward(DAY);
    let report = aging.run(&context, expired()).await;
    assert_eq!(gone(&report), [("expired", Reason::Expired), ("expired", Reason::Expired)]);
    let users: Vec<_> = report.removed_records.iter().map(|removed| removed.profile_uid.as_deref()).collect();
    assert_eq!(users, [None, Some("u1")]);
    assert!(aging.tokens.get(user("u1"), &connector("expired")).await.expect("readable").is_none());
    assert!(aging.tokens.get(user("u1"), &connector("refreshable")).await.expect("readable").is_some());

    aging.clock.forward(90 * DAY);
    let report = aging.run(&context, CleanUpPolicy::new().unused_for(90 * DAY)).await;
    assert_eq!(gone(&report), [("refreshable", Reason::Unused)]);

    let known = ["for-ever", "somewhere"].map(connector);
    let report = aging.run(&context, CleanUpPolicy::new().known_connectors(known)).await;
    assert_eq!(gone(&report), [("good", Reason::Orphaned)]);

    let report = aging.run(&context, CleanUpPolicy::new().older_than(30 * DAY)).await;
    assert_eq!(gone(&report), [("for-ever", Reason::TooOld)]);
    assert_eq!((report.examined, documents(&context).await), (1, 0));

    let error = CleanUp::new(&aging.store, CleanUpPolicy::new().known_connectors([])).expect_err("it names all");
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

async fn more_than_a_page_goes(context: Context) {
    let aging = Aging::start(&context).await;
    let users: Vec<_> = (0..1_050).map(|number| user(&format!("u{number}"))).collect();
    for some in users.chunks(16) {
        join_all(some.iter().map(|one| aging.create(one.clone(), "c1", Some(1), None))).await;
    }
    aging.create(user("u1"), "c2", None, None).await;
    aging.clock.forward(30 * DAY);
    let report = aging.run(&context, CleanUpPolicy::new().expired_for(DAY)).await;
    assert_eq!((report.examined, report.removed_total()), (1_051, 1_050));
    assert_eq!(report.removed_records.len(), 1_000, "so many are named");
}

async fn what_cannot_be_read_stays_and_is_named(context: Context) {
    let aging = Aging::start(&context).await;
    aging.create(Scope::Shared, "c1", Some(1), None).await;
    aging.create(Scope::Shared, "c2", Some(1), None).await;
    // The secrets are bound to the times, so they can no longer be decrypted.
    change_stored(&context, "connector_token", SHARED_C1, json!({"refreshTokenExpiresAt": null})).await;
    change_stored(&context, "connector_token", SHARED_C1, json!({"createdAt": "1970-01-01T00:00:00.001Z"})).await;
    aging.clock.forward(30 * DAY);
    let report = aging.run(&context, CleanUpPolicy::new().expired_for(DAY)).await;
    assert_eq!(gone(&report), [("c2", Reason::Expired)]);
    assert_eq!((report.unreadable_total, report.unreadable.len()), (1, 1));
    assert_eq!(report.unreadable[0].id, format!("shared:{SHARED_C1}"));
    // Whether it is too old does not depend on its secrets.
    let report = aging.run(&context, CleanUpPolicy::new().older_than(DAY)).await;
    assert_eq!(gone(&report), [("c1", Reason::TooOld)]);
    // A record that is not a token.
    aging.create(Scope::Shared, "c1", None, None).await;
    change_stored(&context, "connector_token", SHARED_C1, json!({"updatedAt": "yo"})).await;
    let report = aging.run(&context, CleanUpPolicy::new().older_than(Duration::ZERO)).await;
    assert_eq!((gone(&report), report.unreadable_total), (vec![], 1));
}

async fn without_the_keys_nothing_goes_as_expired(context: Context) {
    let aging = Aging::start(&context).await;
    aging.create(Scope::Shared, "c1", Some(1), Some("r")).await;
    aging.create(Scope::Shared, "c2", Some(1), None).await;
    aging.clock.forward(30 * DAY);
    let other_key = KeyRing::new(SecretString::from("another key for tests: 0123456789abcdef"), Vec::new());
    let environment = Environment::new(aging.clock.clone(), Arc::new(SystemRng));
    let builder = context.builder(types().expect("built-in types")).environment(environment);
    let store = builder.key_ring(other_key.expect("a key")).start(Start::Skip).await.expect("the store starts");
    assert_eq!(documents(&context).await, 2);
    let clean_up = CleanUp::new(&store, CleanUpPolicy::new().expired_for(DAY)).expect("a policy");
    let report = clean_up.run().await.expect("cleaned up");
    assert_eq!((report.removed_total(), report.unreadable_total), (0, 2));
    assert_eq!(documents(&context).await, 2);
}

/// Stores all existing tokens again when the first one is revoked, and lets no revocation continue before that is done.
#[derive(Debug)]
struct Meddler {
    tokens: ConnectorTokenClient,
    revoked: tokio::sync::Mutex<Vec<(String, String, Option<String>)>>,
}

impl Meddler {
    fn new(tokens: &ConnectorTokenClient) -> Arc<Self> {
        Arc::new(Self { tokens: tokens.clone(), revoked: tokio::sync::Mutex::default() })
    }
}

#[async_trait]
impl Revoker for Meddler {
    async fn revoke(&self, revocation: &Revocation) -> Result<(), ProviderError> {
        let mut revoked = self.revoked.lock().await;
        let refresh_token = revocation.refresh_token.as_ref().map(text);
        revoked.push((revocation.connector_id.to_string(), text(&revocation.access_token), refresh_token));
        for scope in (0..40).map(|number| user(&format!("u{number}"))).filter(|_| revoked.len() == 1) {
            if self.tokens.get(scope.clone(), &connector("c1")).await.expect("readable").is_some() {
                let token = NewToken::token(Secret::text("Bearer new"));
                self.tokens.create(scope, &connector("c1"), token).await.expect("stored");
            }
        }
        Err(ProviderError::Transient { reason: "it is never well".to_owned(), retry_after: None })
    }
}

async fn a_token_that_is_written_meanwhile_stays(context: Context) {
    let aging = Aging::start(&context).await;
    for number in 0..40 {
        aging.create(user(&format!("u{number}")), "c1", Some(1), None).await;
    }
    aging.clock.forward(30 * DAY);
    assert_eq!(documents(&context).await, 40);
    let meddler = Meddler::new(&aging.tokens);
    let clean_up = CleanUp::new(&aging.store, CleanUpPolicy::new().expired_for(DAY)).expect("a policy");
    let report = clean_up.revoking(meddler.clone()).run().await.expect("cleaned up");
    let left = documents(&context).await;
    assert_eq!(report.removed_total() + report.changed_meanwhile, 40);
    // Eight are processed at the same time; the others were written again before their turn, still exist, and were not
    // revoked.
    assert!(report.changed_meanwhile >= 32, "{report:?}");
    assert!(left >= report.changed_meanwhile, "{left} are left: {report:?}");
    let revoked = meddler.revoked.lock().await.clone();
    assert_eq!(revoked.len() as u64, report.removed_total());
    assert!(revoked.iter().all(|(_, token, _)| token == "Bearer a"), "{revoked:?}");
}

async fn what_goes_is_revoked(context: Context) {
    let aging = Aging::start(&context).await;
    aging.create(Scope::Shared, "c2", Some(1), Some("r")).await;
    aging.create(Scope::Shared, "c3", None, Some("r")).await;
    aging.clock.forward(100 * DAY);
    assert_eq!(documents(&context).await, 2);
    let meddler = Meddler::new(&aging.tokens);
    let policy = CleanUpPolicy::new().unused_for(90 * DAY);
    let dry = CleanUp::new(&aging.store, policy.clone()).expect("a policy").revoking(meddler.clone()).dry_run();
    assert_eq!(dry.run().await.expect("looked at").removed_total(), 1);
    assert!(meddler.revoked.lock().await.is_empty());
    let clean_up = CleanUp::new(&aging.store, policy).expect("a policy").revoking(meddler.clone());
    assert_eq!(clean_up.run().await.expect("cleaned up").removed_total(), 1);
    let revoked = meddler.revoked.lock().await.clone();
    assert_eq!(revoked, [("c2".to_owned(), "Bearer a".to_owned(), Some("r".to_owned()))]);
}

async fn begun_authorizations_go_when_they_expire(context: Context) {
    use saved_objects::tokens::oauth::{AuthorizationFlow, Endpoint, OAuthClient, Provider};
    use saved_objects::tokens::{ProfileUid, ScopeKind};

    let aging = Aging::start(&context).await;
    let endpoint = || Endpoint::new("https://provider.example/").expect("an endpoint");
    let provider = Provider::new(endpoint(), "c").authorization_endpoint(endpoint()).redirect_uri(endpoint());
    let client = OAuthClient::new(provider, &aging.store).expect("a client");
    let flow = AuthorizationFlow::new(&aging.store).expect("the types are there");
    let begin = async || {
        let user = ProfileUid::new("u1").expect("a profile uid");
        flow.begin(&client, &user, ScopeKind::PerUser, &connector("c1")).await.expect("begun");
    };
    begin().await;
    begin().await;
    aging.clock.forward(Duration::from_secs(599));
    begin().await;
    assert_eq!(aging.run(&context, CleanUpPolicy::new()).await.removed_total(), 0);
    aging.clock.forward(Duration::from_secs(1));
    let report = aging.run(&context, CleanUpPolicy::new()).await;
    assert_eq!(gone(&report), [("c1", Reason::AuthorizationExpired); 2]);
    assert!(report.removed_records[0].id.starts_with("oauth_state:"));
    assert_eq!(documents(&context).await, 1);
}
