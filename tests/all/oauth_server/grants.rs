//! What the server has granted, and what of it is still valid.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Options;
use super::http::{Answer, Request};

#[derive(Default)]
pub(super) struct Grants {
    codes: BTreeMap<String, Code>,
    chains: Vec<Chain>,
    made: usize,
}

/// An authorization code that was issued and is not redeemed yet.
struct Code {
    challenge: String,
    redirect_uri: String,
}

/// All tokens of one authorization.
#[derive(Default)]
struct Chain {
    access_tokens: Vec<String>,
    /// The valid refresh token.
    refresh_token: Option<String>,
    used_refresh_tokens: Vec<String>,
}

impl Chain {
    fn end(&mut self) {
        self.access_tokens.clear();
        self.used_refresh_tokens.extend(self.refresh_token.take());
    }
}

impl Grants {
    pub(super) fn takes(&self, access_token: &str) -> bool {
        self.chains.iter().any(|chain| chain.access_tokens.iter().any(|token| token == access_token))
    }

    pub(super) fn refreshes(&self, refresh_token: &str) -> bool {
        self.chains.iter().any(|chain| chain.refresh_token.as_deref() == Some(refresh_token))
    }

    pub(super) fn end_access_tokens(&mut self) {
        self.chains.iter_mut().for_each(|chain| chain.access_tokens.clear());
    }

    pub(super) fn authorize(&mut self, options: &Options, request: &Request) -> Answer {
        let field = |name| request.field(name).to_owned();
        let is_fine = field("response_type") == "code"
            && field("client_id") == options.client_id
            && field("code_challenge_method") == "S256"
            && field("code_challenge").len() == 43
            && !field("state").is_empty();
        if !is_fine {
            return Answer::json(400, &json!({"error": "invalid_request"}));
        }
        let (redirect_uri, state) = (field("redirect_uri"), field("state"));
        if !options.consents {
            return Answer::redirect(&format!("{redirect_uri}?error=access_denied&state={state}"));
        }
        let code = self.secret("code");
        self.codes
            .insert(code.clone(), Code { challenge: field("code_challenge"), redirect_uri: redirect_uri.clone() });
        Answer::redirect(&format!("{redirect_uri}?code={code}&state={state}"))
    }

    pub(super) fn token(&mut self, options: &Options, request: &Request) -> Answer {
        match request.field("grant_type") {
            "authorization_code" => self.exchange(options, request),
            "refresh_token" => self.refresh(options, request),
            "client_credentials" => {
                self.chains.push(Chain::default());
                Answer::json(200, &self.grant(options, self.chains.len() - 1, false))
            }
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
                if !(options.accepts_assertion)(request.field("assertion")) {
                    return refuse("invalid_grant", request.field("assertion"));
                }
                self.chains.push(Chain::default());
                Answer::json(200, &self.grant(options, self.chains.len() - 1, false))
            }
            other => refuse("unsupported_grant_type", other),
        }
    }

    fn exchange(&mut self, options: &Options, request: &Request) -> Answer {
        let code = request.field("code");
        let Some(given) = self.codes.remove(code) else { return refuse("invalid_grant", code) };
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(request.field("code_verifier")));
        if given.challenge != challenge || given.redirect_uri != request.field("redirect_uri") {
            return refuse("invalid_grant", request.field("code_verifier"));
        }
        self.chains.push(Chain::default());
        Answer::json(200, &self.grant(options, self.chains.len() - 1, true))
    }

    fn refresh(&mut self, options: &Options, request: &Request) -> Answer {
        let refresh_token = request.field("refresh_token").to_owned();
        // A used refresh token is presented again. It may have been stolen, so all tokens of its authorization become
        // invalid.
        if let Some(chain) = self.chains.iter_mut().find(|chain| chain.used_refresh_tokens.contains(&refresh_token)) {
            chain.end();
            return refuse("invalid_grant", &refresh_token);
        }
        let chain = self.chains.iter().position(|chain| chain.refresh_token.as_ref() == Some(&refresh_token));
        match chain {
            None => refuse("invalid_grant", &refresh_token),
            Some(chain) => Answer::json(200, &self.grant(options, chain, options.rotates)),
        }
    }

    pub(super) fn revoke(&mut self, request: &Request) -> Answer {
        let token = request.field("token");
        for chain in &mut self.chains {
            if chain.refresh_token.as_deref() == Some(token) {
                chain.end();
            }
            chain.access_tokens.retain(|other| other != token);
        }
        Answer::new(200, "", String::new())
    }

    fn grant(&mut self, options: &Options, chain: usize, with_refresh_token: bool) -> Value {
        let access_token = self.secret("access");
        let refresh_token = with_refresh_token.then(|| self.secret("refresh"));
        let chain = &mut self.chains[chain];
        chain.access_tokens.push(access_token.clone());
        let mut answer =
            json!({"access_token": access_token, "token_type": "bearer", "expires_in": options.expires_in});
        if let Some(refresh_token) = refresh_token {
            chain.used_refresh_tokens.extend(chain.refresh_token.replace(refresh_token.clone()));
            answer["refresh_token"] = json!(refresh_token);
        }
        answer
    }

    /// Returns a secret that is recognizable in any output.
    fn secret(&mut self, what: &str) -> String {
        self.made += 1;
        format!("s3cret-{what}-{}", self.made)
    }
}

/// Returns a refusal that quotes the secret, as real servers do.
fn refuse(code: &str, secret: &str) -> Answer {
    Answer::json(400, &json!({"error": code, "error_description": format!("{secret} is not good")}))
}
