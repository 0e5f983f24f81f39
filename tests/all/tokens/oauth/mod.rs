//! OAuth with the local server of `oauth_server`: authorization, grants, refresh, revocation, and unusual answers.

mod answers;
mod authorization;
mod grants;
mod secrecy;
mod table;

use std::sync::Arc;

use libtest_mimic::Trial;
use saved_objects::SavedObjects;
use saved_objects::encryption::Secret;
use saved_objects::tokens::oauth::{
    AuthorizationError, AuthorizationFlow, Callback, ClientAuthentication, Endpoint, GrantType, OAuthClient,
    OAuthRefresher, Provider,
};
use saved_objects::tokens::{ConnectorTokenClient, ProfileUid, Refresher, Scope, ScopeKind, TokenClient, types};
use serde_json::Value;

use super::{connector, text};
use crate::context::Context;
use crate::oauth_server::{OAuthServer, Options};

pub(super) fn trials(url: &str) -> Vec<Trial> {
    let trials = [
        authorization::trials(url),
        grants::trials(url),
        answers::trials(url),
        table::trials(url),
        secrecy::trials(url),
    ];
    trials.into_iter().flatten().collect()
}

const KEYS: [(&str, &str); 3] = [
    ("RS256", include_str!("../../../fixtures/signing_keys/rsa.pem")),
    ("ES256", include_str!("../../../fixtures/signing_keys/p256.pem")),
    ("EdDSA", include_str!("../../../fixtures/signing_keys/ed25519.pem")),
];

/// A platform with one connector, and its provider.
struct Platform {
    server: OAuthServer,
    store: SavedObjects,
    flow: AuthorizationFlow,
    tokens: ConnectorTokenClient,
}

const REDIRECT_URI: &str = "http://localhost/callback";

impl Platform {
    async fn start(context: &Context, options: Options) -> Self {
        Self::over(context.store(types().expect("built-in types")).await, options).await
    }

    async fn over(store: SavedObjects, options: Options) -> Self {
        let server = OAuthServer::start(options).await;
        let flow = AuthorizationFlow::new(&store).expect("the types are there");
        let tokens = ConnectorTokenClient::new(&store).expect("the types are there");
        Self { server, store, flow, tokens }
    }

    fn provider(&self) -> Provider {
        let options = Options::default();
        let endpoint = |path| Endpoint::new(&self.server.url(path)).expect("an endpoint");
        Provider::new(endpoint("/token"), options.client_id)
            .authentication(ClientAuthentication::Basic(Secret::text(&options.client_secret.expect("it has one"))))
            .authorization_endpoint(endpoint("/authorize"))
            .revocation_endpoint(endpoint("/revoke"))
            .redirect_uri(Endpoint::new(REDIRECT_URI).expect("an endpoint"))
            .scopes(["read", "write"])
    }

    fn client(&self, provider: Provider) -> OAuthClient {
        OAuthClient::new(provider, &self.store).expect("a client")
    }

    /// Starts an authorization as `user`, and follows it up to the provider's redirect.
    async fn query(&self, user: &str, scope: ScopeKind) -> String {
        let url = self.flow.begin(&self.client(self.provider()), &profile(user), scope, &connector("c1")).await;
        let url = url.expect("begun");
        assert!(!format!("{url:?}").contains("state"), "{url:?}");
        self.server.visit(url.as_str()).await
    }

    async fn finish(&self, user: &str, query: &str) -> Result<(), AuthorizationError> {
        let claimed = self.flow.claim(&profile(user), Callback::from_query(query)?).await?;
        claimed.exchange(&self.client(self.provider())).await.map(drop)
    }

    async fn authorize(&self, user: &str, scope: ScopeKind) {
        let query = self.query(user, scope).await;
        self.finish(user, &query).await.expect("authorized");
    }

    fn refresher(&self, grant_type: GrantType) -> Arc<dyn Refresher> {
        Arc::new(OAuthRefresher::new(self.client(self.provider()), grant_type))
    }

    async fn stored(&self, scope: Scope) -> Option<(String, Option<String>)> {
        let token = self.tokens.get_oauth_credentials(scope, &connector("c1")).await.expect("readable")?;
        let credentials = token.credentials;
        Some((text(&credentials.access_token), credentials.refresh_token.as_ref().map(text)))
    }
}

fn profile(uid: &str) -> ProfileUid {
    ProfileUid::new(uid).expect("a profile uid")
}

/// Returns the header and the claims of a JWT that was signed with the key of this algorithm.
fn verified(algorithm: &str, assertion: &str) -> Option<(Value, Value)> {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
    };

    let (message, signature) = assertion.rsplit_once('.')?;
    // The public keys, without the wrapping that names their kind.
    let (verification, public): (&dyn VerificationAlgorithm, _) = match algorithm {
        "RS256" => (&RSA_PKCS1_2048_8192_SHA256, include_str!("../../../fixtures/signing_keys/rsa.public")),
        "ES256" => (&ECDSA_P256_SHA256_FIXED, include_str!("../../../fixtures/signing_keys/p256.public")),
        _ => (&ED25519, include_str!("../../../fixtures/signing_keys/ed25519.public")),
    };
    let public = STANDARD.decode(public.trim()).expect("base64");
    let key = UnparsedPublicKey::new(verification, public);
    key.verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    let part = |text: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok();
    let (header, claims) = message.split_once('.')?;
    Some((part(header)?, part(claims)?))
}
