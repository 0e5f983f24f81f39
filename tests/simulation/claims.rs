//! Users who authorize a connector and return twice at the same time, to two nodes: one node gets the code.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use saved_objects::SavedObjects;
use saved_objects::tokens::oauth::{AuthorizationFlow, Callback, Endpoint, OAuthClient, Provider};
use saved_objects::tokens::{ConnectorId, ProfileUid, ScopeKind};

use crate::dice::Dice;
use crate::executor::lock;
use crate::journal::About;
use crate::node::Life;
use crate::witness::REVIVED;
use crate::world::World;

const ONE_WINNER: &str = "an authorization is claimed once";

/// Returns the client of a provider, which is never asked here.
fn client(store: &SavedObjects) -> &'static OAuthClient {
    static CLIENT: OnceLock<OAuthClient> = OnceLock::new();
    CLIENT.get_or_init(|| {
        let endpoint = |path: &str| Endpoint::new(&format!("https://provider.invalid/{path}")).expect("a URL");
        let provider = Provider::new(endpoint("token"), "client")
            .authorization_endpoint(endpoint("authorize"))
            .redirect_uri(endpoint("back"));
        OAuthClient::new(provider, store).expect("a client")
    })
}

/// Starts an authorization, and lets its user return to two nodes.
pub(crate) async fn authorize(world: Arc<World>, life: Arc<Life>, store: SavedObjects, dice: &Dice) {
    let (user, connector) = (ProfileUid::new("u_kim_0").expect("a user"), ConnectorId::new("github").expect("a name"));
    let flow = AuthorizationFlow::new(&store).expect("the types are there");
    let Ok(url) = flow.begin(client(&store), &user, ScopeKind::Shared, &connector).await else {
        return world.journal.count("authorize: failed");
    };
    world.journal.count("authorize");
    let state =
        url.as_str().split("&state=").nth(1).and_then(|rest| rest.split('&').next()).expect("a state").to_owned();
    let name = world.network.witness.last_authorization(life.id).unwrap_or_default();
    let stores = lock(&world.stores).clone();
    let spawner = world.simulator.clone();
    let claims = (0..2).filter_map(|_| {
        let (life, store) = stores.get(dice.below(stores.len().max(1) as u64) as usize)?.clone();
        let (id, node) = (life.id, life.name.clone());
        let pause = Duration::from_millis(dice.below(40));
        let (world, user, state, name) = (world.clone(), user.clone(), state.clone(), name.clone());
        let claiming = async move {
            world.simulator.sleep(pause).await;
            let flow = AuthorizationFlow::new(&store).expect("the types are there");
            let callback = Callback::from_query(&format!("code=c&state={state}")).expect("a callback");
            let claimed = flow.claim(&user, callback).await;
            world.journal.count(if claimed.is_ok() { "claim" } else { "claim: refused" });
            world.journal.tell(|| {
                let words = claimed.as_ref().map_or_else(|error| format!("{error:?}"), |_| "got the code".to_owned());
                (About::Names(vec![name.clone()]), format!("{} claimed {name}: {words}", life.name))
            });
            claimed.is_ok()
        };
        Some((node, spawner.spawn_joined(id, claiming)))
    });
    let (names, claims): (Vec<String>, Vec<_>) = claims.unzip();
    let won: Vec<bool> = futures::future::join_all(claims).await.into_iter().map(|won| won == Some(true)).collect();
    if won.iter().filter(|won| **won).count() > 1 {
        if world.network.witness.creations(&name, None) > 1 {
            return world.journal.count(REVIVED);
        }
        world.journal.broken(ONE_WINNER, name, format!("{} both got the code", names.join(" and ")));
    }
}
