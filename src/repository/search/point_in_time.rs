//! Pages of a search over a point in time, with cursors.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::find::Find;
use super::found::Found;
use super::refusals;
use crate::cluster::{ClusterError, ClusterErrorKind, Direction, OpenPointInTime, Search, SearchIn};
use crate::document::{Attributes, Namespace};
use crate::registry::TypeDefinition;
use crate::repository::{Action, Repository};
use crate::{Error, ErrorKind, Result};

/// The longest time that a point in time stays open between two pages. It keeps old data on the server.
const LONGEST_KEEP_ALIVE: Duration = Duration::from_secs(60 * 60);

/// The objects of some types as they were when the point in time was [opened](Repository::open_point_in_time). Pages of
/// a search over it follow one another exactly, no matter what is written meanwhile, and without a limit of 10,000.
///
/// It is closed by [`close`](Self::close), when it is dropped, or by the server if no page is requested in time.
#[derive(Debug)]
pub struct PointInTimeReader {
    repository: Repository,
    types: Vec<String>,
    open: OpenPointInTime,
    /// Random. It identifies the cursors of this reader.
    nonce: [u8; 16],
}

/// One page of a point in time.
#[derive(Debug, Serialize)]
pub struct PointInTimePage<A = Attributes> {
    /// The objects of the page.
    pub found: Found<A>,
    /// The position where the next page begins; `None` after the last page.
    pub next: Option<PageCursor>,
}

/// The position where a page begins. It belongs to the reader and the search that it comes from: the same types,
/// namespaces, filters and sort. The size of the page and the fields may change. It can be kept as text.
#[derive(Debug, Clone, PartialEq)]
pub struct PageCursor {
    /// Identifies the point in time and the search.
    search: String,
    /// The sort values of the last object before the page.
    after: Vec<Value>,
}

impl fmt::Display for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = std::iter::once(Value::from(self.search.as_str())).chain(self.after.iter().cloned());
        f.write_str(&URL_SAFE_NO_PAD.encode(Value::from_iter(values).to_string()))
    }
}

/// Writes the cursor as text.
impl Serialize for PageCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for PageCursor {
    type Err = Error;

    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the text is not a cursor.
    fn from_str(text: &str) -> Result<Self> {
        let refused = || Error::invalid("a page's cursor is malformed", "pass the one that the page before came with");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| refused())?;
        let mut values: std::collections::VecDeque<Value> = serde_json::from_slice(&bytes).map_err(|_| refused())?;
        let Some(Value::String(search)) = values.pop_front() else { return Err(refused()) };
        match values.is_empty() || values.iter().any(|value| value.is_array() || value.is_object()) {
            true => Err(refused()),
            false => Ok(Self { search, after: values.into() }),
        }
    }
}

impl Repository {
    /// Opens a point in time over the objects of these types. `keep_alive` is how long it stays open after each page,
    /// at most an hour. It contains what a search finds now: writes since the index's last refresh are missing.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use saved_objects::repository::{Find, Repository};
    /// # async fn example(repository: &Repository) -> saved_objects::Result<()> {
    /// let mut reader = repository.open_point_in_time(&["note"], Duration::from_secs(60)).await?;
    /// let request = Find::new().per_page(100);
    /// let mut cursor = None;
    /// loop {
    ///     let page = reader.page(&request, cursor.as_ref()).await?;
    ///     println!("{} of {}", page.found.objects.len(), page.found.total);
    ///     cursor = page.next;
    ///     if cursor.is_none() {
    ///         break;
    ///     }
    /// }
    /// reader.close().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`Invalid`](ErrorKind::Invalid) if a type is not available here, or if the time is too long.
    /// - [`NotFound`](ErrorKind::NotFound) if an index does not exist, [`Unavailable`](ErrorKind::Unavailable).
    pub async fn open_point_in_time(&self, types: &[&str], keep_alive: Duration) -> Result<PointInTimeReader> {
        let definitions = self.definitions(types)?;
        if keep_alive > LONGEST_KEEP_ALIVE || keep_alive < Duration::from_millis(1) {
            return Err(Error::invalid(
                format!("a point in time cannot be kept open for {} seconds", keep_alive.as_secs()),
                "give at most an hour; each page begins it anew",
            ));
        }
        let mut nonce = [0; 16];
        self.shared.engine.environment.rng().fill(&mut nonce)?;
        let aliases = self.aliases(&definitions);
        let engine = &self.shared.engine;
        let open = OpenPointInTime::open(&engine.cluster, &engine.environment, &aliases, keep_alive).await;
        let open = open.map_err(|error| refusals::of(&aliases, error))?;
        let types = types.iter().map(|&name| name.to_owned()).collect();
        Ok(PointInTimeReader { repository: self.clone(), types, open, nonce })
    }
}

impl PointInTimeReader {
    /// Returns the page of a search that begins at `after`, or the first page without it. The request's own
    /// [`page`](Find::page) is ignored.
    ///
    /// # Errors
    /// - [`NotFound`](ErrorKind::NotFound) if the point in time is no longer open because too much time passed since
    ///   the last page.
    /// - [`Invalid`](ErrorKind::Invalid) as for [`Repository::find`], and if the cursor comes from another reader or
    ///   search.
    /// - [`Forbidden`](ErrorKind::Forbidden), [`Unavailable`](ErrorKind::Unavailable).
    #[tracing::instrument(name = "operation", level = "debug", skip_all, fields(operation = "find_page"))]
    pub async fn page(&mut self, request: &Find, after: Option<&PageCursor>) -> Result<PointInTimePage> {
        let repository = self.repository.clone();
        let types = self.types.clone();
        let types: Vec<&str> = types.iter().map(String::as_str).collect();
        let definitions = repository.definitions(&types)?;
        let request = request.clone().or_in_namespace(&Namespace::DEFAULT);
        let admitted = repository.admit_all(&[Action::Find], &types, &request).await?;
        admitted.end(self.page_admitted(&types, &definitions, &request, after).await)
    }

    async fn page_admitted(
        &mut self,
        types: &[&str],
        definitions: &[&TypeDefinition],
        request: &Find,
        after: Option<&PageCursor>,
    ) -> Result<PointInTimePage> {
        let current = self.open.current().clone();
        let size = request.size()?;
        let mut search =
            Search { size, count_total: true, ..request.to_search(SearchIn::PointInTime(current), definitions)? };
        let name = self.name_of(&search);
        search.after = match after {
            None => None,
            Some(cursor) if cursor.search == name => Some(cursor.after.clone()),
            Some(_) => {
                return Err(Error::invalid(
                    "the page's cursor comes from another point in time or another search",
                    "pass it to the reader that gave it, with the same types, namespaces, filters and sort; or begin with the first \
                     page",
                ));
            }
        };
        let mut reading = self.repository.reading(types, request);
        let page = reading.search(&search).await.map_err(|error| refused(request, &search, definitions, error))?;
        if let Some(current) = page.point_in_time.clone() {
            self.open.continue_with(current);
        }
        let is_last = reading.taken() < size as usize;
        let next = page.last_sort.clone().filter(|_| !is_last).map(|after| PageCursor { search: name, after });
        let mut found = reading.end(page).await?;
        self.repository.leave_out_unseen(found.objects.iter_mut().collect()).await;
        Ok(PointInTimePage { found, next })
    }

    /// Returns the name of a search of this reader in its cursors: a digest of everything that decides which objects
    /// follow one another.
    fn name_of(&self, search: &Search) -> String {
        let sorts = search.sort.iter().map(|sort| json!([sort.field, sort.direction == Direction::Descending]));
        let of_search = json!([search.query.to_json(), sorts.collect::<Vec<_>>()]).to_string();
        let digest: [u8; 32] = Sha256::new().chain_update(self.nonce).chain_update(of_search).finalize().into();
        URL_SAFE_NO_PAD.encode(&digest[..16])
    }

    /// Closes it now. A failure is no error, because the server closes it by itself.
    pub async fn close(self) {
        self.open.close().await;
    }
}

fn refused(request: &Find, search: &Search, definitions: &[&TypeDefinition], error: ClusterError) -> Error {
    match error.kind {
        ClusterErrorKind::PointInTimeMissing => gone().with_source(error),
        _ => {
            let compared = request.compared(search.query.clone(), definitions);
            refusals::naming_misfit(refusals::of("of the point in time", error), &compared, definitions)
        }
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::NotFound, "the point in time is no longer open")
        .with_hint("open another one and begin with the first page; ask for pages sooner, or keep it open for longer")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cursors_are_text_and_anything_else_is_refused() {
        let after = vec![json!("a b"), Value::Null, json!(-5), json!(1.5)];
        let cursor = PageCursor { search: "search".to_owned(), after };
        assert_eq!(cursor.to_string().parse::<PageCursor>().expect("fine"), cursor);
        for json in ["[]", "{}", "5", "[\"a\"]", "[1,2]", "[\"a\",[1]]", "[\"a\",{}]", "nonsense"] {
            let text = URL_SAFE_NO_PAD.encode(json);
            assert_eq!(text.parse::<PageCursor>().expect_err(json).kind(), ErrorKind::Invalid);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<PageCursor>();
        }
    }
}
