//! OAuth 2.0: where grants come from, how they are refreshed, and how a provider hears that one is no longer used.
//!
//! - [`AuthorizationFlow`]: the authorization code grant with PKCE (RFC 6749 4.1, RFC 7636). The user is sent to the provider,
//!   and what comes back is redeemed once: the record of the begun authorization is deleted, at the version read, before the
//!   code is exchanged.
//! - [`OAuthRefresher`]: the [`Refresher`](super::Refresher) of [`AccessTokens`](super::AccessTokens), by refresh token
//!   (RFC 6749 6), client credentials (4.4) or JWT bearer (RFC 7523).
//! - [`OAuthClient`] is also the [`Revoker`](super::Revoker) (RFC 7009).
//!
//! Requests go over https, or to this machine; redirects are not followed, answers are read up to a limit and waited for up to
//! a time-out. What a provider says in words is never repeated: it may quote secrets. What is sent and received is wiped where
//! this library holds it; the HTTP client's own buffers are not.

mod answer;
mod authorization;
mod callback;
mod claimed;
mod client;
mod endpoint;
mod error;
mod form;
mod http;
mod jwt;
mod pkce;
mod provider;
mod refresher;
mod revoker;
mod signing_key;
mod state;
mod under_way;

pub use authorization::{AuthorizationFlow, AuthorizationUrl};
pub use callback::Callback;
pub use claimed::ClaimedAuthorization;
pub use client::OAuthClient;
pub use endpoint::Endpoint;
pub use error::AuthorizationError;
pub use jwt::JwtAssertion;
pub use provider::{ClientAuthentication, Provider};
pub use refresher::{GrantType, OAuthRefresher};
pub use signing_key::SigningKey;
