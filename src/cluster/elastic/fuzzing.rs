//! The fuzz target for answers: properties that hold for any answer of a server.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use super::{Elastic, HttpAnswer, HttpRequest, NoAnswer, Transport};
use crate::cluster::{
    BulkAction, BulkOperation, BulkRequest, Cluster, Gone, Query, Refresh, Search, SearchIn, SequenceNumber,
};
use crate::environment::{Clock, Environment, SystemRng};

/// A transport that gives every request the same answer.
#[derive(Debug)]
struct Parrot(HttpAnswer);

#[async_trait]
impl Transport for Parrot {
    async fn send(&self, _: HttpRequest) -> Result<HttpAnswer, NoAnswer> {
        Ok(self.0.clone())
    }
}

/// A clock whose time passes only by sleeping, which takes no real time.
#[derive(Debug, Default)]
struct Sleepless(std::sync::Mutex<Duration>);

impl Sleepless {
    fn passed(&self) -> std::sync::MutexGuard<'_, Duration> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[async_trait]
impl Clock for Sleepless {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        *self.passed()
    }

    async fn sleep(&self, duration: Duration) {
        let mut passed = self.passed();
        *passed = passed.saturating_add(duration);
    }
}

/// Checks that any answer to a bulk, a search, a get or a request about indices is parsed or becomes an error, and that
/// its counts can be added up.
///
/// The first bytes of `data` are the status, whether the answer has Elasticsearch's header, and the length of
/// `Retry-After`, which follows.
pub fn answer(data: &[u8]) {
    let Some(([status, header, retry_after], rest)) = data.split_first_chunk() else { return };
    let (retry_after, body) = rest.split_at(rest.len().min(usize::from(*retry_after)));
    let answer = HttpAnswer {
        status: 100 + u16::from(*status) * 2,
        is_elasticsearch: header % 2 == 0,
        retry_after: std::str::from_utf8(retry_after).ok().map(str::to_owned),
        body: Bytes::copy_from_slice(body),
    };
    let environment = Environment::new(Arc::new(Sleepless::default()), Arc::new(SystemRng));
    let Ok(elastic) = Elastic::builder("").transport(Arc::new(Parrot(answer))).environment(environment).build() else {
        return;
    };
    let read = SequenceNumber { seq_no: 1, primary_term: 1 };
    let operations = [
        BulkAction::Create { source: Bytes::from_static(b"{}") },
        BulkAction::Replace { source: Bytes::from_static(b"{}"), read },
        BulkAction::Delete { read, gone: Gone::Done },
    ]
    .map(|action| BulkOperation { id: "note:1".to_owned(), action });
    let asking = async {
        let _ = elastic.bulk(&BulkRequest { alias: "a", operations: &operations, refresh: Refresh::Later }).await;
        let _ = elastic.indices(&["a"]).await;
        let writes = elastic.write_count("a").await.unwrap_or_default();
        let counts = elastic.count_by_type("a").await.unwrap_or_default();
        // Callers add counts like this; the fuzz targets and the tests are built with overflow checks.
        let counted: u64 = counts.iter().map(|count| count.documents).sum();
        std::hint::black_box(writes + counted);
        let _ = elastic.max_content_length().await;
        let _ = elastic.open_point_in_time("a", Duration::from_secs(1)).await;
        let _ = elastic.get("a", "note:1").await;
        let _ = elastic.get_many("a", &["note:1"]).await;
        let search = Search { count_total: true, ..Search::new(SearchIn::Index("a".to_owned()), Query::Everything) };
        let page = elastic.search(&search).await.ok();
        std::hint::black_box(page.and_then(|page| page.total).unwrap_or_default() + counted);
        let _ = elastic.conditions().await;
    };
    // The requests wait for nothing but the clock, which does not wait.
    let polled = pin!(asking).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(())), "it waits for something");
}
