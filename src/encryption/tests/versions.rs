//! Tests that a secret can be decrypted only at model versions with the same protection as the one that it was sealed
//! under.

use super::*;

/// Returns versions that bind more and more, except that the second equals the first.
fn binding() -> EncryptionHistory {
    let one = || version_of(&["access", "refresh"], &["connector"]);
    let more = version_of(&["access", "refresh"], &["connector", "limit"]);
    EncryptionHistory::new(one(), [one(), more.clone(), more])
}

fn at(history: &EncryptionHistory, version: u32) -> EncryptionHistory {
    history.up_to(version).expect("known").into_owned()
}

fn sealed_at(history: &EncryptionHistory) -> Attributes {
    let mut attributes = attributes(json!({"connector": "c1", "limit": 10}));
    service().seal(&TOKEN, history, &mut attributes, &secrets(&[("access", json!("a"))])).expect("sealed");
    attributes
}

#[test]
fn an_envelope_opens_from_its_version_on_until_the_sets_change() {
    let history = binding();
    let opens = [(1, [1, 2].as_slice()), (2, &[2]), (3, &[3, 4]), (4, &[4])];
    for (sealed, at_versions) in opens {
        let attributes = sealed_at(&at(&history, sealed));
        for version in 1..=4 {
            let opened = service().open(&TOKEN, &at(&history, version), &attributes);
            let is_open = opened.as_ref().is_ok_and(|secrets| secrets.len() == 1);
            assert_eq!(is_open, at_versions.contains(&version), "sealed at {sealed}, opened at {version}");
            if let Err(error) = opened {
                assert_eq!(cause(&error), DecryptionCause::ModelVersion(sealed));
            }
        }
    }
}

#[test]
fn the_sets_of_the_version_are_bound() {
    let sets = version_of(&["access", "refresh"], &["connector", "limit"]);
    let attributes = sealed_at(&EncryptionHistory::new(sets.clone(), []));
    let mut exposing = sets.clone();
    exposing.encrypted[0].exposed = true;
    // Nothing that is present is bound differently.
    let others = [
        exposing,
        version_of(&["access"], &["connector", "limit"]),
        version_of(&["access", "refresh"], &["connector"]),
        version_of(&["access", "refresh"], &["connector", "limit", "more"]),
    ];
    for other in others {
        let history = EncryptionHistory::new(other.clone(), []);
        assert!(authentication_fails(&TOKEN, &history, &attributes), "{other:?}");
    }
}

#[test]
fn the_version_that_an_envelope_names_cannot_change() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let sets = version_of(&["access"], &["connector"]);
    let history = EncryptionHistory::new(sets.clone(), [sets.clone(), sets]);
    let mut attributes = sealed_at(&at(&history, 2));
    for (named, expected) in [(1, DecryptionCause::Authentication), (3, DecryptionCause::Authentication)] {
        let mut bytes = STANDARD.decode(stored(&attributes, "access")).expect("base64");
        bytes[15] = named;
        attributes.insert("access".to_owned(), json!(STANDARD.encode(bytes)));
        let error = service().open(&TOKEN, &history, &attributes).expect_err("it is not what was sealed");
        assert_eq!(cause(&error), expected, "{named}");
    }
}

#[test]
fn a_rotation_seals_under_the_documents_version() {
    let history = binding();
    let mut attributes = sealed_at(&at(&history, 3));
    let ring = KeyRing::new(SECRET_B.into(), vec![SECRET_A.into()]).expect("good keys");
    let service = EncryptionService::new(Some(ring), Environment::system());
    assert_eq!(service.reseal(&TOKEN, &history, &mut attributes).expect("resealed").changed, 1);
    assert!(service.open(&TOKEN, &history, &attributes).is_ok());
    let earlier = service.open(&TOKEN, &at(&history, 3), &attributes).expect_err("sealed at version 4");
    assert_eq!(cause(&earlier), DecryptionCause::ModelVersion(4));

    // A secret that is not valid at its document's version is not encrypted again at it.
    let mut attributes = sealed_at(&at(&history, 1));
    let resealed = service.reseal(&TOKEN, &history, &mut attributes).expect("looked at");
    assert_eq!((resealed.changed, resealed.failures.len()), (0, 1));
}
