//! Elasticsearch with security: users, API keys, TLS with its own CA. The first test that needs the server starts it.
//! What the basic licence lacks (client certificates, the token service) is tested with a stub.

mod commands;
mod jobs;
mod proxies;
mod refusals;
mod sight;
mod stub;
mod tls;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use libtest_mimic::Trial;
use saved_objects::cluster::elastic::{Credentials, ElasticSettings};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::cli::Ran;
use crate::context::{Context, KEY};
use crate::server::{Server, with_own};
use crate::{named_trials, trials_without_cluster};
pub(crate) use proxies::{CHILD, child};
pub(crate) use stub::write_secret;

/// The folder of the server, and the options that it is started with.
const FOLDER: &str = "elasticsearch-secured";
const OPTIONS: &[&str] = &["--secure"];

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    let url = with_own(url, FOLDER, OPTIONS);
    let on_the_server = named_trials!(
        url,
        commands::every_command_by_user_and_by_key,
        commands::the_demo_with_the_privileges_of_a_migration,
        jobs::each_job_needs_exactly_its_privileges,
        jobs::the_doctor_names_the_privileges_that_a_job_lacks,
        jobs::a_platform_runs_with_its_privileges,
        jobs::a_take_over_needs_exactly_its_privileges,
        refusals::an_import_names_the_privilege_that_a_group_lacks,
        refusals::a_rotation_whose_writes_are_refused_is_blocked,
        sight::half_of_the_indices_tell_nothing_of_the_others,
        tls::what_is_wrong_is_told_in_one_attempt,
    );
    let on_stubs_and_in_memory = trials_without_cluster!(
        sight::hidden_groups_are_told_in_memory,
        sight::a_hidden_quarantine_is_told_in_memory,
        tls::every_form_of_credentials_is_sent,
        tls::a_client_certificate_goes_with_other_credentials,
        tls::changed_credentials_are_read_again,
        tls::no_secret_is_shown,
        proxies::what_is_on_this_machine_does_not_go_through_a_proxy,
        proxies::no_argument_names_a_user,
    );
    on_the_server.into_iter().chain(on_stubs_and_in_memory).collect()
}

static SERVER: Mutex<Option<Arc<Secured>>> = Mutex::new(None);

/// Returns the server, and starts it if no test did so before.
async fn secured() -> Arc<Secured> {
    let start = || {
        let mut server = SERVER.lock().expect("no test panics while it starts");
        server.get_or_insert_with(|| Arc::new(Secured::start())).clone()
    };
    tokio::task::spawn_blocking(start).await.expect("started")
}

/// Stops the server, if it runs.
pub(crate) fn stop_own_server() {
    drop(SERVER.lock().map(|mut server| server.take()));
}

/// A server with security.
struct Secured {
    server: Server,
    ca: PathBuf,
    password_file: PathBuf,
}

impl Secured {
    fn start() -> Self {
        let server = Server::start_own(FOLDER, OPTIONS).expect("a server with security");
        let path = |name: &str| {
            let path = server.description()["secure"][name].as_str();
            PathBuf::from(path.unwrap_or_else(|| panic!("{name} in {}", server.description())))
        };
        let (ca, password_file) = (path("ca_cert"), path("password_file"));
        Self { server, ca, password_file }
    }

    fn url(&self) -> &str {
        self.server.url()
    }

    fn password(&self) -> String {
        std::fs::read_to_string(&self.password_file).expect("the password")
    }

    /// Sends a request past the library, as the user that may do everything. Returns the status and the answer.
    async fn send(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let ca = reqwest::Certificate::from_pem(&std::fs::read(&self.ca).expect("the CA")).expect("a certificate");
        let client = reqwest::Client::builder().add_root_certificate(ca).no_proxy().build().expect("a client");
        let mut request = client
            .request(method.parse().expect("a method"), format!("{}{path}", self.url()))
            .basic_auth("elastic", Some(self.password()));
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
    }

    /// Creates an API key with the body that `privileges --api-key` prints, or a similar one.
    async fn api_key(&self, body: Value) -> String {
        let (status, answer) = self.send("POST", "/_security/api_key", Some(body.clone())).await;
        assert_eq!(status, 200, "{body}: {answer}");
        answer["encoded"].as_str().expect("an encoded key").to_owned()
    }

    /// Creates an API key with this role.
    async fn key_with_role(&self, role: Value) -> String {
        self.api_key(json!({ "name": "test", "role_descriptors": { "role": role } })).await
    }

    fn settings(&self, credentials: Credentials) -> ElasticSettings {
        ElasticSettings::new(self.url()).ca_certificates(&self.ca).credentials(credentials)
    }

    fn settings_of_key(&self, key: &str) -> ElasticSettings {
        self.settings(Credentials::api_key(SecretString::from(key)))
    }

    /// Runs a command with these variables, over TLS with the server's CA.
    async fn run(&self, context: &Context, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
        let ca = self.ca.to_str().expect("UTF-8");
        let all = [&[("SAVED_OBJECTS_ELASTICSEARCH_CA_CERT", ca)][..], variables].concat();
        run_at(self.url(), context, arguments, &all).await
    }

    /// Runs a command with an API key.
    async fn run_with_key(&self, context: &Context, arguments: &[&str], key: &str) -> Ran {
        self.run(context, arguments, &[("SAVED_OBJECTS_ELASTICSEARCH_API_KEY", key)]).await
    }
}

/// Runs a command on the server at `url` under the test's prefix, unless the arguments have another prefix. Only the
/// variables say how to connect.
async fn run_at(url: &str, context: &Context, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let prefix = context.prefix.to_string();
    let own: &[&str] = if arguments.contains(&"--prefix") { &[] } else { &["--prefix", &prefix] };
    let mut command = Command::new(env!("CARGO_BIN_EXE_saved-objects"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SAVED_OBJECTS_") {
            command.env_remove(name);
        }
    }
    let output = command
        .args(arguments)
        .args(own)
        .env("SAVED_OBJECTS_ENCRYPTION_KEY", KEY)
        .env("SAVED_OBJECTS_ELASTICSEARCH_URL", url)
        .envs(variables.iter().copied())
        .kill_on_drop(true)
        .output()
        .await
        .expect("the command runs");
    output.into()
}
