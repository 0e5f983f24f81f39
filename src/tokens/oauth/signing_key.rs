//! The private key that signs assertions.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use zeroize::Zeroizing;

use crate::encryption::Secret;
use crate::{Error, ErrorKind, Result};

/// A private key that signs assertions: RSA of at least 2048 bits (`RS256`), P-256 (`ES256`) or Ed25519 (`EdDSA`).
/// Clones share it.
///
/// The randomness of a signature (blinding, nonces) comes from the operating system, since `ring` accepts no other
/// source.
#[derive(Clone)]
pub struct SigningKey(Arc<Pair>);

/// The hint for a text that is not such a key.
const GIVE: &str =
    "give a PEM of an unencrypted RSA (2048 to 4096 bits), P-256 or Ed25519 key: `PRIVATE KEY` or `RSA PRIVATE KEY`";

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// Reads a PEM: `PRIVATE KEY` (PKCS #8) of any of the three kinds, or `RSA PRIVATE KEY` (PKCS #1). Its lines may be
    /// separated by `\n` as two characters or by spaces, as in environment variables. Certificates before the key are
    /// skipped.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if it is not such a key. The message distinguishes encrypted keys, keys of older
    /// forms and public keys, and quotes nothing of the text.
    pub fn from_pem(pem: &Secret) -> Result<Self> {
        let pem = pem.expose_text()?;
        let blocks: Vec<Block<'_>> = blocks(&pem).collect();
        let Some(block) = blocks.iter().find(|block| block.label.ends_with("PRIVATE KEY")).or(blocks.first()) else {
            return Err(Error::invalid("the private key is no PEM: it has no `-----BEGIN … PRIVATE KEY-----`", GIVE));
        };
        if block.is_encrypted() {
            return Err(Error::invalid(
                "the private key is encrypted with a passphrase",
                "decrypt it, `openssl pkcs8 -topk8 -nocrypt -in key.pem`, and keep what that prints as a secret",
            ));
        }
        let read = match block.label {
            "PRIVATE KEY" => block.der().and_then(|der| pkcs8(&der)),
            "RSA PRIVATE KEY" => block.der().and_then(|der| RsaKeyPair::from_der(&der).map(Pair::Rsa).ok()),
            "EC PRIVATE KEY" | "DSA PRIVATE KEY" => {
                return Err(Error::invalid(
                    format!("the private key has the old form `{}`", block.label),
                    "convert it, `openssl pkcs8 -topk8 -nocrypt -in key.pem`; P-256 is the curve that can sign",
                ));
            }
            "OPENSSH PRIVATE KEY" => {
                return Err(Error::invalid(
                    "the private key has the form of OpenSSH",
                    "convert a copy of it, `ssh-keygen -p -m PKCS8 -N '' -f copy`",
                ));
            }
            "PUBLIC KEY" | "RSA PUBLIC KEY" | "CERTIFICATE" => {
                return Err(Error::invalid("the text is not a private key: it is a public key or a certificate", GIVE));
            }
            _ => return Err(Error::invalid("the text is not a private key: its PEM is of another kind", GIVE)),
        };
        read.map(|pair| Self(Arc::new(pair)))
            .ok_or_else(|| Error::invalid("the private key is damaged, or of a kind that cannot sign", GIVE))
    }

    /// Returns the name of the algorithm in the header of a JWT (RFC 7518 3.1, RFC 8037 3.1).
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

/// The text between `-----BEGIN label-----` and `-----END label-----`.
struct Block<'a> {
    label: &'a str,
    body: &'a str,
}

/// Returns the blocks of a PEM, however its lines are separated.
fn blocks(pem: &str) -> impl Iterator<Item = Block<'_>> {
    pem.split("-----BEGIN ").skip(1).filter_map(|rest| {
        let (label, rest) = rest.split_once("-----")?;
        let (body, end) = rest.split_once("-----END ")?;
        end.strip_prefix(label)?.starts_with("-----").then_some(Block { label, body })
    })
}

impl Block<'_> {
    /// Returns whether the key needs a passphrase: in PKCS #8 the label says so, in older forms a header.
    fn is_encrypted(&self) -> bool {
        self.label == "ENCRYPTED PRIVATE KEY" || self.body.contains("ENCRYPTED")
    }

    fn der(&self) -> Option<Zeroizing<Vec<u8>>> {
        let mut base64 = Zeroizing::new(String::with_capacity(self.body.len()));
        let mut rest = self.body;
        while let Some(next) = rest.chars().next() {
            // A line break as two characters.
            let is_break = ["\\n", "\\r"].iter().any(|two| rest.starts_with(two));
            rest = &rest[if is_break { 2 } else { next.len_utf8() }..];
            if !is_break && !next.is_whitespace() {
                base64.push(next);
            }
        }
        STANDARD.decode(base64.as_bytes()).ok().map(Zeroizing::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [(&str, &str); 3] = [
        ("RS256", include_str!("../../../tests/fixtures/signing_keys/rsa.pem")),
        ("ES256", include_str!("../../../tests/fixtures/signing_keys/p256.pem")),
        ("EdDSA", include_str!("../../../tests/fixtures/signing_keys/ed25519.pem")),
    ];

    fn read(pem: &str) -> Result<SigningKey> {
        SigningKey::from_pem(&Secret::text(pem))
    }

    #[test]
    fn keys_are_read_however_their_lines_are_separated() {
        for (algorithm, pem) in KEYS {
            let pem = pem.trim();
            let certificate = "-----BEGIN CERTIFICATE-----\naGk=\n-----END CERTIFICATE-----\n";
            let forms = [
                pem.to_owned(),
                format!("\u{feff}{pem}\n\n"),
                pem.replace('\n', "\r\n"),
                pem.replace('\n', "\\n"),
                pem.replace('\n', "\\r\\n"),
                pem.replace('\n', " "),
                format!("\"{}\\n\"", pem.replace('\n', "\\n")),
                format!("{certificate}{pem}"),
                format!("Bag Attributes\n    friendlyName: key\n{pem}"),
            ];
            for form in forms {
                assert_eq!(read(&form).expect(&form).algorithm(), algorithm);
            }
        }
    }

    #[test]
    fn what_is_no_such_key_is_told_apart() {
        let block = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        let body = "aHVudGVyMg==";
        let old = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\naHVudGVyMg==";
        let table = [
            (String::new(), "no PEM"),
            ("hunter2".to_owned(), "no PEM"),
            ("-----BEGIN PRIVATE KEY-----\nhunter2".to_owned(), "no PEM"),
            ("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----".to_owned(), "no PEM"),
            (block("ENCRYPTED PRIVATE KEY", body), "encrypted"),
            (block("RSA PRIVATE KEY", old), "encrypted"),
            (block("EC PRIVATE KEY", old), "encrypted"),
            (block("EC PRIVATE KEY", body), "old form `EC PRIVATE KEY`"),
            (block("EC PARAMETERS", body) + &block("EC PRIVATE KEY", body), "old form `EC PRIVATE KEY`"),
            (block("DSA PRIVATE KEY", body), "old form `DSA PRIVATE KEY`"),
            (block("OPENSSH PRIVATE KEY", body), "OpenSSH"),
            (block("PUBLIC KEY", body), "public key"),
            (block("CERTIFICATE", body), "certificate"),
            (block("PGP MESSAGE", body), "another kind"),
            (block("PRIVATE KEY", body), "damaged"),
            (block("PRIVATE KEY", "hunter2\\"), "damaged"),
            (block("RSA PRIVATE KEY", body), "damaged"),
        ];
        for (pem, words) in table {
            let error = read(&pem).expect_err(&pem);
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.message().contains(words) && error.hint().is_some(), "{pem}: {error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
