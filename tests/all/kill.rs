//! `kill -9` of a process at a chosen request.

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use tokio::process::Child;

use crate::proxy::{Fault, Proxy, Seen};

/// Sends a signal to a process.
pub(crate) fn signal(signal: &str, process: u32) {
    assert_ne!(process, 0, "the process is known before it sends its first request");
    Command::new("kill").args([signal, &process.to_string()]).status().expect("kill runs");
}

/// Lets `start` start a process on the URL of a proxy, and kills the process at matching request number `at`, which
/// meets `fault` (never, if there is no number). Returns how the process ended, and the requests that it sent.
pub(crate) async fn run_until_killed(
    url: &str,
    is_meant: impl Fn(&Seen) -> bool + Send + Sync + 'static,
    at: Option<usize>,
    fault: Fault,
    start: impl FnOnce(&str) -> Child,
) -> (Output, Proxy) {
    let (process, count) = (Arc::new(AtomicU32::new(0)), AtomicUsize::new(0));
    let for_rule = process.clone();
    let proxy = Proxy::start(url, move |seen, _| {
        if !is_meant(seen) || Some(count.fetch_add(1, Ordering::Relaxed)) != at {
            return Fault::None;
        }
        signal("-KILL", for_rule.load(Ordering::Acquire));
        fault
    })
    .await;
    let child = start(proxy.url());
    process.store(child.id().expect("it was not waited for"), Ordering::Release);
    (child.wait_with_output().await.expect("it ends"), proxy)
}
