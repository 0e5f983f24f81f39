# Every recipe is a plain command that can be typed as well.

# All tests; they start and stop their own Elasticsearch.
test:
    cargo test

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
