//! Searches an output for secrets in every encoding that they may have.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use sha2::Sha512;

/// What the output must not contain, in all encodings.
#[derive(Debug, Default)]
pub(crate) struct Needles(Vec<(String, String)>);

impl Needles {
    /// Adds bytes: in clear, in base64 at each alignment, in hexadecimal digits and as a list of numbers.
    pub(crate) fn add(&mut self, what: &str, bytes: &[u8]) {
        let mut push = |form: &str, text: String| self.0.push((format!("{what}, {form}"), text));
        if let Ok(text) = std::str::from_utf8(bytes) {
            push("in clear", text.to_owned());
            push("as Debug has it", text.escape_debug().to_string());
            push("as ASCII", bytes.escape_ascii().to_string());
        }
        for shift in 0..3 {
            let shifted = [vec![0; shift], bytes.to_vec()].concat();
            // The characters that depend on these bytes only.
            let (from, to) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
            push("in base64", STANDARD_NO_PAD.encode(&shifted)[from..to].to_owned());
            push("in base64 for URLs", URL_SAFE_NO_PAD.encode(&shifted)[from..to].to_owned());
        }
        let joined = |form: fn(&u8) -> String, by: &str| bytes.iter().map(form).collect::<Vec<_>>().join(by);
        push("in hexadecimal", joined(|byte| format!("{byte:02x}"), ""));
        push("in hexadecimal", joined(|byte| format!("{byte:02X}"), ""));
        push("as numbers", joined(u8::to_string, ", "));
        push("as numbers", joined(u8::to_string, ","));
    }

    /// Adds what the scheme SOE1 derives from a key: its pseudo-random key, the keys of types, the key of digests.
    pub(crate) fn add_derived(&mut self, secret: &str, types: &[&str]) {
        let salt = b"saved-objects/attribute-encryption/v1";
        let (prk, derivation) = Hkdf::<Sha512>::extract(Some(salt), secret.as_bytes());
        self.add("pseudo-random key", &prk);
        for name in types {
            let mut key = [0; 64];
            derivation.expand_multi_info(&[b"aes-256-siv\0", name.as_bytes()], &mut key).expect("derived");
            let (mac, cipher) = key.split_at(32);
            self.add("key of a type", mac);
            self.add("key of a type", cipher);
        }
        let mut key = [0; 32];
        derivation.expand(b"verify", &mut key).expect("derived");
        self.add("key of digests", &key);
    }

    /// Returns what `text` contains of it, with the beginning of the line.
    pub(crate) fn find(&self, text: &str) -> Vec<String> {
        let found = self.0.iter().filter_map(|(what, needle)| {
            let at = text.find(needle)?;
            let from = text[..at].rfind('\n').map_or(0, |end| end + 1);
            let line: String = text[from..at].chars().take(400).collect();
            Some(format!("{what}: {line}…"))
        });
        found.collect()
    }
}

/// Checks that each encoding is found.
pub(crate) fn self_test() {
    let mut needles = Needles::default();
    needles.add("s", b"hunter2 is a secret");
    let forms = ["hunter2 is a secret".to_owned(), format!("{:?}", b"hunter2 is a secret")];
    let encoded = ["", "x", "xy"].map(|before| STANDARD_NO_PAD.encode(format!("{before}hunter2 is a secret!")));
    for text in forms.iter().chain(&encoded) {
        assert!(!needles.find(&format!("a line\nand {text}")).is_empty(), "{text}");
    }
    assert!(needles.find("hunter2 is no secret").is_empty());
}
