//! Files that operators import, good and bad: each file is imported completely, or nothing of it is written and every
//! wrong line is reported.

use std::path::Path;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::cli::{Ran, run_with};
use crate::context::{Context, KEY, nested};
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(url, files_are_imported_whole_or_not_at_all)
}

/// The expected result of an import: its exit code, the objects written, and for each problem the line, the kind and a
/// part of the message.
struct Expected {
    code: i32,
    written: u64,
    problems: &'static [(u64, &'static str, &'static str)],
}

const fn done(written: u64) -> Expected {
    Expected { code: 0, written, problems: &[] }
}

const fn refused(problems: &'static [(u64, &'static str, &'static str)]) -> Expected {
    Expected { code: 2, written: 0, problems }
}

/// A file, the options of its import, and the expected result. `#` is replaced by a number that differs for each file.
struct Case {
    name: &'static str,
    file: Vec<u8>,
    options: &'static [&'static str],
    expected: Expected,
}

fn case(name: &'static str, file: impl Into<Vec<u8>>, expected: Expected) -> Case {
    Case { name, file: file.into(), options: &[], expected }
}

const GOOD: &str = r##"{"type":"thing","id":"good-#","attributes":{"title":"good"}}"##;

/// Returns a good line, and one with these attributes.
fn with_attributes(attributes: &str) -> String {
    format!("{GOOD}\n{{\"type\":\"thing\",\"id\":\"b-#\",\"attributes\":{attributes}}}\n")
}

/// Returns a good line, and one with these keys next to its attributes.
fn with_keys(keys: &str) -> String {
    format!("{GOOD}\n{{\"type\":\"thing\",\"id\":\"b-#\",\"attributes\":{{\"title\":\"x\"}},{keys}}}\n")
}

/// Returns a good line, and this one.
fn with_line(line: &str) -> String {
    format!("{GOOD}\n{line}\n")
}

/// Returns the cases of the form of a file.
fn forms() -> Vec<Case> {
    let two = format!("{GOOD}\n{}\n", GOOD.replace("good", "fine"));
    vec![
        case("one object", GOOD, done(1)),
        case("an empty file", "", done(0)),
        case("blank lines", "\n  \n\r\n", done(0)),
        case("a byte order mark", format!("\u{feff}{two}"), done(2)),
        case("line ends of Windows", two.replace('\n', "\r\n"), done(2)),
        case("its last line", format!("{two}{{\"exportedCount\":2,\"excludedObjectsCount\":0}}\n"), done(2)),
        case("nothing exported", "{\"exportedCount\":0}\n", done(0)),
        case(
            "two exports, one after the other",
            format!("{GOOD}\n{{\"exportedCount\":1}}\n{}\n{{\"exportedCount\":1}}\n", GOOD.replace("good", "fine")),
            done(2),
        ),
        case(
            "less than its last line says",
            format!("{two}{{\"exportedCount\":3}}\n"),
            refused(&[(3, "invalid", "3 objects were exported, and 2 are before it")]),
        ),
        case(
            "more than its last line says",
            format!("{two}{{\"exportedCount\":1}}\n"),
            refused(&[(3, "invalid", "1 objects were exported, and 2 are before it")]),
        ),
        case("a line that is no JSON", with_line("not json"), refused(&[(2, "invalid", "not JSON, at column 2")])),
        case(
            "several lines that are no JSON",
            format!("nonsense\n{GOOD}\n\n{{\"type\":\n{GOOD}"),
            refused(&[(1, "invalid", "not JSON"), (4, "invalid", "not JSON"), (5, "invalid", "twice")]),
        ),
        case("a list of objects", format!("[{GOOD}]"), refused(&[(1, "invalid", "the line is a list")])),
        case(
            "values that are no objects",
            "5\n\"text\"\nnull\n",
            refused(&[
                (1, "invalid", "no JSON object"),
                (2, "invalid", "no JSON object"),
                (3, "invalid", "no JSON object"),
            ]),
        ),
        case(
            "a file that was cut within a line",
            format!("{GOOD}\n{{\"type\":\"thing\",\"id\":\"b-#\",\"attr"),
            refused(&[(2, "invalid", "may have been cut")]),
        ),
        case(
            "an object on several lines",
            "{\n\"type\": \"thing\"\n}\n",
            refused(&[(1, "invalid", "not JSON"), (2, "invalid", "no JSON object"), (3, "invalid", "not JSON")]),
        ),
        case("UTF-16", b"\xff\xfe{\0}\0\n\0".to_vec(), refused(&[(1, "invalid", "the file is UTF-16")])),
        case(
            "Latin 1",
            [GOOD.as_bytes(), b"\n{\"type\":\"thing\",\"id\":\"\xe4\",\"attributes\":{}}\n"].concat(),
            refused(&[(2, "invalid", "not UTF-8")]),
        ),
        Case {
            name: "a line that is too long, among others",
            file: format!("{}\n{GOOD}\nnonsense\n", GOOD.replace("\"good\"", &format!("{:?}", "x".repeat(300)))).into(),
            options: &["--max-line-bytes", "200"],
            expected: refused(&[(1, "invalid", "longer than 200 bytes"), (3, "invalid", "not JSON")]),
        },
    ]
}

/// Returns the cases of the keys next to a line's attributes.
fn keys() -> Vec<Case> {
    let unknown = |key: &str| with_keys(&format!("{key:?}:1"));
    vec![
        case("no type", with_line(r#"{"id":"b","attributes":{}}"#), refused(&[(2, "invalid", "`type` is missing")])),
        case("no id", with_line(r#"{"type":"thing","attributes":{}}"#), refused(&[(2, "invalid", "`id` is missing")])),
        case(
            "no attributes",
            with_line(r#"{"type":"thing","id":"b"}"#),
            refused(&[(2, "invalid", "`attributes` is missing")]),
        ),
        case(
            "attributes that are no object",
            with_line(r#"{"type":"thing","id":"b","attributes":"text"}"#),
            refused(&[(2, "invalid", "`attributes` is not an object")]),
        ),
        case("a misspelt key", unknown("refrences"), refused(&[(2, "invalid", "call it `references`")])),
        case("a key in another style", unknown("createdAt"), refused(&[(2, "invalid", "call it `created_at`")])),
        case("an unknown key", unknown("whatever"), refused(&[(2, "invalid", "no key \"whatever\"")])),
        case("keys of other software", with_keys(r#""version":"WzEsMV0=","migrationVersion":{},"score":1"#), done(2)),
        case(
            "a key twice",
            with_keys(r#""managed":true,"managed":false"#),
            refused(&[(2, "invalid", "`managed` is there twice")]),
        ),
        case(
            "managed as text",
            with_keys(r#""managed":"yes""#),
            refused(&[(2, "invalid", "`managed` is not true or false")]),
        ),
        case(
            "an origin that is no text",
            with_keys(r#""originId":5"#),
            refused(&[(2, "invalid", "`originId` is not a text")]),
        ),
        case(
            "no list of references",
            with_keys(r#""references":{}"#),
            refused(&[(2, "invalid", "`references` is not")]),
        ),
        case(
            "a reference without id",
            with_keys(r#""references":[{"name":"r","type":"thing"}]"#),
            refused(&[(2, "invalid", "`references` is not")]),
        ),
        case(
            "a reference with an empty id",
            with_keys(r#""references":[{"name":"r","type":"thing","id":""}]"#),
            refused(&[(2, "invalid", "references[0]")]),
        ),
        case(
            "a reference with an empty type",
            with_keys(r#""references":[{"name":"r","type":"","id":"x"}]"#),
            refused(&[(2, "invalid", "references[0]")]),
        ),
        case("an empty id", with_line(r#"{"type":"thing","id":"","attributes":{}}"#), refused(&[(2, "invalid", "id")])),
        case(
            "an id with a slash",
            with_line(r#"{"type":"thing","id":"a/b","attributes":{}}"#),
            refused(&[(2, "invalid", "/")]),
        ),
        case(
            "an id that is too long",
            with_line(&format!(r#"{{"type":"thing","id":"{}","attributes":{{}}}}"#, "x".repeat(600))),
            refused(&[(2, "invalid", "512")]),
        ),
        case(
            "an unknown type",
            with_line(r#"{"type":"thingy","id":"b","attributes":{}}"#),
            refused(&[(2, "unsupported_type", "thingy")]),
        ),
        case(
            "a type that is not exportable",
            with_line(r#"{"type":"lurk","id":"b","attributes":{}}"#),
            refused(&[(2, "unsupported_type", "lurk")]),
        ),
        case(
            "created on no date",
            with_keys(r#""created_at":"yesterday""#),
            refused(&[(2, "invalid", "`created_at`")]),
        ),
        case(
            "created on a date that is none",
            with_keys(r#""created_at":"2026-02-30""#),
            refused(&[(2, "invalid", "`created_at`")]),
        ),
        case(
            "changed on no date",
            with_keys(r#""updated_at":"2026-13-01T00:00:00Z""#),
            refused(&[(2, "invalid", "`updated_at`")]),
        ),
        case("dates", with_keys(r#""created_at":"2026-03-01","updated_at":"2026-03-01T10:00:00.000Z""#), done(2)),
        case("an object that was created nobody knows when", with_keys(r#""created_at":null,"managed":null"#), done(2)),
        case(
            "two namespaces of a type with one",
            with_line(r#"{"type":"own","id":"b","namespaces":["a","b"],"attributes":{}}"#),
            refused(&[(2, "invalid", "one namespace")]),
        ),
        case("no namespaces", with_keys(r#""namespaces":[]"#), refused(&[(2, "invalid", "names no namespace")])),
        case("a namespace that is none", with_keys(r#""namespaces":["a b"]"#), refused(&[(2, "invalid", "namespace")])),
        case("several namespaces", with_keys(r#""namespaces":["default","team"]"#), done(2)),
        case(
            "a newer model version",
            with_keys(r#""typeMigrationVersion":"10.7.0""#),
            refused(&[(2, "unreadable", "7")]),
        ),
        case("no model version", with_keys(r#""typeMigrationVersion":"odd""#), refused(&[(2, "unreadable", "")])),
        case("the same object twice", format!("{GOOD}\n{GOOD}\n"), refused(&[(2, "invalid", "twice")])),
        Case {
            name: "two objects that become one",
            file: format!("{GOOD}\n{}\n", GOOD.replace("good", "fine")).into(),
            options: &["--rename", "thing/good-#=one", "--rename", "thing/fine-#=one"],
            expected: refused(&[(2, "invalid", "two objects of the file would become thing:one")]),
        },
        Case {
            name: "a reference that must lead somewhere",
            file: with_keys(r#""references":[{"name":"r","type":"thing","id":"gone"}]"#).into(),
            options: &["--require-references", "thing"],
            expected: refused(&[(2, "missing_references", "thing/gone")]),
        },
        Case {
            name: "an object that is left out",
            file: GOOD.into(),
            options: &["--skip", "thing/good-#"],
            expected: done(0),
        },
    ]
}

/// Returns the cases of attributes that the mapping accepts or refuses.
fn attributes() -> Vec<Case> {
    let bad = |name: &'static str, attributes: &str, problems: &'static [(u64, &'static str, &'static str)]| {
        case(name, with_attributes(attributes), refused(problems))
    };
    vec![
        bad("a name below a keyword", r#"{"title":"x","title.raw":1}"#, &[(2, "invalid", "\"title\"")]),
        bad("an empty name", r#"{"title":"x","":1}"#, &[(2, "invalid", "the name \"\"")]),
        bad("a blank name", r#"{"title":"x"," ":1}"#, &[(2, "invalid", "the name \" \"")]),
        bad("a name with two dots", r#"{"title":"x","a..b":1}"#, &[(2, "invalid", "the name \"a..b\"")]),
        bad("an empty name in a list of objects", r#"{"parts":[{"":1}]}"#, &[(2, "invalid", "\"parts\"")]),
        bad("a number beyond long", r#"{"num":99999999999999999999}"#, &[(2, "invalid", "\"num\"")]),
        bad("a number as text beyond long", r#"{"num":"9223372036854775808"}"#, &[(2, "invalid", "\"num\"")]),
        bad("a text for a number", r#"{"num":"many"}"#, &[(2, "invalid", "\"num\"")]),
        bad("a number beyond byte", r#"{"small":300}"#, &[(2, "invalid", "from -128 to 127")]),
        bad("a number beyond float", r#"{"ratio":1e39}"#, &[(2, "invalid", "\"ratio\"")]),
        bad("a word for a date", r#"{"when":"gestern"}"#, &[(2, "invalid", "\"when\"")]),
        bad("a month 13", r#"{"when":["2026-12-01","2026-13-01"]}"#, &[(2, "invalid", "\"when\"")]),
        bad("a date before dates", r#"{"moment":"1969-12-31"}"#, &[(2, "invalid", "\"moment\"")]),
        bad("a number for a boolean", r#"{"flag":1}"#, &[(2, "invalid", "\"flag\"")]),
        bad("an address of five parts", r#"{"address":"1.2.3.4.5"}"#, &[(2, "invalid", "\"address\"")]),
        bad("an object for a keyword", r#"{"title":{"de":"x"}}"#, &[(2, "invalid", "\"title\"")]),
        bad("a text for a list of objects", r#"{"parts":"x"}"#, &[(2, "invalid", "\"parts\"")]),
        bad("a word in a list of objects", r#"{"parts":[{"n":1},{"n":"x"}]}"#, &[(2, "invalid", "\"parts.n\"")]),
        bad("a text for labels", r#"{"labels":"x"}"#, &[(2, "invalid", "\"labels\"")]),
        bad("a name that a strict object does not have", r#"{"owner":{"age":5}}"#, &[(2, "invalid", "\"owner.age\"")]),
        bad("a word for a number beside a keyword", r#"{"code":"x"}"#, &[(2, "invalid", "\"code.number\"")]),
        case(
            "a keyword that is too long",
            with_attributes(&format!(r#"{{"title":"{}"}}"#, "x".repeat(40_000))),
            refused(&[(2, "invalid", "32766")]),
        ),
        case(
            "JSON that is nested too deep",
            with_attributes(&format!(r#"{{"free":{}}}"#, nested(126))),
            refused(&[(2, "invalid", "nested too deep")]),
        ),
        bad(
            "several of them at once",
            "{\"num\":\"x\"}}\n{\"type\":\"thing\",\"id\":\"c-#\",\"attributes\":{\"flag\":\"x\"}",
            &[(2, "invalid", "\"num\""), (3, "invalid", "\"flag\"")],
        ),
        case(
            "what the mapping takes",
            with_attributes(
                r#"{"title":5,"num":"12","small":-128,"ratio":"1.5","when":1700000000000,"moment":"2026-03-01","flag":"true","address":"::1","parts":[{"n":1,"free":"x"}],"labels":{"a":{"b":1}},"owner.name":"kim","code":"7"}"#,
            ),
            done(2),
        ),
        case(
            "what is not mapped",
            with_attributes(r#"{"free":{"":1,"a..b":[true,1e300,"gestern"]},"more":null}"#),
            done(2),
        ),
    ]
}

/// Returns the cases of secrets, and of objects that exist already.
fn objects() -> Vec<Case> {
    let own = |id: &str, keys: &str| {
        with_line(&format!("{{\"type\":\"own\",\"id\":\"{id}\",\"attributes\":{{\"title\":\"t\"}}{keys}}}"))
    };
    vec![
        case("a secret in the clear", own("s-#", r#","secrets":{"secret":"s3cret"}"#), done(2)),
        case(
            "a secret that is none",
            own("s-#", r#","secrets":{"title":"x"}"#),
            refused(&[(2, "invalid", "\"title\"")]),
        ),
        case(
            "a secret without a value",
            own("s-#", r#","secrets":{"secret":null}"#),
            refused(&[(2, "invalid", "`secrets`")]),
        ),
        case(
            "an envelope that is none",
            own("s-#", r#","envelopes":{"secret":"x"}"#),
            refused(&[(2, "invalid", "is not an envelope; give it in `secrets`")]),
        ),
        case(
            "a secret among the attributes",
            with_line(r#"{"type":"own","id":"s-#","attributes":{"title":"t","secret":"clear"}}"#),
            refused(&[(2, "invalid", "is not an envelope; give it in `secrets`")]),
        ),
        case(
            "an object that exists",
            with_line(r#"{"type":"thing","id":"there","attributes":{"title":"there"}}"#),
            refused(&[(2, "conflict", "exists already")]),
        ),
        Case {
            name: "an object that exists, as the file has it",
            file: with_line(r#"{"type":"thing","id":"there","attributes":{"title":"there"}}"#).into(),
            options: &["--resume"],
            expected: done(1),
        },
        Case {
            name: "an object that exists and is different",
            file: with_line(r#"{"type":"thing","id":"there","attributes":{"title":"other"}}"#).into(),
            options: &["--resume"],
            expected: refused(&[(2, "conflict", "exists already")]),
        },
        Case {
            name: "an object to be overwritten with what the mapping refuses",
            file: with_line(r#"{"type":"thing","id":"there","attributes":{"num":"x"}}"#).into(),
            options: &["--overwrite"],
            expected: refused(&[(2, "invalid", "\"num\"")]),
        },
        Case {
            name: "an object to be overwritten with another name",
            file: with_line(r#"{"type":"badge","id":"there","attributes":{"number":"2"}}"#).into(),
            options: &["--overwrite"],
            expected: refused(&[(2, "invalid", "number")]),
        },
    ]
}

/// Writes the definitions of types with every kind of field.
fn write_types(folder: &Path) {
    let write = |path: &str, content: Value| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, content.to_string()).expect("written");
    };
    let keyword = || json!({ "type": "keyword" });
    let thing = json!({
        "title": keyword(), "num": { "type": "long" }, "small": { "type": "byte" }, "ratio": { "type": "float" },
        "when": { "type": "date" }, "moment": { "type": "date_nanos" }, "flag": { "type": "boolean" }, "address": { "type": "ip" },
        "parts": { "type": "nested", "properties": { "name": keyword(), "n": { "type": "long" } } }, "labels": { "type": "flattened" },
        "owner": { "dynamic": "strict", "properties": { "name": keyword() } },
        "code": { "type": "keyword", "fields": { "number": { "type": "integer" } } },
    });
    let title = json!({ "title": keyword() });
    let types = [
        ("thing", json!({ "namespace_kind": "multiple", "exportable": true }), thing),
        ("own", json!({ "namespace_kind": "single", "exportable": true }), title.clone()),
        ("lurk", json!({ "namespace_kind": "single", "hidden": true }), title),
        (
            "badge",
            json!({ "namespace_kind": "agnostic", "exportable": true, "identity": ["number"] }),
            json!({ "number": keyword() }),
        ),
    ];
    for (name, mut file, properties) in types {
        (file["type"], file["group"], file["random_id"]) = (json!(name), json!("things"), json!(false));
        file["mapping"] = json!({ "dynamic": false, "properties": properties });
        write(&format!("mappings/{name}.json"), file);
        let mut version = json!({ "create": { "type": "object", "additionalProperties": true, "properties": { "title": {}, "secret": { "type": "string" }, "number": {} } } });
        if name == "own" {
            (version["encrypted"], version["bound"]) = (json!([{ "name": "secret" }]), json!(["title"]));
        }
        write(&format!("model_versions/{name}/1.json"), version);
    }
}

async fn command(context: &Context, folder: &Path, arguments: &[&str]) -> Ran {
    let types = folder.to_string_lossy().into_owned();
    let arguments = [arguments, &["--only-types", "--types", &types]].concat();
    run_with(context, &arguments, &[("SAVED_OBJECTS_ENCRYPTION_KEY", KEY)]).await
}

/// Returns the difference from the expected result, if there is one.
fn difference(expected: &Expected, ran: &Ran, written: u64) -> Option<String> {
    let report: Value = serde_json::from_str(&ran.out).unwrap_or_default();
    let errors = report["errors"].as_array().cloned().unwrap_or_default();
    let is_as_told = |(error, (line, kind, part)): (&Value, &(u64, &str, &str))| {
        let message = error["message"].as_str().unwrap_or_default();
        error["line"] == *line && error["kind"] == *kind && message.contains(part)
    };
    let is_named = errors.len() == expected.problems.len() && errors.iter().zip(expected.problems).all(is_as_told);
    let is_counted = report["successCount"] == expected.written && report["success"] == (expected.code == 0);
    let is_right = ran.code == expected.code && written == expected.written && is_named && is_counted;
    (!is_right).then(|| {
        format!(
            "exit code {} and {written} written, not {} and {}: {:#}",
            ran.code, expected.code, expected.written, report
        )
    })
}

async fn files_are_imported_whole_or_not_at_all(context: Context) {
    let folder = tempfile::tempdir().expect("a folder");
    write_types(folder.path());
    let ran = command(&context, folder.path(), &["migrate"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let path = folder.path().join("file.ndjson");
    let file = path.to_string_lossy().into_owned();
    let there = r#"{"type":"thing","id":"there","attributes":{"title":"there"}}
        {"type":"badge","id":"there","attributes":{"number":"1"}}"#;
    std::fs::write(&path, there).expect("written");
    let ran = command(&context, folder.path(), &["import", &file]).await;
    assert_eq!(ran.code, 0, "{ran:?}");

    let cases: Vec<Case> = [forms(), keys(), attributes(), objects()].into_iter().flatten().collect();
    assert!(cases.len() >= 60, "{}", cases.len());
    let mut before = context.documents("things").await;
    let mut differences = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let numbered = |text: &str| text.replace('#', &number.to_string());
        let content = match std::str::from_utf8(&case.file) {
            Ok(text) => numbered(text).into_bytes(),
            Err(_) => case.file.clone(),
        };
        std::fs::write(&path, content).expect("written");
        let options: Vec<String> = case.options.iter().map(|option| numbered(option)).collect();
        let mut arguments = vec!["import", &file, "--json"];
        arguments.extend(options.iter().map(String::as_str));
        let ran = command(&context, folder.path(), &arguments).await;
        let after = context.documents("things").await;
        let difference = difference(&case.expected, &ran, after - before);
        differences.extend(difference.map(|difference| format!("{}: {difference}\n{}", case.name, ran.err)));
        before = after;
    }
    assert!(differences.is_empty(), "{} of {} files:\n{}", differences.len(), cases.len(), differences.join("\n"));
}
