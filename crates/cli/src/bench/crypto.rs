//! Measures encryption and decryption of one value of 1 KB with five bound attributes on one core: the encryption
//! service against the bare cipher with the same number of components of associated data.

use std::hint::black_box;

use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use serde_json::Value;

use super::process;
use super::result::{BenchResult, median};
use saved_objects::document::Attributes;
use saved_objects::encryption::{
    Descriptor, EncryptionHistory, EncryptionService, KeyRing, Secret, SecretString, Secrets,
};
use saved_objects::environment::Environment;
use saved_objects::model::{EncryptedAttribute, EncryptionSets};
use saved_objects::{Error, ErrorKind, Result};

/// The length of the value's JSON text, including quotes.
const VALUE_BYTES: usize = 1_024;
/// The number of values in one run.
const VALUES: usize = 20_000;
const BOUND: [(&str, &str); 5] = [
    ("connectorId", "2f1c9d5e-6d0b-4a53-9a57-0c9c1f6d8e01"),
    ("tokenType", "access_token"),
    ("expiresAt", "2026-01-10T10:00:00.000Z"),
    ("createdAt", "2026-01-10T09:00:00.000Z"),
    ("updatedAt", "2026-01-10T09:00:00.000Z"),
];

/// Microseconds per value: encrypting, decrypting.
type Times = [f64; 2];

pub(super) fn run(runs: usize, environment: &Environment) -> Result<BenchResult> {
    let ours = Ours::new(environment)?;
    let raw = Raw::new(environment)?;
    process::reset_peak();
    let (mut our_times, mut raw_times) = (Vec::new(), Vec::new());
    for round in 0..=runs {
        let (ours, raw) = (ours.times(environment)?, raw.times(environment)?);
        if round > 0 {
            our_times.push(ours);
            raw_times.push(raw);
        }
    }
    let (ours, raw) = (slower(&our_times), slower(&raw_times));
    Ok(BenchResult {
        measure: "crypto".to_owned(),
        ours,
        raw,
        ratio: raw / ours,
        unit: "µs",
        runs,
        peak_rss_mb: process::peak_mb(),
        documents: VALUES,
        ours_processor_us: None,
        raw_processor_us: None,
        requests: None,
    })
}

/// Returns the median of the slower direction.
fn slower(times: &[Times]) -> f64 {
    let median_of = |direction: fn(&Times) -> f64| median(&times.iter().map(direction).collect::<Vec<_>>());
    median_of(|[encrypting, _]| *encrypting).max(median_of(|[_, decrypting]| *decrypting))
}

fn time_each(environment: &Environment, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    // There is only one thread, so its processor time leaves out other work on the machine.
    let now = || process::processor_time().unwrap_or_else(|| environment.clock().monotonic());
    let began = now();
    for _ in 0..VALUES {
        work()?;
    }
    let elapsed = now().saturating_sub(began);
    Ok(elapsed.as_secs_f64() * 1e6 / VALUES as f64)
}

fn random<const N: usize>(environment: &Environment) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    environment.rng().fill(&mut bytes)?;
    Ok(bytes)
}

/// The encryption service, as objects use it.
struct Ours {
    service: EncryptionService,
    history: EncryptionHistory,
    attributes: Attributes,
    secrets: Secrets,
}

impl Ours {
    fn new(environment: &Environment) -> Result<Self> {
        let ring = KeyRing::new(SecretString::from(hex(&random::<32>(environment)?)), Vec::new())?;
        let value = hex(&random::<{ (VALUE_BYTES - 2) / 2 }>(environment)?);
        let sets = EncryptionSets {
            encrypted: vec![EncryptedAttribute { name: "token".to_owned(), exposed: false }],
            bound: BOUND.map(|(name, _)| name.to_owned()).to_vec(),
        };
        Ok(Self {
            service: EncryptionService::new(Some(ring), environment.clone()),
            history: EncryptionHistory::new(sets, []),
            attributes: BOUND.iter().map(|(name, text)| ((*name).to_owned(), Value::from(*text))).collect(),
            secrets: Secrets::from([("token".to_owned(), Secret::text(&value))]),
        })
    }

    fn times(&self, environment: &Environment) -> Result<Times> {
        let Self { service, history, secrets, .. } = self;
        let descriptor =
            Descriptor { type_name: "connector_token", namespace: None, id: "2f1c9d5e-6d0b-4a53-9a57-0c9c1f6d8e01" };
        let mut attributes = self.attributes.clone();
        let encrypting = time_each(environment, || service.seal(&descriptor, history, &mut attributes, secrets))?;
        let decrypting = time_each(environment, || {
            black_box(service.open(&descriptor, history, &attributes)?);
            Ok(())
        })?;
        Ok([encrypting, decrypting])
    }
}

/// The cipher alone: no random nonce, no encoding, no JSON.
struct Raw {
    key: [u8; 64],
    value: [u8; VALUE_BYTES],
}

impl Raw {
    fn new(environment: &Environment) -> Result<Self> {
        Ok(Self { key: random(environment)?, value: random(environment)? })
    }

    fn times(&self, environment: &Environment) -> Result<Times> {
        let refused = |_| Error::new(ErrorKind::Internal, "the cipher refused what is measured");
        let place = [
            "the header of 16 bytes and the digest's 32 bytes",
            "connector_token",
            "",
            "2f1c9d5e-6d0b-4a53-9a57-0c9c1f6d8e01",
            "token",
        ];
        let bound = BOUND.iter().flat_map(|(name, text)| [*name, *text]);
        let components: Vec<&str> = place.into_iter().chain(bound).chain(["the 16 bytes of n"]).collect();
        let components = || components.iter().map(|component| component.as_bytes());
        let cipher = || Aes256Siv::new((&self.key).into());

        let mut buffer = self.value;
        let encrypting = time_each(environment, || {
            let sealed = cipher().encrypt_inout_detached(components(), buffer.as_mut_slice().into());
            black_box(sealed.map_err(refused)?);
            Ok(())
        })?;
        let mut sealed = self.value;
        let tag = cipher().encrypt_inout_detached(components(), sealed.as_mut_slice().into()).map_err(refused)?;
        let decrypting = time_each(environment, || {
            let mut opened = sealed;
            cipher().decrypt_inout_detached(components(), opened.as_mut_slice().into(), &tag).map_err(refused)?;
            black_box(opened);
            Ok(())
        })?;
        Ok([encrypting, decrypting])
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
