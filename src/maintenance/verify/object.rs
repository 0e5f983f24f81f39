//! The verification of one object.

use super::report::{ObjectVerification, Unreadable, VerifiedObject};
use super::verifier::Verifier;
use crate::Result;
use crate::cluster::Hit;
use crate::layout::{IndexMeta, IndexNames, TypeMeta};

impl Verifier {
    /// Reads the object with one of these `_id`s as it is now, and decrypts each of its secrets. Looks for it in the
    /// index of every registered group, and in quarantine. Several `_id`s are the possible readings of one name.
    ///
    /// # Errors
    /// Those of [`verify`](Self::verify).
    pub async fn verify_object(&self, ids: &[String]) -> Result<ObjectVerification> {
        let (mut objects, mut are_all_opened) = (Vec::new(), true);
        for group in self.engine.registry.groups().into_keys() {
            let names = self.engine.prefix.group(group);
            let Some((index, meta)) = self.index_of(&names).await? else { continue };
            for id in ids {
                let Some(hit) = self.engine.cluster.get(names.alias(), id).await? else { continue };
                let object = self.verify_hit(&names, &index, &meta, &hit);
                let type_meta = object.type_name.as_ref().and_then(|name| meta.types.get(name));
                are_all_opened &= object.registered || !type_meta.is_some_and(TypeMeta::encrypts);
                objects.push(object);
            }
        }
        let mut quarantined = Vec::new();
        for document in self.quarantine.list().await? {
            if ids.contains(&document.id) {
                quarantined.push(Unreadable::from(document));
            }
        }
        let is_well = |object: &VerifiedObject| object.readable && object.secrets.iter().all(|secret| secret.opens);
        let ok = objects.len() == 1 && objects.iter().all(is_well) && are_all_opened;
        Ok(ObjectVerification { ok, digests: self.digests(), objects, quarantined })
    }

    fn verify_hit(&self, names: &IndexNames, index: &str, meta: &IndexMeta, hit: &Hit) -> VerifiedObject {
        let examined = self.examiner.examine(meta, hit);
        let (digest, defects) = match examined.outcome {
            Ok(digest) => (Some(digest), Vec::new()),
            Err(defects) => (None, defects),
        };
        let unreadable = defects.into_iter().map(|defect| Unreadable {
            alias: names.alias().to_owned(),
            id: hit.id.clone(),
            type_name: examined.type_name.clone(),
            attribute: defect.attribute,
            reason: defect.reason,
        });
        VerifiedObject {
            alias: names.alias().to_owned(),
            index: index.to_owned(),
            id: hit.id.clone(),
            registered: examined.type_name.as_deref().is_some_and(|name| self.examiner.knows(name)),
            version: examined.version,
            readable: digest.is_some(),
            digest,
            secrets: self.examiner.secrets(meta, hit),
            unreadable: unreadable.collect(),
            type_name: examined.type_name,
        }
    }
}
