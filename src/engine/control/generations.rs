//! The generation numbers that were ever used.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Control, Kind};
use crate::cluster::Cluster;
use crate::layout::Prefix;
use crate::{Error, ErrorKind, Result};

/// The document's id.
const ID: &str = "used";

/// The generation numbers that were ever used, by group. Indices lose this information when they are deleted or
/// restored from a snapshot. A reused number would make old version tokens match the wrong documents.
#[derive(Debug, Clone)]
pub(crate) struct GenerationNumbers {
    control: Control,
}

/// The content of the document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Used {
    groups: BTreeMap<String, Highest>,
}

/// The highest number that a group has used, and the copy that it was reserved for. Nodes that make the same copy get
/// the same number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Highest {
    number: u32,
    copy: String,
}

impl GenerationNumbers {
    /// Creates the numbers under `prefix`. Sends nothing.
    pub(crate) fn new(cluster: Arc<dyn Cluster>, prefix: &Prefix) -> Self {
        Self { control: Control::new(cluster, prefix) }
    }

    /// Reserves a number above `highest` and above all numbers that were ever used, for the copy with the digest
    /// `copy`. Calls for the same copy return the same number.
    ///
    /// # Errors
    /// Those of [`Control::create`], and [`Incompatible`](ErrorKind::Incompatible) if an index has the last possible
    /// number.
    pub(crate) async fn reserve(&self, group: &str, copy: &str, highest: u32) -> Result<u32> {
        loop {
            let found = self.control.read::<Used>(Kind::Generations, ID).await?;
            let (read, mut used) = match found {
                None => (None, Used::default()),
                Some(found) => (Some(found.sequence), found.body),
            };
            let of_group = used.groups.entry(group.to_owned()).or_default();
            if of_group.copy == copy && of_group.number > highest {
                return Ok(of_group.number);
            }
            let number = of_group.number.max(highest).checked_add(1).ok_or_else(|| none_left(group))?;
            *of_group = Highest { number, copy: copy.to_owned() };
            let written = match read {
                None => self.control.create(Kind::Generations, ID, &used).await?,
                Some(read) => self.control.replace(Kind::Generations, ID, &used, read).await?,
            };
            if written.is_some() {
                return Ok(number);
            }
        }
    }

    /// Marks the copy's number as used, just before users see it. From then on even the same copy gets another number.
    ///
    /// # Errors
    /// Those of [`Control::create`].
    pub(crate) async fn give(&self, group: &str, copy: &str) -> Result<()> {
        loop {
            let Some(found) = self.control.read::<Used>(Kind::Generations, ID).await? else { return Ok(()) };
            let mut used = found.body;
            let Some(of_group) = used.groups.get_mut(group).filter(|of_group| of_group.copy == copy) else {
                return Ok(());
            };
            of_group.copy.clear();
            if self.control.replace(Kind::Generations, ID, &used, found.sequence).await?.is_some() {
                return Ok(());
            }
        }
    }
}

/// Returns the error for the last possible number. No migration reaches it, so the index with this number was not made
/// by one.
fn none_left(group: &str) -> Error {
    Error::new(ErrorKind::Incompatible, format!("no generation of {group} can be made: the last number is in use"))
        .with_hint(format!(
            "see what is in the index of {group} whose name ends with -{}; clone it under a name of another prefix if it is needed, and \
             delete it then",
            u32::MAX
        ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::InMemory;
    use crate::environment::Environment;

    #[tokio::test]
    async fn a_number_is_given_to_one_copy() {
        let cluster = Arc::new(InMemory::new(Environment::system()));
        let numbers = GenerationNumbers::new(cluster, &Prefix::default());
        let reserve = async |group, copy, highest| numbers.reserve(group, copy, highest).await.expect("reserved");
        assert_eq!(reserve("notes", "a", 1).await, 2);
        assert_eq!(reserve("notes", "a", 1).await, 2, "the same copy");
        assert_eq!(reserve("notes", "b", 1).await, 3);
        assert_eq!(reserve("notes", "b", 3).await, 4, "something else has the number");
        assert_eq!(reserve("notes", "c", 9).await, 10);
        assert_eq!(reserve("notes", "a", 1).await, 11);
        numbers.give("notes", "b").await.expect("given");
        assert_eq!(reserve("notes", "a", 1).await, 11);
        numbers.give("notes", "a").await.expect("given");
        assert_eq!(reserve("notes", "a", 1).await, 12, "users have seen 11");
        assert_eq!(reserve("others", "a", 0).await, 1);
        let error = numbers.reserve("others", "b", u32::MAX).await.expect_err("there is no higher one");
        assert_eq!(error.kind(), ErrorKind::Incompatible);
    }
}
