//! Users who ask for the access token of a connector, and a provider whose refresh tokens are valid once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use saved_objects::SavedObjects;
use saved_objects::encryption::Secret;
use saved_objects::tokens::{
    AccessTokens, ConnectorId, Grant, ProviderError, RefreshRequest, Refresher, Scope, SharedConnectorTokenClient,
    TokenError,
};

use crate::dice::Dice;
use crate::executor::lock;
use crate::journal::About;
use crate::node::Life;
use crate::witness::SECRET;
use crate::world::World;

const USED_ONCE: &str = "a refresh token is used once";
const GRANTED: &str = "an access token that is given was granted";
const LEFT_ALONE: &str = "a provider is left alone for as long as it wants";
const STORED: &str = "what a provider granted is stored, or its asker was told";

/// A grant that never reached the store: its caller was killed, stalled for longer than its claim holds, or got the
/// error that it could not be stored. The user authorizes again. Counted separately.
const LOST: &str = "known limit: a grant was lost with its asker";

/// How long a grant may be on its way to the store before others may ask: the time of a claim, by the fastest clock.
const CLAIMED_FOR: Duration = Duration::from_secs(30);

/// How many seconds pass on the fastest clock in one second.
const FASTEST_RATE: f64 = 1.5;

/// The object that holds the token, for the story.
const TOKEN: &str = "connector_token";

/// The state of the provider.
#[derive(Debug, Default)]
pub(crate) struct Provider {
    grants: Mutex<Grants>,
}

#[derive(Debug, Default)]
struct Grants {
    number: u64,
    /// The authorization that each refresh token belongs to.
    authorizations: BTreeMap<String, u64>,
    /// The valid refresh token of each authorization, and the state of its grant.
    good: BTreeMap<u64, Granted>,
    access_tokens: BTreeSet<String>,
    /// The time until which each life of a node must not ask the provider, by the fastest clock.
    left_alone: BTreeMap<String, Duration>,
}

#[derive(Debug)]
struct Granted {
    refresh_token: String,
    to: Option<Arc<Life>>,
    at: Duration,
    /// Whether its caller did not get it, or got the error that it could not be stored.
    is_lost: bool,
}

impl Granted {
    fn may_be_lost(&self, now: Duration) -> bool {
        let is_disturbed = self.to.as_ref().is_none_or(|life| life.is_disturbed());
        self.is_lost || is_disturbed || now - self.at > CLAIMED_FOR
    }
}

impl Grants {
    /// Grants a token of an authorization.
    fn grant(&mut self, authorization: u64, to: Option<&Arc<Life>>, at: Duration, lifetime: Duration) -> Grant {
        self.number += 1;
        let (access, refresh) = (format!("{SECRET}access{}", self.number), format!("{SECRET}refresh{}", self.number));
        self.access_tokens.insert(access.clone());
        self.authorizations.insert(refresh.clone(), authorization);
        let granted = Granted { refresh_token: refresh.clone(), to: to.cloned(), at, is_lost: false };
        self.good.insert(authorization, granted);
        Grant {
            access_token: Secret::text(&access),
            refresh_token: Some(Secret::text(&refresh)),
            expires_in: Some(lifetime),
            refresh_token_expires_in: None,
        }
    }
}

/// The provider for one life of a node.
struct Asking {
    world: Arc<World>,
    life: Arc<Life>,
    dice: Dice,
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asking")
    }
}

#[async_trait]
impl Refresher for Asking {
    async fn refresh(&self, request: &RefreshRequest) -> Result<Grant, ProviderError> {
        let Self { world, life, dice } = self;
        let presented =
            request.refresh_token.as_ref().expect("it needs one").expose_text().expect("a text").to_string();
        let transient = |reason: &str, retry_after| ProviderError::Transient { reason: reason.to_owned(), retry_after };
        if let Some(until) = lock(&world.provider.grants).left_alone.get(&life.name)
            && world.simulator.now() < *until
        {
            let how = format!("{} asks at {:?}, before {until:?}", life.name, world.simulator.now());
            world.journal.broken(LEFT_ALONE, TOKEN, how);
        }
        world.simulator.sleep(Duration::from_millis(20 + dice.below(2_000))).await;
        if dice.happens(5) {
            let retry_after = dice.happens(50).then(|| Duration::from_secs(1 + dice.below(20)));
            if let Some(pause) = retry_after {
                let until = world.simulator.now() + pause.div_f64(FASTEST_RATE);
                lock(&world.provider.grants).left_alone.insert(life.name.clone(), until);
            }
            return Err(transient("too busy", retry_after));
        }
        let (grant, authorization) = {
            let (now, mut grants) = (world.simulator.now(), lock(&world.provider.grants));
            let authorization = grants.authorizations[&presented];
            let good = &grants.good[&authorization];
            if good.refresh_token != presented {
                if good.may_be_lost(now) {
                    world.journal.count(LOST);
                } else {
                    let how = format!("{} asks with {presented}, and {} was granted", life.name, good.refresh_token);
                    world.journal.broken(USED_ONCE, TOKEN, how);
                }
            }
            // After a lost grant its user authorizes again.
            (grants.grant(authorization, Some(life), now, lifetime(dice)), authorization)
        };
        world.journal.count("refresh");
        world.journal.tell(|| {
            let refresh_token = &lock(&world.provider.grants).good[&authorization].refresh_token;
            (About::Names(vec![TOKEN.to_owned()]), format!("{} is granted {refresh_token} for {presented}", life.name))
        });
        world.simulator.sleep(Duration::from_millis(dice.below(2_000))).await;
        if dice.happens(3) {
            let mut grants = lock(&world.provider.grants);
            grants.good.get_mut(&authorization).expect("granted").is_lost = true;
            return Err(transient("the answer is lost", None));
        }
        Ok(grant)
    }
}

/// Returns a lifetime, from one that is over immediately to one that is longer than the world.
fn lifetime(dice: &Dice) -> Duration {
    Duration::from_secs([3, 10, 70, 900][dice.below(4) as usize])
}

fn connector() -> ConnectorId {
    ConnectorId::new("github").expect("a name")
}

/// Asks for the access token; if there is none, authorizes the connector.
pub(crate) async fn ask(world: Arc<World>, life: Arc<Life>, store: SavedObjects, dice: &Dice) {
    let asking = Asking { world: world.clone(), life: life.clone(), dice: Dice::new(dice.below(u64::MAX)) };
    let refresher: Arc<dyn Refresher> = Arc::new(asking);
    let tokens = life.tokens(|| AccessTokens::new(&store).expect("the types are there"));
    let given = tokens.get(Scope::Shared, &connector(), &refresher).await;
    world.journal.tell(|| {
        let words = given.as_ref().map_or_else(|error| format!("{error}"), |_| "done".to_owned());
        (About::Names(vec![TOKEN.to_owned()]), format!("{} asked for the access token: {words}", life.name))
    });
    match given {
        Ok(token) => {
            world.journal.count("ask for a token");
            let token = token.token.expose_text().expect("a text").to_string();
            if !lock(&world.provider.grants).access_tokens.contains(&token) {
                world.journal.broken(GRANTED, TOKEN, format!("{} was given {token}", life.name));
            }
        }
        Err(TokenError::NoToken { .. }) => authorize(&world, &life, &store, dice).await,
        Err(TokenError::NotStored { grant, .. }) => {
            world.journal.count("ask for a token: not stored");
            lose(&world, &grant);
        }
        Err(error) => world.journal.count(&format!("ask for a token: {:?}", error.kind())),
    }
}

async fn authorize(world: &Arc<World>, life: &Arc<Life>, store: &SavedObjects, dice: &Dice) {
    let grant = {
        let mut grants = lock(&world.provider.grants);
        let authorization = grants.number;
        grants.grant(authorization, Some(life), world.simulator.now(), lifetime(dice))
    };
    let client = SharedConnectorTokenClient::new(store).expect("the types are there");
    let created = client.create_with_refresh_token(&connector(), grant.clone()).await;
    world.journal.count(if created.is_ok() { "authorize a connector" } else { "authorize a connector: failed" });
    if created.is_err() {
        lose(world, &grant);
    }
}

/// The caller has the only copy of a grant, and drops it.
fn lose(world: &World, grant: &Grant) {
    let mut grants = lock(&world.provider.grants);
    let refresh_token = grant.refresh_token.as_ref().expect("granted").expose_text().expect("a text").to_string();
    let authorization = grants.authorizations[&refresh_token];
    if let Some(good) = grants.good.get_mut(&authorization)
        && good.refresh_token == refresh_token
    {
        good.is_lost = true;
    }
}

/// Asserts that the token that is stored in the end is the one that was granted last.
pub(crate) async fn check(world: &World, store: &SavedObjects) {
    let client = SharedConnectorTokenClient::new(store).expect("the types are there");
    let stored = match client.get_oauth_credentials(&connector()).await {
        Ok(Some(stored)) => stored,
        Ok(None) => return,
        Err(error) => return world.journal.broken(STORED, TOKEN, format!("the token cannot be read: {error}")),
    };
    let stored = stored.credentials.refresh_token.expect("stored").expose_text().expect("a text").to_string();
    let grants = lock(&world.provider.grants);
    let good = &grants.good[&grants.authorizations[&stored]];
    if good.refresh_token != stored {
        if good.may_be_lost(good.at) {
            world.journal.count(LOST);
        } else {
            world.journal.broken(STORED, TOKEN, format!("{stored} is stored, and {} was granted", good.refresh_token));
        }
    }
}
