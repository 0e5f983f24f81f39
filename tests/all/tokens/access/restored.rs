//! Tokens of a store that was restored from a snapshot: the provider knows what happened since, the store does not.

use libtest_mimic::Trial;
use saved_objects::encryption::Secret;
use saved_objects::tokens::{Credentials, NewToken, Scope, TokenClient, TokenError};

use super::provider::{Kind, Provider};
use super::{Node, node, scopes};
use crate::backup::{Backup, lose};
use crate::context::Context;
use crate::faults::single_node;
use crate::named_trials;
use crate::tokens::{connector, text};

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(url, restored_tokens_are_as_old_as_the_snapshot)
}

impl Node {
    async fn connect(&self, scope: &Scope, id: &str, refresh_token: &str) {
        let credentials =
            Credentials::Token { token: Secret::text("access 0"), refresh_token: Some(Secret::text(refresh_token)) };
        self.client.create(scope.clone(), &connector(id), NewToken::new(credentials)).await.expect("stored");
    }

    async fn is_connected(&self, scope: &Scope, id: &str) -> bool {
        self.client.get_oauth_credentials(scope.clone(), &connector(id)).await.expect("answered").is_some()
    }
}

/// The rows of the page's table: refreshed, connected, disconnected since the snapshot.
async fn restored_tokens_are_as_old_as_the_snapshot(context: Context) {
    let (_turn, _, context) = single_node(&context).await;
    for scope in scopes() {
        for kind in [Kind::Rotating, Kind::Constant] {
            let provider = Provider::new(kind);
            let before = node(&context).await;
            before.store_expired(&scope).await;
            before.connect(&scope, "disconnected", "r").await;
            let backup = Backup::of_store(&context).await;
            assert_eq!(text(&before.get(&scope, &provider).await.expect("refreshed").token), "access 1");
            before.connect(&scope, "connected", "r").await;
            before.client.delete(scope.clone(), &connector("disconnected"), None).await.expect("deleted");

            lose(&context).await;
            backup.restore_store().await;
            backup.delete().await;
            let after = node(&context).await;
            let got = after.get(&scope, &provider).await;
            match kind {
                Kind::Rotating => {
                    let error = got.expect_err("its refresh token was used");
                    assert!(matches!(error, TokenError::Revoked { .. }), "{error:?}");
                    assert!(after.is_connected(&scope, "c1").await, "nothing that is stored was changed");
                    // The user authorizes again.
                    after.connect(&scope, "c1", &provider.refresh_token()).await;
                    after.get(&scope, &provider).await.expect("it was just obtained");
                    let refreshed = after.get_instead_of(&scope, "access 0", &provider).await.expect("refreshed");
                    assert_eq!(text(&refreshed.token), "access 2");
                }
                _ => assert_eq!(text(&got.expect("refreshed").token), "access 2"),
            }
            assert!(!after.is_connected(&scope, "connected").await, "the user connected after the snapshot");
            assert!(after.is_connected(&scope, "disconnected").await, "the user disconnected after the snapshot");
            lose(&context).await;
        }
    }
}
