//! Documents in the order in which this library writes them: the type, the other root fields, the attributes. They are read at
//! one go. Of others, and of odd ones, nothing is said but that they are not such: [`DocumentHeader::from_source`] reads in any order.

use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::header::{DocumentHeader, Text};
use super::stored::{RootField, Wanted};

pub(super) fn read<'a, W: Fn(&str) -> bool>(
    source: &'a str,
    choose: impl FnMut(&DocumentHeader<'a>) -> Option<W>,
) -> serde_json::Result<DocumentHeader<'a>> {
    serde_json::Deserializer::from_str(source).deserialize_map(InOrder(choose))
}

struct InOrder<F>(F);

impl<'de, W: Fn(&str) -> bool, F: FnMut(&DocumentHeader<'de>) -> Option<W>> Visitor<'de> for InOrder<F> {
    type Value = DocumentHeader<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        let not_in_order = |what| Err(A::Error::custom(what));
        if map.next_key_seed(Text)?.as_deref() != Some("type") {
            return not_in_order("the type is not the first field");
        }
        let mut header = DocumentHeader::of_type(map.next_value_seed(Text)?);
        if header.type_name().is_empty() {
            return not_in_order("the type is empty");
        }
        let mut has_attributes = false;
        while let Some(name) = map.next_key_seed(Text)? {
            if name == header.type_name() {
                if std::mem::replace(&mut has_attributes, true) {
                    return not_in_order("the attributes come again");
                }
                match (self.0)(&header) {
                    Some(is_wanted) => header.take_attributes(map.next_value_seed(Wanted(is_wanted))?),
                    None => header.pass_over(name, map.next_value()?),
                }
                continue;
            }
            match name.as_ref() {
                "type" => return not_in_order("the type comes again"),
                "typeMigrationVersion" if has_attributes => return not_in_order("the version comes late"),
                name => map.next_value_seed(RootField { root: header.root_mut(), name })?,
            }
        }
        match has_attributes {
            true => Ok(header),
            false => not_in_order("there are no attributes"),
        }
    }
}
