//! The tokens of connectors: the type `connector_token`, with one secret per connector that all users share, and
//! `user_connector_token`, with one secret for each user of a connector.

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
mod scoped_clients;
mod secrets;
mod token_id;
mod types;

pub use access::{AccessToken, AccessTokens, ProviderError, RefreshRequest, Refresher};
pub use clean_up::{CleanUp, CleanUpPolicy, CleanUpReport, Reason, Removed, UnreadableRecord};
pub use client::TokenClient;
pub use credentials::{Credentials, CredentialsChange, OAuthCredentials};
pub use error::TokenError;
pub use facade::ConnectorTokenClient;
pub use inventory::{SecretsSummary, Selection, TokenInventory, TokenStream};
pub use name::{ConnectorId, ProfileUid, TokenType};
pub use record::{ConnectorToken, TokenMetadata};
pub use request::{Grant, NewToken, Replacement, TokenUpdate};
pub use revocation::{Revocation, Revoker};
pub use scope::{Scope, ScopeKind};
pub use scoped_clients::{SharedConnectorTokenClient, UserConnectorTokenClient};
pub use token_id::TokenId;
pub use types::types;

// Inner forms, for this workspace alone.
#[doc(hidden)]
pub use identity::derived_id;
#[doc(hidden)]
pub use types::released;
