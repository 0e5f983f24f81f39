//! The tokens of the demo: invented connectors and users, random secrets.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::GROUP;
use crate::seed::{Seed, Seeder};
use saved_objects::cluster::Cluster;
use saved_objects::document::Attributes;
use saved_objects::encryption::{EncryptionService, Secret, Secrets};
use saved_objects::environment::Environment;
use saved_objects::layout::Prefix;
use saved_objects::registry::TypeDefinition;
use saved_objects::tokens::derived_id;
use saved_objects::{Error, ErrorKind, Result};

/// The types of the tokens.
pub(super) const TYPES: [&str; 2] = ["connector_token", "user_connector_token"];
/// The number of tokens of each type.
const EACH: usize = 10_000;
/// The number of connectors for which each user has a token.
const CONNECTORS_A_USER: usize = 100;
/// The length of large providers' access tokens.
const SECRET_BYTES: usize = 400;

/// Writes the tokens and returns their number.
pub(super) async fn write(
    cluster: &dyn Cluster,
    encryption: &EncryptionService,
    environment: &Environment,
    prefix: &Prefix,
    types: Vec<TypeDefinition>,
) -> Result<usize> {
    let names = prefix.group(GROUP);
    let mut written = 0;
    for definition in types {
        let seed = match definition.name() {
            "connector_token" => shared_token,
            _ => user_token,
        };
        let definition = Arc::new(definition);
        let seeder = Seeder { cluster, encryption, environment, definition: &definition, names: &names };
        seeder.write((EACH, 0), seed).await?;
        written += EACH;
    }
    cluster.refresh(names.alias()).await?;
    Ok(written)
}

fn shared_token(number: usize, environment: &Environment) -> Result<Seed> {
    let (connector, token_type) = (format!("connector-{number}"), "access_token");
    let attributes = with_times(environment, json!({ "connectorId": connector, "tokenType": token_type }))?;
    let token = Secret::text(&format!("Bearer {}", random_text(environment)?));
    Ok(Seed {
        id: derived_id("connector_token", &[&connector, token_type]).to_string(),
        attributes,
        secrets: Secrets::from([("token".to_owned(), token)]),
    })
}

fn user_token(number: usize, environment: &Environment) -> Result<Seed> {
    let profile = format!("u_demo-{}_0", number / CONNECTORS_A_USER);
    let (connector, credential_type) = (format!("connector-{}", number % CONNECTORS_A_USER), "oauth");
    let fields = json!({ "profileUid": profile, "connectorId": connector, "credentialType": credential_type });
    let credentials = json!({
        "accessToken": format!("Bearer {}", random_text(environment)?),
        "refreshToken": random_text(environment)?,
    });
    Ok(Seed {
        id: derived_id("user_connector_token", &[&profile, &connector, credential_type]).to_string(),
        attributes: with_times(environment, fields)?,
        secrets: Secrets::from([("credentials".to_owned(), Secret::json(&credentials)?)]),
    })
}

fn with_times(environment: &Environment, fields: Value) -> Result<Attributes> {
    let Value::Object(mut attributes) = fields else {
        return Err(Error::new(ErrorKind::Internal, "attributes are an object"));
    };
    let now = environment.now_iso();
    for name in ["createdAt", "updatedAt"] {
        attributes.insert(name.to_owned(), now.clone().into());
    }
    attributes.insert("expiresAt".to_owned(), "2030-01-01T00:00:00.000Z".into());
    Ok(attributes)
}

fn random_text(environment: &Environment) -> Result<String> {
    let mut bytes = [0; SECRET_BYTES];
    environment.rng().fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
