use std::collections::BTreeSet;
use std::ops::Bound;

use super::Records;
use crate::cluster::Direction;
use crate::repository::{Filter, Find};
use crate::tokens::identity::Identity;
use crate::tokens::{ConnectorId, TokenError};

const CONNECTOR_ID: &str = "connectorId";
/// How many records one search gives.
const PER_PAGE: u32 = 1000;

impl<I: Identity> Records<I> {
    /// The connectors of the records that the filter fits, however many. Each search begins behind the last connector of
    /// the one before, which paging by number could not do beyond the first 10,000.
    pub(in crate::tokens) async fn connectors(&self, filter: Filter) -> Result<BTreeSet<ConnectorId>, TokenError> {
        let mut connectors = BTreeSet::new();
        let mut behind = Bound::Unbounded;
        loop {
            let rest = Filter::range::<String>(CONNECTOR_ID, (behind, Bound::Unbounded));
            let request = Find::new()
                .filter(Filter::and([filter.clone(), rest]))
                .sort(CONNECTOR_ID, Direction::Ascending)
                .per_page(PER_PAGE);
            let found = self.repository().find(&[I::TYPE], request).await?;
            let names = found.objects.iter().filter_map(|object| object.attributes.get(CONNECTOR_ID)?.as_str());
            let page: Vec<_> = names.filter_map(|name| ConnectorId::new(name).ok()).collect();
            let Some(last) = page.last() else { return Ok(connectors) };
            behind = Bound::Excluded(last.to_string());
            connectors.extend(page);
        }
    }
}
