//! The HTTP client: sends a form by POST, with a time-out, without redirects, and with a limit on the answer's size.

use std::error::Error as StdError;
use std::io;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect;
use zeroize::Zeroizing;

use super::Endpoint;
use super::form::Form;
use crate::cluster::elastic::misconfiguration;
use crate::environment::Environment;
use crate::tokens::ProviderError;
use crate::{Error, ErrorKind, Result};

/// The limit on the size of an answer. Those of token endpoints have a few thousand bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

#[derive(Debug, Clone)]
pub(super) struct Http {
    client: reqwest::Client,
    /// For providers on this machine: a proxy is not needed, and would see the client's secret.
    direct: reqwest::Client,
    environment: Environment,
    timeout: Duration,
}

/// A complete answer.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The pause that the provider asks for.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl Http {
    pub(super) fn new(environment: Environment, timeout: Duration) -> Result<Self> {
        let failed = |error| Error::new(ErrorKind::Internal, "the HTTP client could not be created").with_source(error);
        let client = builder().build().map_err(failed)?;
        let direct = builder().no_proxy().build().map_err(failed)?;
        Ok(Self { client, direct, environment, timeout })
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Sends the form. Credentials, if given, go into the `Authorization` header.
    ///
    /// # Errors
    /// [`Transient`](ProviderError::Transient) if there is no answer in time, [`Refused`](ProviderError::Refused) if
    /// the answer is too long.
    pub(super) async fn post(
        &self,
        endpoint: &Endpoint,
        form: Form,
        basic: Option<(String, Zeroizing<String>)>,
    ) -> Result<Answer, ProviderError> {
        let exchange = self.exchange(endpoint, form, basic);
        match select(pin!(exchange), self.environment.clock().sleep(self.timeout)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), _)) => {
                let reason = format!("{endpoint} did not answer within {} ms", self.timeout.as_millis());
                Err(ProviderError::Transient { reason, retry_after: None })
            }
        }
    }

    async fn exchange(
        &self,
        endpoint: &Endpoint,
        form: Form,
        basic: Option<(String, Zeroizing<String>)>,
    ) -> Result<Answer, ProviderError> {
        let client = if endpoint.is_on_this_machine() { &self.direct } else { &self.client };
        let mut request = client
            .post(endpoint.url().clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(form.into_text());
        if let Some((user, password)) = basic {
            request = request.basic_auth(user, Some(password.as_str()));
        }
        let mut response = request.send().await.map_err(|error| unreachable(endpoint, &error))?;
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|value| pause(value.trim(), self.environment.clock().now()));
        let status = response.status().as_u16();
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(endpoint, &error))? {
            let length = body.len() + chunk.len();
            if length > MAX_ANSWER_BYTES {
                let reason = format!("{endpoint} answers {status} with more than {MAX_ANSWER_BYTES} bytes");
                return Err(ProviderError::Refused { reason });
            }
            if length > body.capacity() {
                // Growing in place would leave a copy of a secret in memory.
                let mut larger = Zeroizing::new(Vec::with_capacity(length.max(2 * body.capacity())));
                larger.extend_from_slice(&body);
                body = larger;
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, retry_after, body })
    }
}

/// Creates a client without a time-out, which the environment's clock provides, and without redirects, which would send
/// secrets to an endpoint that is not configured.
fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder().redirect(redirect::Policy::none()).user_agent(concat!(
        env!("CARGO_PKG_NAME"),
        "/",
        env!("CARGO_PKG_VERSION")
    ))
}

/// Returns the error for a failed request. The text of the HTTP client contains the URL and the request, so only the
/// kind of failure is reported.
fn unreachable(endpoint: &Endpoint, error: &reqwest::Error) -> ProviderError {
    let what = if error.is_connect() {
        "cannot be reached"
    } else if error.is_body() || error.is_decode() {
        "ended its answer too early"
    } else {
        "ended the connection before it answered"
    };
    let of_tls = misconfiguration(error).map(|wrong| format!(": {wrong}"));
    let cause = of_tls.or_else(|| io_kind(error).map(|kind| format!(": {kind}"))).unwrap_or_default();
    ProviderError::Transient { reason: format!("{endpoint} {what}{cause}"), retry_after: None }
}

/// Reads `Retry-After` (RFC 9110 10.2.3): a number of seconds, or a date. Returns `None` if it is neither, or has
/// passed.
fn pause(retry_after: &str, now: Timestamp) -> Option<Duration> {
    let pause = match retry_after.starts_with(|first: char| first.is_ascii_digit()) {
        true => Duration::try_from_secs_f64(retry_after.parse::<f64>().ok()?.ceil()).unwrap_or(Duration::MAX),
        false => {
            let until = DateTimeParser::new().parse_timestamp(retry_after).ok()?;
            Duration::try_from(until.duration_since(now)).ok()?
        }
    };
    Some(pause).filter(|pause| !pause.is_zero())
}

fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut source: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        source = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_retry_after_is_a_pause_or_none() {
        let now: Timestamp = "2026-03-01T10:00:00Z".parse().expect("a moment");
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let table = [
            ("60", seconds(60)),
            ("0", None),
            ("1.5", seconds(2)),
            ("Sun, 01 Mar 2026 10:01:00 GMT", seconds(60)),
            ("Sun, 01 Mar 2026 09:59:00 GMT", None),
            ("18446744073709551615", Some(Duration::MAX)),
            ("99999999999999999999999999", Some(Duration::MAX)),
            ("", None),
            ("-1", None),
            ("soon", None),
            ("NaN", None),
            ("1 minute", None),
        ];
        for (retry_after, expected) in table {
            assert_eq!(pause(retry_after, now), expected, "{retry_after:?}");
        }
    }
}
