//! The associated data to which the envelopes of a document are bound.

use std::iter::once;
use std::ops::Range;

use super::canonical_json;
use super::envelope_header::{Header, Nonce};
use super::history::SetsDigest;
use super::{Descriptor, EncryptionHistory};
use crate::document::Attributes;
use crate::{Error, Result};

/// The number of attributes that a type can bind. AES-SIV takes 126 components, of which 6 are fixed, and each
/// attribute needs two.
pub(crate) const MAX_BOUND_ATTRIBUTES: usize = 60;

/// The first component: an envelope's header, and the digest of the encryption sets of the model version that it names.
pub(super) type Heading = [u8; size_of::<Header>() + size_of::<SetsDigest>()];

/// The associated data that all envelopes of one document share. Each envelope adds its header, its attribute's name
/// and its nonce.
pub(super) struct AssociatedData<'a> {
    descriptor: Descriptor<'a>,
    history: &'a EncryptionHistory,
    attributes: &'a Attributes,
    /// The bound attributes that are present, by name, with the range of their canonical JSON in `canonical`.
    bound: Vec<(&'a str, Range<usize>)>,
    canonical: String,
}

impl<'a> AssociatedData<'a> {
    /// Creates the associated data of the object at `descriptor` with these stored attributes, at the last version of
    /// `history`. A null bound attribute is bound as null. An absent one is not bound, so that a version that
    /// begins to bind an attribute changes nothing for documents without it (record 17).
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if more bound attributes are present than [`MAX_BOUND_ATTRIBUTES`].
    pub(super) fn new(
        descriptor: &Descriptor<'a>,
        history: &'a EncryptionHistory,
        attributes: &'a Attributes,
    ) -> Result<AssociatedData<'a>> {
        let sets = history.sets();
        let mut present: Vec<_> = sets
            .bound
            .iter()
            .filter(|name| !sets.encrypts(name))
            .filter_map(|name| Some((name.as_str(), attributes.get(name)?)))
            .collect();
        if present.len() > MAX_BOUND_ATTRIBUTES {
            return Err(Error::invalid(
                format!("the type {:?} binds {} attributes", descriptor.type_name, present.len()),
                format!("bind at most {MAX_BOUND_ATTRIBUTES}"),
            ));
        }
        present.sort_unstable_by_key(|(name, _)| *name);

        let mut canonical = String::with_capacity(64 * present.len());
        let mut bound = Vec::with_capacity(present.len());
        for (name, value) in present {
            let start = canonical.len();
            canonical_json::write(value, &mut canonical);
            bound.push((name, start..canonical.len()));
        }
        Ok(Self { descriptor: *descriptor, history, attributes, bound, canonical })
    }

    /// Returns the model version that envelopes with this associated data are sealed under.
    pub(super) fn model_version(&self) -> u32 {
        self.history.version()
    }

    /// Returns the first component of an envelope of `attribute` with this header, which names `model_version`. Returns
    /// `None` if such an envelope is not valid in the document: that version is beyond the document's, or protects the
    /// document differently.
    pub(super) fn heading(&self, header: &Header, model_version: u32, attribute: &str) -> Option<Heading> {
        let digest = self.history.sealed_under(model_version, attribute, self.attributes)?;
        let mut heading = [0; size_of::<Heading>()];
        heading.iter_mut().zip(header.iter().chain(digest)).for_each(|(byte, part)| *byte = *part);
        Some(heading)
    }

    /// Returns the components for the envelope of `attribute`, in order.
    pub(super) fn components<'s>(
        &'s self,
        heading: &'s Heading,
        attribute: &'s str,
        nonce: &'s Nonce,
    ) -> impl Iterator<Item = &'s [u8]> {
        let place: [&[u8]; 5] = [
            heading,
            self.descriptor.type_name.as_bytes(),
            self.descriptor.namespace.unwrap_or_default().as_bytes(),
            self.descriptor.id.as_bytes(),
            attribute.as_bytes(),
        ];
        let bound =
            self.bound.iter().flat_map(|(name, range)| [name.as_bytes(), &self.canonical.as_bytes()[range.clone()]]);
        place.into_iter().chain(bound).chain(once(nonce.as_slice()))
    }
}
