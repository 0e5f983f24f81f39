//! Credentials and certificates: what is sent, what is refused and how it is reported, and that no secret is printed.

use std::path::Path;

use saved_objects::cluster::elastic::{Credentials, ElasticSettings, RetryPolicy};
use saved_objects::cluster::{Cluster, ClusterErrorKind, Elastic};
use saved_objects::registry::Registry;
use saved_objects::{Error, ErrorKind, SavedObjects, Start};
use secrecy::SecretString;
use serde_json::json;

use super::proxies::revoke_at;
use super::stub::{Authority, NODE, Stub, tls, write_secret};
use super::{run_at, secured};
use crate::context::Context;

/// A secret that no output may contain.
const SECRET: &str = "hunter2-do-not-show-this";
const LATER: i32 = 2049;

fn secret() -> SecretString {
    SecretString::from(SECRET)
}

fn build(settings: ElasticSettings) -> Elastic {
    Elastic::builder(settings).build().expect("fine settings")
}

pub(super) async fn every_form_of_credentials_is_sent(_: Context) {
    let authority = Authority::new();
    let server = tls(&authority.issue("server", &["localhost", "127.0.0.1"], LATER), None);
    let (one, other) = (Stub::start(Some(server.clone())).await, Stub::start(Some(server)).await);
    let file = tempfile::NamedTempFile::new().expect("a file");
    write_secret(file.path(), &format!("{SECRET}\n"));
    let table = [
        (Credentials::api_key(secret()), format!("ApiKey {SECRET}")),
        (Credentials::api_key(file.path().to_owned()), format!("ApiKey {SECRET}")),
        (Credentials::bearer(secret()), format!("Bearer {SECRET}")),
        (
            Credentials::basic("kim", file.path().to_owned()),
            "Basic a2ltOmh1bnRlcjItZG8tbm90LXNob3ctdGhpcw==".to_owned(),
        ),
    ];
    for (credentials, expected) in table {
        // Several nodes, a path, a folder of certificates, and an additional header.
        let urls =
            format!("https://localhost:{}/es,https://127.0.0.1:{}/es/", one.address.port(), other.address.port());
        let ca = authority.ca();
        let settings = ElasticSettings::new(urls)
            .ca_certificates(ca.parent().expect("a folder"))
            .header("X-Found-Cluster", "abc")
            .credentials(credentials);
        let cluster = build(settings);
        let before = [one.asked().len(), other.asked().len()];
        for _ in 0..2 {
            assert_eq!(cluster.version().await.expect("answered"), "9.9.9");
        }
        assert_eq!([one.asked().len() - before[0], other.asked().len() - before[1]], [1, 1], "by turns");
        for asked in [one.asked(), other.asked()].iter().filter_map(|asked| asked.last()) {
            assert_eq!(asked.header("authorization"), Some(expected.as_str()));
            assert_eq!(asked.header("x-found-cluster"), Some("abc"));
            assert!(asked.head.starts_with("GET /es/"), "{}", asked.head);
        }
    }
    // A user in the URL becomes a header, and is removed from the URL.
    let url = format!("https://kim:hunter2-do-not-show-this@localhost:{}", one.address.port());
    let cluster = build(ElasticSettings::new(url).ca_certificates(authority.ca()));
    cluster.version().await.expect("answered");
    let asked = one.asked().pop().expect("asked");
    assert_eq!(asked.header("authorization"), Some("Basic a2ltOmh1bnRlcjItZG8tbm90LXNob3ctdGhpcw=="));
}

pub(super) async fn a_client_certificate_goes_with_other_credentials(context: Context) {
    let authority = Authority::new();
    let server = authority.issue("server", &["localhost"], LATER);
    let client = authority.issue("client", &[], LATER);
    let stub = Stub::start(Some(tls(&server, Some(&authority)))).await;
    let url = format!("https://localhost:{}", stub.address.port());
    let at = || ElasticSettings::new(&url).ca_certificates(authority.ca());
    let with = at().client_certificate(&client.certificate, &client.key).credentials(Credentials::api_key(secret()));
    build(with).version().await.expect("answered");
    let asked = stub.asked().pop().expect("asked");
    assert!(asked.has_certificate, "the certificate was shown");
    assert_eq!(asked.header("authorization"), Some(format!("ApiKey {SECRET}").as_str()));
    // The same by variables.
    let variables = [
        ("SAVED_OBJECTS_ELASTICSEARCH_CA_CERT", authority.ca().to_str().expect("UTF-8").to_owned()),
        ("SAVED_OBJECTS_ELASTICSEARCH_CLIENT_CERT", client.certificate.to_str().expect("UTF-8").to_owned()),
        ("SAVED_OBJECTS_ELASTICSEARCH_CLIENT_KEY", client.key.to_str().expect("UTF-8").to_owned()),
        ("SAVED_OBJECTS_ELASTICSEARCH_BEARER_TOKEN", SECRET.to_owned()),
        ("SAVED_OBJECTS_ELASTICSEARCH_HEADERS", "X-A: 1\nX-B: 2".to_owned()),
    ];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let ran = run_at(&url, &context, &["status"], &variables).await;
    assert!(!format!("{ran:?}").contains(SECRET), "{ran:?}");
    let asked = stub.asked().pop().expect("asked");
    assert!(asked.has_certificate);
    assert_eq!(asked.header("authorization"), Some(format!("Bearer {SECRET}").as_str()));
    assert_eq!((asked.header("x-a"), asked.header("x-b")), (Some("1"), Some("2")));
    // Without the certificate the server refuses. With TLS 1.3 it does so after the client has sent its request, so
    // that the alert can be lost with the connection: then another attempt reports the reason.
    let error = Error::from(build(at()).version().await.expect_err("no certificate"));
    assert_settings_error(
        &error,
        "the server refuses the client's certificate",
        "SAVED_OBJECTS_ELASTICSEARCH_CLIENT_CERT",
    );
    // A key that does not match the certificate is refused before anything is sent.
    let error = Elastic::builder(at().client_certificate(&client.certificate, &server.key)).build();
    assert_eq!(error.expect_err("not a pair").kind(), ErrorKind::Invalid);
}

/// Asserts that the error is about the settings, came from one attempt, and says what to do.
fn assert_settings_error_at_once(error: &Error, what: &str, hint: &str) {
    assert_settings_error(error, what, hint);
    assert!(error.to_string().contains("attempts=1 "), "{error}");
}

/// Asserts that the error is about the settings and says what to do.
fn assert_settings_error(error: &Error, what: &str, hint: &str) {
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
    assert!(text.contains(what), "{text}");
    assert!(error.hint().is_some_and(|given| given.contains(hint)), "{text}");
    println!("{text}");
}

pub(super) async fn what_is_wrong_is_told_in_one_attempt(context: Context) {
    let server = secured().await;
    let port = server.url().rsplit_once(':').expect("a port").1;
    let ca = || server.ca.clone();
    // On the server: no CA, another CA, HTTP to HTTPS and the reverse.
    let by_key = |url: &str| ElasticSettings::new(url).credentials(Credentials::api_key(secret()));
    let error = build(by_key(server.url())).version().await.expect_err("no CA");
    assert_settings_error_at_once(
        &error.into(),
        "an issuer that is not trusted",
        "SAVED_OBJECTS_ELASTICSEARCH_CA_CERT",
    );
    let other = Authority::new();
    let error = build(by_key(server.url()).ca_certificates(other.ca())).version().await.expect_err("another CA");
    assert_settings_error_at_once(
        &error.into(),
        "an issuer that is not trusted",
        "SAVED_OBJECTS_ELASTICSEARCH_CA_CERT",
    );
    let error = build(by_key(&format!("http://127.0.0.1:{port}"))).version().await.expect_err("http to https");
    assert_settings_error_at_once(&error.into(), "the URL says http, and the server speaks TLS", "https://");
    let plain = context.url.replace("http://", "https://");
    let error = build(by_key(&plain).ca_certificates(ca())).version().await.expect_err("https to http");
    assert_settings_error_at_once(&error.into(), "the URL says https, and the server does not speak TLS", "http://");
    // On a stub: an expired certificate, and a certificate for another name.
    let authority = Authority::new();
    let table = [
        (authority.issue("expired", &["localhost"], 2001), "has expired", "renew"),
        (authority.issue("other", &["other.example"], LATER), "for another name", "a name or address in the URL"),
    ];
    for (files, what, hint) in table {
        let stub = Stub::start(Some(tls(&files, None))).await;
        let settings = by_key(&format!("https://localhost:{}", stub.address.port())).ca_certificates(authority.ca());
        let error = build(settings).version().await.expect_err(what);
        assert!(matches!(error.kind, ClusterErrorKind::Misconfigured(_)), "{error}");
        assert_settings_error_at_once(&error.into(), what, hint);
    }
    // A provider of tokens may be repaired later; the error says why it cannot be reached now.
    let stub = Stub::start(Some(tls(&authority.issue("provider", &["localhost"], LATER), None))).await;
    let url = format!("https://localhost:{}", stub.address.port());
    let refused = revoke_at(&url).await.expect_err("nobody trusts its CA").to_string();
    assert!(refused.contains("cannot be reached: the server's certificate is by an issuer"), "{refused}");
    // Refused credentials are reported as such, with what to check.
    let wrong = server.settings(Credentials::basic("elastic", secret()));
    let error = Error::from(build(wrong).version().await.expect_err("a wrong password"));
    assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
    assert!(error.to_string().contains("status=401") && error.to_string().contains("attempts=1 "), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("check the API key")), "{error}");
    println!("{error}");
    let without = ElasticSettings::new(server.url()).ca_certificates(ca());
    let error = Error::from(build(without).version().await.expect_err("no credentials"));
    assert!(error.hint().is_some_and(|hint| hint.contains("SAVED_OBJECTS_ELASTICSEARCH_API_KEY_FILE")), "{error}");
    println!("{error}");
    // The command line reports the same, in less time than two attempts would take.
    let ran = run_at(server.url(), &context, &["status"], &[("SAVED_OBJECTS_ELASTICSEARCH_API_KEY", SECRET)]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("SAVED_OBJECTS_ELASTICSEARCH_CA_CERT") && !ran.err.contains(SECRET), "{ran:?}");
    println!("{}", ran.err);
}

pub(super) async fn changed_credentials_are_read_again(_: Context) {
    let (file, now) =
        (tempfile::NamedTempFile::new().expect("a file"), std::sync::Arc::new(std::sync::Mutex::new("old".to_owned())));
    let valid = now.clone();
    let stub = Stub::answering(None, move |asked| {
        let expected = format!("ApiKey {}", valid.lock().expect("not poisoned"));
        match asked.header("authorization") == Some(expected.as_str()) {
            true => (200, NODE.to_owned()),
            false => (
                401,
                json!({"error": {"type": "security_exception", "reason": "unable to authenticate"}, "status": 401})
                    .to_string(),
            ),
        }
    })
    .await;
    let change = |path: &Path, key: &str| write_secret(path, key);
    change(file.path(), "old");
    let settings = ElasticSettings::new(format!("http://{}", stub.address))
        .credentials(Credentials::api_key(file.path().to_owned()));
    let cluster = build(settings);
    cluster.version().await.expect("with the old key");
    // The key is replaced while the old one is valid: the next request has the new one, without a refusal.
    change(file.path(), "newer");
    *now.lock().expect("not poisoned") = "newer".to_owned();
    let before = stub.asked().len();
    cluster.version().await.expect("with the new key");
    assert_eq!(stub.asked().len() - before, 1);
    // The file changes without a change in the file system's metadata: the refusal makes the client read it again.
    let modified = std::fs::metadata(file.path()).expect("a file").modified().expect("a time");
    change(file.path(), "third");
    std::fs::File::options().write(true).open(file.path()).expect("opened").set_modified(modified).expect("set");
    *now.lock().expect("not poisoned") = "third".to_owned();
    let before = stub.asked().len();
    cluster.version().await.expect("with the third key");
    assert_eq!(stub.asked().len() - before, 2, "one refusal, and one attempt with the key of now");
    // With a file that cannot be used the client keeps what it read before.
    std::fs::write(file.path(), "").expect("written");
    cluster.version().await.expect("still with the third key");
    // A key that is really wrong is refused immediately.
    *now.lock().expect("not poisoned") = "fourth".to_owned();
    let before = stub.asked().len();
    assert_eq!(cluster.version().await.expect_err("refused").kind, ClusterErrorKind::Forbidden);
    assert_eq!(stub.asked().len() - before, 1);
}

pub(super) async fn no_secret_is_shown(context: Context) {
    let authority = Authority::new();
    let server = authority.issue("server", &["localhost"], LATER);
    let refusal = json!({"error": {"type": "security_exception", "reason": "no"}, "status": 403}).to_string();
    let answer = move |asked: &super::stub::Asked| match asked.head.contains("_nodes/_local") {
        true => (200, NODE.to_owned()),
        false => (403, refusal.clone()),
    };
    let stub = Stub::answering(Some(tls(&server, None)), answer).await;
    let client = authority.issue("client", &[], LATER);
    let key = std::fs::read_to_string(&client.key).expect("a key");
    let of_key = key.lines().nth(1).expect("a line of it").to_owned();
    let port = stub.address.port();
    let table = [
        ElasticSettings::new(format!("https://kim:{SECRET}@localhost:{port}")),
        ElasticSettings::new(format!("https://localhost:{port}")).credentials(Credentials::api_key(secret())),
        ElasticSettings::new(format!("https://localhost:{port}")).credentials(Credentials::basic("kim", secret())),
        ElasticSettings::new(format!("https://localhost:{port}")).credentials(Credentials::bearer(secret())),
        ElasticSettings::new(format!("https://localhost:{port}")).header("X-Key", SECRET),
    ];
    for settings in table {
        let settings = settings.ca_certificates(authority.ca()).client_certificate(&client.certificate, &client.key);
        let builder =
            Elastic::builder(settings.clone()).retry(RetryPolicy { max_attempts: 1, ..RetryPolicy::default() });
        let mut shown = format!("{settings:?} {builder:?}");
        let elastic = builder.build().expect("fine settings");
        let error = elastic.indices(&["any"]).await.map(drop);
        shown += &format!("{elastic:?} {error:?}");
        let registry = Registry::builder().build().expect("no types");
        let builder = SavedObjects::builder(registry).elasticsearch(settings).prefix(context.prefix.clone());
        shown += &format!("{builder:?}");
        let store = builder.start(Start::Skip).await.expect("nothing is sent");
        shown += &format!("{store:?} {:?}", store.repository());
        let encoded = "a2ltOmh1bnRlcjI";
        assert!(!shown.contains(SECRET) && !shown.contains(&of_key) && !shown.contains(encoded), "{shown}");
    }
    // In the command line: a password in the URL, in outputs and in logs at the finest level.
    let url = format!("https://kim:{SECRET}@localhost:{port}");
    let ca = authority.ca();
    let variables = [("SAVED_OBJECTS_ELASTICSEARCH_CA_CERT", ca.to_str().expect("UTF-8")), ("RUST_LOG", "trace")];
    for arguments in [&["demo"][..], &["status"], &["verify", "--json"], &["migrate"]] {
        let ran = run_at(&url, &context, arguments, &variables).await;
        let all = format!("{}{}", ran.out, ran.err);
        assert!(!all.contains(SECRET) && !all.contains("a2ltOmh1bnRlcjI"), "{arguments:?}: {all}");
    }
    let malformed = format!("https://kim:{SECRET},@localhost:{port}");
    let ran = run_at(&malformed, &context, &["status"], &[]).await;
    assert!(ran.code == 1 && !format!("{ran:?}").contains(SECRET), "{ran:?}");
}
