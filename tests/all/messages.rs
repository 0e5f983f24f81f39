//! The messages that operators read: each error is provoked, its hint is followed literally, and then the same call
//! succeeds.

use std::time::Duration;

use libtest_mimic::Trial;
use saved_objects::cluster::elastic::RetryPolicy;
use saved_objects::cluster::{Cluster, Elastic};
use saved_objects::registry::TypeDefinition;
use saved_objects::repository::{Aggregation, Create, Filter, Find, Found, Kql, Repository, RootField};
use saved_objects::{Error, ErrorKind, Result, SavedObjects, Start};
use serde_json::{Value, json};

use crate::context::{Context, MEMORY};
use crate::faults::{own_server, single_node};
use crate::hints::request_in;
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    let mut trials = named_trials!(
        url,
        a_value_that_does_not_fit_names_its_field_and_is_not_told,
        a_closed_index_is_named_with_the_way_to_open_it,
        a_blocked_index_is_named_with_the_way_to_lift_the_block,
        more_values_than_a_query_takes_are_found,
        what_the_index_does_not_map_is_told_with_the_migration,
    );
    if url != MEMORY {
        trials.extend(named_trials!(
            url,
            limits_of_an_index_are_told_with_their_settings,
            patterns_and_conditions_without_end_are_told,
            a_refused_connection_names_the_host,
        ));
        trials.extend(named_trials!(own_server(url), limits_of_the_cluster_are_told_with_their_settings));
    }
    trials
}

fn note() -> Vec<TypeDefinition> {
    let mapping = json!({ "dynamic": false, "properties": {
        "title": { "type": "keyword" }, "count": { "type": "long" }, "done": { "type": "boolean" },
        "at": { "type": "date" }, "labels": { "type": "flattened" },
        "steps": { "type": "nested", "properties": { "count": { "type": "integer" } } },
    }});
    definition(mapping)
}

fn definition(mapping: Value) -> Vec<TypeDefinition> {
    let file = json!({ "type": "note", "group": "notes", "namespace_kind": "agnostic", "mapping": mapping });
    let names = ["title", "count", "done", "at", "labels", "steps"];
    let properties: serde_json::Map<String, Value> =
        names.into_iter().map(|name| (name.to_owned(), json!({}))).collect();
    let version = json!({ "create": { "type": "object", "properties": properties } });
    let version = ("1.json".to_owned(), version.to_string());
    vec![TypeDefinition::from_json("note.json", &file.to_string(), &[version]).expect("the definition is fine")]
}

async fn store(context: &Context) -> SavedObjects {
    let store = context.store(note()).await;
    for number in 0..20 {
        let attributes = json!({ "title": format!("t{number}"), "count": number, "at": "2026-01-01", "done": true });
        let request = Create::new("note", attributes.as_object().cloned().expect("an object")).id(number.to_string());
        store.repository().create(request).await.expect("created");
    }
    context.cluster().refresh(context.prefix.group("notes").alias()).await.expect("refreshed");
    store
}

async fn find(repository: &Repository, request: Find) -> Result<Found> {
    repository.find(&["note"], request).await
}

/// Returns the error's text without the parts that differ between runs.
fn normalized(context: &Context, error: &Error) -> String {
    let text = error.to_string().replace(&context.prefix.to_string(), "so");
    let (before, after) = text.split_once(" elapsed=").map_or((text.as_str(), ""), |(before, rest)| {
        (before, rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == 's'))
    });
    format!("{before}{after}").replace(" attempts=1", "")
}

/// Follows the hint: sends its first request that changes something. Replaces what is in angle brackets.
async fn follow(context: &Context, error: &Error, more: &str) {
    let hint = error.hint().expect("a hint").replace("<more>", more);
    let (method, path, body) = request_in(&hint).expect("a request");
    let path = path.trim_start_matches('/');
    match &context.memory {
        None => {
            let answer = context.raw(&method, &format!("/{path}"), body).await;
            assert_eq!(answer["acknowledged"], true, "{hint}: {answer}");
        }
        Some(_) => ask_memory(context, &method, path, body).await,
    }
}

/// Sends an operator's request to the cluster.
async fn operate(context: &Context, method: &str, path: &str, body: Option<Value>) {
    match &context.memory {
        None => {
            let answer = context.raw(method, path, body).await;
            assert_eq!(answer["acknowledged"], true, "{method} {path}: {answer}");
        }
        Some(_) => ask_memory(context, method, path.trim_start_matches('/'), body).await,
    }
}

async fn ask_memory(context: &Context, method: &str, path: &str, body: Option<Value>) {
    let memory = context.memory.as_ref().expect("it is in memory");
    let methods = ["GET", "POST", "PUT", "DELETE"];
    let answer = memory.answer(&saved_objects::cluster::elastic::HttpRequest {
        method: methods.into_iter().find(|known| *known == method).expect("a method"),
        path: path.to_owned(),
        query: Vec::new(),
        content_type: "application/json",
        body: body.map(|body| body.to_string().into()),
        timeout: Duration::from_secs(30),
    });
    assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
}

async fn a_value_that_does_not_fit_names_its_field_and_is_not_told(context: Context) {
    let store = store(&context).await;
    let repository = store.repository();
    let refused = |cause: &str, reason: &str| {
        // The library reads date ranges before it builds the query.
        let server_type =
            if reason.starts_with("failed to create query") { "query_shard_exception" } else { "parse_exception" };
        format!(
            "elasticsearch refuses the search: a value does not fit the field that it is compared with: POST so-notes/_search \
             status=400 type={server_type} cause_type={cause} index=so-notes-000001 reason={reason:?}"
        )
    };
    let nested = |value: &str| Filter::nested("steps", Filter::equals("steps.count", value));
    let number = ("number_format_exception", "failed to create query: For input string: …");
    let argument = "illegal_argument_exception";
    let date = ("date_time_parse_exception", "failed to create query: failed to parse date field …");
    let whole = "takes whole numbers from -9223372036854775808 to 9223372036854775807";
    let table = [
        (Filter::equals("count", "SECRET"), "note.count", number, whole),
        (Filter::range("count", "SECRET"..), "note.count", number, whole),
        (Filter::range("count", ..1e30), "note.count", (argument, "failed to create query: Value …"), whole),
        (
            Filter::equals("done", "SECRET"),
            "note.done",
            (argument, "failed to create query: Can't parse boolean value …"),
            "takes true and false",
        ),
        (
            Filter::range("at", .."SECRET"),
            "note.at",
            ("date_time_parse_exception", "failed to parse date field …"),
            "takes dates of ISO 8601 (2026-03-01T10:00:00.000Z), or milliseconds since 1970",
        ),
        (
            Filter::equals(RootField::CreatedAt, "SECRET"),
            "created_at",
            date,
            "takes dates of ISO 8601 (2026-03-01T10:00:00.000Z), or milliseconds since 1970",
        ),
        (nested("SECRET"), "note.steps.count", number, "takes whole numbers from -2147483648 to 2147483647"),
        (
            Filter::and([Filter::equals("count", 5), Filter::not(Filter::equals("count", "SECRET"))]),
            "note.count",
            number,
            whole,
        ),
    ];
    for (filter, field, (cause, reason), takes) in table {
        let error = find(repository, Find::new().filter(filter.clone())).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let expected = format!(
            "a value that {field} is compared with does not fit it: {}; {field} {takes}",
            refused(cause, reason)
        );
        assert_eq!(normalized(&context, &error), expected, "{filter:?}");
        assert!(!format!("{error:?}").contains("SECRET"), "{error:?}");
        let mut stream = repository.stream(&["note"], Find::new().filter(filter.clone())).expect("the request is fine");
        let streamed = futures::TryStreamExt::try_next(&mut stream).await.expect_err("refused");
        assert!(streamed.message().starts_with(&format!("a value that {field} is compared with")), "{streamed}");
        let mut reader = repository.open_point_in_time(&["note"], Duration::from_secs(60)).await.expect("it is opened");
        let page = reader.page(&Find::new().filter(filter), None).await.expect_err("refused");
        reader.close().await;
        assert!(page.message().starts_with(&format!("a value that {field} is compared with")), "{page}");
    }
    if context.memory.is_none() {
        for (filter, field) in
            [(Filter::equals("count", "SECRET"), "note.count"), (Filter::equals("done", "SECRET"), "note.done")]
        {
            let inner = Aggregation::by_value("title", 5).with("odd", Aggregation::fitting(filter));
            let error = find(repository, Find::new().aggregation("titles", inner)).await.expect_err("refused");
            assert!(error.message().starts_with(&format!("a value that {field} is compared with")), "{error}");
            assert!(!format!("{error:?}").contains("SECRET"), "{error:?}");
        }
    }
    let kql: Kql = "note.attributes.count: SECRET".parse().expect("KQL");
    let error = find(repository, Find::new().kql(kql)).await.expect_err("refused");
    assert_eq!(error.hint(), Some(format!("note.count {whole}").as_str()), "{error}");
    // The search succeeds as the hint says.
    assert_eq!(find(repository, Find::new().filter(Filter::equals("count", "5"))).await.expect("found").total, 1);
}

async fn a_closed_index_is_named_with_the_way_to_open_it(context: Context) {
    let store = store(&context).await;
    let index = context.index("notes");
    operate(&context, "POST", &format!("/{index}/_close"), None).await;
    let error = find(store.repository(), Find::new()).await.expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(
        normalized(&context, &error),
        "the index is closed: POST so-notes/_search status=400 type=index_closed_exception index=so-notes-000001 reason=\"closed\"; \
         find out who closed it; then open it: POST /so-notes-000001/_open"
    );
    let opened = store.repository().open_point_in_time(&["note"], Duration::from_secs(60)).await.expect_err("closed");
    assert_eq!(opened.hint(), error.hint(), "{opened}");
    let read =
        store.repository().get(&saved_objects::repository::ObjectKey::new("note", "1")).await.expect_err("closed");
    assert_eq!((read.kind(), read.hint()), (ErrorKind::Unavailable, error.hint()), "{read}");
    let title = |title: &str| json!({ "title": title }).as_object().cloned().expect("an object");
    let written = store.repository().create(Create::new("note", title("new")).id("new")).await.expect_err("closed");
    assert_eq!((written.kind(), written.hint()), (ErrorKind::Forbidden, error.hint()), "{written}");
    follow(&context, &error, "").await;
    let health = format!("/_cluster/health/{index}?wait_for_status=yellow");
    if context.memory.is_none() {
        context.raw("GET", &health, None).await;
    }
    assert_eq!(find(store.repository(), Find::new()).await.expect("it is open").total, 20);
}

async fn a_blocked_index_is_named_with_the_way_to_lift_the_block(context: Context) {
    let store = store(&context).await;
    let index = context.index("notes");
    operate(&context, "PUT", &format!("/{index}/_settings"), Some(json!({ "index.blocks.read": true }))).await;
    let error = find(store.repository(), Find::new()).await.expect_err("blocked");
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert_eq!(
        normalized(&context, &error),
        "the index is blocked: POST so-notes/_search status=403 type=cluster_block_exception reason=\"index [so-notes-000001] blocked \
         by: [FORBIDDEN/7/index read (api)];\"; find out who set the block; if it was left behind, lift it: PUT \
         /so-notes-000001/_settings {\"index.blocks.read\":null}"
    );
    follow(&context, &error, "").await;
    assert_eq!(find(store.repository(), Find::new()).await.expect("the block is lifted").total, 20);

    operate(&context, "PUT", &format!("/{index}/_settings"), Some(json!({ "index.blocks.read_only": true }))).await;
    let request = || Create::new("note", json!({ "title": "t" }).as_object().cloned().expect("an object")).id("new");
    let error = store.repository().create(request()).await.expect_err("blocked");
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert_eq!(
        normalized(&context, &error),
        "saved object note/new cannot be written: the index takes no writes: status=403 type=cluster_block_exception reason=\"index \
         [so-notes-000001] blocked by: [FORBIDDEN/5/index read-only (api)];\"; find out who set the block; if it was left behind, lift it: \
         PUT /so-notes-000001/_settings {\"index.blocks.read_only\":null}"
    );
    follow(&context, &error, "").await;
    store.repository().create(request()).await.expect("the block is lifted");
}

async fn more_values_than_a_query_takes_are_found(context: Context) {
    let store = store(&context).await;
    let many = (0..70_000).map(|number| format!("t{number}"));
    let request = Find::new().filter(Filter::any_of("title", many));
    assert_eq!(find(store.repository(), request).await.expect("found").total, 20);
    // In KQL each value is a condition.
    let values: Vec<String> = (0..3_000).map(|number| format!("t{number}")).collect();
    let kql: Kql = format!("note.attributes.title: ({})", values.join(" or ")).parse().expect("KQL");
    assert_eq!(find(store.repository(), Find::new().kql(kql)).await.expect("found").total, 20);
}

async fn what_the_index_does_not_map_is_told_with_the_migration(context: Context) {
    context.store(definition(json!({ "dynamic": false, "properties": { "title": { "type": "keyword" } } }))).await;
    // A node with a newer definition that has not migrated.
    let node = context.builder(note()).start(Start::Skip).await.expect("it starts");
    let request = Find::new().sort("count", saved_objects::cluster::Direction::Ascending);
    let error = find(node.repository(), request).await.expect_err("the field is not there");
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert_eq!(
        normalized(&context, &error),
        "elasticsearch refuses the search: the index does not map the field note.count as this software's types do: POST so-notes/_search \
         status=400 type=query_shard_exception index=so-notes-000001 reason=\"No mapping found for [note.count] in order to sort on\"; run \
         `saved-objects migrate`: the index is behind this software's types"
    );
    let request = Find::new().filter(Filter::nested("steps", Filter::equals("steps.count", 1)));
    let error = find(node.repository(), request).await.expect_err("the field is not there");
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert!(error.message().contains("does not map the field note.steps"), "{error}");
}

async fn limits_of_an_index_are_told_with_their_settings(context: Context) {
    let store = store(&context).await;
    let repository = store.repository();
    let index = context.index("notes");
    let set = async |setting: &str, value: Value| {
        let path = format!("/{index}/_settings");
        operate(&context, "PUT", &path, Some(json!({ setting: value }))).await;
    };

    set("index.max_terms_count", json!(10)).await;
    let request = || Find::new().filter(Filter::any_of("title", (0..20).map(|number| format!("t{number}"))));
    let error = find(repository, request()).await.expect_err("too many");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(
        normalized(&context, &error),
        "elasticsearch refuses the search: a filter lists more values for one field than the index takes: POST so-notes/_search \
         status=400 type=query_shard_exception cause_type=illegal_argument_exception index=so-notes-000001 reason=\"failed to create query: \
         The number of terms [20] used in the Terms Query request has exceeded the allowed maximum of [10]. This maximum can be set by \
         changing the [index.max_terms_count] index level setting.\"; list fewer values and search several times, or raise the limit: PUT \
         /so-notes-000001/_settings {\"index.max_terms_count\":<more>}"
    );
    follow(&context, &error, "100").await;
    assert_eq!(find(repository, request()).await.expect("found").total, 20);

    set("index.max_result_window", json!(10)).await;
    let request = || Find::new().per_page(15);
    let error = find(repository, request()).await.expect_err("too far");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(
        normalized(&context, &error),
        "elasticsearch refuses the search: the page reaches farther than the index allows: POST so-notes/_search status=400 \
         type=illegal_argument_exception index=so-notes-000001 reason=\"Result window is too large, from + size must be less than or equal \
         to: [10] but was [15]. See the scroll api for a more efficient way to request large data sets. This limit can be set by changing \
         the [index.max_result_window] index level setting.\"; ask for smaller pages, read everything with `stream`, or raise the limit: \
         PUT /so-notes-000001/_settings {\"index.max_result_window\":<more>}"
    );
    assert_eq!(find(repository, Find::new().per_page(10)).await.expect("a smaller page").objects.len(), 10);
    follow(&context, &error, "10000").await;
    assert_eq!(find(repository, request()).await.expect("found").objects.len(), 15);
}

async fn limits_of_the_cluster_are_told_with_their_settings(context: Context) {
    let (_turn, _, context) = single_node(&context).await;
    let store = store(&context).await;
    let repository = store.repository();
    let set = async |settings: Value| {
        operate(&context, "PUT", "/_cluster/settings", Some(json!({ "persistent": settings }))).await;
    };

    set(json!({ "search.max_buckets": 10 })).await;
    let request = || Find::new().per_page(0).aggregation("titles", Aggregation::by_value("title", 100));
    let error = find(repository, request()).await.expect_err("too many");
    set(json!({ "search.max_buckets": null })).await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let text = normalized(&context, &error);
    assert!(
        text.starts_with(
            "elasticsearch refuses the search: an aggregation makes more buckets than the cluster allows: POST so-notes/_search status=400 \
             type=too_many_buckets_exception"
        ) && text.ends_with(
            "; ask for fewer values or wider intervals, narrow the filter, or raise the limit: PUT /_cluster/settings \
             {\"persistent\":{\"search.max_buckets\":<more>}}"
        ),
        "{text}"
    );
    follow(&context, &error, "1000").await;
    assert_eq!(find(repository, request()).await.expect("found").total, 20);

    set(json!({ "search.max_buckets": null, "search.default_keep_alive": "10s", "search.max_keep_alive": "10s" }))
        .await;
    let long = Duration::from_secs(60);
    let error = repository.open_point_in_time(&["note"], long).await.expect_err("too long");
    let text = normalized(&context, &error);
    assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
    assert!(
        text.starts_with("elasticsearch refuses the search: the cluster keeps no point in time open for so long: POST so-notes/_pit status=400 ")
            && text.ends_with(
                "; keep it open for a shorter time, or raise the limit: PUT /_cluster/settings {\"persistent\":{\"search.max_keep_alive\":\
                 \"1h\"}}"
            ),
        "{text}"
    );
    follow(&context, &error, "").await;
    repository.open_point_in_time(&["note"], long).await.expect("opened").close().await;
    set(json!({ "search.default_keep_alive": null, "search.max_keep_alive": null })).await;

    set(json!({ "indices.breaker.request.limit": "1kb" })).await;
    let request = || Find::new().per_page(0).aggregation("titles", Aggregation::by_value("title", 1000));
    let error = find(repository, request()).await.expect_err("no memory");
    set(json!({ "indices.breaker.request.limit": null })).await;
    let text = normalized(&context, &error);
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{text}");
    assert!(
        text.starts_with(
            "elasticsearch has no memory for a request or its answer now: POST so-notes/_search status=429 \
             type=circuit_breaking_exception"
        ) && text.ends_with(
            "; try again later; if that does not help, ask for less at once (smaller pages, fewer values), or give the server more memory"
        ),
        "{text}"
    );
    find(repository, request()).await.expect("it has more memory now");

    set(json!({ "search.allow_expensive_queries": false })).await;
    let kql: Kql = "note.attributes.title: t1*".parse().expect("KQL");
    let requests = [Find::new().kql(kql), Find::new().filter(Filter::refers_to("note", "1"))];
    let mut errors = Vec::new();
    for request in requests.clone() {
        errors.push(find(repository, request).await);
    }
    let mut error = None;
    for refused in errors {
        let refused = refused.expect_err("not allowed");
        let text = normalized(&context, &refused);
        assert_eq!(refused.kind(), ErrorKind::Forbidden, "{text}");
        assert!(
            text.starts_with(
                "elasticsearch refuses the search: the cluster allows no expensive searches, such as those by pattern, in nested objects \
                 and for references: POST so-notes/_search status="
            ) && text.ends_with(
                "; search by values and ranges, or allow it: PUT /_cluster/settings {\"persistent\":\
                 {\"search.allow_expensive_queries\":null}}"
            ),
            "{text}"
        );
        error = Some(refused);
    }
    follow(&context, &error.expect("there is one"), "").await;
    for request in requests {
        find(repository, request).await.expect("allowed");
    }
}

async fn patterns_and_conditions_without_end_are_told(context: Context) {
    let store = store(&context).await;
    let repository = store.repository();
    let parts = |count: usize| (0..count).map(|part| format!("{}x", part % 10)).collect::<Vec<_>>();
    let pattern = |count| Find::new().filter(Filter::Pattern("title".into(), parts(count)));
    let error = find(repository, pattern(3_000)).await.expect_err("too complex");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let text = normalized(&context, &error);
    assert!(text.starts_with("elasticsearch refuses the search: a pattern has too many wildcards"), "{text}");
    assert!(text.ends_with("; give a pattern with fewer `*`"), "{text}");
    find(repository, pattern(3)).await.expect("fewer");

    let deep = |levels: usize| {
        let innermost = Filter::equals("count", 1);
        Find::new().filter((0..levels).fold(innermost, |inner, _| Filter::not(Filter::and([inner]))))
    };
    // Conditions on one field each, which the library does not merge.
    let many = |count: i64| Find::new().filter(Filter::or((0..count).map(|number| Filter::range("count", number..))));
    let error = find(repository, many(40_000)).await.expect_err("too many");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let text = normalized(&context, &error);
    assert!(
        text.starts_with(
            "elasticsearch refuses the search: it has more conditions, or deeper ones, than the server takes"
        ) && text.contains("cause_type=too_many_"),
        "{text}"
    );
    find(repository, many(900)).await.expect("fewer");

    let error = find(repository, deep(40)).await.expect_err("too deep");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let text = normalized(&context, &error);
    assert!(
        text.starts_with(
            "elasticsearch refuses the search: it has more conditions, or deeper ones, than the server takes"
        ),
        "{text}"
    );
    find(repository, deep(5)).await.expect("less deep");
}

async fn a_refused_connection_names_the_host(context: Context) {
    let once = RetryPolicy { max_attempts: 1, ..RetryPolicy::default() };
    let nowhere = Elastic::builder("http://user:PASSWORD@127.0.0.1:1").retry(once).build();
    let error = Error::from(nowhere.expect("the URL is fine").version().await.expect_err("nothing listens"));
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = error.to_string();
    assert!(text.starts_with("elasticsearch is unavailable: GET / at http://127.0.0.1:1 cause="), "{text}");
    assert!(
        text.ends_with(
            "; check that Elasticsearch runs there and is not overloaded, and that the URL is right (--elasticsearch-url, \
             SAVED_OBJECTS_ELASTICSEARCH_URL, or the URL that the store is built with); then try again"
        ),
        "{text}"
    );
    assert!(!format!("{error:?}").contains("PASSWORD"), "{error:?}");
    let right = Elastic::builder(&context.url).build().expect("the URL is fine");
    right.version().await.expect("another URL helps");
}
