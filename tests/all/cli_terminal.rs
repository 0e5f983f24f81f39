//! What a person sees in terminals of several widths, and what a pipe gets.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use saved_objects::encryption::Secret;
use saved_objects::repository::Create;
use serde_json::json;

use crate::cli::run_with;
use crate::cli_sight::{folder, path, platform};
use crate::context::{Context, KEY};
use crate::migration::object;
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        every_line_fits_every_terminal,
        a_pipe_gets_lines_without_control_characters,
        a_bar_leaves_nothing_behind,
        a_question_is_asked_on_a_terminal,
        a_wait_is_told_within_two_seconds,
    )
}

const WIDTHS: [u16; 3] = [60, 80, 140];

/// What a command wrote to a terminal, and its exit code.
struct Seen {
    code: i32,
    raw: String,
    /// The lines that are left on the screen at the end.
    screen: Vec<String>,
}

/// Runs a command in a terminal of that many columns. When the terminal shows the text of `answer`, types its other
/// part.
fn in_terminal(context: &Context, columns: u16, arguments: &[&str], answer: Option<(&str, &str)>) -> Seen {
    let control = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&control).expect("granted");
    unlockpt(&control).expect("unlocked");
    let size = Winsize { ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&control, size).expect("resized");
    let name = ptsname(&control, Vec::new()).expect("its name").into_string().expect("UTF-8");
    let terminal = OpenOptions::new().read(true).write(true).open(name).expect("opened");
    let stdio = || Stdio::from(terminal.try_clone().expect("duplicated"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_saved-objects"));
    command.args(arguments).args(["--elasticsearch-url", &context.url, "--prefix", &context.prefix.to_string()]);
    command.env_remove("COLUMNS").env_remove("RUST_LOG").env_remove("NO_COLOR").env("TERM", "xterm");
    command.env_remove("SAVED_OBJECTS_ENCRYPTION_KEY_FILE").env("SAVED_OBJECTS_ENCRYPTION_KEY", KEY);
    let mut child = command.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().expect("the command runs");
    drop((terminal, command));
    let mut control = File::from(control);
    let (mut raw, mut buffer, mut answer) = (Vec::new(), [0_u8; 4096], answer);
    // Reading fails when the last process that has the terminal ends.
    while let Ok(length) = control.read(&mut buffer) {
        if length == 0 {
            break;
        }
        raw.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&raw);
        if let Some((_, typed)) = answer.take_if(|(shown, _)| text.contains(&**shown)) {
            control.write_all(typed.as_bytes()).expect("typed");
        }
    }
    let code = child.wait().expect("it ends").code().expect("an exit code");
    let raw = String::from_utf8_lossy(&raw).into_owned();
    let screen = screen(&raw, usize::from(columns));
    Seen { code, raw, screen }
}

/// Returns the lines that a terminal shows in the end. It knows what progress bars use: a carriage return, the cursor
/// up and down, and the deletion of a line or of what follows.
fn screen(raw: &str, columns: usize) -> Vec<String> {
    let (mut lines, mut row, mut column) = (vec![Vec::new()], 0_usize, 0_usize);
    let mut characters = raw.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\n' => row += 1,
            '\r' => column = 0,
            '\u{1b}' if characters.next_if_eq(&'[').is_some() => {
                let mut number = String::new();
                while let Some(digit) = characters.next_if(|it| it.is_ascii_digit() || *it == '?' || *it == ';') {
                    number.push(digit);
                }
                let times: usize = number.parse().unwrap_or(1);
                match characters.next() {
                    Some('A') => row = row.saturating_sub(times),
                    Some('B') => row += times,
                    Some('K') if number == "2" => lines[row].clear(),
                    Some('K') => lines[row].truncate(column),
                    Some('J') => {
                        lines.truncate(row + 1);
                        lines[row].truncate(column);
                    }
                    // Colours and the visibility of the cursor.
                    Some('m' | 'h' | 'l') => {}
                    other => panic!("an escape sequence that the tests do not know: {number:?} {other:?}"),
                }
            }
            character => {
                if column == columns {
                    (row, column) = (row + 1, 0);
                }
                if lines.len() <= row {
                    lines.resize(row + 1, Vec::new());
                }
                let line: &mut Vec<char> = &mut lines[row];
                if line.len() <= column {
                    line.resize(column + 1, ' ');
                }
                line[column] = character;
                column += 1;
            }
        }
        if lines.len() <= row {
            lines.resize(row + 1, Vec::new());
        }
    }
    lines.into_iter().map(|line| line.into_iter().collect::<String>().trim_end().to_owned()).collect()
}

/// Returns the context with a prefix as short as those of platforms.
fn short(context: &Context, name: &str) -> Context {
    Context { prefix: format!("terminal-{name}").parse().expect("a prefix"), ..context.clone() }
}

/// Creates a platform of release 1 with many vaults, one of which no migration can convert.
async fn seeded(context: &Context, vaults: usize) {
    let (store, _) = platform(context).await;
    let vault = |number: usize| {
        let create = Create::new("vault", object(json!({"title": "v", "owner": "kim"}))).id(format!("v{number}"));
        create.secret("password", Secret::text("s3cret"))
    };
    let created = store.repository().create_many((0..vaults).map(vault).collect::<Vec<_>>()).await;
    assert!(created.iter().all(Result::is_ok));
    context.put("vaults", "vault:bad", &json!({"type": "vault", "typeMigrationVersion": "10.1.0"})).await;
}

/// The commands whose words are looked at, and their exit codes.
const COMMANDS: [(&[&str], i32); 7] = [
    (&["status"], 0),
    (&["migrate", "--plan"], 2),
    (&["migrate", "--on-bad", "quarantine"], 0),
    (&["verify"], 0),
    (&["keys", "status"], 0),
    (&["quarantine", "list"], 0),
    (&["quarantine", "show", "vault:bad"], 0),
];

async fn every_line_fits_every_terminal(context: Context) {
    for columns in WIDTHS {
        let context = short(&context, &columns.to_string());
        seeded(&context, 20).await;
        let types = folder(2);
        for (command, code) in COMMANDS {
            let seen = in_terminal(&context, columns, &[command, &["--types", path(types.path())]].concat(), None);
            println!("{columns} columns: {command:?}\n{}\n", seen.screen.join("\n"));
            assert_eq!(seen.code, code, "{}", seen.raw);
            assert!(seen.screen.iter().any(|line| !line.is_empty()), "{command:?} says nothing");
            // The words as they were printed, before the terminal broke a line.
            let printed = screen(&seen.raw, usize::MAX);
            for line in printed {
                let fits = line.chars().count() <= usize::from(columns);
                let is_one_word = line.split_whitespace().count() == 1;
                assert!(fits || is_one_word, "{columns} columns, {command:?}: {line}");
            }
        }
        context.remove().await;
    }
}

async fn a_pipe_gets_lines_without_control_characters(context: Context) {
    let context = short(&context, "pipe");
    seeded(&context, 20).await;
    let types = folder(2);
    for (command, code) in COMMANDS {
        let arguments = [command, &["--types", path(types.path())]].concat();
        let ran = run_with(&context, &arguments, &[("SAVED_OBJECTS_ENCRYPTION_KEY", KEY)]).await;
        assert_eq!(ran.code, code, "{ran:?}");
        for stream in [&ran.out, &ran.err] {
            let is_odd = |character: char| character.is_control() && character != '\n';
            assert!(!stream.contains(is_odd), "{command:?}: {stream:?}");
        }
        // A row stays a line, for `grep`.
        if command == ["status"] {
            let rows =
                ran.out.lines().filter(|line| line.contains(&context.index("vaults")) && line.contains("vault "));
            assert_eq!(rows.count(), 1, "{ran:?}");
        }
        let narrow = [("SAVED_OBJECTS_ENCRYPTION_KEY", KEY), ("COLUMNS", "60")];
        let asked = run_with(&context, &[&["status"][..], &["--types", path(types.path())]].concat(), &narrow).await;
        assert!(asked.out.lines().all(|line| line.chars().count() <= 60), "COLUMNS is obeyed: {asked:?}");
    }
    context.remove().await;
}

async fn a_bar_leaves_nothing_behind(context: Context) {
    let context = short(&context, "bar");
    seeded(&context, 2_500).await;
    let types = folder(3);
    let arguments = ["migrate", "--on-bad", "quarantine", "--types", path(types.path())];
    for (columns, arguments) in [(60, &[&["verify"][..], &arguments[3..]].concat()[..]), (80, &arguments)] {
        let seen = in_terminal(&context, columns, arguments, None);
        let screen = seen.screen.join("\n");
        println!("{columns} columns: {arguments:?}\n{screen}\n");
        assert!(seen.raw.contains("/2502") && seen.raw.contains('█'), "there was a bar: {}", seen.raw);
        assert!(!screen.contains("/2502") && !screen.contains(['█', '░']), "it is gone: {screen}");
    }
    context.remove().await;
}

async fn a_question_is_asked_on_a_terminal(context: Context) {
    seeded(&context, 1).await;
    let types = folder(3);
    let run = |arguments: &[&str], answer: Option<(&str, &str)>| {
        in_terminal(&context, 80, &[arguments, &["--types", path(types.path())]].concat(), answer)
    };
    assert_eq!(run(&["migrate", "--on-bad", "quarantine"], None).code, 0);
    let old = context.index("vaults");
    let is_there = async || context.cluster().indices(&[&old]).await.expect("answered").contains_key(&old);
    let no = run(&["migrate", "--drop-old"], Some(("[y/N]", "n\n")));
    assert!(no.code == 1 && no.raw.contains(&old) && no.raw.contains("nothing was deleted"), "{}", no.raw);
    assert!(is_there().await);
    let yes = run(&["migrate", "--drop-old"], Some(("[y/N]", "y\n")));
    assert_eq!((yes.code, is_there().await), (0, false), "{}", yes.raw);
    let none = run(&["migrate", "--drop-old"], None);
    assert!(none.code == 0 && none.raw.contains("nothing to do"), "nothing is asked: {}", none.raw);
    let no = run(&["quarantine", "drop", "--all"], Some(("the 1 documents in quarantine", "\n")));
    assert_eq!(no.code, 1, "{}", no.raw);
    let yes = run(&["quarantine", "drop", "--all"], Some(("[y/N]", "yes\n")));
    assert!(yes.code == 0 && yes.raw.contains("dropped vault:bad"), "{}", yes.raw);
    let no = run(&["namespaces", "delete", "default"], Some(("[y/N]", "n\n")));
    assert!(no.code == 1 && no.raw.contains("the namespace default has"), "{}", no.raw);
}

async fn a_wait_is_told_within_two_seconds(context: Context) {
    seeded(&context, 1).await;
    // Another node holds the lease, and gives no sign any more.
    let holder = json!({"host": "web-3", "process_id": 4711, "since": "2026-01-01T12:00:00.000Z",
        "renewed_at": "2026-01-01T12:00:02.000Z"});
    let note = json!({"digest": "another", "progress": {"alias": "x", "outdated": 90, "read": 50, "written": 40,
        "docs_per_s": 10}, "last_failure": null, "holder": holder});
    let lease = json!({"kind": "lease", "body": {"owner": "another", "ttl_ms": 6000, "renewals": 3, "note": note}});
    let put = format!("/{}-control-000001/_doc/lease:migration?refresh=true", context.prefix);
    context.raw("PUT", &put, Some(lease)).await;
    let started = Instant::now();
    let types = folder(2);
    let arguments = ["migrate", "--on-bad", "quarantine", "--types", path(types.path())];
    let seen = in_terminal(&context, 140, &arguments, None);
    assert!(started.elapsed() > Duration::from_secs(5), "it was given its time");
    let said = seen.screen.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(seen.code, 0, "{said}");
    for part in [
        "waiting for the node that migrates",
        "process 4711 on web-3, since 2026-01-01T12:00:00.000Z, last sign of life 2026-01-01T12:00:02.000Z",
        "40 of 90 documents of x written, about 5 s left",
        ", 1 s so far",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
