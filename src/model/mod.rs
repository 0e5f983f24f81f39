//! Model versions: their changes, schemas and encryption sets. Converts a document to the newest version, or reduces a
//! newer one to what this software knows. Nothing here does I/O.

mod attribute_path;
mod change;
mod create_schema;
mod encryption_sets;
mod forward_schema;
mod model_version;
mod transforms;
mod upgrade;
mod virtual_version;

pub use attribute_path::AttributePath;
pub use change::Change;
pub use create_schema::{CreateSchema, Violation};
pub use encryption_sets::{EncryptedAttribute, EncryptionSets};
pub use forward_schema::{ForwardSchema, ForwardSchemaError};
pub use model_version::ModelVersion;
pub use transforms::{Transform, Transforms};
pub use upgrade::{UpgradeError, upgrade};
pub use virtual_version::VirtualVersion;
