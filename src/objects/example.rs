// The beginning of the examples of `Objects`, which include it: a type, and a store of it that needs no server.

use saved_objects::encryption::{Secret, Secrets};
use saved_objects::registry::{Registry, TypeDefinition};
use saved_objects::repository::{Filter, Find, Increment, Resolution, SecretChange};
use saved_objects::{Change, ErrorKind, Object, Objects, SavedObjects, Start};
use serde::{Deserialize, Serialize};

struct Login;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct LoginAttributes {
    user: String,
    #[serde(default)]
    uses: i64,
}

impl Object for Login {
    const TYPE: &'static str = "login";
    type Attributes = LoginAttributes;
    type Secrets = Secrets;
}

fn login(user: &str) -> LoginAttributes {
    LoginAttributes { user: user.to_owned(), uses: 0 }
}

fn password(text: &str) -> Secrets {
    Secrets::from([("password".to_owned(), Secret::text(text))])
}

async fn store() -> saved_objects::Result<SavedObjects> {
    let file = r#"{
        "type": "login", "group": "logins", "namespace_kind": "single", "random_id": false,
        "mapping": { "dynamic": false, "properties": { "user": { "type": "keyword" } } }
    }"#;
    let version = r#"{
        "create": {
            "type": "object", "required": ["user"],
            "properties": { "user": { "type": "string" }, "uses": { "type": "integer" }, "password": { "type": "string" } }
        },
        "encrypted": [{ "name": "password" }], "bound": ["user"]
    }"#;
    let types = vec![TypeDefinition::from_json("login.json", file, &[("1.json".to_owned(), version.to_owned())])?];
    SavedObjects::in_memory(Registry::builder().with(types).build()?)?.start(Start::Migrate).await
}
