//! The demo's tour of the three token clients.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::story::Story;
use super::{GROUP, PREFIX, vanished};
use saved_objects::cluster::Cluster;
use saved_objects::encryption::Secret;
use saved_objects::environment::Environment;
use saved_objects::layout::Prefix;
use saved_objects::tokens::{
    ConnectorId, ConnectorTokenClient, Grant, NewToken, OAuthCredentials, ProfileUid, Scope,
    SharedConnectorTokenClient, TokenClient, TokenId, TokenUpdate, UserConnectorTokenClient,
};
use saved_objects::{ErrorKind, Result, SavedObjects};

/// The number of reads that are timed.
pub(super) const READS: usize = 200;

/// One operation of a token client, and whether its result was as expected.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    step: String,
    ok: bool,
}

/// The result of a tour of the three token clients.
pub(super) struct Tour {
    pub(super) steps: Vec<Step>,
    /// The median time of a read, in milliseconds.
    pub(super) read_ms: f64,
    /// A token in its stored form.
    pub(super) stored: Value,
}

impl Tour {
    /// Uses the clients of two users and of the shared scope, and checks each step.
    pub(super) async fn take(
        story: &Story,
        store: &SavedObjects,
        environment: &Environment,
        cluster: &dyn Cluster,
    ) -> Result<Self> {
        let mut tour = Walk { story, steps: Vec::new(), environment };
        let (facade, shared, users) = (
            ConnectorTokenClient::new(store)?,
            SharedConnectorTokenClient::new(store)?,
            UserConnectorTokenClient::new(store)?,
        );
        tour.seeded_tokens(&facade).await?;
        let shared_id = tour.shared_token(&shared).await?;
        tour.tokens_of_two_users(&users).await?;
        tour.facade(&facade, &shared_id).await?;
        let read_ms = tour.time_reads(&facade).await?;
        let stored = stored_token(cluster).await?;
        tour.clean_up(&facade).await?;
        Ok(Self { steps: tour.steps, read_ms, stored })
    }

    pub(super) fn good(&self) -> usize {
        self.steps.iter().filter(|step| step.ok).count()
    }
}

struct Walk<'a> {
    story: &'a Story,
    steps: Vec<Step>,
    environment: &'a Environment,
}

impl Walk<'_> {
    fn step(&mut self, step: &str, ok: bool) {
        self.story.line(format!("{} {step}", if ok { "✓" } else { "✗ NOT AS EXPECTED:" }));
        self.steps.push(Step { step: step.to_owned(), ok });
    }

    fn in_an_hour(&self) -> Timestamp {
        self.environment.clock().now() + SignedDuration::from_hours(1)
    }

    async fn seeded_tokens(&mut self, facade: &ConnectorTokenClient) -> Result<()> {
        let connector = ConnectorId::new("connector-7")?;
        let shared = facade.get(Scope::Shared, &connector).await?;
        self.step("a shared token that version 1 wrote opens after the migration", shared.is_some());
        let scope = Scope::User(ProfileUid::new("u_demo-3_0")?);
        let user = facade.get_oauth_credentials(scope, &connector).await?;
        let has_refresh_token = user.is_some_and(|token| token.credentials.refresh_token.is_some());
        self.step("and so does a user's, narrowed to its access and refresh token", has_refresh_token);
        Ok(())
    }

    async fn shared_token(&mut self, shared: &SharedConnectorTokenClient) -> Result<TokenId> {
        let connector = github()?;
        self.step("github has no shared token yet", shared.get(&connector).await?.is_none());

        let token = NewToken::token(Secret::text("Bearer first")).expires_at(self.in_an_hour());
        let created = shared.create(&connector, token).await?;
        let read = shared.get_oauth_credentials(&connector).await?;
        self.step(
            "one is created, and read back with its secret and expiry",
            read.is_some_and(|read| {
                has_token(&read.credentials, "Bearer first") && read.metadata.expires_at == created.expires_at
            }),
        );

        let granted = shared.create_with_refresh_token(&connector, grant("Bearer second", Some("refresh"))).await?;
        self.step("a new grant replaces it in one write, under the same id", granted.id == created.id);

        shared.update(&created.id, TokenUpdate::token(Secret::text("Bearer third"))).await?;
        let read = shared.get_oauth_credentials(&connector).await?;
        self.step(
            "an update of the token keeps the refresh token",
            read.is_some_and(|read| {
                has_token(&read.credentials, "Bearer third")
                    && read.credentials.refresh_token == Some(Secret::text("refresh"))
            }),
        );
        Ok(created.id)
    }

    async fn tokens_of_two_users(&mut self, users: &UserConnectorTokenClient) -> Result<()> {
        let connector = github()?;
        let (alice, bob) = (alice()?, bob()?);
        for (user, token) in [(&alice, "Bearer alice"), (&bob, "Bearer bob")] {
            users.create_with_refresh_token(user, &connector, grant(token, Some("refresh"))).await?;
        }
        let (of_alice, of_bob) = (
            users.get_oauth_credentials(&alice, &connector).await?,
            users.get_oauth_credentials(&bob, &connector).await?,
        );
        let is = |token: Option<saved_objects::tokens::ConnectorToken<OAuthCredentials>>, expected| {
            token.is_some_and(|token| has_token(&token.credentials, expected))
        };
        self.step("alice's token is alice's", is(of_alice, "Bearer alice"));
        self.step("bob's token is bob's", is(of_bob.clone(), "Bearer bob"));

        if let Some(of_bob) = of_bob {
            users.update_with_refresh_token(&of_bob.metadata.id, grant("Bearer bob 2", None)).await?;
        }
        let of_bob = users.get_oauth_credentials(&bob, &connector).await?;
        self.step(
            "a refresh without a new refresh token keeps the old one",
            of_bob.is_some_and(|token| {
                has_token(&token.credentials, "Bearer bob 2")
                    && token.credentials.refresh_token == Some(Secret::text("refresh"))
            }),
        );
        Ok(())
    }

    async fn facade(&mut self, facade: &ConnectorTokenClient, shared_id: &TokenId) -> Result<()> {
        let connector = github()?;
        let shared = facade.get(Scope::Shared, &connector).await?;
        let of_alice = facade.get(Scope::User(alice()?), &connector).await?;
        let are_apart = match (&shared, &of_alice) {
            (Some(shared), Some(of_alice)) => {
                shared.metadata.id == *shared_id && shared.metadata.id != of_alice.metadata.id
            }
            _ => false,
        };
        self.step("the facade picks the client by scope", are_apart);

        let users_id = of_alice.map(|token| token.metadata.id).ok_or_else(|| vanished("alice's token"))?;
        let empty = ProfileUid::new("").err().map(|error| error.kind());
        self.step("an empty user is refused: it never means everybody", empty == Some(ErrorKind::Invalid));

        facade.update(&users_id, TokenUpdate::token(Secret::text("Bearer alice 2"))).await?;
        let of_alice = facade.get_oauth_credentials(Scope::User(alice()?), &connector).await?;
        let is_updated = of_alice.is_some_and(|token| has_token(&token.credentials, "Bearer alice 2"));
        self.step("the facade updates by the id alone", is_updated);

        facade.delete(Scope::User(alice()?), &connector, None).await?;
        let is_gone = facade.get(Scope::User(alice()?), &connector).await?.is_none();
        let bob_stays = facade.get(Scope::User(bob()?), &connector).await?.is_some();
        self.step("alice disconnects: her token is gone, bob's is not", is_gone && bob_stays);
        Ok(())
    }

    async fn time_reads(&mut self, facade: &ConnectorTokenClient) -> Result<f64> {
        let connector = github()?;
        let mut times: Vec<Duration> = Vec::with_capacity(READS);
        for _ in 0..READS {
            let began = self.environment.clock().monotonic();
            facade.get(Scope::Shared, &connector).await?;
            times.push(self.environment.clock().monotonic().saturating_sub(began));
        }
        times.sort_unstable();
        Ok(times.get(READS / 2).map_or(0.0, |median| median.as_secs_f64() * 1000.0))
    }

    async fn clean_up(&mut self, facade: &ConnectorTokenClient) -> Result<()> {
        let connector = github()?;
        facade.delete(Scope::Shared, &connector, None).await?;
        facade.delete_for_all_users(&connector, None).await?;
        let shared = facade.get(Scope::Shared, &connector).await?;
        let of_bob = facade.get(Scope::User(bob()?), &connector).await?;
        self.step("github is removed: no token of it is left", shared.is_none() && of_bob.is_none());
        Ok(())
    }
}

/// Returns the shared token of github as stored, read without the repository.
async fn stored_token(cluster: &dyn Cluster) -> Result<Value> {
    let prefix: Prefix = PREFIX.parse()?;
    let id = saved_objects::tokens::derived_id("connector_token", &["github", "access_token"]);
    let alias = prefix.group(GROUP);
    let hit = cluster.get(alias.alias(), &format!("connector_token:{id}")).await?;
    let hit = hit.ok_or_else(|| vanished("github's token"))?;
    serde_json::from_str(hit.source.get()).map_err(|_| vanished("github's token"))
}

fn github() -> Result<ConnectorId> {
    ConnectorId::new("github")
}

fn alice() -> Result<ProfileUid> {
    ProfileUid::new("u_alice_0")
}

fn bob() -> Result<ProfileUid> {
    ProfileUid::new("u_bob_0")
}

fn grant(token: &str, refresh_token: Option<&str>) -> Grant {
    Grant {
        access_token: Secret::text(token),
        refresh_token: refresh_token.map(Secret::text),
        expires_in: Some(Duration::from_secs(3600)),
        refresh_token_expires_in: None,
    }
}

fn has_token(credentials: &OAuthCredentials, expected: &str) -> bool {
    credentials.access_token == Secret::text(expected)
}
