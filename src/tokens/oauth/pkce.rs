//! The random parts of an authorization: its state, and the proof key (RFC 7636).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::Result;
use crate::environment::Rng;

/// RFC 7636 4.1 recommends 32 octets, which are 43 characters.
const RANDOM_BYTES: usize = 32;

/// Returns 256 random bits as a text that needs no escaping in URLs.
pub(super) fn random_text(rng: &dyn Rng) -> Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; RANDOM_BYTES]);
    rng.fill(bytes.as_mut())?;
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_ref())))
}

/// Returns the `code_challenge` of the method `S256` (RFC 7636 4.2).
pub(super) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::SystemRng;

    #[test]
    fn the_challenge_is_that_of_the_standard() {
        // RFC 7636, appendix B.
        assert_eq!(
            challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn verifiers_have_the_length_and_the_alphabet_of_the_standard() {
        let (one, other) = (random_text(&SystemRng).expect("random"), random_text(&SystemRng).expect("random"));
        assert_ne!(one, other);
        assert_eq!(one.len(), 43);
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)));
    }
}
