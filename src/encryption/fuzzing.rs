//! Properties that must hold for any input. The fuzz targets call them, and tests call them with the inputs that
//! fuzzing found.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::canonical_json::{self, Integers};
use super::envelope::Envelope;
use super::{Descriptor, EncryptionHistory, EncryptionService, KeyRing, KeysOf, Secret, Secrets, key_source};
#[cfg(any(test, feature = "kibana"))]
use super::{KibanaCodec, KibanaKeys, SourceReader};
use crate::document::Attributes;
use crate::encryption::secret_file;
use crate::environment::Environment;
use crate::model::{EncryptedAttribute, EncryptionSets};

const KEY: &str = "a key for fuzzing only: 0123456789abcdef";
const NAME: &str = "token";
const PLACE: Descriptor<'_> = Descriptor { type_name: "note", namespace: None, id: "1" };

fn sets() -> EncryptionSets {
    let encrypted = vec![EncryptedAttribute { name: NAME.to_owned(), exposed: false }];
    EncryptionSets { encrypted, bound: vec!["title".to_owned()] }
}

/// Returns a history of two identical versions, so that an envelope is valid under either.
fn history() -> EncryptionHistory {
    EncryptionHistory::new(sets(), [sets()])
}

fn attributes(stored: Value) -> Attributes {
    Attributes::from_iter([("title".to_owned(), json!("t")), (NAME.to_owned(), stored)])
}

/// Checks texts and bytes as envelopes: each is refused or is the only text of its bytes. A genuine envelope with any
/// byte changed cannot be decrypted.
pub fn envelope(data: &[u8]) {
    let Some(ring) = KeyRing::new(KEY.into(), Vec::new()).ok() else { return };
    let service = EncryptionService::new(Some(ring), Environment::system());
    let texts = [String::from_utf8_lossy(data).into_owned(), STANDARD.encode(data)];
    for text in texts {
        let stored = json!(text);
        if let Ok(envelope) = Envelope::decode(&text) {
            assert_eq!(envelope.encode(), text, "there is one text of an envelope");
            assert!(
                crate::encryption::envelope_header::named_version(&stored).is_some(),
                "its header can be read by itself"
            );
            assert_eq!(KeysOf::anywhere(&stored).keys.into_iter().collect::<Vec<_>>(), [envelope.key_id()]);
        }
        let opened = service.open_attribute(&PLACE, &history(), &attributes(stored), NAME);
        assert!(opened.is_err(), "nobody can make an envelope without the key");
    }
    let secret = Secret::text("Bearer");
    let mut attributes = attributes(Value::Null);
    let sealed = service.seal(&PLACE, &history(), &mut attributes, &Secrets::from([(NAME.to_owned(), secret.clone())]));
    assert!(sealed.is_ok());
    let text = attributes.get(NAME).and_then(Value::as_str).unwrap_or_default();
    let mut bytes = STANDARD.decode(text).unwrap_or_default();
    bytes.iter_mut().zip(data).for_each(|(byte, change)| *byte ^= change);
    bytes.extend(data.iter().skip(bytes.len()));
    let is_changed = STANDARD.encode(&bytes) != text;
    attributes.insert(NAME.to_owned(), json!(STANDARD.encode(bytes)));
    match service.open_attribute(&PLACE, &history(), &attributes, NAME) {
        Ok(opened) => assert!(!is_changed && opened == Some(secret), "a changed envelope opens"),
        Err(_) => assert!(is_changed, "an envelope that nobody changed does not open"),
    }
}

/// Checks bytes as a key file: they are refused, with none of them in the error, or yield a key ring.
pub fn key_file(data: &[u8]) {
    /// Shorter texts may occur in messages by chance.
    const LONG: usize = 40;
    match secret_file::text_of(data).and_then(key_source::parse_key_file) {
        Ok(ring) => assert!(!ring.key_ids().is_empty()),
        Err(error) => {
            let told = format!("{error} {error:?}");
            let lines = data.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
            assert!(lines.filter(|line| line.len() >= LONG).all(|line| !told.contains(line)), "it is quoted: {told}");
        }
    }
}

/// Checks texts and bytes as values that Kibana encrypted: they cannot be decrypted.
#[cfg(any(test, feature = "kibana"))]
pub fn kibana_ciphertext(data: &[u8]) {
    let Ok(keys) = KibanaKeys::new(KEY.into(), Vec::new()) else { return };
    let codec = KibanaCodec::new(keys, Environment::system());
    for text in [String::from_utf8_lossy(data).into_owned(), STANDARD.encode(data)] {
        let opened = codec.open_each(&PLACE, &[&sets()], &attributes(json!(text)));
        assert!(opened.secrets.is_empty() && opened.failures.len() == 1);
    }
}

/// Checks JSON texts: the canonical text is JSON of the same value, is stable, and equals that of another
/// implementation.
pub fn canonical_json(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    for integers in [Integers::InFull, Integers::AsDoubles] {
        let mut text = String::new();
        canonical_json::write_with(integers, &value, &mut text);
        assert_eq!(text, reference(integers, &value));
        let Ok(again) = serde_json::from_str::<Value>(&text) else {
            assert!(text.is_empty(), "the canonical text is not JSON");
            return;
        };
        let mut repeated = String::new();
        canonical_json::write_with(integers, &again, &mut repeated);
        assert_eq!(text, repeated, "the canonical text has another one");
    }
}

/// Returns the canonical text by serde's strings, `ryu-js` and sorted lists of UTF-16 code units.
fn reference(integers: Integers, value: &Value) -> String {
    match value {
        Value::Number(number) if integers == Integers::InFull && !number.is_f64() => number.to_string(),
        Value::Number(number) => ryu_js::Buffer::new().format_finite(number.as_f64().unwrap_or_default()).to_owned(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| reference(integers, item)).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(members) => {
            let mut members: Vec<(Vec<u16>, String)> = members
                .iter()
                .map(|(name, value)| {
                    let member = format!("{}:{}", Value::from(name.as_str()), reference(integers, value));
                    (name.encode_utf16().collect(), member)
                })
                .collect();
            members.sort();
            let members: Vec<String> = members.into_iter().map(|(_, member)| member).collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.to_string(),
    }
}
