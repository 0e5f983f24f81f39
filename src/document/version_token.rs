//! Version tokens, for optimistic concurrency.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The version of a stored object, for optimistic concurrency. It is opaque to callers:
/// `[seq_no, primary_term, generation]` in base64 (record 20). It includes the generation because the numbers of an
/// index and of its copy can be equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VersionToken {
    pub(crate) seq_no: u64,
    pub(crate) primary_term: u64,
    pub(crate) generation: u32,
}

impl VersionToken {
    /// The placeholder version of a document that is not written yet.
    pub(crate) const UNWRITTEN: Self = Self { seq_no: 0, primary_term: 0, generation: 0 };

    /// Creates a version for values that a fake returns in tests. Different numbers result in different versions.
    #[cfg(any(test, feature = "in-memory"))]
    pub fn for_tests(number: u64) -> Self {
        Self { seq_no: number, primary_term: 1, generation: 1 }
    }
}

impl fmt::Display for VersionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(format!("[{},{},{}]", self.seq_no, self.primary_term, self.generation)))
    }
}

impl FromStr for VersionToken {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = || {
            Error::invalid("a version token is malformed", "pass the token that a read or write of the object returned")
        };
        let bytes = STANDARD.decode(text).map_err(|_| refused())?;
        let (seq_no, primary_term, generation) = serde_json::from_slice(&bytes).map_err(|_| refused())?;
        Ok(Self { seq_no, primary_term, generation })
    }
}

impl Serialize for VersionToken {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VersionToken {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let token = VersionToken { seq_no: 12, primary_term: 1, generation: 3 };
        assert_eq!(token.to_string().parse::<VersionToken>().expect("valid"), token);
    }

    #[test]
    fn anything_else_is_refused() {
        // `[0,1]` is a token of Kibana, which names no generation.
        for bad in ["", "x", "WzAsMV0=", "WzAsMSwtMV0=", "bnVsbA==", "e30="] {
            let error = bad.parse::<VersionToken>().expect_err(bad);
            assert_eq!(error.kind(), crate::ErrorKind::Invalid);
        }
    }
}
