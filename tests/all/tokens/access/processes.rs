//! Separate processes: this test binary, started again as a process that asks for tokens and prints what it got.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::future::join_all;
use libtest_mimic::Trial;
use saved_objects::Start;
use saved_objects::tokens::{self, AccessTokens, Refresher, Scope, TokenError};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use super::provider::{FIRST_REFRESH_TOKEN, Kind, Provider};
use super::remote::{Asking, Listening};
use super::{Node, node, pair, scopes, token};
use crate::context::Context;
use crate::named_trials;
use crate::proxy::{Fault, Proxy};
use crate::tokens::{connector, text, user};

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        of_fifty_in_three_processes_one_asks_and_all_get_it,
        a_process_killed_before_it_asks_leaves_the_refresh_to_the_next,
        a_grant_that_died_with_its_process_is_revoked,
        a_constant_refresh_token_outlives_the_process,
        a_process_killed_after_storing_has_kept_the_grant,
        a_process_killed_with_the_claim_is_waited_for_and_followed,
    )
}

/// The variable of a process that asks for tokens: server, prefix, provider, scope, tasks, separated by spaces.
pub(crate) const CHILD: &str = "SAVED_OBJECTS_TEST_ACCESS_TOKENS";
/// How long the provider may take in such a process.
const CHILD_DEADLINE: Duration = Duration::from_secs(4);

/// Runs the process that asks: prints `ready`, waits for a line, and prints a line for each task.
pub(crate) async fn child(order: &str) {
    let words: Vec<&str> = order.split(' ').collect();
    let [url, prefix, provider, scope, tasks] = words.as_slice() else { panic!("an odd order: {order}") };
    let context = Context { prefix: prefix.parse().expect("a prefix"), ..Context::new(url, "child") };
    let store = context.builder(tokens::types().expect("built-in types")).start(Start::Skip).await.expect("started");
    let access = AccessTokens::new(&store).expect("the types are there").deadline(CHILD_DEADLINE);
    let refresher: Arc<dyn Refresher> = Arc::new(Asking { address: (*provider).to_owned() });
    let scope = if *scope == "shared" { Scope::Shared } else { user(scope) };
    println!("ready");
    BufReader::new(tokio::io::stdin()).read_line(&mut String::new()).await.expect("told to go");
    let asking = (0..tasks.parse().expect("a number")).map(|_| {
        let (access, refresher, scope) = (access.clone(), refresher.clone(), scope.clone());
        tokio::spawn(async move { access.get(scope, &connector("c1"), &refresher).await })
    });
    for got in join_all(asking).await {
        match got.expect("it ends") {
            Ok(token) => println!("{}", text(&token.token)),
            Err(error) => println!("error: {error}"),
        }
    }
}

struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts a process that asks `tasks` times.
    async fn start(url: &str, context: &Context, provider: &Listening, scope: &Scope, tasks: usize) -> Self {
        let scope = match scope {
            Scope::Shared => "shared",
            Scope::User(profile_uid) => profile_uid.as_str(),
        };
        let mut child = tokio::process::Command::new(std::env::current_exe().expect("this binary"))
            .env(CHILD, format!("{url} {} {} {scope} {tasks}", context.prefix, provider.address))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        assert_eq!(lines.next_line().await.expect("readable").as_deref(), Some("ready"));
        Self { child, lines }
    }

    /// Lets the process ask, and returns what it got.
    async fn go(mut self) -> Vec<String> {
        self.child.stdin.take().expect("it is piped").write_all(b"go\n").await.expect("told");
        let mut got = Vec::new();
        while let Some(line) = self.lines.next_line().await.expect("readable") {
            got.push(line);
        }
        self.child.wait().await.expect("it ends");
        got
    }
}

async fn of_fifty_in_three_processes_one_asks_and_all_get_it(context: Context) {
    let node = node(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        let listening = Listening::start(provider.clone()).await;
        node.store_expired(&scope).await;
        let processes = [17, 17, 16].map(|tasks| Process::start(&context.url, &context, &listening, &scope, tasks));
        let processes = join_all(processes).await;
        let got: Vec<String> = join_all(processes.into_iter().map(Process::go)).await.concat();
        assert_eq!(got, vec!["access 1"; 50]);
        assert_eq!(provider.asked(), 1);
        assert_eq!(node.stored(&scope).await, pair("access 1", "refresh 1"));
    }
}

/// What a process does when it is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// It has the claim, and reads the token again before it asks the provider.
    Claimed,
    /// It sends what it got, and the request does not arrive.
    Storing,
    /// It sends what it got, and the request arrives.
    Stored,
    /// It returns the claim, and the request does not arrive.
    GivingBack,
}

impl Moment {
    /// Returns the fault of the request during which the process is killed, if this is that request.
    fn fault(self, context: &Context, request: &crate::proxy::Seen, before: usize) -> Option<Fault> {
        let path = request.path.split('?').next().unwrap_or_default();
        let is_of = |alias: &str| path.starts_with(&format!("/{alias}/"));
        let is_bulk = path.ends_with("/_bulk");
        let (control, group) = (format!("{}-control", context.prefix), context.prefix.group("connectors"));
        let (is_it, fault) = match self {
            Self::Claimed => (is_of(group.alias()) && !is_bulk && before == 1, Fault::LoseRequest),
            Self::Storing => (is_of(&group.write_alias(1)) && is_bulk, Fault::LoseRequest),
            Self::Stored => (is_of(&group.write_alias(1)) && is_bulk, Fault::LoseAnswer),
            // The first request took the claim.
            Self::GivingBack => (is_of(&control) && is_bulk && before == 1, Fault::LoseRequest),
        };
        is_it.then_some(fault)
    }
}

/// Creates a node next to a process that asked for an expired token and was killed at a moment.
async fn survivor(context: &Context, scope: &Scope, provider: &Arc<Provider>, moment: Moment) -> Node {
    let node = node(context).await;
    let listening = Listening::start(provider.clone()).await;
    node.store_expired(scope).await;
    let killed = Arc::new(AtomicU32::new(0));
    let (process, for_rule) = (killed.clone(), context.clone());
    let proxy = Proxy::start(&context.url, move |request, before| {
        let process = process.load(Ordering::Acquire);
        match moment.fault(&for_rule, request, before).filter(|_| process != 0) {
            Some(fault) => {
                Command::new("kill").args(["-9", &process.to_string()]).status().expect("kill runs");
                fault
            }
            None => Fault::None,
        }
    })
    .await;
    let asking = Process::start(proxy.url(), context, &listening, scope, 1).await;
    killed.store(asking.child.id().expect("it was not waited for"), Ordering::Release);
    assert_eq!(asking.go().await, [""; 0], "it was killed at {moment:?}: {:?}", proxy.seen());
    node
}

async fn a_process_killed_before_it_asks_leaves_the_refresh_to_the_next(context: Context) {
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        let node = survivor(&context, &scope, &provider, Moment::Claimed).await;
        assert_eq!(provider.asked(), 0);
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
        assert_eq!((provider.asked(), node.stored(&scope).await), (1, pair("access 1", "refresh 1")));
    }
}

async fn a_grant_that_died_with_its_process_is_revoked(context: Context) {
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        let node = survivor(&context, &scope, &provider, Moment::Storing).await;
        assert_eq!(provider.asked(), 1);
        let error = node.get(&scope, &provider).await.expect_err("nobody has the refresh token");
        assert!(matches!(error, TokenError::Revoked { .. }), "{error:?}");
        assert_eq!((provider.asked(), node.stored(&scope).await), (2, pair("access 0", FIRST_REFRESH_TOKEN)));
    }
}

async fn a_constant_refresh_token_outlives_the_process(context: Context) {
    for scope in scopes() {
        let provider = Provider::new(Kind::Constant);
        let node = survivor(&context, &scope, &provider, Moment::Storing).await;
        assert_eq!(token(node.get(&scope, &provider).await), "access 2");
        assert_eq!((provider.asked(), node.stored(&scope).await), (2, pair("access 2", FIRST_REFRESH_TOKEN)));
    }
}

async fn a_process_killed_after_storing_has_kept_the_grant(context: Context) {
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        let node = survivor(&context, &scope, &provider, Moment::Stored).await;
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
        assert_eq!((provider.asked(), node.stored(&scope).await), (1, pair("access 1", "refresh 1")));
    }
}

async fn a_process_killed_with_the_claim_is_waited_for_and_followed(context: Context) {
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        let node = survivor(&context, &scope, &provider, Moment::GivingBack).await;
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
        assert_eq!(token(node.get_instead_of(&scope, "access 1", &provider).await), "access 2");
        assert_eq!((provider.asked(), node.stored(&scope).await), (2, pair("access 2", "refresh 2")));
    }
}
