//! The connectors' tokens: the types `connector_token`, one secret a connector that all users share, and
//! `user_connector_token`, one secret for each user of a connector.

mod access;
mod attributes;
mod clean_up;
mod client;
mod credentials;
mod error;
mod expiry;
mod facade;
mod identity;
mod inventory;
mod name;
#[cfg(feature = "oauth")]
pub mod oauth;
mod record;
mod records;
mod request;
mod revocation;
mod scope;
mod shared_client;
mod token_id;
mod types;
mod user_client;

pub use access::{AccessToken, AccessTokens, ProviderError, RefreshRequest, Refresher};
pub use clean_up::{CleanUp, CleanUpPolicy, CleanUpReport, Reason, Removed, UnreadableRecord};
pub use client::TokenClient;
pub use credentials::{Credentials, CredentialsChange, OAuthCredentials};
pub use error::TokenError;
pub use facade::ConnectorTokens;
#[cfg(feature = "cli")]
pub(crate) use identity::derived_id;
pub use inventory::{SecretsSummary, Selection, TokenInventory, TokenStream};
pub use name::{ConnectorId, ProfileUid, TokenType};
pub use record::{ConnectorToken, TokenMetadata};
pub use request::{Grant, NewToken, Replacement, TokenUpdate};
pub use revocation::{Revocation, Revoker};
pub use scope::{Scope, ScopeKind};
pub use shared_client::SharedTokenClient;
pub use token_id::TokenId;
pub use types::{released, types};
pub use user_client::UserTokenClient;
