//! OAuth 2.0: gets grants from providers, refreshes and revokes them.
//!
//! - [`AuthorizationFlow`]: the authorization code grant with PKCE (RFC 6749 4.1, RFC 7636). The platform sends the
//!   user to the provider, and redeems the callback once: the record of the begun authorization is marked as claimed,
//!   at the version that was read, before the code is exchanged.
//! - [`OAuthRefresher`]: the [`Refresher`](super::Refresher) of [`AccessTokens`](super::AccessTokens), by refresh token
//!   (RFC 6749 6), client credentials (4.4) or JWT bearer (RFC 7523).
//! - [`OAuthClient`] is also the [`Revoker`](super::Revoker) (RFC 7009).
//!
//! Requests use https, or go to this machine. Redirects are not followed, and answers have a size limit and a time-out.
//! Messages of a provider are never repeated, since they may quote secrets. This library wipes its own copies of
//! requests and answers; the buffers of the HTTP client are not wiped.

mod answer;
mod authorization;
mod body;
mod callback;
mod claimed;
mod client;
mod codes;
mod endpoint;
mod error;
mod form;
mod http;
mod in_progress;
mod jwt;
mod pkce;
mod provider;
mod refresher;
mod revoker;
mod signing_key;
mod state;

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
