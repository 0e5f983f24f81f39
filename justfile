# Every recipe is a plain command that can be typed as well.

# All tests; they start and stop their own Elasticsearch.
test:
    cargo test

# All tests on the oldest Elasticsearch that is supported.
test-819:
    SAVED_OBJECTS_TEST_VERSION=8.19.0 cargo test

# The tests of tokens on the oldest Elasticsearch that is supported.
test-tokens-819:
    SAVED_OBJECTS_TEST_VERSION=8.19.0 cargo test --test all -- tokens:: --skip memory::

# All tests on a cluster of three nodes.
test-three-nodes:
    SAVED_OBJECTS_TEST_NODES=3 cargo test

# Thousands of simulated worlds with faults; `just simulate --hours 1` tries new ones for an hour.
simulate *arguments:
    cargo test --profile simulation --test simulation -- {{arguments}}

# The conformance suite's cases with their result on each kind of cluster.
conformance:
    cargo test --test conformance

# What a change must pass.
ci:
    .ci/run

# The main job, start to end.
demo:
    cargo run --release -- demo

# Formatting and lints, mended where that is possible.
fix:
    cargo clippy --all-targets --fix --allow-dirty
    cargo fmt

# Licences, sources and advisories of the dependencies (needs cargo-deny).
deny:
    cargo deny check
