//! The keys in use, and the rotation of keys.

mod in_use;
mod rotation;
mod rotation_killed;

use libtest_mimic::Trial;
use saved_objects::encryption::{EncryptionService, KeyRing};
use saved_objects::rotation::{KeyRotation, RotationReport};
use secrecy::SecretString;
use serde_json::Value;

use crate::context::{Context, KEY, MEMORY};
use crate::faults::types::registry;
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    let mut trials = named_trials!(
        url,
        in_use::a_key_is_recorded_before_it_is_used,
        in_use::a_lost_key_is_given_up,
        in_use::a_node_that_lacks_a_key_is_refused,
        in_use::a_rotation_of_nothing_records_nothing,
        in_use::a_rotation_that_opens_nothing_records_nothing,
        in_use::a_start_without_a_key_warns_once,
        rotation::a_status_opens_and_seals_nothing,
        in_use::a_wrong_key_encrypts_nothing,
        in_use::keys_are_changed_without_a_restart,
        rotation::everything_comes_under_the_new_key,
        rotation::what_cannot_be_opened_keeps_its_key,
        rotation::what_nobody_registered_keeps_its_key,
        rotation::writers_and_other_rotations_lose_nothing,
    );
    if url == MEMORY {
        trials.extend(named_trials!(url, rotation::a_rotation_that_is_overtaken_looks_again));
    } else {
        trials.extend(named_trials!(
            url,
            rotation::the_command_line_says_what_it_did,
            rotation_killed::a_killed_rotation_is_gone_on_with
        ));
    }
    trials
}

/// The first key of the tests' objects is [`KEY`].
const OLD: &str = KEY;
pub(crate) const NEW: &str = "a new key for tests only: 0123456789abcdef";

pub(crate) fn ring(primary: &str, others: &[&str]) -> KeyRing {
    KeyRing::new(primary.into(), others.iter().map(|other| SecretString::from(*other)).collect()).expect("fine keys")
}

/// Returns the id of a key.
pub(crate) fn id(secret: &str) -> String {
    ring(secret, &[]).primary_key_id().to_string()
}

fn encryption(context: &Context, ring: KeyRing) -> EncryptionService {
    EncryptionService::new(Some(ring), context.environment.clone())
}

/// Returns the ids that the `keys` document has.
pub(crate) async fn in_use(context: &Context) -> Vec<String> {
    let alias = context.prefix.group("control").alias().to_owned();
    if context.cluster().indices(&[&alias]).await.expect("answered").is_empty() {
        return Vec::new();
    }
    let document = context.stored("control", "keys:in-use").await;
    let ids = document["body"]["keys"].as_array().cloned().unwrap_or_default();
    ids.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn sorted(keys: &[&str]) -> Vec<String> {
    let mut ids: Vec<String> = keys.iter().map(|key| id(key)).collect();
    ids.sort_unstable();
    ids
}

/// Returns a rotation by a node of the newest release.
fn rotation(context: &Context, ring: KeyRing) -> KeyRotation {
    KeyRotation::new(&context.engine(registry(crate::faults::types::NEWEST), ring))
}

async fn rotate(context: &Context, ring: KeyRing) -> RotationReport {
    rotation(context, ring).rotate().await.expect("it ends")
}

/// Returns the ids of all keys that the secrets of a stored document are under, at any depth.
fn keys_in(document: &Value) -> Vec<String> {
    use base64::Engine;
    match document {
        Value::String(text) if text.starts_with("U09FA") => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).expect("an envelope");
            vec![bytes[4..12].iter().map(|byte| format!("{byte:02x}")).collect()]
        }
        Value::Array(values) => values.iter().flat_map(keys_in).collect(),
        Value::Object(values) => values.values().flat_map(keys_in).collect(),
        _ => Vec::new(),
    }
}
