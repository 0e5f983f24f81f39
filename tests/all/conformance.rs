//! The conformance suite, on the cluster in memory, on the client that reaches that cluster over HTTP, and on the
//! server of this test run.

use std::sync::Arc;

use libtest_mimic::Trial;
use saved_objects::cluster::conformance::{self, Case};
use saved_objects::cluster::{Cluster, Elastic, InMemory};
use saved_objects::environment::Environment;

use crate::server::ABSENT;

/// The server of this test run, in the names of tests.
const SERVER: &str = "elasticsearch";

type Connect = fn(&str) -> Arc<dyn Cluster>;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    let clusters: [(&str, Connect); 3] = [
        ("memory", |_| Arc::new(InMemory::new(Environment::system()))),
        ("memory_http", |_| {
            let wire = Arc::new(InMemory::new(Environment::system()).transport());
            Arc::new(Elastic::builder("http://memory").transport(wire).build().expect("nothing is wrong with it"))
        }),
        (SERVER, |url| Arc::new(Elastic::builder(url).build().expect("the test server's URL is fine"))),
    ];
    let on_all = |case: &'static Case| clusters.map(|(name, connect)| trial(case, name, connect, url));
    conformance::cases().flat_map(on_all).collect()
}

fn trial(case: &'static Case, cluster: &str, connect: Connect, url: &str) -> Trial {
    let name = format!("conformance::{cluster}::{}", case.name());
    if cluster == SERVER && url == ABSENT {
        return crate::skipped(name);
    }
    let url = url.to_owned();
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(case.run(connect(&url), "conformance"))?)
    })
}
