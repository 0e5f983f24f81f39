//! What a request asks for, in a few words without names and ids, for metrics and spans.

/// Returns the name that metrics and spans have for what a path leads to: the first part that begins with `_`, without
/// names and ids.
pub(super) fn api(path: &str) -> &'static str {
    match path.split('/').find(|part| part.starts_with('_')) {
        None => "index",
        Some("_aliases") => "aliases",
        Some("_block") => "block",
        Some("_bulk") => "bulk",
        Some("_clone") => "clone",
        Some("_cluster") => "cluster",
        Some("_doc") => "get",
        Some("_mapping") => "mapping",
        Some("_mget") => "mget",
        Some("_nodes") => "nodes",
        Some("_pit") => "pit",
        Some("_refresh") => "refresh",
        Some("_search") => "search",
        Some("_security") => "security",
        Some("_settings") => "settings",
        Some("_stats") => "stats",
        Some("_index_template" | "_template") => "template",
        Some(_) => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_are_left_out() {
        let table = [
            ("notes-000001,other", "index"),
            ("notes-000001-write/_bulk", "bulk"),
            ("notes/_doc/note%3A%5Fbulk", "get"),
            ("_search", "search"),
            ("_nodes/_local/http", "nodes"),
            ("notes/_block/write", "block"),
            ("notes/_something_new", "other"),
        ];
        for (path, expected) in table {
            assert_eq!(api(path), expected, "{path}");
        }
    }
}
