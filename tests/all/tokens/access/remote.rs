//! A provider for other processes: they send a line with the refresh token over TCP, and get a line with the grant.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use saved_objects::encryption::Secret;
use saved_objects::tokens::{Grant, ProviderError, RefreshRequest, Refresher};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::provider::Provider;
use crate::tokens::text;

const INVALID_GRANT: &str = "invalid_grant";

/// Answers for a [`Provider`] until it is dropped.
pub(super) struct Listening {
    pub(super) address: String,
    accepting: JoinHandle<()>,
}

impl Listening {
    pub(super) async fn start(provider: Arc<Provider>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(provider.clone(), stream));
            }
        });
        Self { address, accepting }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn answer(provider: Arc<Provider>, stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    let mut refresh_token = String::new();
    stream.read_line(&mut refresh_token).await.expect("a line");
    provider.hear().await;
    let answer = match provider.grant(Some(refresh_token.trim_end())) {
        Ok(grant) => {
            let refresh_token = grant.refresh_token.as_ref().map(text).unwrap_or_default();
            let seconds = grant.expires_in.map_or(0, |lifetime| lifetime.as_secs());
            format!("{}\t{refresh_token}\t{seconds}\n", text(&grant.access_token))
        }
        Err(_) => format!("{INVALID_GRANT}\n"),
    };
    // The client may have closed the connection.
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// Asks the provider from another process.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) address: String,
}

#[async_trait]
impl Refresher for Asking {
    async fn refresh(&self, request: &RefreshRequest) -> Result<Grant, ProviderError> {
        let refresh_token = request.refresh_token.as_ref().map(text).unwrap_or_default();
        let stream = TcpStream::connect(&self.address).await.expect("the provider is there");
        let mut stream = BufReader::new(stream);
        stream.write_all(format!("{refresh_token}\n").as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_line(&mut answer).await.expect("answered");
        let mut parts = answer.trim_end().split('\t');
        let (Some(access_token), Some(refresh_token), Some(seconds)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(ProviderError::InvalidGrant);
        };
        Ok(Grant {
            access_token: Secret::text(access_token),
            refresh_token: (!refresh_token.is_empty()).then(|| Secret::text(refresh_token)),
            expires_in: Some(Duration::from_secs(seconds.parse().expect("a number"))),
            refresh_token_expires_in: None,
        })
    }
}
