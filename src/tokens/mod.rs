//! The connectors' tokens: the types `connector_token`, one secret a connector that all users share, and
//! `user_connector_token`, one secret for each user of a connector.

mod types;

pub use types::{released, types};
