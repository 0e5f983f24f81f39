use std::fmt;
use std::sync::Arc;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use crate::encryption::Secret;
use crate::{Error, ErrorKind, Result};

/// A private key that signs assertions: RSA of at least 2048 bits (`RS256`), P-256 (`ES256`) or Ed25519 (`EdDSA`). Cloning
/// shares it.
///
/// The signature's own randomness (blinding, nonces) comes from the operating system: `ring` takes it from nowhere else.
#[derive(Clone)]
pub struct SigningKey(Arc<Pair>);

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// Reads a key as PEM: `PRIVATE KEY` (PKCS #8) of any of the three kinds, or `RSA PRIVATE KEY` (PKCS #1).
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if it is not one. Nothing of it is in the error.
    pub fn from_pem(pem: &Secret) -> Result<Self> {
        let pem = pem.expose_text()?;
        let pair = match PrivateKeyDer::from_pem_slice(pem.as_bytes()) {
            Ok(PrivateKeyDer::Pkcs8(der)) => pkcs8(der.secret_pkcs8_der()),
            Ok(PrivateKeyDer::Pkcs1(der)) => RsaKeyPair::from_der(der.secret_pkcs1_der()).map(Pair::Rsa).ok(),
            _ => None,
        };
        pair.map(|pair| Self(Arc::new(pair))).ok_or_else(|| {
            Error::invalid(
                "the private key is not one that can sign",
                "give a PEM of an unencrypted RSA (2048 bits or more), P-256 or Ed25519 key: `PRIVATE KEY` or `RSA PRIVATE KEY`",
            )
        })
    }

    /// The name of the algorithm as a header of a JWT has it (RFC 7518 3.1, RFC 8037 3.1).
    pub fn algorithm(&self) -> &'static str {
        match self.0.as_ref() {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let random = SystemRandom::new();
        let failed = |_| Error::new(ErrorKind::Internal, "an assertion could not be signed");
        match self.0.as_ref() {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Pair::P256(pair) => Ok(pair.sign(&random, message).map_err(failed)?.as_ref().to_vec()),
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("algorithm", &self.algorithm()).finish_non_exhaustive()
    }
}

fn pkcs8(der: &[u8]) -> Option<Pair> {
    let rsa = RsaKeyPair::from_pkcs8(der).map(Pair::Rsa);
    let p256 = || EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &SystemRandom::new()).map(Pair::P256);
    let ed25519 = || Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Pair::Ed25519);
    rsa.or_else(|_| p256()).or_else(|_| ed25519()).ok()
}
