use std::iter::once;
use std::ops::Range;

use super::Descriptor;
use super::canonical_json;
use super::envelope::{Header, Nonce};
use crate::document::Attributes;
use crate::model::EncryptionSets;
use crate::{Error, Result};

/// How many attributes a type can bind: AES-SIV takes 126 components, 6 are fixed and each attribute needs two.
pub const MAX_BOUND_ATTRIBUTES: usize = 60;

/// What all envelopes of one document are bound to. Each envelope adds its header, its attribute's name and its nonce.
pub(super) struct AssociatedData<'a> {
    descriptor: Descriptor<'a>,
    /// The bound attributes that are present, by name, with the place of their canonical JSON in `canonical`.
    bound: Vec<(&'a str, Range<usize>)>,
    canonical: String,
}

impl<'a> AssociatedData<'a> {
    /// Of the object at `descriptor` with these stored attributes. A bound attribute that is null is bound as such, one
    /// that is absent is not: so an attribute can be bound one release before it is first written.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if more attributes are present and bound than [`MAX_BOUND_ATTRIBUTES`].
    pub(super) fn new(
        descriptor: &Descriptor<'a>,
        sets: &'a EncryptionSets,
        attributes: &Attributes,
    ) -> Result<AssociatedData<'a>> {
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
        Ok(Self { descriptor: *descriptor, bound, canonical })
    }

    /// The components for the envelope of `attribute`, in their order.
    pub(super) fn components<'s>(
        &'s self,
        header: &'s Header,
        attribute: &'s str,
        nonce: &'s Nonce,
    ) -> impl Iterator<Item = &'s [u8]> {
        let place: [&[u8]; 5] = [
            header,
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
