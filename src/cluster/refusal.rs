//! Why Elasticsearch refuses a search, and what helps. Only the types of its errors and the beginnings of its reasons
//! are read, since the rest of a reason may repeat a value of a filter.

use crate::ErrorKind;

/// Why Elasticsearch refuses a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// A filter lists more values for one field than the index allows.
    TooManyTerms,
    /// The search has more or deeper conditions than the server allows.
    TooManyClauses,
    /// A regular expression is longer than the index allows.
    PatternTooLong,
    /// A pattern has too many wildcards.
    PatternTooComplex,
    /// The page ends beyond the last hit that the index allows.
    PageTooFar,
    /// An aggregation has more buckets than the cluster allows.
    TooManyBuckets,
    /// As many searches are open as the cluster allows.
    TooManyContexts,
    /// The requested keep-alive of a point in time is longer than the cluster allows.
    KeptOpenTooLong,
    /// The cluster allows no expensive searches.
    Expensive,
    /// The index does not map a field in the way that the search needs.
    NotMapped(&'a str),
    /// A value does not fit the field that it is compared with.
    Value,
}

/// Beginnings of the server's reasons. No beginning repeats a value of a filter, and no rest except those of the last
/// two.
const BEGINNINGS: &[(&str, Refusal<'static>)] = &[
    ("The number of terms [", Refusal::TooManyTerms),
    ("The length of regex [", Refusal::PatternTooLong),
    ("Result window is too large, ", Refusal::PageTooFar),
    ("Batch size is too large, ", Refusal::PageTooFar),
    ("Trying to create too many scroll contexts", Refusal::TooManyContexts),
    ("Keep alive for ", Refusal::KeptOpenTooLong),
    ("Query contains too many nested clauses", Refusal::TooManyClauses),
    ("The nested depth of the query exceeds the maximum nested depth", Refusal::TooManyClauses),
    ("Trying to create too many buckets", Refusal::TooManyBuckets),
    // The rest of these two repeats a value.
    ("Can't parse boolean value ", Refusal::Value),
    ("Value ", Refusal::Value),
];

/// The types of errors that determine the refusal without their reason.
const TYPES: &[(&str, Refusal<'static>)] = &[
    ("too_many_clauses", Refusal::TooManyClauses),
    ("too_many_nested_clauses", Refusal::TooManyClauses),
    ("too_complex_to_determinize_exception", Refusal::PatternTooComplex),
    ("too_many_buckets_exception", Refusal::TooManyBuckets),
    ("too_many_scroll_contexts_exception", Refusal::TooManyContexts),
];

/// Reasons that name a field: the text before its name, and the text after it.
const ABOUT_FIELDS: &[(&str, &str)] = &[
    ("No mapping found for [", "] in order to sort on"),
    ("Cannot search on field [", "] since it is not indexed"),
    ("[nested] failed to find nested object under path [", "]"),
    ("Can't load fielddata on [", "] because fielddata is unsupported"),
    ("Fielddata is disabled on [", "] in ["),
];

impl<'a> Refusal<'a> {
    /// Returns the refusal that the server's type, the type of the innermost cause and the reason describe.
    pub(super) fn of(server_type: &str, cause: Option<&str>, reason: &'a str) -> Option<Self> {
        if let Some((_, known)) = TYPES.iter().find(|(name, _)| *name == server_type || Some(*name) == cause) {
            return Some(*known);
        }
        let reason = reason.strip_prefix("failed to create query: ").unwrap_or(reason);
        if let Some((_, known)) = BEGINNINGS.iter().find(|(beginning, _)| reason.starts_with(beginning)) {
            return Some(*known);
        }
        let field = |(before, after): &(&str, &str)| Some(reason.strip_prefix(before)?.split_once(after)?.0);
        if let Some(field) = ABOUT_FIELDS.iter().find_map(field) {
            return Some(Self::NotMapped(field));
        }
        match server_type {
            _ if cause == Some("exception") && reason.contains(EXPENSIVE) => Some(Self::Expensive),
            "query_shard_exception" | "parsing_exception" | "parse_exception" | "number_format_exception" => {
                Some(Self::Value)
            }
            _ => None,
        }
    }

    /// Returns the kind of the library's error.
    pub(super) fn kind(self) -> ErrorKind {
        match self {
            Self::TooManyContexts => ErrorKind::Unavailable,
            Self::Expensive => ErrorKind::Forbidden,
            Self::NotMapped(_) => ErrorKind::Incompatible,
            _ => ErrorKind::Invalid,
        }
    }

    /// Returns what is wrong.
    pub(super) fn what(self) -> String {
        let fixed = match self {
            Self::TooManyTerms => "a filter lists more values for one field than the index takes",
            Self::TooManyClauses => "it has more conditions, or deeper ones, than the server takes",
            Self::PatternTooLong => "a pattern is longer than the index takes",
            Self::PatternTooComplex => "a pattern has too many wildcards",
            Self::PageTooFar => "the page reaches farther than the index allows",
            Self::TooManyBuckets => "an aggregation makes more buckets than the cluster allows",
            Self::TooManyContexts => "as many searches are kept open as the cluster allows",
            Self::KeptOpenTooLong => "the cluster keeps no point in time open for so long",
            Self::Expensive => {
                "the cluster allows no expensive searches, such as those by pattern, in nested objects and for \
                 references"
            }
            Self::NotMapped(field) => {
                return format!("the index does not map the field {field} as this software's types do");
            }
            Self::Value => "a value does not fit the field that it is compared with",
        };
        fixed.to_owned()
    }

    /// Returns the hint for a search in `index`.
    pub(super) fn hint(self, index: &str) -> String {
        let of_index = |setting: &str, value: &str| format!("PUT /{index}/_settings {{\"{setting}\":{value}}}");
        let of_cluster =
            |setting: &str, value: &str| format!("PUT /_cluster/settings {{\"persistent\":{{\"{setting}\":{value}}}}}");
        match self {
            Self::TooManyTerms => format!(
                "list fewer values and search several times, or raise the limit: {}",
                of_index("index.max_terms_count", "<more>")
            ),
            Self::TooManyClauses => {
                "list values of one field in one condition (`Filter::any_of`, in KQL `key: (a or b)`), or divide \
                                     the search into several"
                    .to_owned()
            }
            Self::PatternTooLong => {
                format!("give a shorter pattern, or raise the limit: {}", of_index("index.max_regex_length", "<more>"))
            }
            Self::PatternTooComplex => "give a pattern with fewer `*`".to_owned(),
            Self::PageTooFar => format!(
                "ask for smaller pages, read everything with `stream`, or raise the limit: {}",
                of_index("index.max_result_window", "<more>")
            ),
            Self::TooManyBuckets => format!(
                "ask for fewer values or wider intervals, narrow the filter, or raise the limit: {}",
                of_cluster("search.max_buckets", "<more>")
            ),
            Self::TooManyContexts => format!(
                "try again later; if that does not help, find out who leaves searches open (GET \
                 /_nodes/stats/indices/search), or raise the limit: {}",
                of_cluster("search.max_open_scroll_context", "<more>")
            ),
            Self::KeptOpenTooLong => format!(
                "keep it open for a shorter time, or raise the limit: {}",
                of_cluster("search.max_keep_alive", "\"1h\"")
            ),
            Self::Expensive => format!(
                "search by values and ranges, or allow it: {}",
                of_cluster("search.allow_expensive_queries", "null")
            ),
            Self::NotMapped(_) => "run `saved-objects migrate`: the index is behind this software's types".to_owned(),
            Self::Value => "give values that fit the fields' types in the mapping".to_owned(),
        }
    }
}

/// The part of the server's reason that all kinds of expensive searches have.
const EXPENSIVE: &str = "'search.allow_expensive_queries' is set to false.";
