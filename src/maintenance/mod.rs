//! Work of operators on everything that is stored: verification and key rotation.

pub mod rotation;
pub mod verify;
